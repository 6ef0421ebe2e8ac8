//! The replies that are owed to the kernel.
//!
//! A request that was taken and not answered makes its caller unkillable. So its
//! reply does not belong to the thread that works on it, which may be stuck in the
//! source, but to this table: whoever takes it out first answers, be it the thread
//! that is done or the one that looks after deadlines, and nobody else can.
//!
//! `tests/models.rs` tries this file in all orders that its locks can be taken in,
//! so it takes them from `super::sync`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::sync::{Condvar, Mutex};

/// How much of a file must come in a second, on average, for those to go on waiting
/// who need all of it; in bytes.
const PACE: u64 = 1 << 20;

/// Replies `R`, some with an answer `A` that is ready.
pub(super) struct Owed<R, A> {
    state: Mutex<State<R, A>>,
    /// Whoever looks after deadlines sleeps here while nothing is owed.
    called: Condvar,
    patience: Option<Duration>,
}

struct State<R, A> {
    places: Vec<Place<R, A>>,
    free: Vec<usize>,
    /// How many replies there have been.
    count: u64,
    asleep: bool,
    closed: bool,
}

struct Place<R, A> {
    /// Which reply was here last: places are used again.
    number: u64,
    debt: Option<Debt<R, A>>,
}

struct Debt<R, A> {
    reply: R,
    due: Option<Instant>,
    ready: Option<A>,
    needs: Option<Need>,
}

/// Something that has to be done first, and how far it was at some time.
struct Need {
    read: Arc<AtomicU64>,
    seen: u64,
    at: Instant,
}

/// The right to take one reply. Who drops it drops the reply, if it is still
/// there.
pub(super) struct Ticket<R, A> {
    owed: Arc<Owed<R, A>>,
    place: usize,
    number: u64,
    is_taken: bool,
}

/// Whether to go on looking after deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    GoOn,
    End,
}

impl<R, A> Owed<R, A> {
    /// A table of replies that are due after `patience`, or never.
    pub(super) fn new(patience: Option<Duration>) -> Self {
        Self {
            state: Mutex::new(State {
                places: Vec::new(),
                free: Vec::new(),
                count: 0,
                asleep: false,
                closed: false,
            }),
            called: Condvar::new(),
            patience,
        }
    }

    /// Takes a reply in.
    pub(super) fn owe(self: &Arc<Self>, reply: R, now: Instant) -> Ticket<R, A> {
        let debt = Debt {
            reply,
            due: self.patience.and_then(|patience| now.checked_add(patience)),
            ready: None,
            needs: None,
        };
        let mut state = self.state.lock();
        let state = &mut *state;
        state.count += 1;
        let number = state.count;
        let filled = Place {
            number,
            debt: Some(debt),
        };
        let free = state.free.pop();
        let place = match free.and_then(|free| Some((free, state.places.get_mut(free)?))) {
            Some((free, place)) => {
                *place = filled;
                free
            }
            None => {
                state.places.push(filled);
                state.places.len() - 1
            }
        };
        if state.asleep {
            state.asleep = false;
            self.called.notify_one();
        }
        Ticket {
            owed: Arc::clone(self),
            place,
            number,
            is_taken: false,
        }
    }

    /// How many replies are owed.
    pub(super) fn count(&self) -> usize {
        let state = self.state.lock();
        state.places.len() - state.free.len()
    }

    /// Takes those replies out that are due, with their answers if they are ready.
    pub(super) fn take_due(&self, now: Instant) -> Vec<(R, Option<A>)> {
        let mut due = Vec::new();
        let mut state = self.state.lock();
        let state = &mut *state;
        for (number, place) in state.places.iter_mut().enumerate() {
            let is_due = place
                .debt
                .as_mut()
                .is_some_and(|debt| debt.is_due(now, self.patience));
            if let Some(debt) = place.debt.take_if(|_| is_due) {
                state.free.push(number);
                due.push((debt.reply, debt.ready));
            }
        }
        due
    }

