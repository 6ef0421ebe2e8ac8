//! What locks keep, in every order in which threads can come to them: shuttle runs
//! the files themselves, with its own locks instead of the system's.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, and does not use everything"
)]

// The files as they lie in the crate, and the models of each beside it.
#[path = "models/fuse.rs"]
mod fuse;
#[path = "models/verify.rs"]
mod verify;

#[path = "models/sync.rs"]
mod sync;

/// What the files need of the crate.
mod inode {
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct Ino(pub u64);
}

use std::time::Duration;

use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler};
use shuttle::{Config, FailurePersistence, Runner};

/// How many orders are tried of each model where not all of them are.
const ORDERS: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(1);

fn config() -> Config {
    let mut config = Config::new();
    config.failure_persistence = FailurePersistence::Print;
    config
}

/// Tries many orders, by chance and with few switches between threads.
fn try_orders(model: impl Fn() + Send + Sync + Copy + 'static) {
    Runner::new(RandomScheduler::new(ORDERS), config()).run(model);
    Runner::new(PctScheduler::new(3, ORDERS), config()).run(model);
}

/// Tries all orders.
fn try_all_orders(model: impl Fn() + Send + Sync + 'static) {
    let tried = Runner::new(DfsScheduler::new(None, false), config()).run(model);
    assert!(tried > 1, "{tried}");
}

/// In one order: what a file does by itself.
fn by_itself(model: impl Fn() + Send + Sync + 'static) {
    shuttle::check_random(model, 1);
}
