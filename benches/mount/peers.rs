//! Other filesystems that show the same tree, where they are installed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::tree::Tree;

/// A filesystem that is mounted beside ours.
pub struct Peer {
    pub name: &'static str,
    /// Mounts the first path at the second.
    mount: fn(&Path, &Path) -> Command,
    /// The tree, or an image of it.
    source: PathBuf,
    place: PathBuf,
}

/// It is unmounted when this is dropped.
pub struct Mounted(PathBuf);

/// How it is made, and how it is mounted.
struct Kind {
    name: &'static str,
    image: Option<fn(&Path, &Path) -> Command>,
    mount: fn(&Path, &Path) -> Command,
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "bindfs",
        image: None,
        mount: |tree, place| {
            // It asks for everything anew each second unless told otherwise.
            const KEEP: &str = "attr_timeout=86400,entry_timeout=86400,kernel_cache";
            command("bindfs", &["-r", "-o", KEEP], [tree, place])
        },
    },
    Kind {
        name: "squashfuse",
        image: Some(squashfs),
        mount: |image, place| command("squashfuse_ll", &[], [image, place]),
    },
    Kind {
        name: "squashfs",
        image: Some(squashfs),
        mount: |image, place| by_kernel("squashfs", image, place),
    },
    Kind {
        name: "erofs",
        image: Some(|tree, image| {
            let without = ["--quiet", "--exclude-path=halves", "--exclude-path=many"];
            command("mkfs.erofs", &without, [image, tree])
        }),
        mount: |image, place| by_kernel("erofs", image, place),
    },
];

fn squashfs(tree: &Path, image: &Path) -> Command {
    let mut command = command("mksquashfs", &[], [tree, image]);
    // The content is noise, and compressing is no part of this.
    command
        .args(["-noI", "-noD", "-noF", "-noX", "-no-progress", "-quiet"])
        .args(["-e", "halves", "many"]);
    command
}

fn by_kernel(kind: &str, image: &Path, place: &Path) -> Command {
    command("mount", &["-o", "loop,ro", "-t", kind], [image, place])
}

fn command(program: &str, arguments: &[&str], paths: [&Path; 2]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).args(paths);
    command
}

/// All that can be mounted here. Of the others it is said why they cannot.
pub fn find(tree: &Tree, scratch: &Path, mut say: impl FnMut(String)) -> Vec<Peer> {
    let place = scratch.join("peer");
    fs::create_dir(&place).unwrap();
    let mut peers = Vec::new();
    for kind in KINDS {
        let prepared = kind.prepare(tree, scratch, &place);
        match prepared.and_then(|peer| peer.try_mount().map(|_| peer)) {
            Ok(peer) => peers.push(peer),
            Err(reason) => say(format!("{} is not here: {reason}", kind.name)),
        }
    }
    peers
}

impl Kind {
    fn prepare(&self, tree: &Tree, scratch: &Path, place: &Path) -> Result<Peer, String> {
        let source = match self.image {
            None => tree.root.clone(),
            Some(make) => {
                let extension = if self.name == "erofs" {
                    "erofs"
                } else {
                    "squashfs"
                };
                let image = scratch.join(format!("image.{extension}"));
                if !image.exists() {
                    run(make(&tree.root, &image))?;
                }
                image
            }
        };
        Ok(Peer {
            name: self.name,
            mount: self.mount,
            source,
            place: place.to_owned(),
        })
    }
}

impl Peer {
    pub fn mount(&self) -> Mounted {
        self.try_mount()
            .unwrap_or_else(|reason| panic!("{}: {reason}", self.name))
    }

    fn try_mount(&self) -> Result<Mounted, String> {
        run((self.mount)(&self.source, &self.place))?;
        Ok(Mounted(self.place.clone()))
    }

    /// Reads its image, so that it lies in the page cache as the tree does.
    pub fn warm(&self) {
        if self.source.is_file() {
            io::copy(&mut File::open(&self.source).unwrap(), &mut io::sink()).unwrap();
        }
    }
}

impl Mounted {
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn run(mut command: Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(Output { status, .. }) if status.success() => Ok(()),
        Ok(output) => {
            let complaint = String::from_utf8_lossy(&output.stderr);
            Err(format!("{program}: {}", complaint.trim()))
        }
        Err(error) => Err(format!("{program}: {error}")),
    }
}
