//! The attributes `user.continuity.*`, which tell about the mount itself. They
//! answer only when asked by name, and only with `-o introspect`.

use crate::inode::Inode;

use super::filesystem::Filesystem;

impl Filesystem {
    /// The value of one of these attributes; `None` if there is none of that
    /// name.
    pub(super) fn introspected(&self, name: &[u8], inode: Inode<'_>) -> Option<Vec<u8>> {
        let text = match name.strip_prefix(b"user.continuity.")? {
            b"digest" => inode
                .digests()
                .iter()
                .map(ToString::to_string)
                .reduce(|list, digest| list + " " + &digest)?,
            b"manifest_digest" => self.manifest()?.to_string(),
            b"trust" => self.voucher().to_string(),
            b"refusal" => self.last_refusal(inode.ino())?,
            b"refusals" => self.counters().refusals().to_string(),
            b"counters" => self.counters().to_string(),
            b"stalls" => self.stalls().to_string(),
            b"copies" => self.cache()?.counters.to_string(),
            _ => return None,
        };
        Some(text.into_bytes())
    }
}
