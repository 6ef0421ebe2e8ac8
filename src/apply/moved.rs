//! Taking names away from the source once their files are in place.

use crate::inode::{Inode, InodeKind};
use crate::path::ManifestPath;
use crate::source::{ContentRef, SourceFile};
use crate::sys::Stat;

use super::Work;
use super::event::Cause;
use super::options::Mode;
use super::place::Place;

impl Work<'_> {
    /// Removes the source's name of a file that is in place now.
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
        }
        Ok(source.remove(&inode.path(), file, place.directory()?)?)
    }

    /// Removes another name of it.
    pub fn remove_moved_name(
        &self,
        place: &Place,
        inode: Inode<'_>,
        path: &ManifestPath,
    ) -> Result<(), Cause> {
        let moved = self.moved.lock().get(&inode.ino()).copied();
        match moved {
            Some(moved) => self.end_move(place, inode, path, &moved),
            None => Ok(()),
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
}
