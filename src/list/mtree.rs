//! `dump --format=mtree`: a manifest as a specification for mtree(8).

use std::cmp::Reverse;
use std::fmt;
use std::io::{self, Write};

use crate::digest::Algorithm;
use crate::inode::{Dirent, Ino, Inode, InodeKind, InodeTable};
use crate::mode::FileType;

/// Writes a specification in which every file has a line with its whole path,
/// as mtree(5) of NetBSD and FreeBSD and libarchive read it.
///
/// It has type, mode, owner, group, size, time, link target, device number and
/// SHA-2 digests. It has no words for extended attributes, chunks, whiteouts, or
/// for two names being one file. Nothing is said of the root but that it is a
/// directory unless `has_root`: the manifest does not declare it then.
///
/// # Errors
/// Whatever writing says.
pub fn mtree(table: &InodeTable, has_root: bool, out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"#mtree\n")?;
    let Some(root) = table.get(Ino::ROOT) else {
        return Ok(());
    };
    if has_root {
        write_line(b".", root, out)?;
    } else {
        out.write_all(b". type=dir\n")?;
    }
    // The directories that are being read, and what is left of them.
    let mut open = vec![children(table, root).into_iter()];
    let mut path = b".".to_vec();
    while let Some(rest) = open.last_mut() {
        let Some(entry) = rest.next() else {
            open.pop();
            let parent = path.iter().rposition(|byte| *byte == b'/');
            path.truncate(parent.unwrap_or_default());
            continue;
        };
        path.push(b'/');
        path.extend_from_slice(entry.name);
        write_line(&path, entry.inode, out)?;
        if let InodeKind::Directory(_) = entry.inode.kind() {
            open.push(children(table, entry.inode).into_iter());
        } else {
            path.truncate(path.len() - entry.name.len() - 1);
        }
    }
    Ok(())
}

/// What is in a directory. NetBSD's mtree takes a name with a wildcard for a
/// pattern, however it is written, and the first line that fits; so those come
/// last, and those that fit most behind the others.
fn children<'t>(table: &'t InodeTable, directory: Inode<'_>) -> Vec<Dirent<'t>> {
    let mut entries: Vec<Dirent<'t>> = table.entries(directory, 0).collect();
    entries.sort_by_key(|entry| {
        let wildcard = entry.name.iter().filter_map(|byte| match byte {
            b'[' => Some(1),
            b'?' => Some(2),
            b'*' => Some(3),
            _ => None,
        });
        wildcard
            .max()
            .map(|widest| (widest, Reverse(entry.name.len())))
    });
    entries
}

fn write_line(path: &[u8], inode: Inode<'_>, out: &mut impl Write) -> io::Result<()> {
    let mode = inode.mode();
    write!(
        out,
        "{} type={} uid={} gid={} mode={:04o}",
        Vis(path),
        type_name(mode.file_type()),
        inode.uid(),
        inode.gid(),
        mode.permissions()
    )?;
    if let Some(time) = inode.mtime() {
        write!(out, " time={}.{:09}", time.seconds(), time.nanoseconds())?;
    }
    match inode.kind() {
        InodeKind::Regular(size) => {
            write!(out, " size={size}")?;
            for digest in inode.digests() {
                let (name, hex) = match digest.algorithm() {
                    Algorithm::Blake3 => continue,
                    algorithm => (algorithm.name(), digest.to_string()),
                };
                let hex = hex.split_once(':').map_or("", |(_, hex)| hex);
                write!(out, " {name}={hex}")?;
            }
        }
        InodeKind::Symlink(target) => write!(out, " link={}", Vis(target))?,
        InodeKind::Device(number) => {
            let (major, minor) = (number.major(), number.minor());
            write!(out, " device=native,{major},{minor}")?;
        }
        InodeKind::Directory(_) | InodeKind::Other => {}
    }
    out.write_all(b"\n")
}

const fn type_name(file_type: FileType) -> &'static str {
    match file_type {
        FileType::Regular => "file",
        FileType::Directory => "dir",
        FileType::Symlink => "link",
        FileType::Fifo => "fifo",
        FileType::CharDevice => "char",
        FileType::BlockDevice => "block",
        FileType::Socket => "socket",
    }
}

/// A name as vis(3) writes it in octal: whatever is no printing character of
/// ASCII, and what has a meaning in a specification.
struct Vis<'a>(&'a [u8]);

impl fmt::Display for Vis<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|&byte| match byte {
            b'\\' | b'#' | b'*' | b'?' | b'[' | b'=' => write!(f, "\\{byte:03o}"),
            b'!'..=b'~' => write!(f, "{}", char::from(byte)),
            _ => write!(f, "\\{byte:03o}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_printing_characters() {
        for (name, shown) in [
            (&b"./a-b.c"[..], "./a-b.c"),
            (b"a b\n", "a\\040b\\012"),
            (b"\xff\\#*?[=", "\\377\\134\\043\\052\\077\\133\\075"),
        ] {
            assert_eq!(Vis(name).to_string(), shown);
        }
    }
}
