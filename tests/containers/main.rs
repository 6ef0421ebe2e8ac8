//! The container runtimes that people use, each for real, on a Debian that is
//! mounted. docs/containers.md has the commands.
//!
//! What they need and do not have fails the tests; nothing is skipped. What a
//! sandbox of a machine cannot give, such as a network, they are told to leave out.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod bubblewrap;
mod bundle;
mod checked;
mod containerd;
mod debian;
#[path = "../idmap/mod.rs"]
mod idmap;
mod inside;
mod layers;
#[path = "../mounted/mod.rs"]
mod mounted;
mod podman;
mod rootless;
mod runc_and_crun;
mod scene;
#[path = "../snapshot/mod.rs"]
mod snapshot;
#[path = "../stacked/mod.rs"]
mod stacked;
mod tampered;
#[path = "../tree/mod.rs"]
mod tree;
mod user_namespace;
mod worker;
