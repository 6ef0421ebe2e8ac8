//! Where a manifest that was built goes, or an archive.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use thiserror::Error;

use crate::escape::Escaped;
use crate::sys::{RootDir, entry, random};

use super::output::Output;

/// Permissions of a new file, less the umask.
const MODE: u32 = 0o644;

/// How the names of temporary files begin.
const PREFIX: &str = ".continuity-";

/// Why the bytes are not where they should be.
#[derive(Debug, Error)]
pub enum OutputError {
    /// Nobody can read it on a terminal, and it may act on it.
    #[error("not writing binary data to a terminal; use -o FILE, or pipe it")]
    Terminal,
    /// Standard output does not take it.
    #[error("cannot write to standard output: {0}")]
    Stdout(#[source] io::Error),
    /// The file does not take it.
    #[error("cannot write {}: {error}", Escaped(.path.as_os_str().as_encoded_bytes()))]
    File {
        /// The file, as it was given.
        path: Box<Path>,
        /// Why.
        #[source]
        error: io::Error,
    },
}

/// Writes all that a file should have.
pub type Contents<'a> = dyn Fn(&mut dyn Write) -> io::Result<()> + 'a;

/// Writes to standard output, but not to a terminal.
///
/// # Errors
/// See [`OutputError`].
pub fn write_stdout(contents: &Contents<'_>) -> Result<(), OutputError> {
    if io::stdout().is_terminal() {
        return Err(OutputError::Terminal);
    }
    let mut out = Output::stdout();
    contents(&mut out)
        .and_then(|()| out.finish())
        .map_err(OutputError::Stdout)
}

/// Writes a whole file or none: what is not complete never has its name.
///
/// # Errors
/// [`OutputError::File`].
pub fn write_file(path: &Path, contents: &Contents<'_>) -> Result<(), OutputError> {
    let written = write_file_with(path, |file| pour(file, contents))?;
    written.map_err(|error| file_error(path, error))
}

/// The same with bytes that come bit by bit; where `write` fails, no file has
/// the name, and the error is given back.
///
/// # Errors
/// [`OutputError::File`].
pub fn write_file_with<T, E>(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<T, E>,
) -> Result<Result<T, E>, OutputError> {
    match fs::metadata(path) {
        // A pipe or a device (`-o /dev/stdout`) is written to, not replaced.
        Ok(metadata) if !metadata.is_file() => OpenOptions::new()
            .write(true)
            .open(path)
            .map(|mut file| write(&mut file)),
        // What a symlink leads to is replaced, and not the link.
        Ok(_) => fs::canonicalize(path).and_then(|real| replace(&real, write)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => replace(path, write),
        Err(error) => Err(error),
    }
    .map_err(|error| file_error(path, error))
}

fn file_error(path: &Path, error: io::Error) -> OutputError {
    OutputError::File {
        path: Box::from(path),
        error,
    }
}

/// The new file has no name until it is complete, so nothing is left of it if
/// this process ends before; but where a filesystem has no such files (O_TMPFILE),
/// a file with a name of ours can be.
fn replace<T, E>(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<T, E>,
) -> io::Result<Result<T, E>> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let Some(name) = path.file_name() else {
        return Err(io::ErrorKind::IsADirectory.into());
    };
    let place = RootDir::open(directory)?;
    let written = match place.make_unnamed_file(MODE) {
        Ok(mut file) => {
            let written = match write(&mut file) {
                Ok(written) => written,
                Err(error) => return Ok(Err(error)),
            };
            file.sync_all()?;
            name_it(&place, &file, name)?;
            written
        }
        Err(error) if entry::has_no_unnamed(&error) => {
            let mut file = tempfile::Builder::new()
                .prefix(PREFIX)
                .permissions(Permissions::from_mode(MODE))
                .tempfile_in(directory)?;
            let written = match write(file.as_file_mut()) {
                Ok(written) => written,
                Err(error) => return Ok(Err(error)),
            };
            file.as_file().sync_all()?;
            file.persist(path)?;
            written
        }
        Err(error) => return Err(error),
    };
    // The new name must survive a crash too. Not every filesystem can.
    let _ = place.sync();
    Ok(Ok(written))
}

/// Gives a file a name, which another may have.
fn name_it(place: &RootDir, file: &File, name: &OsStr) -> io::Result<()> {
    match place.link(file, name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // Nothing can take a name from another file at once but renaming.
            let random = u64::from_le_bytes(random::bytes()?);
            let other = OsString::from(format!("{PREFIX}{random:016x}"));
            place.link(file, &other)?;
            place.rename(&other, name).inspect_err(|_| {
                let _ = place.remove_file(&other);
            })
        }
        linked => linked,
    }
}

fn pour(file: &File, contents: &Contents<'_>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, file);
    contents(&mut out)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn write(path: impl AsRef<Path>, bytes: &[u8]) -> Result<(), OutputError> {
        write_file(path.as_ref(), &|out| out.write_all(bytes))
    }

    #[test]
    fn replaces_files_and_nothing_else() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name| scratch.path().join(name);
        write(at("new"), b"one").unwrap();
        write(at("new"), b"two").unwrap();
        assert_eq!(fs::read(at("new")).unwrap(), b"two");

        symlink("new", at("link")).unwrap();
        write(at("link"), b"three").unwrap();
        assert!(at("link").is_symlink());
        assert_eq!(fs::read(at("new")).unwrap(), b"three");

        symlink("/dev/null", at("null")).unwrap();
        write(at("null"), b"gone").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());

        assert!(write(scratch.path(), b"").is_err());
        assert!(write(at("missing/file"), b"").is_err());
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 3);
    }
}
