//! Files of `src/fuse`.

#[path = "../../src/fuse/handoff.rs"]
mod handoff;
#[path = "../../src/fuse/known.rs"]
mod known;
#[path = "../../src/fuse/owed.rs"]
mod owed;
#[path = "pool.rs"]
mod pool;
#[path = "../../src/fuse/push_queue.rs"]
mod push_queue;
#[path = "../../src/fuse/pushes.rs"]
mod pushes;
#[path = "../../src/fuse/seats.rs"]
mod seats;

#[path = "handoff.rs"]
mod handoff_models;
#[path = "known.rs"]
mod known_models;
#[path = "owed.rs"]
mod owed_models;
#[path = "pushes.rs"]
mod pushes_models;

use super::sync;
