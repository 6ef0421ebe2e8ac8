//! What is declared, against the files of a directory.

use crate::attributes::Attribute;
use crate::manifest::{Content, Kind, Resource};
use crate::mode::{FileMode, FileType};
use crate::path::ManifestPath;
use crate::progress::Progress;
use crate::sys::{Absence, Handle, RootDir, Stat};
use crate::tree::{Node, ReadError, inspect_stat};

use super::compare::{Rules, compare_all_but_content};
use super::content;
use super::finding::{Change, Difference, DifferenceKind, Finding, Trouble, TroubleCause};
use super::hashing::{self, RealFile};
use super::links::{File, Links};
use super::unlisted::Unexpected;

/// Where to look, and for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checker<'a> {
    /// The directory.
    pub root: &'a RootDir,
    /// The directory that was wanted, where it was one, whose files were not
    /// hashed.
    pub wanted_root: Option<&'a RootDir>,
    /// What makes a difference.
    pub rules: Rules<'a>,
    /// Where files and bytes are counted.
    pub progress: &'a Progress,
}

/// The names of inodes, and of resources by where they begin.
pub(super) type DirectoryLinks = Links<u64, (u64, u64)>;

/// A wanted path, and what is there.
#[derive(Debug)]
pub(super) struct Looked {
    pub path: ManifestPath,
    file: File<u64>,
    wanted: Resource,
    found: Found,
}

#[derive(Debug)]
enum Found {
    Absent(Absence),
    Unknown(TroubleCause),
    /// And what was compared already.
    Present(Stat, Option<Compared>),
}

#[derive(Debug, Default)]
struct Compared {
    changes: Vec<Change>,
    trouble: Option<TroubleCause>,
}

