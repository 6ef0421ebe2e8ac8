//! Where a manifest that was built goes.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use thiserror::Error;

use crate::escape::Escaped;

use super::output::Output;

/// Why the bytes are not where they should be.
#[derive(Debug, Error)]
pub enum OutputError {
    /// Nobody can read a manifest on a terminal, and it may act on it.
    #[error("not writing a binary manifest to a terminal; use -o FILE, or pipe it")]
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

/// Writes to standard output, but not to a terminal.
///
/// # Errors
/// See [`OutputError`].
pub fn write_stdout(bytes: &[u8]) -> Result<(), OutputError> {
    if io::stdout().is_terminal() {
        return Err(OutputError::Terminal);
    }
    let mut out = Output::stdout();
    out.write_all(bytes)
        .and_then(|()| out.finish())
        .map_err(OutputError::Stdout)
}

/// Writes a whole file or none: what is not complete never has its name.
///
/// # Errors
/// [`OutputError::File`].
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), OutputError> {
    let file_error = |error| OutputError::File {
        path: Box::from(path),
        error,
    };
    match fs::metadata(path) {
        // A pipe or a device (`-o /dev/stdout`) is written to, not replaced.
        Ok(metadata) if !metadata.is_file() => OpenOptions::new()
            .write(true)
            .open(path)
            .and_then(|mut file| file.write_all(bytes)),
        // What a symlink leads to is replaced, and not the link.
        Ok(_) => fs::canonicalize(path).and_then(|real| replace(&real, bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => replace(path, bytes),
        Err(error) => Err(error),
    }
    .map_err(file_error)
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".continuity-")
        // Less the umask.
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    // The new name must survive a crash too. Not every filesystem can.
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn replaces_files_and_nothing_else() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name| scratch.path().join(name);
        write_file(&at("new"), b"one").unwrap();
        write_file(&at("new"), b"two").unwrap();
        assert_eq!(fs::read(at("new")).unwrap(), b"two");

        symlink("new", at("link")).unwrap();
        write_file(&at("link"), b"three").unwrap();
        assert!(at("link").is_symlink());
        assert_eq!(fs::read(at("new")).unwrap(), b"three");

        symlink("/dev/null", at("null")).unwrap();
        write_file(&at("null"), b"gone").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());

        assert!(write_file(scratch.path(), b"").is_err());
        assert!(write_file(&at("missing/file"), b"").is_err());
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 3);
    }
}
