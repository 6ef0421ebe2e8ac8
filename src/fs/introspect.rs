//! The attributes `user.continuity.*`, which tell about the mount itself. They
//! answer only when asked by name, and only with `-o introspect`.

use crate::digest::Digest;
use crate::inode::Inode;

/// The value of one of these attributes; `None` if there is none of that name.
pub(super) fn value(
    name: &[u8],
    inode: Inode<'_>,
    manifest: Option<&Digest>,
    refusals: u64,
) -> Option<Vec<u8>> {
    let text = match name.strip_prefix(b"user.continuity.")? {
        b"digest" => inode
            .digests()
            .iter()
            .map(ToString::to_string)
            .reduce(|list, digest| list + " " + &digest)?,
        b"manifest_digest" => manifest?.to_string(),
        b"refusals" => refusals.to_string(),
        _ => return None,
    };
    Some(text.into_bytes())
}
