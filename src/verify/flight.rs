//! One piece of work for all who want its result at the same time.
//!
//! `tests/models.rs` tries this file in all orders that its locks can be taken in,
//! so it takes them from `super::sync`.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::sync::{Condvar, Mutex};

/// Runs work once for each key at a time. Whoever comes while it runs waits for
/// its result; whoever comes after it starts anew, for nothing is remembered.
#[derive(Debug)]
pub(super) struct Flights<K, V>(Mutex<HashMap<K, Arc<Flight<V>>>>);

#[derive(Debug)]
struct Flight<V> {
    state: Mutex<State<V>>,
    landed: Condvar,
}

#[derive(Debug)]
enum State<V> {
    Running,
    Done(V),
    /// The one who ran it panicked.
    Lost,
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<K: Copy + Eq + Hash, V: Clone> Flights<K, V> {
    /// The result of `work`, from this caller or from the one who is at it.
    ///
    /// Nothing, if the other one is not done within `patience`: it may be stuck for
    /// ever. Who is at it is never stopped.
    pub(super) fn run(
        &self,
        key: K,
        patience: Option<Duration>,
        work: impl Fn() -> V,
    ) -> Option<V> {
        loop {
            let mut joined = None;
            let flight = Arc::clone(self.0.lock().entry(key).or_insert_with(|| {
                let flight = Arc::new(Flight {
                    state: Mutex::new(State::Running),
                    landed: Condvar::new(),
                });
                joined = Some(Arc::clone(&flight));
                flight
            }));
            if let Some(flight) = joined {
                let landing = Landing {
                    flights: self,
                    key,
                    flight: &flight,
                };
                let value = work();
                landing.land(State::Done(value.clone()));
                return Some(value);
            }
            match flight.wait(patience) {
                Waited::For(value) => return Some(value),
                Waited::InVain => {}
                Waited::TooLong => return None,
            }
        }
    }
}

/// What came of waiting for somebody else's work.
enum Waited<V> {
    For(V),
    /// It panicked.
    InVain,
    TooLong,
}

impl<V: Clone> Flight<V> {
    fn wait(&self, patience: Option<Duration>) -> Waited<V> {
        let until = patience.and_then(|patience| Instant::now().checked_add(patience));
        let mut state = self.state.lock();
        let mut late = false;
        loop {
            match &*state {
                State::Done(value) => return Waited::For(value.clone()),
                State::Lost => return Waited::InVain,
                State::Running if late => return Waited::TooLong,
                State::Running => {}
            }
            match until {
                Some(until) => late = self.landed.wait_until(&mut state, until).timed_out(),
                None => self.landed.wait(&mut state),
            }
        }
    }
}

/// Ends a flight, also when its work panics.
struct Landing<'a, K: Copy + Eq + Hash, V> {
    flights: &'a Flights<K, V>,
    key: K,
    flight: &'a Flight<V>,
}

impl<K: Copy + Eq + Hash, V> Landing<'_, K, V> {
    fn land(&self, state: State<V>) {
        self.flights.0.lock().remove(&self.key);
        *self.flight.state.lock() = state;
        self.flight.landed.notify_all();
    }
}

impl<K: Copy + Eq + Hash, V> Drop for Landing<'_, K, V> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.land(State::Lost);
        }
    }
}
