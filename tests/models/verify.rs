//! Files of `src/verify`.

#[path = "../../src/verify/cache.rs"]
mod cache;
#[path = "../../src/verify/flight.rs"]
mod flight;
#[path = "../../src/verify/shared.rs"]
mod shared;

#[path = "cache.rs"]
mod cache_models;
#[path = "flight.rs"]
mod flight_models;
#[path = "shared.rs"]
mod shared_models;

use super::sync;
