//! Hashes the content of the files that were found.

use std::cmp::Reverse;
use std::fs::File;

use rayon::prelude::*;

use crate::digest::Algorithm;
use crate::manifest::{ChunkTable, Chunks, Content, Kind};
use crate::path::ManifestPath;
use crate::sys::{Absence, RootDir, Stat};
use crate::tree::{Hashes, NodeError, ReadError, Wanted, hash, hash_open, inspect};

use super::Options;
use super::error::{Cause, Failure, Failures};
use super::found::{Found, Ready};

/// Larger files wait until it is known how many there are, and begin with the
/// largest.
const SMALL_MAX: u64 = 1 << 20;

/// The content of a small file with one name; others wait for [`fill`], which
/// reads a file once and not once for each name.
pub(super) fn read_small(
    file: &File,
    path: &ManifestPath,
    stat: &Stat,
    options: &Options,
) -> Result<Option<Content>, ReadError> {
    if stat.links > 1 || stat.size > SMALL_MAX {
        return Ok(None);
    }
    if let Some(content) = reused(path, stat, options) {
        return Ok(Some(content));
    }
    let content = read(stat.size, options, |wanted| {
        hash_open(file, stat, wanted, &options.progress)
    })?;
    Ok(Some(content))
}

/// Fills in the digests of the regular files that have none yet. `done` are the
/// others.
pub(super) fn fill(
    root: &RootDir,
    found: &mut [Found],
    done: &[Ready],
    options: &Options,
) -> Result<(), Failures> {
    let progress = &options.progress;
    let mut waiting: Vec<&mut Found> = found
        .iter_mut()
        .filter(|file| file.has_no_digest())
        .collect();
    let sizes = done.iter().filter_map(Ready::content);
    let (files, bytes) = (sizes.clone().count() as u64, sum(sizes));
    let more = sum(waiting.iter().map(|file| file.stat.size));
    progress.begin(files + waiting.len() as u64, bytes.saturating_add(more));
    progress.add_files(files);
    progress.add_bytes(bytes);
    // So that no thread is left with the largest in the end.
    waiting.sort_by_key(|file| Reverse(file.stat.size));
    let failures = waiting
        .into_par_iter()
        .with_max_len(1)
        .filter_map(|file| {
            let filled = fill_one(root, file, options);
            progress.add_files(1);
            let cause = filled.err()?;
            let path = file.resource.path().clone();
            Some(Failure { path, cause })
        })
        .collect();
    Failures::check(failures)
}

fn sum(sizes: impl Iterator<Item = u64>) -> u64 {
    sizes.fold(0, u64::saturating_add)
}

fn reused(path: &ManifestPath, stat: &Stat, options: &Options) -> Option<Content> {
    let content = options.reuse.as_ref()?.content(path, stat, options)?;
    options.progress.add_bytes(stat.size);
    Some(content)
}

/// Looks at a file once more if it changes while it is read, but not for ever.
fn fill_one(root: &RootDir, file: &mut Found, options: &Options) -> Result<(), Cause> {
    let read = |file: &Found| {
        let (path, stat) = (file.resource.path(), &file.stat);
        read(stat.size, options, |wanted| {
            hash(root, path, stat, wanted, &options.progress)
        })
    };
    let reused = reused(file.resource.path(), &file.stat, options);
    let content = match reused.map_or_else(|| read(file), Ok) {
        Err(ReadError::Changed) => {
            look_again(root, file, options)?;
            read(file)
        }
        content => content,
    }?;
    file.resource.kind = Kind::Regular(content);
    Ok(())
}

