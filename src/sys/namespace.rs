//! Mount namespaces (mount_namespaces(7)).

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::mpsc;

use rustix::thread::LinkNameSpaceType;

/// Moves this thread, and those that it starts from now on, into a mount namespace.
/// The root of that one is the working directory then.
///
/// # Errors
/// As unshare(2) and setns(2): `EPERM` without `CAP_SYS_ADMIN`, `EINVAL` when it
/// is something else.
pub fn enter(namespace: &File) -> io::Result<()> {
    // Other threads go on with what they have.
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS)?;
    let kind = Some(LinkNameSpaceType::Mount);
    Ok(rustix::thread::move_into_link_name_space(
        namespace.as_fd(),
        kind,
    )?)
}

type Order = Box<dyn FnOnce() + Send>;

/// A thread that stays as it was started, in its namespace and with its rights, and does
/// there what others want, such as running a program that is not to be found elsewhere.
/// It ends when nobody has this any more.
#[derive(Clone, Debug)]
pub struct Outside(mpsc::Sender<Order>);

impl Outside {
    /// Starts it, under this name.
    ///
    /// # Errors
    /// When there can be no more threads.
    pub fn stay(name: &str) -> io::Result<Self> {
        let (orders, incoming) = mpsc::channel::<Order>();
        let thread = std::thread::Builder::new().name(name.to_owned());
        thread.spawn(move || incoming.into_iter().for_each(|order| order()))?;
        Ok(Self(orders))
    }

    /// Does something there, if there is one, and else here.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_in<T: Send + 'static>(
        outside: Option<&Self>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        match outside {
            Some(outside) => outside.run(work),
            None => Ok(work()),
        }
    }

    /// Does something there.
    ///
    /// # Errors
    /// When the thread is gone, or what was done panicked.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let (tell, told) = mpsc::sync_channel(1);
        let order = Box::new(move || {
            let _ = tell.send(work());
        });
        let gone = || io::Error::other("the thread outside of the namespace is gone");
        self.0.send(order).map_err(|_| gone())?;
        told.recv().map_err(|_| gone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::path::PathBuf;

    fn here() -> PathBuf {
        std::fs::read_link("/proc/thread-self/ns/mnt").unwrap()
    }

    /// Needs root, as all tests that mount do.
    #[test]
    fn one_goes_and_one_stays() {
        let at_first = here();
        std::thread::spawn(move || {
            let outside = Outside::stay("outside").unwrap();
            // A namespace of another thread's, which waits until it is not wanted.
            let (_wanted, unwanted) = mpsc::channel::<()>();
            let (tell, told) = mpsc::channel();
            std::thread::spawn(move || {
                nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
                tell.send(File::open("/proc/thread-self/ns/mnt").unwrap())
                    .unwrap();
                let _ = unwanted.recv();
            });
            enter(&told.recv().unwrap()).unwrap();
            assert_ne!(here(), at_first);
            assert_eq!(std::thread::spawn(here).join().unwrap(), here());
            assert_eq!(outside.run(here).unwrap(), at_first);
            let file = File::open("/dev/null").unwrap();
            assert!(enter(&file).is_err());
        })
        .join()
        .unwrap();
    }
}
