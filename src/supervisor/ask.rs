//! Where a mount is asked to read its manifest anew: a socket beside that of the
//! status. Only root is heard, and one word.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::digest::Digest;
use crate::sys::peer;

use super::socket::{self, Name};

/// The word.
const RELOAD: &[u8] = b"reload";
/// What stands before the digest of the manifest that is served now, and before why
/// it is not.
const DONE: &str = "reloaded ";
const REFUSED: &str = "refused ";
/// How long it is waited for whoever asks.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the answer may take: that of a manifest of ten million files takes
/// seconds.
const ANSWER: Duration = Duration::from_secs(120);
/// Longest answer, in bytes.
const ANSWER_MAX: u64 = 8192;

/// Where the manifest came from, so that it can be read anew.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Its path, from the root on.
    pub manifest: PathBuf,
}

impl Origin {
    fn open(&self) -> io::Result<File> {
        let file = File::open(&self.manifest)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        Ok(file)
    }
}

/// The path of the socket of a filesystem.
fn control_path(directory: &Path, device_number: u64) -> PathBuf {
    directory.join(format!("{device_number:x}.control"))
}

/// A socket that is gone when this is dropped.
#[derive(Debug)]
pub(super) struct ControlSocket {
    _name: Name,
    asks: Receiver<Ask>,
}

/// Somebody who waits for an answer.
#[derive(Debug)]
pub(super) struct Ask {
    stream: UnixStream,
    /// The manifest, opened anew.
    pub(super) manifest: File,
}

impl ControlSocket {
    /// Makes it, in a directory that is closed to others.
    pub(super) fn bind(directory: &Path, device_number: u64, origin: Origin) -> io::Result<Self> {
        let path = control_path(directory, device_number);
        let (listener, name) = socket::listen(&path)?;
        let (say, asks) = channel();
        let thread = std::thread::Builder::new().name("control".to_owned());
        thread.spawn(move || listen(&listener, &origin, &say))?;
        Ok(Self { _name: name, asks })
    }

    /// Who is next, if anybody waits.
    pub(super) fn next(&self) -> Option<Ask> {
        self.asks.try_recv().ok()
    }
}

fn listen(listener: &UnixListener, origin: &Origin, say: &Sender<Ask>) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            // Out of descriptors, perhaps; not for long.
            std::thread::sleep(PATIENCE);
            continue;
        };
        match hear(&stream) {
            Ok(()) => {}
            Err(error) => {
                log::debug!("whoever asked for something: {error}");
                continue;
            }
        }
        let asked = match origin.open() {
            Ok(manifest) => say.send(Ask { stream, manifest }).is_ok(),
            Err(error) => {
                answer(
                    &stream,
                    REFUSED,
                    &format!("cannot open the manifest: {error}"),
                );
                true
            }
        };
        if !asked {
            return;
        }
    }
}

fn hear(mut stream: &UnixStream) -> io::Result<()> {
    if peer::user(stream)? != 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut word = [0; RELOAD.len()];
    stream.read_exact(&mut word)?;
    if word != RELOAD {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(())
}

/// Whoever asked may be gone.
fn answer(mut stream: &UnixStream, word: &str, text: &str) {
    let _ = stream.write_all(format!("{word}{text}").as_bytes());
}

impl Ask {
    pub(super) fn done(&self, digest: Digest) {
        answer(&self.stream, DONE, &digest.to_string());
    }

    pub(super) fn refused(&self, reason: &str) {
        log::warn!("event=reload_refused {reason:?}");
        answer(&self.stream, REFUSED, reason);
    }
}

/// Asks a mount to read its manifest anew, and waits until it has. The digest of what
/// it serves now, or why it does not.
///
/// # Errors
/// When nobody can be asked, or does not answer.
pub fn ask(directory: &Path, device_number: u64) -> io::Result<Result<String, String>> {
    let mut stream = UnixStream::connect(control_path(directory, device_number))?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(RELOAD)?;
    let mut said = String::new();
    stream.take(ANSWER_MAX).read_to_string(&mut said)?;
    if let Some(digest) = said.strip_prefix(DONE) {
        return Ok(Ok(digest.to_owned()));
    }
    match said.strip_prefix(REFUSED) {
        Some(reason) => Ok(Err(reason.to_owned())),
        // It was unmounted meanwhile.
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    use std::thread;

    use crate::digest::Algorithm;

    fn bind(manifest: &str) -> (tempfile::TempDir, ControlSocket) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("manifest"), b"").unwrap();
        let origin = Origin {
            manifest: directory.path().join(manifest),
        };
        let socket = ControlSocket::bind(directory.path(), 45, origin).unwrap();
        (directory, socket)
    }

    #[test]
    fn the_word_is_heard_and_answered() {
        let (directory, socket) = bind("manifest");
        let mode = fs::metadata(control_path(directory.path(), 45))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let digest = Algorithm::Sha256.hash(b"manifest");
        thread::scope(|scope| {
            for expected in [Ok(digest.to_string()), Err("no".to_owned())] {
                let asker = scope.spawn(|| ask(directory.path(), 45).unwrap());
                let asked = socket.asks.recv().unwrap();
                match &expected {
                    Ok(_) => asked.done(digest),
                    Err(reason) => asked.refused(reason),
                }
                drop(asked);
                assert_eq!(asker.join().unwrap(), expected);
            }
            let asker = scope.spawn(|| ask(directory.path(), 45));
            drop(socket.asks.recv().unwrap());
            asker.join().unwrap().unwrap_err();
        });
        drop(socket);
        ask(directory.path(), 45).unwrap_err();
    }

    #[test]
    fn other_words_are_not_heard() {
        let (directory, socket) = bind("manifest");
        for word in [&b""[..], b"rel", b"unload", b"status\n\n\n"] {
            let mut stream = UnixStream::connect(control_path(directory.path(), 45)).unwrap();
            stream.write_all(word).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            // It may be closed before all of it was read.
            let _ = stream.read_to_end(&mut answer);
            assert!(answer.is_empty());
        }
        assert!(socket.next().is_none());
    }

    #[test]
    fn a_manifest_that_is_gone_is_said_at_once() {
        for manifest in ["nothing", "."] {
            let (directory, _socket) = bind(manifest);
            let refused = ask(directory.path(), 45).unwrap().unwrap_err();
            assert!(refused.contains("cannot open the manifest"), "{refused}");
        }
    }
}
