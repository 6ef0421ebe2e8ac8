//! The attributes `user.continuity.*`, which tell about the mount itself. They
//! answer only when asked by name, and only with `-o introspect`.

use crate::digest::Digest;
use crate::inode::Inode;
use crate::trust::Voucher;

use super::cache::CopyCounters;
use super::counters::Counters;

/// What there is to tell about a mount.
pub(super) struct About<'a> {
    pub manifest: Option<&'a Digest>,
    pub voucher: &'a Voucher,
    pub refusals: u64,
    pub refusal: &'a dyn Fn() -> Option<String>,
    pub counters: &'a dyn Fn() -> Counters,
    pub stalls: u64,
    pub copies: Option<&'a CopyCounters>,
}

impl About<'_> {
    /// The value of one of these attributes; `None` if there is none of that
    /// name.
    pub(super) fn value(&self, name: &[u8], inode: Inode<'_>) -> Option<Vec<u8>> {
        let text = match name.strip_prefix(b"user.continuity.")? {
            b"digest" => inode
                .digests()
                .iter()
                .map(ToString::to_string)
                .reduce(|list, digest| list + " " + &digest)?,
            b"manifest_digest" => self.manifest?.to_string(),
            b"trust" => self.voucher.to_string(),
            b"refusal" => (self.refusal)()?,
            b"refusals" => self.refusals.to_string(),
            b"counters" => (self.counters)().to_string(),
            b"stalls" => self.stalls.to_string(),
            b"copies" => self.copies?.to_string(),
            _ => return None,
        };
        Some(text.into_bytes())
    }
}
