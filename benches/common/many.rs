//! Manifests of many files that do not exist.

use continuity::digest::Algorithm;
use continuity::manifest::{Content, Form, Kind, Manifest, Metadata, Resource, Timestamp};
use continuity::mode::FileMode;
use continuity::path::ManifestPath;

/// Files as in a tree of packages: some forty in a directory, four levels deep,
/// names of a usual length, each with a digest of its own and a time.
pub fn manifest(files: u64) -> Vec<u8> {
    const WORDS: [&str; 8] = [
        "config",
        "handler",
        "README",
        "index",
        "test_parser",
        "__init__",
        "util",
        "types",
    ];
    const ENDINGS: [&str; 5] = ["py", "js", "h", "json", "txt"];
    let metadata = |mode, number: u64| {
        let mut metadata = Metadata::new(FileMode::from_stat(mode).unwrap());
        metadata.mtime = Timestamp::new(
            1_700_000_000 + (number % 10_000_000) as i64,
            (number * 7919 % 1_000_000_000) as u32,
        );
        metadata
    };
    let directory = |path: &str| Resource {
        paths: vec![ManifestPath::parse(path.as_bytes()).unwrap()],
        metadata: metadata(0o040_755, 0),
        kind: Kind::Directory,
        carried: None,
    };
    let mut resources = vec![directory("/usr"), directory("/usr/lib")];
    let mut place = String::new();
    for number in 0..files {
        if number % 1600 == 0 {
            resources.push(directory(&format!("/usr/lib/package-{:06}", number / 1600)));
        }
        if number % 40 == 0 {
            let (package, part) = (number / 1600, number / 40 % 40);
            place = format!("/usr/lib/package-{package:06}/part-{part:02}");
            resources.push(directory(&place));
        }
        let word = WORDS[(number % 8) as usize];
        let ending = ENDINGS[(number % 5) as usize];
        let path = format!("{place}/{word}_{:05}.{ending}", number % 100_000);
        let size = number * 7919 % 100_000;
        resources.push(Resource {
            paths: vec![ManifestPath::parse(path.as_bytes()).unwrap()],
            metadata: metadata(0o100_644, number),
            kind: Kind::Regular(Content {
                size,
                digests: vec![Algorithm::Sha256.hash(&number.to_le_bytes())],
                ..Content::default()
            }),
            carried: None,
        });
    }
    let manifest = Manifest {
        resources,
        ..Manifest::default()
    };
    manifest.encode(Form::Full).unwrap()
}
