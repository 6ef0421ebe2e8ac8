//! `continuity umount`: the end of a mount, and of all that served it.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::escape::Escaped;
use crate::fuse::FILE_SYSTEM;
use crate::sys::holders::{self, Holder};
use crate::sys::mount::{self, Seen};
use crate::sys::process::{self, Process};
use crate::sys::{Errno, fusermount};

use super::{Failure, Outcome, report};

/// How long those that served may take to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many users of a mount are named.
const NAMED_MAX: usize = 10;

/// Unmount what this program has mounted
///
/// Returns when the processes that served it are gone, too, where the kernel tells who
/// they are (as Linux 6.18 does), or else when it is unmounted. A mount of anything
/// else is refused. Who is not root unmounts through fusermount3.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Unmount at once; who is still using it can go on, and this waits for nobody
    #[arg(short, long)]
    lazy: bool,

    /// All that this program has mounted
    #[arg(short, long, conflicts_with = "mountpoints")]
    all: bool,

    /// Where it is mounted
    #[arg(value_name = "MOUNTPOINT", required_unless_present = "all")]
    mountpoints: Vec<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::Success;
    let mut failed = |error: &Failure| {
        report::error("continuity", error.as_ref());
        outcome = Outcome::Trouble;
    };
    if arguments.all {
        // What covers others stands behind them.
        for seen in mount::seen(FILE_SYSTEM)?.iter().rev() {
            if let Err(error) = end(seen, arguments.lazy) {
                failed(&error);
            }
        }
    }
    for path in &arguments.mountpoints {
        if let Err(error) = find(path).and_then(|seen| end(&seen, arguments.lazy)) {
            failed(&error);
        }
    }
    Ok(outcome)
}

/// The mount at a path. What is mounted there is not asked, for it may not answer.
fn find(path: &Path) -> Result<Seen, Failure> {
    let resolved = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => {
            let parent = if parent.as_os_str().is_empty() {
                Path::new(".")
            } else {
                parent
            };
            parent.canonicalize().map(|parent| parent.join(name))
        }
        _ => path.canonicalize(),
    };
    let named = || Escaped(path.as_os_str().as_bytes());
    let resolved = resolved.map_err(|error| format!("{}: {error}", named()))?;
    let mut seen = mount::seen(FILE_SYSTEM)?.into_iter();
    seen.rfind(|seen| seen.path == resolved)
        .ok_or_else(|| format!("{}: nothing of continuity is mounted there", named()).into())
}

fn end(seen: &Seen, lazy: bool) -> Result<(), Failure> {
    let path = Escaped(seen.path.as_os_str().as_bytes());
    if !mount::is_on_top(seen)? {
        return Err(format!("{path}: something else is mounted over it").into());
    }
    // Found while they are there.
    let servers = holders::of_connection(seen.connection())?.certain;
    let servers = servers.iter().filter_map(|Holder { pid, .. }| {
        let process = Process::of(*pid).ok()?;
        Some((*pid, process))
    });
    let servers: Vec<_> = servers.collect();
    let unmounted = match mount::unmount(&seen.path, lazy) {
        Err(error)
            if Errno::from_io_error(&error) == Some(Errno::PERM) && process::user().0 != 0 =>
        {
            fusermount::end(&seen.path, lazy)
        }
        unmounted => unmounted,
    };
    if let Err(error) = unmounted {
        let users = holders::of_path(&seen.path)?.certain;
        return Err(match users.as_slice() {
            [] => format!("{path}: {error}"),
            users => format!(
                "{path}: it is in use by {}; --lazy lets them go on",
                list(users)
            ),
        }
        .into());
    }
    if lazy {
        return Ok(());
    }
    for (pid, process) in servers {
        if !process.ends_within(PATIENCE)? {
            let seconds = PATIENCE.as_secs();
            let left = format!("{path}: process {pid} is still there after {seconds} seconds");
            return Err(left.into());
        }
    }
    Ok(())
}

fn list(users: &[Holder]) -> String {
    let named = users.iter().take(NAMED_MAX);
    let mut words: Vec<_> = named
        .map(|user| format!("{} ({})", user.pid, Escaped(user.name.as_bytes())))
        .collect();
    if let Some(others) = users
        .len()
        .checked_sub(NAMED_MAX)
        .filter(|count| *count > 0)
    {
        words.push(format!("{others} others"));
    }
    words.join(", ")
}
