//! The kernel's part of the FUSE protocol, spoken by hand over a socket: the
//! structs of `linux/fuse.h`, and nothing of the crate that reads them.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use continuity::fs::Filesystem;
use continuity::fuse::Session;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair, sockopt,
};

pub const LOOKUP: u32 = 1;
pub const FORGET: u32 = 2;
pub const GETATTR: u32 = 3;
pub const SETATTR: u32 = 4;
pub const READLINK: u32 = 5;
pub const SYMLINK: u32 = 6;
pub const MKNOD: u32 = 8;
pub const MKDIR: u32 = 9;
pub const UNLINK: u32 = 10;
pub const RMDIR: u32 = 11;
pub const RENAME: u32 = 12;
pub const LINK: u32 = 13;
pub const OPEN: u32 = 14;
pub const READ: u32 = 15;
pub const WRITE: u32 = 16;
pub const STATFS: u32 = 17;
pub const RELEASE: u32 = 18;
pub const FSYNC: u32 = 20;
pub const SETXATTR: u32 = 21;
pub const GETXATTR: u32 = 22;
pub const LISTXATTR: u32 = 23;
pub const REMOVEXATTR: u32 = 24;
pub const FLUSH: u32 = 25;
pub const INIT: u32 = 26;
pub const OPENDIR: u32 = 27;
pub const READDIR: u32 = 28;
pub const RELEASEDIR: u32 = 29;
pub const ACCESS: u32 = 34;
pub const CREATE: u32 = 35;
pub const INTERRUPT: u32 = 36;
pub const DESTROY: u32 = 38;
pub const BATCH_FORGET: u32 = 42;
pub const FALLOCATE: u32 = 43;
pub const READDIRPLUS: u32 = 44;
pub const RENAME2: u32 = 45;
pub const LSEEK: u32 = 46;
pub const COPY_FILE_RANGE: u32 = 47;
pub const SYNCFS: u32 = 50;
pub const TMPFILE: u32 = 51;
pub const STATX: u32 = 52;

pub const ROOT: u64 = 1;

/// What the kernel offers at the beginning: everything.
pub const EVERYTHING: u64 = u64::MAX;

/// The kernel's end of a session.
pub struct Kernel {
    socket: OwnedFd,
    server: Option<JoinHandle<std::io::Result<()>>>,
    unique: u64,
    /// The answer to INIT.
    pub init: Vec<u8>,
}

/// An answer: the header's error, and what stands behind the header.
#[derive(Debug)]
pub struct Reply {
    pub unique: u64,
    pub error: i32,
    pub body: Vec<u8>,
}

impl Kernel {
    /// Starts a session in which the kernel can do what `capabilities` say.
    pub fn new(filesystem: Filesystem, capabilities: u64) -> Self {
        Self::with(capabilities, |device| {
            let session = Session::start(device, Arc::new(filesystem)).unwrap();
            std::thread::spawn(|| session.serve())
        })
    }

    /// The same with a server of the caller's.
    pub fn with(
        capabilities: u64,
        serve: impl FnOnce(OwnedFd) -> JoinHandle<std::io::Result<()>>,
    ) -> Self {
        let (socket, device) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        // The largest answer is one message.
        sockopt::set_socket_send_buffer_size_force(&device, 8 << 20)
            .expect("root is needed for large messages");
        sockopt::set_socket_timeout(
            &socket,
            sockopt::Timeout::Recv,
            Some(Duration::from_secs(20)),
        )
        .unwrap();
        let mut kernel = Self {
            socket,
            server: None,
            unique: 0,
            init: Vec::new(),
        };
        let body = Body::new()
            .u32(7)
            .u32(43)
            .u32(128 << 10)
            .u32(capabilities as u32)
            .u32((capabilities >> 32) as u32)
            .zeros(44);
        let unique = kernel.send(INIT, 0, body);
        kernel.server = Some(serve(device));
        let reply = kernel.receive();
        assert_eq!((reply.unique, reply.error), (unique, 0));
        kernel.init = reply.body;
        kernel
    }

