//! Requests that the kernel waits for and of which the worker knows nothing: their
//! replies were lost, for writing one can fail, and fuser tries no second time. Who
//! made such a request would wait for ever.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::fuse::{Connection, Mounted};
use crate::sys::mount::FuseControl;

use super::control::Control;
use super::socket::StatusSocket;
use super::worker;

/// How often it is looked while something is missing, and at first.
const INTERVAL: Duration = Duration::from_millis(500);
/// How often it is looked where nothing was missing for long.
const INTERVAL_MAX: Duration = Duration::from_secs(4);
/// How often in turn something has to be missing before it is lost: five seconds.
const LOOKS: u32 = 10;
/// How long the worker may take to tell.
const PATIENCE: Duration = Duration::from_secs(1);
/// Longest answer, in bytes: two numbers.
const ANSWER_MAX: u64 = 64;

/// What the worker says of its requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    taken: u64,
    in_flight: u64,
}

/// Whether something has been missing for long.
#[derive(Debug, Default)]
struct Suspicion {
    last: Told,
    looks: u32,
    /// What is waited for may just wait for what is under way, such as for a silent
    /// backing; where everybody would lose the mount, it is not lost before nothing is.
    is_careful: bool,
}

impl Suspicion {
    /// How many requests are lost, if so many are waited for and the worker tells this.
    fn look(&mut self, waiting: u64, told: Told) -> Option<u64> {
        // While the worker takes requests, others may just wait for their turn.
        let is_stuck = told.taken == self.last.taken && !self.is_careful;
        let is_idle = told.in_flight == 0 || is_stuck;
        self.last = told;
        let missing = waiting.saturating_sub(told.in_flight);
        if missing == 0 || !is_idle {
            self.looks = 0;
            return None;
        }
        self.looks += 1;
        if self.looks < LOOKS {
            return None;
        }
        self.looks = 0;
        Some(missing)
    }

    /// How long it is waited for the next look.
    fn pause(&self, last: Duration) -> Duration {
        if self.looks > 0 {
            return INTERVAL;
        }
        last.saturating_mul(2).min(INTERVAL_MAX)
    }
}

/// How many requests were lost so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Lost(Arc<AtomicU64>);

impl Lost {
    pub(super) fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// The total with these.
    fn add(&self, lost: u64) -> u64 {
        let before = self.0.fetch_add(lost, Ordering::Relaxed);
        before.saturating_add(lost)
    }
}

/// Looks after the requests of a mount, on a thread of its own, until that is gone. What
/// is lost comes again, or the worker is replaced where it cannot (`anew`). Only where the
/// kernel tells us, and the worker can be asked.
pub(super) fn watch(
    mounted: &Mounted,
    status: Option<&StatusSocket>,
    lost: &Lost,
    anew: Option<Control>,
) -> io::Result<()> {
    let (Some(status), Some(control)) = (status, mounted.control()) else {
        return Ok(());
    };
    let watch = Watch {
        control,
        connection: Connection::from(worker::copy(mounted.connection())?),
        status: status.path(),
        lost: lost.clone(),
        anew,
    };
    let thread = std::thread::Builder::new().name("lost".to_owned());
    thread.spawn(move || watch.run()).map(drop)
}

struct Watch {
    control: Arc<FuseControl>,
    connection: Connection,
    status: PathBuf,
    lost: Lost,
    anew: Option<Control>,
}

impl Watch {
    fn run(&self) {
        let mut suspicion = Suspicion {
            is_careful: self.anew.is_some(),
            ..Suspicion::default()
        };
        let mut pause = INTERVAL;
        while self.connection.is_alive().unwrap_or(false) {
            std::thread::sleep(pause);
            let found = self.look(&mut suspicion);
            pause = suspicion.pause(pause);
            // A worker that does not answer is about to be replaced.
            let Ok(Some(lost)) = found else { continue };
            let total = self.lost.add(lost);
            if let Some(control) = &self.anew {
                log::error!(
                    "event=lost requests={lost} total={total} they were taken and not answered; everything is mounted anew"
                );
                let _ = control.replace();
                return;
            }
            log::error!(
                "event=lost requests={lost} total={total} they were taken and not answered, and come again"
            );
            if let Err(error) = self.connection.resend() {
                log::error!("event=lost_for_good error={:?}", error.to_string());
            }
            // For the status. If it is about to be replaced, the next one is told.
            let _ = self.ask();
        }
    }

