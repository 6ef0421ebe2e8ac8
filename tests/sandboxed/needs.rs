//! What must still work.

use std::ffi::OsStr;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use continuity::digest::Algorithm;
use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::prepared::Prepared;

pub struct Need {
    pub name: &'static str,
    pub run: fn(&Prepared) -> io::Result<()>,
}

pub fn find(name: &str) -> Option<&'static Need> {
    NEEDS
        .iter()
        .chain(COPY_NEEDS)
        .find(|need| need.name == name)
}

pub const NEEDS: &[Need] = &[
    need("read-backing", |p| {
        for (path, content) in [("file", "content"), ("sub/file", "content below")] {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            let file = rustix::fs::openat2(&p.root, path, flags, Mode::empty(), resolve)?;
            let mut read = String::new();
            std::fs::File::from(file).read_to_string(&mut read)?;
            expect(read == content, "another content")?;
        }
        Ok(())
    }),
    need("hash", |_| {
        let digest = Algorithm::Sha256.hash(&vec![7; 1 << 20]);
        expect(digest.algorithm() == Algorithm::Sha256, "another algorithm")
    }),
    need("threads", |_| {
        let (send, receive) = mpsc::channel();
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let send = send.clone();
                std::thread::Builder::new()
                    .name(format!("thread-{number}"))
                    .spawn(move || send.send(number))
            })
            .collect::<io::Result<_>>()?;
        drop(send);
        let mut sum = 0;
        while let Ok(number) = receive.recv_timeout(Duration::from_secs(20)) {
            sum += number;
        }
        for thread in threads {
            let _ = thread.join();
        }
        expect(sum == 6, "a thread did not run")
    }),
    need("rayon", |_| {
        use rayon::prelude::*;
        let sum: u64 = (0..100_000_u64).into_par_iter().sum();
        expect(sum == 4_999_950_000, "another sum")
    }),
    need("processors", |_| {
        std::thread::available_parallelism().map(drop)
    }),
    need("memory", |_| {
        let mut large = vec![1_u8; 64 << 20];
        large.resize(128 << 20, 2);
        large.shrink_to(1 << 20);
        expect(large.last() == Some(&2), "another byte")
    }),
    need("random", |_| {
        let one: [u8; 32] = continuity::sys::random::bytes()?;
        let map: std::collections::HashMap<_, _> = [(1, one)].into();
        expect(map.len() == 1, "nothing in it")
    }),
    need("time", |_| {
        let begin = Instant::now();
        std::thread::sleep(Duration::from_millis(2));
        let now = std::time::SystemTime::now();
        expect(
            begin.elapsed() >= Duration::from_millis(2) && now > std::time::UNIX_EPOCH,
            "no time went by",
        )
    }),
    need("log", |_| {
        let _ = io::stderr().is_terminal();
        io::stderr().write_all(b"a line\n")
    }),
    need("caught-panic", |_| {
        // With RUST_BACKTRACE: the message looks for the names of functions.
        let caught = std::panic::catch_unwind(|| panic!("caught"));
        expect(caught.is_err(), "no panic")
    }),
    need("socket-pair", |_| {
        let (mut one, mut other) = std::os::unix::net::UnixStream::pair()?;
        one.set_nonblocking(true)?;
        one.write_all(b"x")?;
        other.read_exact(&mut [0])?;
        let copy = other.try_clone()?;
        expect(copy.as_fd().try_clone_to_owned().is_ok(), "no duplicate")
    }),
];

/// What works with a directory for copies.
pub const COPY_NEEDS: &[Need] = &[need("copy", |p| {
    let (directory, _) = p.cache.as_ref().unwrap();
    let file = directory.create()?;
    file.reserve(1 << 20)?;
    file.write_at(b"copied", 0)?;
    let source = rustix::fs::openat2(
        &p.root,
        OsStr::new("file"),
        OFlags::RDONLY,
        Mode::empty(),
        ResolveFlags::empty(),
    )?;
    // Whether the filesystem can is another question.
    match continuity::sys::copy::reflink(&source, &file) {
        Ok(()) => {}
        Err(error) if continuity::sys::copy::is_unsupported(&error) => {}
        Err(error) => return Err(error),
    }
    let sealed = file.seal()?;
    let mut content = [0; 6];
    rustix::io::pread(&sealed, &mut content, 0)?;
    expect(
        &content[1..] == b"opied" || &content == b"conten",
        "another content",
    )
})];

const fn need(name: &'static str, run: fn(&Prepared) -> io::Result<()>) -> Need {
    Need { name, run }
}

fn expect(holds: bool, otherwise: &str) -> io::Result<()> {
    if holds {
        Ok(())
    } else {
        Err(io::Error::other(otherwise.to_owned()))
    }
}
