//! The mount(8) helper, installed as `mount.continuity`.

fn main() {}
