//! One piece of work for all who want its result at the same time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

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
    pub(super) fn run(&self, key: K, work: impl Fn() -> V) -> V {
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
                return value;
            }
            if let Some(value) = flight.wait() {
                return value;
            }
        }
    }
}

impl<V: Clone> Flight<V> {
    fn wait(&self) -> Option<V> {
        let mut state = self.state.lock();
        loop {
            match &*state {
                State::Running => self.landed.wait(&mut state),
                State::Done(value) => return Some(value.clone()),
                State::Lost => return None,
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn all_who_wait_share_one_run() {
        let flights = Flights::default();
        let runs = AtomicUsize::new(0);
        let ready = Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    ready.wait();
                    let value = flights.run(1, || {
                        runs.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(std::time::Duration::from_millis(200));
                        7
                    });
                    assert_eq!(value, 7);
                });
            }
        });
        assert_eq!(runs.into_inner(), 1);
        assert_eq!(flights.run(1, || 8), 8);
    }

    #[test]
    fn a_panic_frees_those_who_wait() {
        let flights: Flights<u8, u8> = Flights::default();
        let ready = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let run = std::panic::AssertUnwindSafe(|| {
                    flights.run(1, || {
                        ready.wait();
                        std::thread::sleep(std::time::Duration::from_millis(100));
                        panic!("as planned");
                    })
                });
                assert!(std::panic::catch_unwind(run).is_err());
            });
            ready.wait();
            assert_eq!(flights.run(1, || 9), 9);
        });
    }
}
