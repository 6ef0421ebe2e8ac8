//! What is served: a bit of everything.

use crate::requests::{EVERYTHING, Kernel};
use continuity::digest::Algorithm;
use continuity::fs::{Filesystem, Presentation};
use continuity::inode::{InodeTable, RootOwner};
use continuity::manifest::{
    ChunkTable, Chunks, Content, DeviceNumber, Form, Kind, Limits, Manifest, Metadata, Resource,
    Timestamp, Xattr,
};
use continuity::mode::FileMode;
use continuity::path::ManifestPath;
use continuity::source::{MemorySource, Source};
use continuity::verify::{Options, Verifier};

pub const MIB: usize = 1 << 20;
pub const MANY: usize = 300;

pub fn path(text: &str) -> ManifestPath {
    ManifestPath::parse(text.as_bytes()).unwrap()
}

pub fn resource(name: &str, st_mode: u32, kind: Kind) -> Resource {
    Resource {
        paths: vec![path(name)],
        metadata: Metadata::new(FileMode::from_stat(st_mode).unwrap()),
        kind,
        carried: None,
    }
}

pub fn content(bytes: &[u8]) -> Kind {
    Kind::Regular(Content {
        size: bytes.len() as u64,
        digests: vec![Algorithm::Sha256.hash(bytes)],
        ..Content::default()
    })
}

pub fn chunked(bytes: &[u8]) -> Kind {
    let digests = bytes
        .chunks(MIB)
        .flat_map(|chunk| Algorithm::Sha256.hash(chunk).as_raw().to_vec())
        .collect();
    Kind::Regular(Content {
        size: bytes.len() as u64,
        digests: vec![Algorithm::Sha256.hash(bytes)],
        chunks: Some(ChunkTable {
            algorithm: Algorithm::Sha256,
            chunks: Chunks::Fixed(MIB as u64),
            digests,
        }),
        ..Content::default()
    })
}

pub fn big() -> Vec<u8> {
    (0..3 * MIB + 5).map(|at| (at % 251) as u8).collect()
}

pub fn name(number: usize) -> String {
    format!("{number:03}{}", "n".repeat(number % 40))
}

/// A bit of everything; the content of `bad`, and the second chunk of
/// `bad-chunk`, are not as declared.
pub fn filesystem(source: MemorySource) -> Filesystem {
    filesystem_over(Box::new(source.clone()), &source)
}

pub fn filesystem_over(served: Box<dyn Source>, source: &MemorySource) -> Filesystem {
    let big = big();
    let mut file = resource("/file", 0o100_640, content(b"hello, world"));
    file.metadata.uid = 1000;
    file.metadata.gid = 2000;
    file.metadata.mtime = Timestamp::new(1_600_000_000, 123_456_789);
    for name in ["trusted.overlay.opaque", "user.comment"] {
        file.metadata.xattrs.push(Xattr {
            name: Box::from(name.as_bytes()),
            value: Box::from(&b"value"[..]),
        });
    }
    let number = DeviceNumber::new(1, 3).unwrap();
    let mut resources = vec![
        file,
        resource("/bad", 0o100_644, content(b"good content")),
        resource("/bad-chunk", 0o100_644, chunked(&big)),
        resource("/big", 0o100_644, chunked(&big)),
        resource("/dir", 0o040_755, Kind::Directory),
        resource("/empty", 0o100_644, content(b"")),
        resource("/link", 0o120_777, Kind::Symlink(Box::from(*b"file"))),
        resource("/large", 0o100_644, content(&big)),
        resource("/null", 0o020_666, Kind::CharDevice(number)),
    ];
    for number in 0..MANY {
        let name = format!("/dir/{}", name(number));
        resources.push(resource(&name, 0o100_644, content(b"")));
    }
    let manifest = Manifest {
        resources,
        ..Manifest::default()
    };
    let bytes = manifest.encode(Form::Full).unwrap();
    let owner = RootOwner { uid: 5, gid: 6 };
    let table = InodeTable::build(&bytes, &Limits::default(), owner).unwrap();

    source.write(path("/file"), b"hello, world".to_vec());
    source.write(path("/bad"), b"evil content".to_vec());
    source.write(path("/empty"), Vec::new());
    source.write(path("/big"), big.clone());
    source.write(path("/large"), big.clone());
    let mut bad = big;
    bad[MIB + 7] ^= 1;
    source.write(path("/bad-chunk"), bad);
    let verifier = Verifier::new(served, Options::default()).unwrap();
    Filesystem::new(table, verifier, Presentation::default(), None)
}

pub fn kernel() -> Kernel {
    Kernel::new(filesystem(MemorySource::default()), EVERYTHING)
}