    fn look(&self, suspicion: &mut Suspicion) -> io::Result<Option<u64>> {
        let waiting = self.control.waiting()?;
        if waiting == 0 {
            suspicion.looks = 0;
            return Ok(None);
        }
        Ok(suspicion.look(waiting, self.ask()?))
    }

    fn ask(&self) -> io::Result<Told> {
        let mut stream = UnixStream::connect(&self.status)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(format!("requests {}", self.lost.total()).as_bytes())?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        stream.take(ANSWER_MAX).read_to_string(&mut answer)?;
        parse(&answer).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

fn parse(answer: &str) -> Option<Told> {
    let (taken, in_flight) = answer.trim_end().split_once(' ')?;
    Some(Told {
        taken: taken.parse().ok()?,
        in_flight: in_flight.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(taken: u64, in_flight: u64) -> Told {
        Told { taken, in_flight }
    }

    fn looks(times: u32, waiting: u64, told: impl Fn(u64) -> Told) -> Vec<u64> {
        let mut suspicion = Suspicion::default();
        let times = 1..=u64::from(times);
        times
            .filter_map(|time| suspicion.look(waiting, told(time)))
            .collect()
    }

    #[test]
    fn what_is_missing_for_long_is_lost() {
        // Nobody asks for anything else.
        assert_eq!(looks(2 * LOOKS, 1, |_| told(7, 0)), [1, 1]);
        // Others are answered meanwhile.
        assert_eq!(looks(LOOKS, 2, |time| told(7 + time, 0)), [2]);
        // Another one is stuck, and known; the first look sees that it was taken.
        assert_eq!(looks(LOOKS + 1, 3, |_| told(7, 1)), [2]);
    }

    #[test]
    fn what_waits_for_its_turn_is_not() {
        let all = looks(100, 70, |time| told(1000 * time, 6));
        assert!(all.is_empty());
        assert!(looks(100, 64, |_| told(64, 64)).is_empty());
        assert!(looks(100, 63, |_| told(64, 64)).is_empty());
        let mut suspicion = Suspicion::default();
        for _ in 0..100 {
            for _ in 1..LOOKS {
                assert_eq!(suspicion.look(1, told(7, 0)), None);
            }
            assert_eq!(suspicion.look(1, told(8, 1)), None);
        }
    }

    #[test]
    fn who_is_careful_waits_until_nothing_is_under_way() {
        let mut suspicion = Suspicion {
            is_careful: true,
            ..Suspicion::default()
        };
        for _ in 0..3 * LOOKS {
            assert_eq!(suspicion.look(5000, told(4096, 4096)), None);
        }
        for _ in 1..LOOKS {
            assert_eq!(suspicion.look(1, told(5000, 0)), None);
        }
        assert_eq!(suspicion.look(1, told(5000, 0)), Some(1));
    }

    #[test]
    fn it_is_looked_seldom_while_nothing_is_missing() {
        let mut suspicion = Suspicion::default();
        let mut pauses = Vec::new();
        let mut pause = INTERVAL;
        for time in 0..6 {
            suspicion.look(7, told(1000 * time, 7));
            pause = suspicion.pause(pause);
            pauses.push(pause.as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 4, 4, 4]);
        for _ in 1..LOOKS {
            assert_eq!(suspicion.look(7, told(5000, 6)), None);
            assert_eq!(suspicion.pause(pause), INTERVAL);
        }
        assert_eq!(suspicion.look(7, told(5000, 6)), Some(1));
    }

    #[test]
    fn all_that_was_lost_is_counted() {
        let lost = Lost::default();
        assert_eq!((lost.clone().add(2), lost.add(3)), (2, 5));
        assert_eq!(lost.total(), 5);
    }

    #[test]
    fn two_numbers_are_told() {
        assert_eq!(parse("17 3\n"), Some(told(17, 3)));
        for wrong in ["", "1", "1 ", "a b", "-1 2", "1 2 3"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
