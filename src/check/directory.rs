//! What is declared, against the files of a directory.

use std::{fs, io};

use crate::attributes::Attribute;
use crate::manifest::{Content, Kind, Resource};
use crate::mode::{FileMode, FileType};
use crate::path::ManifestPath;
use crate::progress::Progress;
use crate::sys::{Absence, Handle, RootDir, Stat};
use crate::tree::{Node, NodeError, ReadError, inspect_open, inspect_stat};

use super::compare::{Rules, compare_all_but_content};
use super::content;
use super::finding::{Change, Difference, DifferenceKind, Finding, Trouble, TroubleCause};
use super::hashing::{self, RealFile};
use super::links::{File, Links};
use super::open_directory::Directory;
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
    pub fn look(
        &self,
        path: ManifestPath,
        file: File<u64>,
        wanted: Resource,
        directory: &Directory,
    ) -> Looked {
        let is_first = path == *wanted.path();
        let opened = is_first
            .then(|| self.look_open(&path, &wanted, directory))
            .flatten();
        let found = opened.unwrap_or_else(|| self.look_held(&path, &wanted, is_first));
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

    /// Opens a file once, for all that is compared of it: a regular one, which
    /// its directory says to have just now. Where there is any doubt it is
    /// looked at without opening it.
    fn look_open(
        &self,
        path: &ManifestPath,
        wanted: &Resource,
        directory: &Directory,
    ) -> Option<Found> {
        let Kind::Regular(_) = &wanted.kind else {
            return None;
        };
        if !self.rules.attributes.has(Attribute::Content) {
            return None;
        }
        let file = directory.open(self.root, path)?;
        let node = inspect_open(&file, self.compares_xattrs(wanted)).ok()??;
        let Kind::Regular(_) = &node.kind else {
            return None;
        };
        let stat = node.stat;
        let compared = self.compare(path, wanted, Ok(node), Some(&file));
        Some(Found::Present(stat, Some(compared)))
    }

    /// Looks at a file of any kind without opening it.
    fn look_held(&self, path: &ManifestPath, wanted: &Resource, is_first: bool) -> Found {
        match self.hold(path) {
            Ok((stat, handle)) => {
                let compare = || self.compare_held(path, wanted, stat, &handle);
                Found::Present(stat, is_first.then(compare))
            }
            Err(error) => match Absence::of(&error) {
                Some(absence) => Found::Absent(absence),
                None => Found::Unknown(error.into()),
            },
        }
    }

    fn hold(&self, path: &ManifestPath) -> io::Result<(Stat, Handle)> {
        let handle = self.root.handle(path.relative())?;
        Ok((handle.stat()?, handle))
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
        match self.hold(path) {
            Ok((stat, handle)) => self.compare_held(path, wanted, stat, &handle),
            Err(error) => Compared {
                trouble: Some(error.into()),
                ..Compared::default()
            },
        }
    }

    fn compare_held(
        &self,
        path: &ManifestPath,
        wanted: &Resource,
        stat: Stat,
        handle: &Handle,
    ) -> Compared {
        let node = inspect_stat(handle, stat, self.compares_xattrs(wanted));
        self.compare(path, wanted, node, None)
    }

    /// Whether it needs to be known which attributes a file has.
    fn compares_xattrs(&self, wanted: &Resource) -> bool {
        let are_wanted = self.rules.strict || !wanted.metadata.xattrs.is_empty();
        are_wanted && self.rules.attributes.has(Attribute::Xattr)
    }

    /// Compares what is there, without its digests and without attributes that
    /// nobody compares, and then its content.
    fn compare(
        &self,
        path: &ManifestPath,
        wanted: &Resource,
        found: Result<Node, NodeError>,
        open: Option<&fs::File>,
    ) -> Compared {
        let mut compared = Compared::default();
        let read = match &found {
            Ok(node) => {
                compared.changes = compare_all_but_content(wanted.into(), node.into(), &self.rules);
                match (&wanted.kind, &node.kind) {
                    (Kind::Regular(one), Kind::Regular(_)) => {
                        let file = RealFile {
                            root: self.root,
                            path,
                            stat: &node.stat,
                            open,
                        };
                        self.compare_content(one, file, &mut compared.changes)
                    }
                    _ => Ok(0),
                }
            }
            Err(_) => Ok(0),
        };
        compared.trouble = found.err().map(TroubleCause::from);
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
            let file_there = RealFile {
                root,
                stat,
                open: None,
                ..file
            };
            let wanted = hashing::fast(file_there, self.progress)?;
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
