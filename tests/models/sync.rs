//! The locks of parking_lot, as far as these files use them, made of shuttle's.

use std::ops::{Deref, DerefMut};
use std::time::Instant;

use shuttle::rand::Rng;
pub use shuttle::sync::atomic::{AtomicU64, Ordering};

pub struct Mutex<T>(shuttle::sync::Mutex<T>);
pub struct MutexGuard<'a, T>(
    Option<shuttle::sync::MutexGuard<'a, T>>,
    &'a shuttle::sync::Mutex<T>,
);
pub struct Condvar(shuttle::sync::Condvar);
pub struct WaitTimeoutResult(bool);

impl<T> Mutex<T> {
    pub fn new(value: T) -> Self {
        Self(shuttle::sync::Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        let guard = self.0.lock();
        MutexGuard(
            Some(guard.unwrap_or_else(|poison| poison.into_inner())),
            &self.0,
        )
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> std::fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mutex")
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().unwrap()
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().unwrap()
    }
}

impl Condvar {
    pub fn new() -> Self {
        Self(shuttle::sync::Condvar::new())
    }

    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    pub fn notify_all(&self) {
        self.0.notify_all();
    }

    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let inner = self.0.wait(guard.0.take().unwrap());
        guard.0 = Some(inner.unwrap_or_else(|poison| poison.into_inner()));
    }

    /// Nobody knows what the time is: it is over some time, whatever happened
    /// meanwhile.
    pub fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, _: Instant) -> WaitTimeoutResult {
        drop(guard.0.take());
        loop {
            shuttle::thread::yield_now();
            if shuttle::rand::thread_rng().gen_bool(0.5) {
                break;
            }
        }
        guard.0 = Some(guard.1.lock().unwrap_or_else(|poison| poison.into_inner()));
        WaitTimeoutResult(true)
    }
}

impl std::fmt::Debug for Condvar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Condvar")
    }
}

impl WaitTimeoutResult {
    pub fn timed_out(&self) -> bool {
        self.0
    }
}
