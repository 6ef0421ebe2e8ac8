//! How trees and archives say that files of lower layers are gone, as the
//! command line says it.

use crate::build::Convention;

/// `overlay`, `aufs` or `oci`, `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Whiteouts(pub Option<Convention>);

impl Whiteouts {
    /// For clap.
    pub fn parse(name: &str) -> Result<Self, String> {
        match name {
            "overlay" => Ok(Self(Some(Convention::Overlay))),
            "aufs" | "oci" => Ok(Self(Some(Convention::Aufs))),
            "none" => Ok(Self(None)),
            _ => Err("known are overlay, aufs (also called oci) and none".to_owned()),
        }
    }
}
