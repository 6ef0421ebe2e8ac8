//! Compiles the wire types from `proto/manifest.proto`, without `protoc`, and says
//! what `--version` prints.

mod version;

use std::env;
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-changed=proto/manifest.proto");
    let descriptors = protox::compile(["proto/manifest.proto"], ["proto"])?;
    prost_build::Config::new()
        .bytes(["."])
        .compile_fds(descriptors)?;

    let mut version = env::var("CARGO_PKG_VERSION")?;
    // Who works on it commits often, and would compile all tests anew each time.
    if env::var("PROFILE")? == "release" {
        let directory = env::var("CARGO_MANIFEST_DIR")?;
        if let Some(tree) = version::Tree::at(Path::new(&directory)) {
            for path in tree.watched() {
                println!("cargo:rerun-if-changed={}", path.display());
            }
            if let Some(commit) = tree.commit() {
                version = format!("{version} ({commit})");
            }
        }
    }
    println!("cargo:rustc-env=CONTINUITY_VERSION={version}");
    Ok(())
}
