//! What outlives all of our processes, if somebody keeps it who starts them again
//! (systemd's descriptor store: `FDSTORE=1` in sd_notify(3)): the connection, for the
//! mount lives as long as anybody holds it open, and what has to be known to go on with
//! it. Readers who were waiting for an answer get it from whoever comes next.

use std::cell::Cell;
use std::ffi::OsString;
use std::fmt::{self, Debug, Formatter};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use thiserror::Error;

use crate::digest::Digest;
use crate::fuse::{Connection, MountOptions, Mounted};
use crate::sys::descriptor;
use crate::sys::mount::MountIdentity;
use crate::sys::namespace::Outside;

use super::served::Tools;
use super::view::View;

/// The names of what is kept.
pub const KEPT_NAMES: [&str; 5] = [CONNECTION, STATE, MANIFEST, NUMBERS, COPIES];

const CONNECTION: &str = "continuity-connection";
const STATE: &str = "continuity-state";
const MANIFEST: &str = "continuity-manifest";
const NUMBERS: &str = "continuity-numbers";
const COPIES: &str = "continuity-copies";

/// The first field of a state; another program may have written it.
const FORM: &[u8] = b"continuity 2";
/// Longest state, in bytes: a command line is part of it.
const STATE_MAX: u64 = 4 << 20;

/// Who keeps descriptors when nothing of this program is left.
pub trait Keeper {
    /// Keeps these, under their names.
    fn keep(&self, kept: &[(&'static str, BorrowedFd<'_>)]);
    /// Keeps nothing any more.
    fn forget(&self);
}

/// A mount whose processes are gone.
#[derive(Debug)]
pub struct Kept {
    connection: Connection,
    manifest: File,
    numbers: Option<File>,
    copies: Option<File>,
    state: State,
}

/// A mount that goes on.
pub(super) struct Resumed {
    pub(super) mounted: Mounted,
    /// What it shows.
    pub(super) view: View,
    /// The first message of the kernel.
    pub(super) init: Vec<u8>,
    /// What the kernel has of private copies.
    pub(super) copies: Option<File>,
}

/// Why what was kept is of no use.
#[derive(Debug, Error)]
pub enum KeptError {
    /// Something is missing, or is something else.
    #[error("what was kept of the mount is not whole: {0}")]
    Missing(&'static str),
    /// It cannot be read.
    #[error("what was kept of the mount: {0}")]
    Unreadable(#[from] io::Error),
    /// It is of another program, or damaged.
    #[error("what was kept of the mount is not understood")]
    NotUnderstood,
}

/// What has to be known of a mount to go on with it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    mount: MountIdentity,
    path: PathBuf,
    /// What the manifest has to be.
    digest: Digest,
    /// The first message of the kernel.
    init: Vec<u8>,
    /// What was asked for, in any form.
    request: Vec<u8>,
    /// Whether the numbers of the inodes do not follow from the manifest.
    is_numbered: bool,
    /// Whether there may be private copies.
    has_copies: bool,
}

impl State {
    /// Fields with a NUL between them, which none has in it but the last.
    fn to_bytes(&self) -> Vec<u8> {
        let numbers = self.mount.to_numbers().map(|number| number.to_string());
        let init: String = self.init.iter().map(|byte| format!("{byte:02x}")).collect();
        let digest = self.digest.to_string();
        let fields = [
            FORM,
            &numbers.join(" ").into_bytes(),
            self.path.as_os_str().as_bytes(),
            digest.as_bytes(),
            init.as_bytes(),
            if self.is_numbered { b"numbers" } else { b"" },
            if self.has_copies { b"copies" } else { b"" },
            &self.request,
        ];
        fields.join(&0)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut fields = bytes.splitn(8, |byte| *byte == 0);
        if fields.next()? != FORM {
            return None;
        }
        let text = |field: &[u8]| Some(std::str::from_utf8(field).ok()?.to_owned());
        let numbers = text(fields.next()?)?;
        let numbers: Result<Vec<u64>, _> = numbers.split(' ').map(str::parse).collect();
        let mount = MountIdentity::from_numbers(numbers.ok()?.try_into().ok()?)?;
        let path = PathBuf::from(OsString::from_vec(fields.next()?.to_vec()));
        let digest = Digest::parse(&text(fields.next()?)?).ok()?;
        let init = bytes_of(&text(fields.next()?)?)?;
        let mut is_there = |name: &[u8]| match fields.next()? {
            b"" => Some(false),
            found => (found == name).then_some(true),
        };
        let is_numbered = is_there(b"numbers")?;
        let has_copies = is_there(b"copies")?;
        Some(Self {
            mount,
            path,
            digest,
            init,
            request: fields.next()?.to_vec(),
            is_numbered,
            has_copies,
        })
    }

