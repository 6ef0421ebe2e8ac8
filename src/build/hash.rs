//! Hashes the content of the files that were found.

use rayon::prelude::*;

use crate::digest::Algorithm;
use crate::manifest::{ChunkTable, Chunks, Content, Form, Kind};
use crate::path::ManifestPath;
use crate::sys::{Absence, RootDir};
use crate::tree::{NodeError, ReadError, Wanted, hash, inspect};

use super::Options;
use super::error::{Cause, Failure, Failures};
use super::found::Found;

/// The digest of the whole is by the algorithm that every reader knows.
const ALGORITHM: Algorithm = Algorithm::Sha256;

/// Fills in the digests of all regular files, and tells how many bytes they
/// have.
pub(super) fn fill(
    root: &RootDir,
    found: &mut [Found],
    options: &Options,
) -> Result<u64, Failures> {
    let progress = &options.progress;
    let regular = found.iter().filter(|file| is_regular(file));
    progress.begin(regular.clone().count() as u64, total_size(regular));
    let failures = found
        .par_iter_mut()
        .with_max_len(16)
        .filter(|file| is_regular(file))
        .filter_map(|file| {
            let filled = fill_one(root, file, options);
            progress.add_files(1);
            let cause = filled.err()?;
            let path = file.resource.path().clone();
            Some(Failure { path, cause })
        })
        .collect();
    Failures::check(failures)?;
    Ok(total_size(found.iter()))
}

const fn is_regular(file: &Found) -> bool {
    matches!(file.resource.kind, Kind::Regular(_))
}

/// How many bytes the regular files among these have.
fn total_size<'a>(files: impl Iterator<Item = &'a Found>) -> u64 {
    files
        .map(|file| match &file.resource.kind {
            Kind::Regular(content) => content.size,
            _ => 0,
        })
        .fold(0, u64::saturating_add)
}

/// Looks at a file once more if it changes while it is read, but not for ever.
fn fill_one(root: &RootDir, file: &mut Found, options: &Options) -> Result<(), Cause> {
    let content = match read(root, file, options) {
        Err(ReadError::Changed) => {
            look_again(root, file)?;
            read(root, file, options)
        }
        content => content,
    }?;
    file.resource.kind = Kind::Regular(content);
    Ok(())
}

fn read(root: &RootDir, file: &Found, options: &Options) -> Result<Content, ReadError> {
    let size = file.stat.size;
    let chunks = Chunks::Fixed(options.chunk_size.get());
    let has_table = options.form == Form::Full && size > 0 && size >= options.chunk_threshold;
    let wanted = Wanted {
        algorithms: &[ALGORITHM],
        chunks: has_table.then_some((options.chunk_algorithm, &chunks)),
    };
    let hashes = hash(
        root,
        file.resource.path(),
        &file.stat,
        &wanted,
        &options.progress,
    )?;
    Ok(Content {
        size,
        digests: hashes.digests,
        unknown_digests: Vec::new(),
        chunks: has_table.then_some(ChunkTable {
            algorithm: options.chunk_algorithm,
            chunks,
            digests: hashes.chunks,
        }),
    })
}

/// Takes the metadata anew, which must still be that of all its names.
fn look_again(root: &RootDir, file: &mut Found) -> Result<(), Cause> {
    let look = |path: &ManifestPath| match inspect(root, path) {
        Ok(node) => Ok(Found::new(path.clone(), node)),
        Err(error) => Err(gone(error)),
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
    use super::super::{links, walk};
    use super::*;
    use crate::progress::Progress;
    use std::fs;

    fn found(root: &RootDir) -> Vec<Found> {
        links::group(walk::walk(root, false, &Progress::default()).unwrap().files).unwrap()
    }

    #[test]
    fn a_file_that_changed_since_the_walk_is_looked_at_again() {
        let scratch = tempfile::tempdir().unwrap();
        fs::write(scratch.path().join("file"), "before").unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        let mut found = found(&root);
        fs::write(scratch.path().join("file"), "and after").unwrap();
        assert_eq!(fill(&root, &mut found, &Options::default()).unwrap(), 9);
        let Kind::Regular(content) = &found[0].resource.kind else {
            panic!("no file: {found:?}");
        };
        assert_eq!(content.digests, [ALGORITHM.hash(b"and after")]);
    }

    #[test]
    fn a_file_that_became_something_else_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("file");
        fs::write(&path, "").unwrap();
        let root = RootDir::open(scratch.path()).unwrap();
        let mut found = found(&root);
        fs::remove_file(&path).unwrap();
        let failed = fill(&root, &mut found.clone(), &Options::default()).unwrap_err();
        assert_eq!(failed.to_string(), r#""/file" changed while it was read"#);
        fs::create_dir(&path).unwrap();
        let failed = fill(&root, &mut found, &Options::default()).unwrap_err();
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
            fill(&root, &mut found, options).unwrap();
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