    /// Sends a request, and gives the number by which its answer is known.
    pub fn send(&mut self, opcode: u32, node: u64, body: Body) -> u64 {
        self.unique += 2;
        let message = Body::new()
            .u32(40 + body.0.len() as u32)
            .u32(opcode)
            .u64(self.unique)
            .u64(node)
            // uid, gid, pid
            .u32(0)
            .u32(0)
            .u32(1)
            .u32(0)
            .bytes(&body.0);
        let sent = send(&self.socket, &message.0, SendFlags::empty()).unwrap();
        assert_eq!(sent, message.0.len());
        self.unique
    }

    /// The next answer, whichever it is. What nobody asked for, such as content
    /// to be kept, is let go.
    pub fn receive(&self) -> Reply {
        loop {
            let message = self.receive_any();
            if message.unique != 0 {
                return message;
            }
        }
    }

    fn receive_any(&self) -> Reply {
        let mut buffer = vec![0; 2 << 20];
        let (count, _) =
            recv(&self.socket, buffer.as_mut_slice(), RecvFlags::empty()).expect("no answer");
        let message = &buffer[..count];
        assert_eq!(u32_at(message, 0) as usize, count, "length in the header");
        Reply {
            error: u32_at(message, 4).cast_signed(),
            unique: u64_at(message, 8),
            body: message[16..].to_vec(),
        }
    }

    /// A request and its answer.
    pub fn call(&mut self, opcode: u32, node: u64, body: Body) -> Reply {
        let unique = self.send(opcode, node, body);
        let reply = self.receive();
        assert_eq!(reply.unique, unique);
        assert!(reply.error <= 0);
        assert!(reply.error == 0 || reply.body.is_empty());
        reply
    }

    /// A request that must succeed.
    pub fn ok(&mut self, opcode: u32, node: u64, body: Body) -> Vec<u8> {
        let reply = self.call(opcode, node, body);
        assert_eq!(reply.error, 0, "opcode {opcode}");
        reply.body
    }

    /// The error of a request that must fail.
    pub fn error(&mut self, opcode: u32, node: u64, body: Body) -> rustix::io::Errno {
        let reply = self.call(opcode, node, body);
        assert_ne!(reply.error, 0, "opcode {opcode}");
        rustix::io::Errno::from_raw_os_error(-reply.error)
    }

    /// The number of what a path leads to.
    pub fn resolve(&mut self, path: &str) -> u64 {
        path.split('/').fold(ROOT, |node, name| {
            let entry = self.ok(LOOKUP, node, Body::new().name(name));
            assert_ne!(u64_at(&entry, 0), 0, "{path}");
            u64_at(&entry, 0)
        })
    }

    /// Sends a READ.
    pub fn send_read(&mut self, node: u64, offset: u64, size: u32) -> u64 {
        self.send(READ, node, read(offset, size))
    }

    /// Ends the session as the kernel does, and gives what serving came to.
    pub fn destroy(mut self) -> std::io::Result<()> {
        // Each of the threads that take requests wants its own.
        for _ in 0..Session::REQUEST_THREADS {
            self.send(DESTROY, 0, Body::new());
        }
        self.server.take().unwrap().join().unwrap()
    }
}

/// What stands behind the header of READ, READDIR and READDIRPLUS.
pub fn read(offset: u64, size: u32) -> Body {
    Body::new().u64(0).u64(offset).u32(size).zeros(20)
}

/// The bytes of a struct.
#[derive(Default)]
pub struct Body(pub Vec<u8>);

impl Body {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_ne_bytes())
    }

    pub fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_ne_bytes())
    }

    pub fn zeros(mut self, count: usize) -> Self {
        self.0.resize(self.0.len() + count, 0);
        self
    }

    /// A name, and the NUL behind it.
    pub fn name(self, name: &str) -> Self {
        self.bytes(name.as_bytes()).bytes(&[0])
    }

    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(bytes[at..at + 2].try_into().unwrap())
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap())
}
