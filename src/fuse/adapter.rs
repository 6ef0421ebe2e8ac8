//! Requests translated into operations, and results into replies.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use bytes::Bytes;
use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, INodeNo, KernelConfig,
    LockOwner, OpenAccMode, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite,
    ReplyXattr, Request, TimeOrNow, WriteFlags,
};

use crate::fs::{Attributes, Filesystem, FsError, Statfs};
use crate::sys::file;

use super::answers::Open;
use super::convert::{self, FOR_EVER, GENERATION, NO_ENTRY};
use super::end::End;
use super::guard::guard;
use super::known::Known;
use super::opener::Opener;
use super::pusher::Pusher;
use super::readers::Readers;
use super::requests::{InFlight, Requests};
use super::wishes::{self, Agreed};

/// A filesystem as fuser calls it.
///
/// No handler panics through to fuser, which would end the mount; every
/// operation that would change something says so itself, because a remount can
/// take away the kernel's own refusal; content is read on threads of its own,
/// so that it never holds up metadata.
#[derive(Debug)]
pub(super) struct Adapter {
    filesystem: Arc<Filesystem>,
    readers: Readers,
    /// Answers opens, where there are private copies of files.
    opener: Option<Opener>,
    agreed: Agreed,
    requests: Arc<Requests>,
}

impl Adapter {
    pub(super) fn new(
        filesystem: Arc<Filesystem>,
        pusher: Arc<OnceLock<Pusher>>,
        end: Arc<OnceLock<End>>,
        request_threads: usize,
    ) -> io::Result<Self> {
        Ok(Self {
            readers: Readers::new(Arc::clone(&filesystem), pusher, end, request_threads)?,
            opener: Opener::new(&filesystem)?,
            filesystem,
            agreed: Agreed::default(),
            requests: Arc::default(),
        })
    }

    pub(super) fn known(&self) -> Arc<Known> {
        Arc::clone(self.readers.known())
    }

    pub(super) fn requests(&self) -> Arc<Requests> {
        Arc::clone(&self.requests)
    }

    /// Runs an operation on this thread: one that cannot take long.
    fn run<'a, T>(
        &'a self,
        operation: impl FnOnce(&'a Filesystem) -> Result<T, FsError>,
    ) -> Result<T, Errno> {
        let _in_flight = InFlight::new(&*self.requests);
        guard(|| operation(&self.filesystem)).map_err(convert::errno)
    }
}

/// The answer to everything that would change something.
fn read_only() -> Errno {
    convert::errno(FsError::ReadOnly.errno())
}

/// Operations that would change something: what they are asked, and how they reply.
macro_rules! read_only {
    ($($operation:ident($($asked:ty),*) -> $reply:ty;)*) => {$(
        fn $operation(&self, _: &Request, $(_: $asked,)* reply: $reply) {
            reply.error(read_only());
        }
    )*};
}

