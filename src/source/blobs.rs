//! A store of blobs that go by their digests.

use std::ffi::OsStr;

use crate::digest::Digest;
use crate::sys::RootDir;

use super::beneath::Beneath;
use super::{ContentRef, Source, SourceError, SourceFile};

/// A directory with `<algorithm>/<hex>`, as `blobs` of an OCI image layout is
/// (image-layout.md of the OCI image specification). Each file's content is a
/// blob of its own; paths mean nothing here.
#[derive(Debug)]
pub struct BlobSource(Beneath);

impl BlobSource {
    /// Takes content from the directory `blobs`.
    #[must_use]
    pub const fn new(blobs: RootDir) -> Self {
        Self(Beneath::new(blobs))
    }

    /// See [`super::DirectorySource::opening_nothing_else`].
    #[must_use]
    pub fn opening_nothing_else(self) -> Self {
        Self(self.0.opening_nothing_else())
    }
}

impl Source for BlobSource {
    /// The first blob that there is by any of the digests.
    fn open(&self, content: &ContentRef<'_>) -> Result<Box<dyn SourceFile>, SourceError> {
        let mut refused = SourceError::Missing;
        for digest in content.digests {
            match self.0.open(OsStr::new(&name(digest)), content.size) {
                Err(SourceError::Missing) => {}
                Err(error @ SourceError::Exhausted) => return Err(error),
                Err(error) => refused = error,
                opened => return opened,
            }
        }
        Err(refused)
    }

    fn avoid(&self, device: u64) {
        self.0.avoid(device);
    }
}

/// Where a blob lies: the colon of its digest becomes a slash.
fn name(digest: &Digest) -> String {
    digest.to_string().replacen(':', "/", 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Algorithm;
    use crate::path::ManifestPath;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn goes_by_any_digest_and_through_no_link() {
        let scratch = tempfile::tempdir().unwrap();
        let digests = [Algorithm::Sha256, Algorithm::Blake3].map(|one| one.hash(b"content"));
        let [sha256, blake3] = digests.map(|digest| scratch.path().join(name(&digest)));
        let source = BlobSource::new(RootDir::open(scratch.path()).unwrap());
        let path = ManifestPath::parse(b"/anywhere").unwrap();
        let open = |size, digests: &[Digest]| {
            let path = &path;
            source.open(&ContentRef {
                path,
                size,
                digests,
            })
        };
        assert!(matches!(open(7, &digests), Err(SourceError::Missing)));
        assert!(matches!(open(7, &[]), Err(SourceError::Missing)));

        fs::create_dir_all(blake3.parent().unwrap()).unwrap();
        fs::write(&blake3, "content").unwrap();
        let mut buffer = [0; 9];
        let file = open(7, &digests).unwrap();
        assert_eq!(file.read_at(&mut buffer, 2).unwrap(), 5);
        assert_eq!(&buffer[..5], b"ntent");
        let long = open(8, &digests);
        assert!(matches!(long, Err(SourceError::Size { found: 7, .. })));

        fs::create_dir_all(sha256.parent().unwrap()).unwrap();
        symlink(&blake3, &sha256).unwrap();
        assert!(open(7, &digests).is_ok());
        let linked = open(7, &digests[..1]);
        assert!(matches!(linked, Err(SourceError::Escape)));
    }
}
