//! What the server serves.

use std::fs;
use std::path::Path;

use continuity::digest::Algorithm;
use continuity::manifest::{
    ChunkTable, Chunks, Content, Form, Kind, Manifest, Metadata, Resource, Xattr,
};
use continuity::mode::FileMode;
use continuity::path::ManifestPath;

use super::common::noise;

/// How many files are in `many`.
pub const MANY: usize = 1000;
/// Size of the file that is checked as a whole, in bytes.
pub const WHOLE_SIZE: u64 = 64 << 10;
/// Size of the files that have chunk tables, in bytes: too large to be checked
/// as a whole, and for the cache of the server.
pub const CHUNKED_SIZE: u64 = 8 << 20;
/// Sizes of their chunks.
pub const CHUNKS: [u64; 2] = [8 << 10, 128 << 10];

/// Name of a file with a chunk table.
pub fn chunked(algorithm: Algorithm, chunk: u64) -> String {
    format!("{algorithm}-{}", chunk >> 10)
}

/// Makes a tree and its manifest, `tree` and `manifest`.
pub fn make(scratch: &Path) {
    let tree = scratch.join("tree");
    fs::create_dir_all(tree.join("many")).unwrap();
    let mut resources = Vec::new();
    let mut add = |name: &str, size: u64, chunks: Option<(Algorithm, u64)>| {
        let content: Vec<u8> = noise(size).take(size as usize).collect();
        fs::write(tree.join(name), &content).unwrap();
        resources.push(resource(name, &content, chunks));
    };
    for number in 0..MANY {
        add(&format!("many/file-{number:04}"), 4096, None);
    }
    add("whole", WHOLE_SIZE, None);
    for algorithm in [Algorithm::Sha256, Algorithm::Blake3] {
        for chunk in CHUNKS {
            let name = chunked(algorithm, chunk);
            add(&name, CHUNKED_SIZE, Some((algorithm, chunk)));
        }
    }
    let manifest = Manifest {
        resources,
        ..Manifest::default()
    };
    let bytes = manifest.encode(Form::Full).unwrap();
    fs::write(scratch.join("manifest"), bytes).unwrap();
}

fn resource(name: &str, content: &[u8], chunks: Option<(Algorithm, u64)>) -> Resource {
    let mut metadata = Metadata::new(FileMode::from_stat(0o100_644).unwrap());
    metadata.xattrs.push(Xattr {
        name: Box::from(&b"user.comment"[..]),
        value: Box::from(&b"value"[..]),
    });
    let table = |(algorithm, chunk): (Algorithm, u64)| ChunkTable {
        algorithm,
        chunks: Chunks::Fixed(chunk),
        digests: content
            .chunks(chunk as usize)
            .flat_map(|chunk| algorithm.hash(chunk).as_raw().to_vec())
            .collect(),
    };
    Resource {
        paths: vec![ManifestPath::parse(format!("/{name}").as_bytes()).unwrap()],
        metadata,
        kind: Kind::Regular(Content {
            size: content.len() as u64,
            digests: vec![Algorithm::Sha256.hash(content)],
            chunks: chunks.map(table),
            ..Content::default()
        }),
        carried: None,
    }
}
