//! Continuity manifests: build them, check trees against them, and serve them
//! as a read-only filesystem that never hands out a byte which was not hashed
//! and matched.
//!
//! The modules stand in layers, and one names only those before it in this
//! list (`tests/layers.rs` holds it so):
//!
//! | layer | modules |
//! |---|---|
//! | 0 | [`sys`]: the only system calls |
//! | 1 | [`escape`], [`progress`], [`sandbox`], then `acl`, [`attributes`], [`digest`], [`path`], [`mode`]: plain values |
//! | 2 | [`manifest`]: bytes to values and back; [`trust`]: who vouches for the bytes |
//! | 3 | [`tar`]: archives to members and back; then [`source`]: where content comes from; not trusted; [`tree`]: what real files are, in a manifest's words |
//! | 4 | [`verify`]: the trust boundary; content leaves it only when it matched |
//! | 5 | [`inode`]: the immutable inode table |
//! | 6 | [`fs`]: the filesystem, one method for each operation |
//! | 7 | [`apply`], [`audit`], [`fuse`], [`build`], [`cat`], [`list`], [`rootfs`], then [`check`], [`archive`] |
//! | 8 | [`supervisor`]: the process that mounts, and the one that serves |
//! | 9 | [`cli`] |

mod acl;
pub mod apply;
pub mod archive;
pub mod attributes;
pub mod audit;
pub mod build;
pub mod cat;
pub mod check;
pub mod cli;
pub mod digest;
pub mod escape;
pub mod fs;
pub mod fuse;
pub mod inode;
pub mod list;
pub mod manifest;
pub mod mode;
pub mod path;
pub mod progress;
pub mod rootfs;
pub mod sandbox;
pub mod source;
pub mod supervisor;
pub mod sys;
pub mod tar;
pub mod tree;
pub mod trust;
pub mod verify;