    /// In a file that nobody can change.
    fn to_file(&self) -> io::Result<File> {
        let mut file = descriptor::memory("state")?;
        file.write_all(&self.to_bytes())?;
        descriptor::seal(&file)?;
        Ok(file)
    }

    fn read(mut file: File) -> Result<Self, KeptError> {
        let mut bytes = Vec::new();
        file.rewind()?;
        file.take(STATE_MAX).read_to_end(&mut bytes)?;
        Self::parse(&bytes).ok_or(KeptError::NotUnderstood)
    }
}

fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok();
    pairs.iter().map(byte).collect()
}

impl Kept {
    /// Looks at what was kept, by names.
    ///
    /// # Errors
    /// See [`KeptError`].
    pub fn open(found: Vec<(String, OwnedFd)>) -> Result<Self, KeptError> {
        let mut found = found;
        let mut take = |wanted: &'static str| {
            let place = found.iter().position(|(name, _)| name == wanted);
            place.map(|place| found.swap_remove(place).1)
        };
        let connection = take(CONNECTION).ok_or(KeptError::Missing(CONNECTION))?;
        if !descriptor::is_fuse_device(&connection)? {
            return Err(KeptError::Missing(CONNECTION));
        }
        let manifest = take(MANIFEST).ok_or(KeptError::Missing(MANIFEST))?;
        let state = take(STATE).ok_or(KeptError::Missing(STATE))?;
        let state = State::read(File::from(state))?;
        let numbers = take(NUMBERS);
        if numbers.is_some() != state.is_numbered {
            return Err(KeptError::Missing(NUMBERS));
        }
        let copies = take(COPIES);
        if copies.is_some() != state.has_copies {
            return Err(KeptError::Missing(COPIES));
        }
        Ok(Self {
            connection: Connection::from(connection),
            manifest: File::from(manifest),
            numbers: numbers.map(File::from),
            copies: copies.map(File::from),
            state,
        })
    }

    /// Whether the same was asked for.
    #[must_use]
    pub fn is_for(&self, request: &[u8]) -> bool {
        self.state.request == request
    }

    /// Takes the mount away; whoever waits for an answer gets an error.
    ///
    /// # Errors
    /// As umount(2).
    pub fn end(self, mounter: Option<&Outside>) -> io::Result<()> {
        let Resumed { mounted, .. } = self.resume(MountOptions::default(), mounter)?;
        let detached = mounted.detach();
        mounted.abort();
        detached.map(drop)
    }

    /// The mount, and all that belongs to it.
    pub(super) fn resume(
        self,
        options: MountOptions,
        mounter: Option<&Outside>,
    ) -> io::Result<Resumed> {
        let State {
            mount,
            path,
            digest,
            init,
            ..
        } = self.state;
        let mounted = Mounted::resume(self.connection, mount, path, options, mounter)?;
        let view = View::resumed(self.manifest, digest, self.numbers);
        Ok(Resumed {
            mounted,
            view,
            init,
            copies: self.copies,
        })
    }
}

/// Keeps a mount for as long as this is not dropped; if this process is killed, longer.
pub struct Keeping {
    keeper: Box<dyn Keeper>,
    request: Vec<u8>,
    is_kept: Cell<bool>,
}

impl Debug for Keeping {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Keeping").finish_non_exhaustive()
    }
}

impl Keeping {
    /// `request` is what was asked for; who asks for something else later does not get
    /// this mount. `is_kept` tells whether something is kept already, of which that is to
    /// take the place.
    #[must_use]
    pub fn new(keeper: Box<dyn Keeper>, request: Vec<u8>, is_kept: bool) -> Self {
        Self {
            keeper,
            request,
            is_kept: Cell::new(is_kept),
        }
    }

    /// Has the mount kept that shows this.
    pub(super) fn keep(&self, mounted: &Mounted, view: &View, tools: &Tools) -> io::Result<()> {
        let numbers = view.kept_numbers();
        let state = State {
            mount: mounted.identity(),
            path: mounted.path().to_owned(),
            digest: view.digest().ok_or(io::ErrorKind::NotFound)?,
            init: tools.init.clone(),
            request: self.request.clone(),
            is_numbered: numbers.is_some(),
            has_copies: tools.copies.is_some(),
        };
        let state = state.to_file()?;
        let mut kept = vec![
            (CONNECTION, mounted.connection().as_fd()),
            (STATE, state.as_fd()),
            (MANIFEST, view.manifest().as_fd()),
        ];
        kept.extend(numbers.map(|numbers| (NUMBERS, numbers.as_fd())));
        let copies = tools.copies.as_ref();
        kept.extend(copies.map(|copies| (COPIES, copies.as_fd())));
        self.forget();
        self.keeper.keep(&kept);
        self.is_kept.set(true);
        Ok(())
    }

