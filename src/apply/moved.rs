//! Taking names away from the source once their files are in place.

use crate::inode::{Inode, InodeKind};
use crate::path::ManifestPath;
use crate::source::{ContentRef, SourceFile};
use crate::sys::Stat;
use crate::verify::Declared;

use super::Work;
use super::directories::Directories;
use super::event::Cause;
use super::links::Named;
use super::options::{Evidence, Mode};
use super::place::Place;

impl Work<'_> {
    /// Removes the source's name of a file that is in place now; if it has several,
    /// they go when all of them are in place.
    pub fn remove_moved(
        &self,
        place: &Place,
        inode: Inode<'_>,
        from: &dyn SourceFile,
    ) -> Result<(), Cause> {
        let (Some(source), Some(file)) = (self.source, from.as_fd()) else {
            return Ok(());
        };
        if inode.links() > 1 {
            let stat = Stat::of(file).map_err(Cause::io("looked at"))?;
            self.moved.lock().insert(inode.ino(), stat);
            return Ok(());
        }
        Ok(source.remove(&inode.path(), file, place.directory()?)?)
    }

    /// Removes all names of it in the source: that by which it is opened last, so
    /// that the next run finds it, if this one is ended between two of them.
    pub fn remove_moved_names(
        &self,
        directories: &Directories,
        inode: Inode<'_>,
        names: &[Named<'_>],
    ) {
        if self.options.mode != Mode::Move {
            return;
        }
        let Some(moved) = self.moved.lock().remove(&inode.ino()) else {
            return;
        };
        let first = inode.path();
        let others = names.iter().filter(|(.., path)| *path != first);
        let last = names.iter().filter(|(.., path)| *path == first);
        for (directory, _, path) in others.chain(last) {
            let removed = directories
                .open(self, *directory)
                .and_then(|place| self.end_move(&place, inode, path, &moved));
            if let Err(cause) = removed {
                self.report.failure(path, cause);
                return;
            }
        }
    }

    /// Removes the source's name of a file that is there already, because an
    /// earlier run was ended between the two.
    pub fn end_move(
        &self,
        place: &Place,
        inode: Inode<'_>,
        path: &ManifestPath,
        stat: &Stat,
    ) -> Result<(), Cause> {
        if self.options.mode != Mode::Move || self.options.dry_run {
            return Ok(());
        }
        let (Some(source), InodeKind::Regular(size)) = (self.source, inode.kind()) else {
            return Ok(());
        };
        let digests = inode.digests();
        let opened = source.open(&ContentRef {
            path,
            size,
            digests: &digests,
        });
        if let Ok(from) = opened
            && let Some(file) = from.as_fd()
            && Stat::of(file).is_ok_and(|source| source.is_same_file(stat))
        {
            source.remove(path, file, place.directory()?)?;
        }
        Ok(())
    }

    /// Whether an earlier run copied a file that lies on another filesystem,
    /// and was ended before it removed the source's name: the same content is
    /// still there.
    ///
    /// It is copied again then. That both are the same file, seen in two ways
    /// (overlayfs, bindfs), cannot be told otherwise: the source's name only
    /// goes if it still leads to what was copied.
    pub fn is_left_in_source(
        &self,
        target: &Stat,
        inode: Inode<'_>,
        declared: &Declared<'_>,
    ) -> Result<bool, Cause> {
        let (Mode::Move, Some(source)) = (self.options.mode, self.source) else {
            return Ok(false);
        };
        let digests = inode.digests();
        let opened = source.open(&ContentRef {
            path: &inode.path(),
            size: declared.size,
            digests: &digests,
        });
        let Ok(from) = opened else {
            return Ok(false);
        };
        let Some(file) = from.as_fd() else {
            return Ok(false);
        };
        let found = Stat::of(file).map_err(Cause::io("looked at"))?;
        if found.device == target.device {
            return Ok(false);
        }
        if let Evidence::Source(_) = self.options.evidence {
            // The target was compared with it.
            return Ok(true);
        }
        match self.check(&*from, declared) {
            Ok(()) => Ok(true),
            Err(Cause::Digest(_) | Cause::Chunks | Cause::Length { .. }) => Ok(false),
            Err(cause) => Err(cause),
        }
    }
}
