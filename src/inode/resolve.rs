//! Following a path through the tree.

use thiserror::Error;

use super::record::Ino;
use super::table::InodeTable;
use super::view::{Inode, InodeKind};

/// As many as the kernel follows (`MAXSYMLINKS` in `include/linux/namei.h`).
const LINKS_MAX: usize = 40;

/// Why a path leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ResolveError {
    /// A component is not there.
    #[error("no such file in the manifest")]
    Missing,
    /// Something on the way is no directory.
    #[error("not a directory in the manifest")]
    NotDirectory,
    /// Symlinks without an end.
    #[error("too many levels of symbolic links")]
    Links,
}

impl InodeTable {
    /// What a path names when the root of the manifest is the root of the
    /// system: symlinks are followed, the last one too, and never out of it.
    /// A leading slash makes no difference.
    ///
    /// # Errors
    /// See [`ResolveError`].
    pub fn resolve<'t>(&'t self, path: &'t [u8]) -> Result<Inode<'t>, ResolveError> {
        let root = self.get(Ino::ROOT).ok_or(ResolveError::Missing)?;
        let mut inode = root;
        // The components that are still to come, the next one last.
        let mut rest: Vec<&[u8]> = components(path).collect();
        let mut links = 0;
        while let Some(name) = rest.pop() {
            if !matches!(inode.kind(), InodeKind::Directory(_)) {
                return Err(ResolveError::NotDirectory);
            }
            match name {
                b"" | b"." => continue,
                b".." => {
                    inode = inode.parent();
                    continue;
                }
                _ => {}
            }
            let next = self.lookup(inode, name).ok_or(ResolveError::Missing)?;
            let InodeKind::Symlink(target) = next.kind() else {
                inode = next;
                continue;
            };
            links += 1;
            if links > LINKS_MAX {
                return Err(ResolveError::Links);
            }
            if target.starts_with(b"/") {
                inode = root;
            }
            rest.extend(components(target));
        }
        Ok(inode)
    }
}

/// From the last to the first.
fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.rsplit(|byte| *byte == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inode::RootOwner;
    use crate::manifest::{Form, Kind, Limits, Manifest, Metadata, Resource};
    use crate::mode::FileMode;
    use crate::path::ManifestPath;

    #[test]
    fn follows_links_and_never_leaves() {
        let resource = |path: &str, mode, kind| Resource {
            paths: vec![ManifestPath::parse(path.as_bytes()).unwrap()],
            metadata: Metadata::new(FileMode::from_stat(mode).unwrap()),
            kind,
            carried: None,
        };
        let link =
            |path, target: &str| resource(path, 0o120_777, Kind::Symlink(target.as_bytes().into()));
        let manifest = Manifest {
            resources: vec![
                resource("/a/b/pipe", 0o010_600, Kind::Fifo),
                link("/a/absolute", "/a/b"),
                link("/a/up", "../../../../a/b/"),
                link("/loop", "loop"),
                link("/gone", "nowhere"),
            ],
            ..Manifest::default()
        };
        let bytes = manifest.encode(Form::Full).unwrap();
        let table = InodeTable::build(&bytes, &Limits::default(), RootOwner::default()).unwrap();
        let path = |path: &'static str| {
            let inode = table.resolve(path.as_bytes())?;
            Ok(inode.path().to_string())
        };
        for same in [
            "/a/b/pipe",
            "a/b/pipe",
            "//a/./b/../b/pipe",
            "../a/b/pipe",
            "/a/absolute/pipe",
            "/a/up/pipe",
            "/a/up/../absolute/pipe",
        ] {
            assert_eq!(path(same), Ok("/a/b/pipe".to_owned()), "{same}");
        }
        assert_eq!(path(""), Ok("/".to_owned()));
        assert_eq!(path("/a/b/pipe/"), Err(ResolveError::NotDirectory));
        assert_eq!(path("/a/b/pipe/.."), Err(ResolveError::NotDirectory));
        assert_eq!(path("/gone"), Err(ResolveError::Missing));
        assert_eq!(path("/a/c"), Err(ResolveError::Missing));
        assert_eq!(path("/loop"), Err(ResolveError::Links));
    }
}
