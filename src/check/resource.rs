//! Compares one resource with the file of its name.

use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::attributes::{Attribute, AttributeSet};
use crate::manifest::{DeviceNumber, Kind, Metadata, Resource, Xattr};
use crate::path::ManifestPath;
use crate::progress::Progress;
use crate::sys::{Absence, Handle, RootDir, Stat};
use crate::tree::{NodeError, metadata_of};

use super::content;
use super::finding::{Difference, Finding, Trouble, TroubleCause};

/// Where to look, and for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checker<'a> {
    /// The root of the tree.
    pub directory: &'a RootDir,
    /// Its name, as it was given.
    pub root: &'a Path,
    /// What is compared.
    pub attributes: &'a AttributeSet,
    /// Where bytes are counted.
    pub progress: &'a Progress,
}

impl Checker<'_> {
    /// Everything that is not as declared.
    pub fn check(&self, resource: &Resource) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut first: Option<(&ManifestPath, Handle, Stat)> = None;
        for path in &resource.paths {
            let looked = self
                .directory
                .handle(path.relative())
                .and_then(|handle| Ok((handle.stat()?, handle)));
            match (looked, &first) {
                (Ok((stat, handle)), None) => first = Some((path, handle, stat)),
                (Ok((stat, _)), Some((_, _, same))) if stat.is_same_file(same) => {}
                (Ok(_), Some(_)) if !self.attributes.has(Attribute::Links) => {}
                (Ok(_), Some((to, _, _))) => findings.push(unlinked(path, to, None)),
                (Err(error), first) => match (Absence::of(&error), first) {
                    (Some(absence), Some((to, _, _))) => {
                        findings.push(unlinked(path, to, Some(absence)));
                    }
                    (Some(absence), None) => findings.push(self.absent(path, absence)),
                    (None, _) => findings.push(trouble(path, error)),
                },
            }
        }
        if let Some((path, handle, stat)) = &first {
            let mut found = Found {
                path,
                handle,
                stat,
                findings: &mut findings,
            };
            if let Err(cause) = self.compare(&mut found, resource) {
                findings.push(trouble(path, cause));
            }
        }
        findings
    }

    /// Everything of the root itself that is not as declared.
    pub fn check_root(&self, metadata: &Metadata) -> Vec<Finding> {
        self.check(&Resource {
            paths: vec![ManifestPath::root()],
            metadata: metadata.clone(),
            kind: Kind::Directory,
            carried: None,
        })
    }

    fn compare(&self, found: &mut Found<'_>, wanted: &Resource) -> Result<(), TroubleCause> {
        let bare = metadata_of(found.stat, Vec::new())?;
        let (found_type, wanted_type) = (bare.mode.file_type(), wanted.metadata.mode.file_type());
        let is_same_type = found_type == wanted_type;
        let bits = bare.mode.permissions() ^ wanted.metadata.mode.permissions();
        if (!is_same_type && self.attributes.has(Attribute::Type))
            || bits & self.attributes.mode_bits() != 0
        {
            found.tell(Difference::Mode {
                path: found.path.clone(),
                found: bare.mode,
                wanted: wanted.metadata.mode,
            });
        }
        if !is_same_type {
            // It is another file altogether.
            return Ok(());
        }
        found.compare_owner(self.attributes, &bare, &wanted.metadata);
        if let (true, Some(found_time), Some(wanted_time)) = (
            self.attributes.has(Attribute::Mtime),
            bare.mtime,
            wanted.metadata.mtime,
        ) && found_time != wanted_time
        {
            found.tell(Difference::Mtime {
                path: found.path.clone(),
                found: found_time,
                wanted: wanted_time,
            });
        }
        found.compare_xattrs(self.attributes, &wanted.metadata.xattrs)?;
        match &wanted.kind {
            Kind::Regular(content) => {
                let differences = content::compare(
                    self.directory,
                    found.path,
                    found.stat,
                    content,
                    self.attributes,
                    self.progress,
                )?;
                differences.into_iter().for_each(|one| found.tell(one));
            }
            Kind::Symlink(target) if self.attributes.has(Attribute::Target) => {
                found.compare_target(target)?
            }
            Kind::CharDevice(number) | Kind::BlockDevice(number)
                if self.attributes.has(Attribute::Device) =>
            {
                found.compare_device(*number)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn absent(&self, path: &ManifestPath, absence: Absence) -> Finding {
        let place: PathBuf = if path.is_root() {
            self.root.to_owned()
        } else {
            self.root.join(path.relative())
        };
        Difference::Absent { place, absence }.into()
    }
}

fn unlinked(path: &ManifestPath, to: &ManifestPath, absence: Option<Absence>) -> Finding {
    let (path, to) = (path.clone(), to.clone());
    Difference::Link { path, to, absence }.into()
}

fn trouble(path: &ManifestPath, cause: impl Into<TroubleCause>) -> Finding {
    Finding::Trouble(Trouble {
        path: path.clone(),
        cause: cause.into(),
    })
}

/// A file of the tree, and what there is to say of it.
struct Found<'a> {
    path: &'a ManifestPath,
    handle: &'a Handle,
    stat: &'a Stat,
    findings: &'a mut Vec<Finding>,
}

impl Found<'_> {
    fn tell(&mut self, difference: Difference) {
        self.findings.push(difference.into());
    }

    fn compare_owner(&mut self, attributes: &AttributeSet, found: &Metadata, wanted: &Metadata) {
        for (which, found, wanted) in [
            (Attribute::Uid, found.uid, wanted.uid),
            (Attribute::Gid, found.gid, wanted.gid),
        ] {
            if found != wanted && attributes.has(which) {
                self.tell(Difference::Owner {
                    which: which.name(),
                    path: self.path.clone(),
                    found,
                    wanted,
                });
            }
        }
    }

    /// Others than the wanted ones may be there.
    fn compare_xattrs(
        &mut self,
        attributes: &AttributeSet,
        wanted: &[Xattr],
    ) -> Result<(), TroubleCause> {
        let has = |xattr: &&Xattr| attributes.has_xattr(&xattr.name);
        if !wanted.iter().any(|xattr| has(&xattr)) {
            return Ok(());
        }
        let found = self.handle.xattrs()?;
        for xattr in wanted.iter().filter(has) {
            let (path, name) = (self.path.clone(), xattr.name.clone());
            match found.iter().find(|(name, _)| **name == *xattr.name) {
                None => self.tell(Difference::XattrMissing { path, name }),
                Some((_, value)) if **value != *xattr.value => {
                    self.tell(Difference::XattrValue { path, name });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn compare_target(&mut self, wanted: &[u8]) -> Result<(), TroubleCause> {
        let found = self.handle.read_link()?.into_vec();
        if found != wanted {
            self.tell(Difference::Target {
                path: self.path.clone(),
                found: found.into_boxed_slice(),
                wanted: Box::from(wanted),
            });
        }
        Ok(())
    }

    fn compare_device(&mut self, wanted: DeviceNumber) -> Result<(), TroubleCause> {
        let (major, minor) = self.stat.rdev;
        let found = DeviceNumber::new(major.into(), minor.into())
            .ok_or(NodeError::Device(self.stat.rdev))?;
        if found != wanted {
            self.tell(Difference::Device {
                path: self.path.clone(),
                found,
                wanted,
            });
        }
        Ok(())
    }
}