impl Checker<'_> {
    /// Looks at a path, and compares what is there; of the further names of a
    /// file only what file they lead to. May be called on many threads.
    pub fn look(&self, path: ManifestPath, file: File<u64>, wanted: Resource) -> Looked {
        let looked = self
            .root
            .handle(path.relative())
            .and_then(|handle| Ok((handle.stat()?, handle)));
        let is_first = path == *wanted.path();
        let found = match looked {
            Ok((stat, handle)) => {
                let compare = || self.compare(&path, &wanted, &stat, &handle);
                Found::Present(stat, is_first.then(compare))
            }
            Err(error) => match Absence::of(&error) {
                Some(absence) => Found::Absent(absence),
                None => Found::Unknown(error.into()),
            },
        };
        if is_first {
            self.progress.add_files(1);
        }
        Looked {
            path,
            file,
            wanted,
            found,
        }
    }

    /// What there is to say of a path; called in path order.
    pub fn judge(&self, looked: Looked, links: &mut DirectoryLinks) -> Vec<Finding> {
        let Looked {
            path,
            file,
            wanted,
            found,
        } = looked;
        let file_type = wanted.kind.file_type();
        match found {
            Found::Unknown(cause) => vec![trouble(path, cause)],
            Found::Absent(absence) => {
                let first = links.first(file.identity).cloned();
                let link_to = first.filter(|_| self.rules.attributes.has(Attribute::Links));
                vec![Finding::Different(Difference {
                    path,
                    file_type,
                    kind: DifferenceKind::Missing { absence, link_to },
                })]
            }
            Found::Present(stat, compared) => {
                let meeting = links.meet(&path, file, real(&stat));
                let mut compared = match compared {
                    _ if meeting.again => Compared::default(),
                    Some(compared) => compared,
                    None => self.look_closer(&path, &wanted),
                };
                let link = self.rules.link_change(meeting.different);
                compared.changes.extend(link);
                let different = Difference::changed(path.clone(), file_type, compared.changes);
                let trouble = compared.trouble.map(|cause| trouble(path, cause));
                let different = different.map(Finding::Different);
                different.into_iter().chain(trouble).collect()
            }
        }
    }

    /// What there is to say of a file that is not listed.
    pub fn unexpected(&self, found: Unexpected) -> Option<Difference> {
        let Unexpected {
            path,
            mode,
            leads_on,
        } = found;
        let file_type = mode.file_type();
        if leads_on {
            let changes = self.rules.implied(mode).into_iter();
            let changes = changes.map(Change::reversed).collect();
            return Difference::changed(path, FileType::Directory, changes);
        }
        Some(Difference {
            path,
            file_type,
            kind: DifferenceKind::Added,
        })
    }

    /// Looks again at a name that is not that of the file it should be.
    fn look_closer(&self, path: &ManifestPath, wanted: &Resource) -> Compared {
        let handle = self.root.handle(path.relative());
        match handle.and_then(|handle| Ok((handle.stat()?, handle))) {
            Ok((stat, handle)) => self.compare(path, wanted, &stat, &handle),
            Err(error) => Compared {
                trouble: Some(error.into()),
                ..Compared::default()
            },
        }
    }

    fn compare(
        &self,
        path: &ManifestPath,
        wanted: &Resource,
        stat: &Stat,
        handle: &Handle,
    ) -> Compared {
        let mut compared = Compared::default();
        let read = match self.inspect(path, wanted, *stat, handle) {
            Ok(found) => {
                compared.changes = compare_all_but_content(wanted, &found, &self.rules);
                match (&wanted.kind, &found.kind) {
                    (Kind::Regular(one), Kind::Regular(_)) => {
                        let root = self.root;
                        let file = RealFile { root, path, stat };
                        self.compare_content(one, file, &mut compared.changes)
                    }
                    _ => Ok(0),
                }
            }
            Err(cause) => {
                compared.trouble = Some(cause);
                Ok(0)
            }
        };
        // As much is done as if everything had been read.
        let size = match &wanted.kind {
            Kind::Regular(content) if self.rules.attributes.has(Attribute::Content) => content.size,
            _ => 0,
        };
        match read {
            Ok(read) => self.progress.add_bytes(size.saturating_sub(read)),
            Err(error) => {
                self.progress.add_bytes(size);
                compared.trouble = Some(error.into());
            }
        }
        compared
    }

    /// What is there, without its digests, and without attributes that nobody
    /// compares.
    fn inspect(
        &self,
        path: &ManifestPath,
        wanted: &Resource,
        stat: Stat,
        handle: &Handle,
    ) -> Result<Resource, TroubleCause> {
        let attributes = self.rules.attributes;
        let are_wanted = self.rules.strict || !wanted.metadata.xattrs.is_empty();
        let with_xattrs = attributes.has(Attribute::Xattr) && are_wanted;
        let Node { metadata, kind, .. } = inspect_stat(handle, stat, with_xattrs)?;
        Ok(Resource {
            paths: vec![path.clone()],
            metadata,
            kind,
            carried: None,
        })
    }

    /// Tells how many of the bytes that were to be read were read.
    fn compare_content(
        &self,
        wanted: &Content,
        file: RealFile<'_>,
        changes: &mut Vec<Change>,
    ) -> Result<u64, ReadError> {
        let attributes = self.rules.attributes;
        let mut found = Content {
            size: file.stat.size,
            ..Content::default()
        };
        // A file of another size need not be read to know that it differs.
        let is_read = attributes.has(Attribute::Content)
            && (found.size == wanted.size || !attributes.has(Attribute::Size));
        if !is_read {
            content::compare(wanted, &found, attributes, changes);
            return Ok(0);
        }
        if let Some(root) = self.wanted_root {
            let stat = root.stat(file.path.relative())?;
            let stat = &stat;
            let wanted = hashing::fast(RealFile { root, stat, ..file }, self.progress)?;
            found = hashing::fast(file, self.progress)?;
            content::compare(&wanted, &found, attributes, changes);
        } else if let Some(found) = hashing::like(wanted, file, self.progress)? {
            content::compare(wanted, &found, attributes, changes);
        } else {
            changes.push(Change::NoDigest);
            return Ok(0);
        }
        Ok(found.size)
    }
}

fn real(stat: &Stat) -> File<(u64, u64)> {
    let file_type = FileMode::from_stat(stat.st_mode).map(FileMode::file_type);
    File {
        identity: (stat.device, stat.inode),
        has_links: stat.links > 1
            && !matches!(file_type, Some(FileType::Directory | FileType::Symlink)),
    }
}

fn trouble(path: ManifestPath, cause: TroubleCause) -> Finding {
    Finding::Trouble(Trouble { path, cause })
}