impl fuser::Filesystem for Adapter {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let agreed = wishes::agree(config, self.opener.is_some());
        if !agreed.reads_copies {
            self.opener = None;
        }
        self.agreed = agreed;
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.run(
            |fs| match fs.lookup(convert::ino(parent), name.as_bytes()) {
                Err(FsError::NoEntry) => Ok(None),
                found => found.map(Some),
            },
        );
        match found {
            Ok(Some(found)) => {
                self.readers.known().add(found.ino);
                reply.entry(&FOR_EVER, &convert::attributes(&found), GENERATION);
            }
            Ok(None) => reply.entry(&FOR_EVER, &NO_ENTRY, GENERATION),
            Err(errno) => reply.error(errno),
        }
    }

    /// The kernel gives back all that it was told of an inode at once, when it
    /// drops it.
    fn forget(&self, _request: &Request, ino: INodeNo, _count: u64) {
        self.readers.known().remove(convert::ino(ino));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.run(|fs| fs.getattr(convert::ino(ino))) {
            Ok(found) => reply.attr(&FOR_EVER, &convert::attributes(&found)),
            Err(errno) => reply.error(errno),
        }
    }

    fn readlink(&self, _request: &Request, ino: INodeNo, reply: ReplyData) {
        match self.run(|fs| fs.readlink(convert::ino(ino))) {
            Ok(target) => reply.data(&target),
            Err(errno) => reply.error(errno),
        }
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, mut reply: ReplyOpen) {
        let in_flight = InFlight::new(Arc::clone(&self.requests));
        if flags.acc_mode() != OpenAccMode::O_RDONLY {
            return reply.error(read_only());
        }
        if self.filesystem.shut_down_by().is_some() {
            return reply.error(Errno::EIO);
        }
        if let Some(opener) = &self.opener {
            let open = Open {
                ino: convert::ino(ino),
                request: request.unique(),
                reply,
            };
            // A reply that is dropped by a panic says EIO.
            match guard(|| Ok(opener.open(open, in_flight))) {
                Ok(Err(back)) => reply = back,
                Ok(Ok(())) | Err(_) => return,
            }
        }
        if self.agreed.opens_itself {
            // From now on the kernel opens files without a message, and keeps
            // their pages (fs/fuse/file.c: no_open).
            reply.error(Errno::ENOSYS);
        } else {
            reply.opened(FileHandle(0), fuser::FopenFlags::FOPEN_KEEP_CACHE);
        }
    }

    fn read(
        &self,
        _request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let in_flight = InFlight::new(Arc::clone(&self.requests));
        if let Some(opener) = &self.opener {
            opener.read(convert::ino(ino), handle, size);
        }
        let filesystem = Arc::clone(&self.filesystem);
        let reply = move |content: Result<Bytes, _>| {
            match content {
                // What was checked before the view ended is not given out after it.
                Ok(_) if filesystem.shut_down_by().is_some() => reply.error(Errno::EIO),
                Ok(content) => reply.data(&content),
                Err(errno) => reply.error(convert::errno(errno)),
            }
            drop(in_flight);
        };
        // A reply that is dropped by a panic says EIO.
        let _ = guard(|| {
            let ino = convert::ino(ino);
            if file::is_direct(flags.0) {
                self.readers.read_directly(ino, offset, size, reply);
            } else {
                self.readers.read(ino, offset, size, reply);
            }
            Ok(())
        });
    }

    fn release(
        &self,
        _request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        let _in_flight = InFlight::new(&*self.requests);
        // First: if this process dies between, it has to come again.
        if let Some(opener) = &self.opener {
            let _ = guard(|| {
                opener.close(convert::ino(ino), handle);
                Ok(())
            });
        }
        reply.ok();
    }

    fn opendir(&self, _request: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let _in_flight = InFlight::new(&*self.requests);
        if self.agreed.opens_directories_itself {
            reply.error(Errno::ENOSYS);
        } else {
            let flags = fuser::FopenFlags::FOPEN_KEEP_CACHE | fuser::FopenFlags::FOPEN_CACHE_DIR;
            reply.opened(FileHandle(0), flags);
        }
    }

    fn readdir(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let filled = self.run(|fs| {
            for entry in fs.readdir(convert::ino(ino), offset)? {
                let Attributes { ino, file_type, .. } = entry.attributes;
                let kind = convert::file_type(file_type);
                let name = OsStr::from_bytes(entry.name);
                if reply.add(INodeNo(ino.0), entry.next, kind, name) {
                    break;
                }
            }
            Ok(())
        });
        match filled {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn readdirplus(
        &self,
        _request: &Request,
        ino: INodeNo,
        _handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        self.readers.known().settle();
        let mut told = Vec::new();
        let filled = self.run(|fs| {
            for entry in fs.readdir(convert::ino(ino), offset)? {
                let attributes = convert::attributes(&entry.attributes);
                let name = OsStr::from_bytes(entry.name);
                let number = attributes.ino;
                if reply.add(number, entry.next, name, &FOR_EVER, &attributes, GENERATION) {
                    break;
                }
                told.push(entry.attributes.ino);
            }
            Ok(())
        });
        self.readers.known().announce(told);
        match filled {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn statfs(&self, _request: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        match self.run(Filesystem::statfs) {
            Ok(found) => reply.statfs(
                found.blocks,
                0,
                0,
                found.files,
                0,
                Attributes::BLOCK_SIZE,
                Statfs::NAME_MAX,
                Attributes::BLOCK_SIZE,
            ),
            Err(errno) => reply.error(errno),
        }
    }

    fn getxattr(&self, _: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let value = self.run(|fs| fs.getxattr(convert::ino(ino), name.as_bytes()));
        reply_xattr(value, size, reply);
    }

    fn listxattr(&self, _request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        reply_xattr(self.run(|fs| fs.listxattr(convert::ino(ino))), size, reply);
    }

    /// Nothing was written, so there is nothing to do; the kernel need not ask
    /// again.
    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    /// The kernel does not ask with `default_permissions`.
    fn access(&self, _: &Request, _: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        if mask.contains(AccessFlags::W_OK) {
            reply.error(read_only());
        } else {
            reply.ok();
        }
    }

    fn lseek(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _handle: FileHandle,
        _offset: i64,
        _whence: i32,
        reply: fuser::ReplyLseek,
    ) {
        // No holes are declared; the kernel then knows none.
        reply.error(Errno::ENOSYS);
    }

    fn ioctl(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _handle: FileHandle,
        _flags: fuser::IoctlFlags,
        _command: u32,
        _in_data: &[u8],
        _out_size: u32,
        reply: fuser::ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }

    read_only! {
        setattr(
            INodeNo, Option<u32>, Option<u32>, Option<u32>, Option<u64>, Option<TimeOrNow>,
            Option<TimeOrNow>, Option<SystemTime>, Option<FileHandle>, Option<SystemTime>,
            Option<SystemTime>, Option<SystemTime>, Option<BsdFileFlags>
        ) -> ReplyAttr;
        mknod(INodeNo, &OsStr, u32, u32, u32) -> ReplyEntry;
        mkdir(INodeNo, &OsStr, u32, u32) -> ReplyEntry;
        unlink(INodeNo, &OsStr) -> ReplyEmpty;
        rmdir(INodeNo, &OsStr) -> ReplyEmpty;
        symlink(INodeNo, &OsStr, &Path) -> ReplyEntry;
        rename(INodeNo, &OsStr, INodeNo, &OsStr, RenameFlags) -> ReplyEmpty;
        link(INodeNo, INodeNo, &OsStr) -> ReplyEntry;
        write(
            INodeNo, FileHandle, u64, &[u8], WriteFlags, OpenFlags, Option<LockOwner>
        ) -> ReplyWrite;
        setxattr(INodeNo, &OsStr, &[u8], i32, u32) -> ReplyEmpty;
        removexattr(INodeNo, &OsStr) -> ReplyEmpty;
        create(INodeNo, &OsStr, u32, u32, i32) -> ReplyCreate;
        fallocate(INodeNo, FileHandle, u64, u64, i32) -> ReplyEmpty;
        copy_file_range(
            INodeNo, FileHandle, u64, INodeNo, FileHandle, u64, u64, CopyFileRangeFlags
        ) -> ReplyWrite;
    }
}

/// Size 0 asks how much room is needed (getxattr(2)).
fn reply_xattr(value: Result<impl AsRef<[u8]>, Errno>, size: u32, reply: ReplyXattr) {
    let value = match &value {
        Ok(value) => value.as_ref(),
        Err(errno) => return reply.error(*errno),
    };
    match u32::try_from(value.len()) {
        Ok(length) if size == 0 => reply.size(length),
        Ok(length) if length <= size => reply.data(value),
        _ => reply.error(convert::errno(FsError::Range.errno())),
    }
}