    /// Waits for a while; if nothing is owed and nothing else goes on, until there
    /// is something again. Not yet if something came since the last time: waking whoever
    /// sleeps costs the one who takes a request.
    pub(super) fn wait(&self, tick: Duration, is_busy: bool, seen: &mut u64) -> Watch {
        let mut state = self.state.lock();
        let is_quiet = !is_busy
            && state.places.len() == state.free.len()
            && std::mem::replace(seen, state.count) == state.count;
        if is_quiet {
            state.asleep = true;
            while state.asleep && !state.closed {
                self.called.wait(&mut state);
            }
        } else if !state.closed {
            let until = Instant::now() + tick;
            self.called.wait_until(&mut state, until);
        }
        if state.closed {
            Watch::End
        } else {
            Watch::GoOn
        }
    }

    /// Nobody need look after deadlines any more.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.called.notify_all();
    }

    fn take(&self, place: usize, number: u64) -> Option<R> {
        let mut state = self.state.lock();
        let debt = state.debt(place, number)?.take()?;
        state.free.push(place);
        Some(debt.reply)
    }
}

impl<R, A> State<R, A> {
    /// What is left of a debt.
    fn debt(&mut self, place: usize, number: u64) -> Option<&mut Option<Debt<R, A>>> {
        let place = self.places.get_mut(place)?;
        (place.number == number && place.debt.is_some()).then_some(&mut place.debt)
    }
}

impl<R, A> Debt<R, A> {
    fn is_due(&mut self, now: Instant, patience: Option<Duration>) -> bool {
        if let (Some(need), Some(patience)) = (&mut self.needs, patience)
            && need.gets_on(now)
        {
            self.due = now.checked_add(patience);
        }
        self.due.is_some_and(|due| due <= now)
    }
}

impl Need {
    /// Whether so much came since the last time that it did that it is worth
    /// waiting.
    fn gets_on(&mut self, now: Instant) -> bool {
        let read = self.read.load(Ordering::Relaxed);
        let came = read.saturating_sub(self.seen);
        let elapsed = now.saturating_duration_since(self.at);
        let wanted = u128::from(PACE) * elapsed.as_millis() / 1000;
        let gets_on = came > 0 && u128::from(came) >= wanted;
        if gets_on {
            self.seen = read;
            self.at = now;
        }
        gets_on
    }
}

impl<R, A> Ticket<R, A> {
    /// Takes the reply, unless somebody was faster.
    pub(super) fn take(mut self) -> Option<R> {
        self.is_taken = true;
        self.owed.take(self.place, self.number)
    }

    /// Whether the reply is still there.
    pub(super) fn is_owed(&self) -> bool {
        let mut state = self.owed.state.lock();
        state.debt(self.place, self.number).is_some()
    }

    /// Has the reply answered with this at some time, if it is still there then.
    pub(super) fn is_ready(&self, answer: A, at: Instant) {
        let mut state = self.owed.state.lock();
        if let Some(Some(debt)) = state.debt(self.place, self.number) {
            debt.ready = Some(answer);
            debt.due = Some(at);
        }
    }

    /// Puts the deadline off as long as `read` counts on.
    pub(super) fn needs(&self, read: &Arc<AtomicU64>, now: Instant) {
        let mut state = self.owed.state.lock();
        if let Some(Some(debt)) = state.debt(self.place, self.number) {
            debt.needs = Some(Need {
                read: Arc::clone(read),
                seen: read.load(Ordering::Relaxed),
                at: now,
            });
        }
    }

    /// What was needed is there; the deadline counts from now on.
    pub(super) fn begin(&self, now: Instant) {
        let patience = self.owed.patience;
        let mut state = self.owed.state.lock();
        if let Some(Some(debt)) = state.debt(self.place, self.number) {
            debt.needs = None;
            debt.due = patience.and_then(|patience| now.checked_add(patience));
        }
    }
}

impl<R, A> Drop for Ticket<R, A> {
    fn drop(&mut self) {
        if !self.is_taken {
            // Not under the lock.
            drop(self.owed.take(self.place, self.number));
        }
    }
}

impl<R, A> std::fmt::Debug for Owed<R, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Owed")
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}
