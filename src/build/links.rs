//! The names of one file, brought together.

use std::collections::HashMap;

use super::error::{Cause, Failure, Failures};
use super::found::Found;

/// Makes one file of the names of one inode, and sorts the files.
pub(super) fn group(mut files: Vec<Found>) -> Result<Vec<Found>, Failures> {
    files.sort_by(|one, two| one.resource.path().cmp(two.resource.path()));
    let mut inodes: HashMap<(u64, u64), usize> = HashMap::new();
    let mut failures = Vec::new();
    // In place: there may be millions. What is done stands in front.
    let mut done = 0;
    for index in 0..files.len() {
        let Some(file) = files.get(index) else { break };
        let inode = (file.stat.device, file.stat.inode);
        let linked = file.can_be_linked();
        let Some(first) = inodes.get(&inode).filter(|_| linked).copied() else {
            if linked {
                inodes.insert(inode, done);
            }
            files.swap(done, index);
            done += 1;
            continue;
        };
        if let Err(failure) = join(&mut files, first, index) {
            failures.push(failure);
        }
    }
    files.truncate(done);
    Failures::check(failures)?;
    Ok(files)
}

/// Gives the names of one file to another, which comes first.
fn join(files: &mut [Found], first: usize, index: usize) -> Result<(), Failure> {
    let (before, after) = files.split_at_mut_checked(index).unwrap_or_default();
    if let (Some(first), Some(file)) = (before.get_mut(first), after.first_mut()) {
        if !file.is_same(first) {
            return Err(Failure {
                path: file.resource.path().clone(),
                cause: Cause::Link(first.resource.path().clone()),
            });
        }
        first.resource.paths.append(&mut file.resource.paths);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::ManifestPath;
    use crate::sys::RootDir;
    use crate::tree::inspect;
    use std::fs;
    use std::path::Path;

    fn look(root: &Path, names: &[&str]) -> Vec<Found> {
        let directory = RootDir::open(root).unwrap();
        let look = |name: &&str| {
            let path = ManifestPath::root().join(name.as_bytes()).unwrap();
            let node = inspect(&directory, &path, true).unwrap();
            Found::new(path, node)
        };
        names.iter().map(look).collect()
    }

    #[test]
    fn brings_names_together_but_not_of_symlinks() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name| scratch.path().join(name);
        fs::write(at("z"), "").unwrap();
        fs::hard_link(at("z"), at("a")).unwrap();
        std::os::unix::fs::symlink("z", at("l")).unwrap();
        fs::hard_link(at("l"), at("m")).unwrap();
        fs::write(at("single"), "").unwrap();
        let found = group(look(scratch.path(), &["z", "m", "single", "l", "a"])).unwrap();
        let paths: Vec<String> = found
            .iter()
            .map(|file| format!("{:?}", file.resource.paths))
            .collect();
        assert_eq!(
            paths,
            [
                r#"["/a", "/z"]"#,
                r#"["/l"]"#,
                r#"["/m"]"#,
                r#"["/single"]"#
            ]
        );
    }

    #[test]
    fn names_the_link_that_disagrees() {
        let scratch = tempfile::tempdir().unwrap();
        let at = |name| scratch.path().join(name);
        fs::write(at("a"), "").unwrap();
        fs::hard_link(at("a"), at("b")).unwrap();
        let mut nodes = look(scratch.path(), &["a"]);
        fs::write(at("a"), "changed").unwrap();
        nodes.extend(look(scratch.path(), &["b"]));
        let shown = group(nodes).unwrap_err().to_string();
        assert_eq!(
            shown,
            r#""/b" changed while it was read: it differs from "/a", which is the same file"#
        );
    }
}