    /// Has nothing kept any more.
    pub(super) fn forget(&self) {
        if self.is_kept.replace(false) {
            self.keeper.forget();
        }
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::Arc;

    use parking_lot::Mutex;

    use crate::digest::Algorithm;

    fn state() -> State {
        State {
            mount: MountIdentity::from_numbers([4_294_967_400, 0, 57]).unwrap(),
            path: "/mnt/ with\nanything".into(),
            digest: Algorithm::Sha256.hash(b"manifest"),
            init: (0..=255).collect(),
            request: b"mount\0-o\0\0backing".to_vec(),
            is_numbered: true,
            has_copies: true,
        }
    }

    #[test]
    fn a_state_is_read_as_it_was_written() {
        for (is_numbered, has_copies) in [(true, false), (false, true), (true, true)] {
            let state = State {
                is_numbered,
                has_copies,
                ..state()
            };
            let mut file = state.to_file().unwrap();
            assert_eq!(State::read(file.try_clone().unwrap()).unwrap(), state);
            file.rewind().unwrap();
            assert!(file.write_all(b"x").is_err());
        }
    }

    #[test]
    fn what_is_no_state_is_refused() {
        let whole = state().to_bytes();
        // No part of it but those in which the request is cut off.
        let end = whole.len() - state().request.len();
        for length in 0..end {
            assert!(State::parse(whole.get(..length).unwrap()).is_none());
        }
        for place in 0..end {
            let mut other = whole.clone();
            other[place] = 0xff;
            let parsed = State::parse(&other);
            // A name can be anything.
            assert!(parsed.is_none_or(|parsed| parsed.path != state().path));
        }
        for [from, to] in [
            ["4294967400 0 57", "1 2"],
            ["0 57", "0 4294967296"],
            ["000102", "0+102"],
        ] {
            let text = String::from_utf8(whole.clone())
                .unwrap()
                .replacen(from, to, 1);
            assert!(State::parse(text.as_bytes()).is_none(), "{from}");
        }
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let named = |name: &str| (name.to_owned(), File::open("/dev/null").unwrap().into());
        let fuse = || {
            let device = File::open("/dev/fuse").unwrap();
            (CONNECTION.to_owned(), OwnedFd::from(device))
        };
        let kept_state = || (STATE.to_owned(), state().to_file().unwrap().into());
        let missing = [
            (vec![], CONNECTION),
            (vec![named(CONNECTION)], CONNECTION),
            (vec![named("else"), fuse()], MANIFEST),
            (vec![fuse(), named(MANIFEST)], STATE),
            (vec![fuse(), named(MANIFEST), kept_state()], NUMBERS),
            (
                vec![fuse(), named(MANIFEST), kept_state(), named(NUMBERS)],
                COPIES,
            ),
        ];
        for (found, wanted) in missing {
            match Kept::open(found) {
                Err(KeptError::Missing(name)) => assert_eq!(name, wanted),
                other => panic!("{other:?}"),
            }
        }
        let all = || vec![fuse(), named(MANIFEST), named(NUMBERS), named(COPIES)];
        let mut damaged = all();
        damaged.push((STATE.to_owned(), tempfile::tempfile().unwrap().into()));
        assert!(matches!(Kept::open(damaged), Err(KeptError::NotUnderstood)));
        let mut whole = all();
        whole.push(kept_state());
        let kept = Kept::open(whole).unwrap();
        assert!(kept.is_for(&state().request));
        assert!(!kept.is_for(b"mount"));
        // Nothing like that is mounted.
        kept.end(None).unwrap_err();
    }

    #[test]
    fn what_is_kept_is_forgotten_once() {
        #[derive(Clone, Default)]
        struct Counts(Arc<Mutex<u32>>);
        impl Keeper for Counts {
            fn keep(&self, _: &[(&'static str, BorrowedFd<'_>)]) {}
            fn forget(&self) {
                *self.0.lock() += 1;
            }
        }
        let counts = Counts::default();
        let keeping = |is_kept| Keeping::new(Box::new(counts.clone()), Vec::new(), is_kept);
        drop(keeping(false));
        assert_eq!(*counts.0.lock(), 0);
        drop(keeping(true));
        assert_eq!(*counts.0.lock(), 1);
        let kept = keeping(true);
        kept.forget();
        kept.forget();
        drop(kept);
        assert_eq!(*counts.0.lock(), 2);
    }
}
