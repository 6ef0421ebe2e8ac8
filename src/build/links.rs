//! The names of one file, brought together.

use std::collections::HashMap;

use crate::manifest::{Form, Kind, Manifest, Resource};
use crate::path::ManifestPath;
use crate::sys::Stat;
use crate::tree::Node;

use super::error::{BuildError, Cause, Failure, Failures};

/// A file with all its names in the tree.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    /// What stat(2) said when it was found.
    pub stat: Stat,
    /// What the manifest will say.
    pub resource: Resource,
}

/// Makes one file of the names of one inode, and sorts the files.
pub(super) fn group(mut nodes: Vec<(ManifestPath, Node)>) -> Result<Vec<Found>, Failures> {
    nodes.sort_by(|(one, _), (two, _)| one.cmp(two));
    let mut files: Vec<Found> = Vec::with_capacity(nodes.len());
    let mut inodes: HashMap<(u64, u64), usize> = HashMap::new();
    let mut failures = Vec::new();
    for (path, node) in nodes {
        let inode = (node.stat.device, node.stat.inode);
        let linked = can_be_linked(&node);
        let first = inodes.get(&inode).filter(|_| linked).copied();
        if let Some(first) = first.and_then(|index| files.get_mut(index)) {
            if is_same(first, &node) {
                first.resource.paths.push(path);
            } else {
                let cause = Cause::Link(first.resource.path().clone());
                failures.push(Failure { path, cause });
            }
            continue;
        }
        if linked {
            inodes.insert(inode, files.len());
        }
        files.push(Found {
            stat: node.stat,
            resource: Resource {
                paths: vec![path],
                metadata: node.metadata,
                kind: node.kind,
                carried: None,
            },
        });
    }
    Failures::check(failures)?;
    Ok(files)
}

/// Two names of one symlink are two symlinks, as for the Go tool.
fn can_be_linked(node: &Node) -> bool {
    node.stat.links > 1 && !matches!(node.kind, Kind::Directory | Kind::Symlink(_))
}

/// Whether a look at another name saw the same.
pub(super) fn is_same(found: &Found, node: &Node) -> bool {
    node.stat.is_unchanged(&found.stat)
        && node.metadata == found.resource.metadata
        && node.kind == found.resource.kind
}

/// Refuses what the compatible form cannot hold.
pub(super) fn check_names(found: &[Found]) -> Result<(), BuildError> {
    // One at a time, so that they are not all in memory twice.
    for file in found {
        let alone = Manifest {
            resources: vec![file.resource.clone()],
            ..Manifest::default()
        };
        alone.encode(Form::Compat)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::RootDir;
    use crate::tree::inspect;
    use std::fs;
    use std::path::Path;

    fn look(root: &Path, names: &[&str]) -> Vec<(ManifestPath, Node)> {
        let directory = RootDir::open(root).unwrap();
        let look = |name: &&str| {
            let path = ManifestPath::root().join(name.as_bytes()).unwrap();
            let node = inspect(&directory, &path).unwrap();
            (path, node)
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
