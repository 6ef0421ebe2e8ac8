//! One table that takes the place of another one under the eyes of the kernel.
//!
//! A number always means one content. What has the same type and content under the
//! same path keeps its number, and with it all that the kernel remembers of it;
//! everything else gets a number that nothing ever had.

use std::cmp::Ordering;

use crate::mode::FileType;

use super::arrange::ROOT;
use super::numbers::{Numbers, NumbersError};
use super::record::Ino;
use super::table::InodeTable;
use super::view::{Inode, InodeKind};

/// What the kernel must forget.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// What a name in a directory leads to, if to anything.
    Entry(Ino, Box<[u8]>),
    /// Which names there are in a directory; its attributes too.
    Names(Ino),
    /// The attributes of an inode.
    Attributes(Ino),
}

impl InodeTable {
    /// Gives the inodes the numbers of those that they follow in `before`, and tells
    /// what is different. The same two tables always give the same.
    ///
    /// # Errors
    /// When there are no more numbers.
    pub fn follow(mut self, before: &Self) -> Result<(Self, Vec<Change>), NumbersError> {
        let numbers = number(&self, before)?;
        self.take_numbers(numbers);
        let changes = changes(&self, before);
        Ok((self, changes))
    }

    /// The numbers of all inodes, for [`Self::with_numbers`].
    #[must_use]
    pub fn numbers(&self) -> Option<Vec<u8>> {
        self.numbers.as_ref().map(Numbers::to_bytes)
    }

    /// The same table with the numbers that [`Self::numbers`] gave.
    ///
    /// # Errors
    /// When they were those of another table.
    pub fn with_numbers(mut self, bytes: &[u8]) -> Result<Self, NumbersError> {
        let numbers = Numbers::from_bytes(bytes, self.inodes.len())?;
        self.take_numbers(numbers);
        Ok(self)
    }

    fn take_numbers(&mut self, numbers: Numbers) {
        self.statistics.memory += numbers.memory() as u64;
        self.numbers = Some(numbers);
    }
}

/// A name of two directories that follow each other, and what it leads to in each.
struct Pair<'n, 'o> {
    name: &'n [u8],
    old: Option<Inode<'o>>,
    new: Option<Inode<'n>>,
}

/// Calls `visit` for each pair of directories that have the same path, with all their
/// names.
fn walk<'n>(
    new: &'n InodeTable,
    old: &'n InodeTable,
    mut visit: impl FnMut(Inode<'n>, Inode<'n>, &[Pair<'n, 'n>]),
) {
    let mut directories: Vec<_> = old.at(ROOT).zip(new.at(ROOT)).into_iter().collect();
    while let Some((old_directory, new_directory)) = directories.pop() {
        let pairs = pairs(new, new_directory, old, old_directory);
        visit(old_directory, new_directory, &pairs);
        for pair in pairs {
            if let (Some(old), Some(new)) = (pair.old, pair.new)
                && is_directory(old)
                && is_directory(new)
            {
                directories.push((old, new));
            }
        }
    }
}

fn pairs<'n>(
    new: &'n InodeTable,
    new_directory: Inode<'n>,
    old: &'n InodeTable,
    old_directory: Inode<'n>,
) -> Vec<Pair<'n, 'n>> {
    let mut news = new.entries(new_directory, 0).peekable();
    let mut olds = old.entries(old_directory, 0).peekable();
    let mut pairs = Vec::new();
    loop {
        let order = match (olds.peek(), news.peek()) {
            (Some(old), Some(new)) => old.name.cmp(new.name),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return pairs,
        };
        let old = order.is_le().then(|| olds.next()).flatten();
        let new = order.is_ge().then(|| news.next()).flatten();
        let name = old.as_ref().or(new.as_ref()).map_or(&[][..], |d| d.name);
        pairs.push(Pair {
            name,
            old: old.map(|dirent| dirent.inode),
            new: new.map(|dirent| dirent.inode),
        });
    }
}

fn is_directory(inode: Inode<'_>) -> bool {
    inode.mode().file_type() == FileType::Directory
}

fn number(new: &InodeTable, old: &InodeTable) -> Result<Numbers, NumbersError> {
    let mut numbers = vec![0_u64; new.inodes.len()];
    let mut taken = vec![false; old.inodes.len()];
    let mut pair = |old: Inode<'_>, new: Inode<'_>| {
        if let Some(number) = numbers.get_mut(new.place as usize)
            && let Some(taken) = taken.get_mut(old.place as usize)
            && !*taken
            && *number == 0
        {
            *taken = true;
            *number = old.ino().0;
        }
    };
    walk(new, old, |old_directory, new_directory, names| {
        pair(old_directory, new_directory);
        for name in names {
            if let (Some(old), Some(new)) = (name.old, name.new)
                && !is_directory(old)
                && is_same(old, new)
            {
                pair(old, new);
            }
        }
    });
    let mut next = old.next_number();
    for number in numbers.iter_mut().filter(|number| **number == 0) {
        *number = next;
        next = next.checked_add(1).ok_or(NumbersError)?;
    }
    Numbers::new(numbers, next)
}

/// Whether two inodes, of which none is a directory, are the same but for attributes.
fn is_same(old: Inode<'_>, new: Inode<'_>) -> bool {
    if old.mode().file_type() != new.mode().file_type() {
        return false;
    }
    match (old.kind(), new.kind()) {
        (InodeKind::Regular(one), InodeKind::Regular(two)) => {
            one == two && old.content() == new.content()
        }
        (one, two) => one == two,
    }
}

fn changes(new: &InodeTable, old: &InodeTable) -> Vec<Change> {
    let mut changes = Vec::new();
    walk(new, old, |old_directory, new_directory, names| {
        let parent = new_directory.ino();
        let mut are_same = true;
        for Pair { name, old, new } in names {
            let (before, after) = (old.map(|old| old.ino()), new.map(|new| new.ino()));
            if before != after {
                are_same = false;
                changes.push(Change::Entry(parent, Box::from(*name)));
            } else if let (Some(old), Some(new)) = (old, new)
                && !is_directory(*new)
                && !have_same_attributes(*old, *new)
            {
                changes.push(Change::Attributes(new.ino()));
            }
        }
        if !are_same {
            changes.push(Change::Names(parent));
        } else if !have_same_attributes(old_directory, new_directory) {
            changes.push(Change::Attributes(parent));
        }
    });
    changes
}

fn have_same_attributes(old: Inode<'_>, new: Inode<'_>) -> bool {
    old.mode() == new.mode()
        && (old.uid(), old.gid(), old.links()) == (new.uid(), new.gid(), new.links())
        && old.mtime() == new.mtime()
        && old.xattrs() == new.xattrs()
}
