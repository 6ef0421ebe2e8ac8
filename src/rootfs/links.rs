//! Where symlinks lead.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::inode::{Ino, Inode, InodeKind, InodeTable};

/// As many as the kernel follows (`MAXSYMLINKS` in `include/linux/namei.h`).
const LINKS_MAX: u32 = 40;

/// The symlinks of a table. Each is followed once, however many lead through it.
pub(super) struct Links<'t> {
    table: &'t InodeTable,
    known: HashMap<Ino, Way<'t>>,
}

/// How far a symlink was followed.
#[derive(Clone, Copy)]
struct Way<'t> {
    place: Inode<'t>,
    /// Names behind the last one that is there: they may be made some day.
    beyond: usize,
    /// How many other symlinks it leads through. More than [`LINKS_MAX`]: nowhere.
    links: u32,
    /// Whether it says itself, and not a symlink that it leads through, to go up from
    /// the root.
    leaves: bool,
}

/// A symlink that is being followed.
struct Step<'t> {
    link: Ino,
    way: Way<'t>,
    /// The rest of its target.
    names: Split<'t>,
    /// The symlink that comes next, and has to be known for that.
    through: Option<Ino>,
}

/// The names of a target.
type Split<'t> = std::slice::Split<'t, u8, fn(&u8) -> bool>;

impl<'t> Links<'t> {
    pub(super) fn new(table: &'t InodeTable) -> Self {
        Self {
            table,
            known: HashMap::new(),
        }
    }

    /// Whether a symlink goes up from the root. Inside, that leads nowhere else; a
    /// program that follows it from outside leaves the tree. An absolute target
    /// means the root inside, and every tool for images knows that.
    pub(super) fn leave(&mut self, link: Inode<'t>, target: &'t [u8]) -> bool {
        // What is followed, each through the one before.
        let mut steps: Vec<_> = self.begin(link, target).into_iter().collect();
        while let Some(mut step) = steps.pop() {
            match self.walk(&mut step) {
                Some((through, target)) => {
                    let next = self.begin(through, target);
                    steps.push(step);
                    steps.extend(next);
                }
                None => {
                    self.known.insert(step.link, step.way);
                }
            }
        }
        self.known.get(&link.ino()).is_some_and(|way| way.leaves)
    }

    /// The first step, if this symlink was not followed before.
    fn begin(&mut self, link: Inode<'t>, target: &'t [u8]) -> Option<Step<'t>> {
        let root = self.table.get(Ino::ROOT)?;
        let Entry::Vacant(unknown) = self.known.entry(link.ino()) else {
            return None;
        };
        let is_absolute = target.starts_with(b"/");
        let way = Way {
            place: if is_absolute { root } else { link.parent() },
            beyond: 0,
            links: 0,
            leaves: false,
        };
        // Who comes back here before it is known goes round in circles.
        unknown.insert(Way {
            links: LINKS_MAX,
            ..way
        });
        Some(Step {
            link: link.ino(),
            way,
            names: target.split(|byte| *byte == b'/'),
            through: None,
        })
    }

    /// Follows a symlink to its end, or until it leads through another one.
    fn walk(&self, step: &mut Step<'t>) -> Option<(Inode<'t>, &'t [u8])> {
        let way = &mut step.way;
        if let Some(through) = step.through.take().and_then(|link| self.known.get(&link)) {
            (way.place, way.beyond) = (through.place, through.beyond);
            way.links = way.links.saturating_add(1).saturating_add(through.links);
        }
        while way.links <= LINKS_MAX {
            match step.names.next()? {
                b"" | b"." => {}
                b".." if way.beyond > 0 => way.beyond -= 1,
                b".." if way.place.ino() == Ino::ROOT => way.leaves = true,
                b".." => way.place = way.place.parent(),
                _ if way.beyond > 0 => way.beyond += 1,
                name => match self.table.lookup(way.place, name) {
                    Some(next) => match next.kind() {
                        InodeKind::Directory(_) => way.place = next,
                        InodeKind::Symlink(target) => {
                            step.through = Some(next.ino());
                            return Some((next, target));
                        }
                        _ => way.beyond = 1,
                    },
                    None => way.beyond = 1,
                },
            }
        }
        None
    }
}