/// What is declared of content of `size` bytes.
fn read(
    size: u64,
    options: &Options,
    hash: impl FnOnce(&Wanted<'_>) -> Result<Hashes, ReadError>,
) -> Result<Content, ReadError> {
    let cut = options.chunks(size);
    let hashes = hash(&Wanted {
        algorithms: &options.algorithms,
        chunks: cut.as_ref().map(|(algorithm, chunks)| (*algorithm, chunks)),
    })?;
    Ok(content_of(size, hashes, cut))
}

/// What is declared of a file of `size` bytes, with the cut of its chunks.
#[must_use]
pub fn content_of(size: u64, hashes: Hashes, cut: Option<(Algorithm, Chunks)>) -> Content {
    Content {
        size,
        digests: hashes.digests,
        unknown_digests: Vec::new(),
        chunks: cut.map(|(algorithm, chunks)| ChunkTable {
            algorithm,
            chunks,
            digests: hashes.chunks,
        }),
    }
}

/// Takes the metadata anew, which must still be that of all its names.
fn look_again(root: &RootDir, file: &mut Found, options: &Options) -> Result<(), Cause> {
    let look = |path: &ManifestPath| {
        let mut node = inspect(root, path, options.reads_xattrs()).map_err(gone)?;
        options.read_node(&mut node)?;
        Ok::<_, Cause>(Found::new(path.clone(), node))
    };
    let now = look(file.resource.path())?;
    if !matches!(now.resource.kind, Kind::Regular(_)) {
        return Err(ReadError::Changed.into());
    }
    for path in file.resource.paths.iter().skip(1) {
        if !look(path)?.is_same(&now) {
            return Err(ReadError::Changed.into());
        }
    }
    file.stat = now.stat;
    file.resource.metadata = now.resource.metadata;
    file.resource.kind = now.resource.kind;
    Ok(())
}

/// What was found a moment ago has changed when it is not there now.
fn gone(error: NodeError) -> Cause {
    match error {
        NodeError::Io(error) if Absence::of(&error).is_some() => ReadError::Changed.into(),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::links;
    use super::*;
    use crate::manifest::Form;
    use std::fs;

    /// What is in a directory, and is still to be read.
    fn found(root: &RootDir) -> Vec<Found> {
        let names = root.names().unwrap().into_iter();
        let files = names.map(|name| {
            let path = ManifestPath::root().join(name.as_encoded_bytes()).unwrap();
            let node = inspect(root, &path, true).unwrap();
            Found::new(path, node)
        });
        links::group(files.collect()).unwrap()
    }

    #[test]
    fn a_file_that_changed_since_the_walk_is_looked_at_again() {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("file"), "before").unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        let mut found = found(&root);
        fs::write(scratch.path().join("file"), "and after").unwrap();
        fill(&root, &mut found, &[], &Options::default()).unwrap();
        let Kind::Regular(content) = &found[0].resource.kind else {
            panic!("no file: {found:?}");
        };
        assert_eq!(content.digests, [Algorithm::Sha256.hash(b"and after")]);
    }

    #[test]
    fn a_file_that_became_something_else_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("file");
        fs::write(&path, "").unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        let mut found = found(&root);
        fs::remove_file(&path).unwrap();
        let failed = fill(&root, &mut found.clone(), &[], &Options::default()).unwrap_err();
        assert_eq!(failed.to_string(), r#""/file" changed while it was read"#);
        fs::create_dir(&path).unwrap();
        let failed = fill(&root, &mut found, &[], &Options::default()).unwrap_err();
        assert_eq!(failed.to_string(), r#""/file" changed while it was read"#);
    }

    #[test]
    fn large_files_have_chunk_tables() {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("0"), "").unwrap();
        fs::write(scratch.path().join("9"), [0; 9]).unwrap();
        fs::write(scratch.path().join("10"), [0; 10]).unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        let options = Options {
            chunk_threshold: 10,
            chunk_size: 4.try_into().unwrap(),
            ..Options::default()
        };
        let tables = |options: &Options| {
            let mut found = found(&root);
            fill(&root, &mut found, &[], options).unwrap();
            let tables = found.into_iter().map(|file| match file.resource.kind {
                Kind::Regular(content) => content.chunks.map(|table| table.digests.len()),
                _ => None,
            });
            tables.collect::<Vec<_>>()
        };
        assert_eq!(tables(&options), [None, Some(3 * 32), None]);
        let compat = Options {
            form: Form::Compat,
            ..options.clone()
        };
        assert_eq!(tables(&compat), [None, None, None]);
    }
}
