//! Regular files below a directory, as content.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::OnceLock;

use crate::mode::{FileMode, FileType};
use crate::sys::{self, Handle, RootDir, Stat};

use super::{SourceError, SourceFile};

/// A directory of which only regular files are read, through no link.
#[derive(Debug)]
pub(super) struct Beneath {
    root: RootDir,
    opens: Opens,
    avoided: OnceLock<u64>,
}

/// How it is made sure that only regular files are read.
#[derive(Clone, Copy, Debug)]
enum Opens {
    /// They are looked at once they are open: in half the system calls.
    AndLooks,
    /// They are held and looked at before they are opened.
    WhatItHolds,
}

impl Beneath {
    pub(super) const fn new(root: RootDir) -> Self {
        Self {
            root,
            opens: Opens::AndLooks,
            avoided: OnceLock::new(),
        }
    }

    /// See [`super::DirectorySource::opening_nothing_else`].
    pub(super) fn opening_nothing_else(self) -> Self {
        Self {
            opens: Opens::WhatItHolds,
            ..self
        }
    }

    /// Opens a regular file that should have `size` bytes.
    pub(super) fn open(
        &self,
        relative: &OsStr,
        size: u64,
    ) -> Result<Box<dyn SourceFile>, SourceError> {
        let failed = |error| classify(&error);
        let file = match self.opens {
            Opens::AndLooks => {
                let file = self.root.open_file(relative).map_err(failed)?;
                self.judge(&Stat::of(&file).map_err(SourceError::Io)?, size)?;
                file
            }
            Opens::WhatItHolds => {
                let held = self.hold(relative)?;
                self.judge(&held.stat().map_err(SourceError::Io)?, size)?;
                open_held(&held)?
            }
        };
        Ok(Box::new(RegularFile { file, size }))
    }

    /// Holds whatever is there, to look at it before it is opened.
    pub(super) fn hold(&self, relative: &OsStr) -> Result<Handle, SourceError> {
        self.root.handle(relative).map_err(|error| classify(&error))
    }

    fn judge(&self, stat: &Stat, size: u64) -> Result<(), SourceError> {
        if self.avoided.get() == Some(&stat.device) {
            return Err(SourceError::Escape);
        }
        match FileMode::from_stat(stat.st_mode).map(FileMode::file_type) {
            Some(FileType::Regular) => {}
            // O_PATH holds the link itself, where opening it says ELOOP.
            Some(FileType::Symlink) => return Err(SourceError::Escape),
            Some(other) => return Err(SourceError::NotRegular(other)),
            None => return Err(SourceError::Missing),
        }
        // Only to say so at once: what decides is what is read.
        if stat.size != size {
            return Err(SourceError::Size {
                wanted: size,
                found: stat.size,
            });
        }
        Ok(())
    }

    /// See [`super::Source::remove`].
    pub(super) fn remove(
        &self,
        relative: &OsStr,
        file: BorrowedFd<'_>,
        kept: &RootDir,
    ) -> Result<(), SourceError> {
        let relative = Path::new(relative);
        let (Some(parent), Some(name)) = (relative.parent(), relative.file_name()) else {
            return Err(SourceError::Missing);
        };
        let parent = match parent.as_os_str() {
            empty if empty.is_empty() => OsStr::new("."),
            parent => parent,
        };
        let removed = self.root.open_directory(parent).and_then(|directory| {
            let is_kept = Stat::of(&directory)?.is_same_file(&Stat::of(kept)?);
            if !is_kept && directory.stat(name)?.is_same_file(&Stat::of(file)?) {
                directory.remove_file(name)?;
            }
            Ok(())
        });
        removed.map_err(|error| classify(&error))
    }

    /// See [`super::Source::avoid`].
    pub(super) fn avoid(&self, device: u64) {
        // Mounted once: a second time is nothing new.
        let _ = self.avoided.set(device);
    }
}

/// Opens a file that is held, and was found to be a regular one.
pub(super) fn open_held(held: &Handle) -> Result<File, SourceError> {
    held.open().map_err(|error| match classify(&error) {
        // The file is there: /proc is not.
        SourceError::Missing => SourceError::Io(error),
        other => other,
    })
}

fn classify(error: &io::Error) -> SourceError {
    match sys::Errno::from_io_error(error) {
        Some(sys::Errno::NOENT | sys::Errno::NOTDIR) => SourceError::Missing,
        Some(sys::Errno::LOOP | sys::Errno::XDEV) => SourceError::Escape,
        // A socket cannot be opened, nor a device without a driver.
        Some(sys::Errno::NXIO | sys::Errno::NODEV) => SourceError::NotRegular(FileType::Socket),
        Some(sys::Errno::MFILE | sys::Errno::NFILE) => SourceError::Exhausted,
        Some(sys::Errno::ACCESS | sys::Errno::PERM) => SourceError::Denied,
        _ => SourceError::Io(io::Error::new(error.kind(), error.to_string())),
    }
}

#[derive(Debug)]
struct RegularFile {
    file: File,
    /// What it had when it was opened.
    size: u64,
}

impl SourceFile for RegularFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        sys::file::read_to_end_at(&self.file, buffer, offset, self.size)
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.file.as_fd())
    }
}
