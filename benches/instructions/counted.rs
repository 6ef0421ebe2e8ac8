//! The process that is counted, and who counts it.

use std::fs::{self, File};
use std::hint::black_box;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use continuity::digest::Algorithm;
use continuity::fs::{Filesystem, Presentation};
use continuity::fuse::Session;
use continuity::inode::{InodeTable, RootOwner};
use continuity::manifest::Limits;
use continuity::source::{ContentRef, Source, SourceError, SourceFile};
use continuity::verify::{Options, Verifier};

use super::common::arguments::{number, text};
use super::common::noise;
use super::operations::What;
use super::requests::{EVERYTHING, Kernel};

/// What this program does when it is the one that is counted.
pub const SERVE: &str = "--serve";
pub const HASH: &str = "--hash";
pub const FEATURES: &str = "--features";

/// Fewer bytes than the files have that are read chunk by chunk.
const BLOCK_CACHE: usize = 1 << 20;

/// Runs this program under callgrind.
pub struct Counting<'a> {
    scratch: &'a Path,
}

/// What was counted.
pub struct Count {
    pub operations: u64,
    pub instructions: u64,
}

impl<'a> Counting<'a> {
    pub fn new(scratch: &'a Path) -> Self {
        Self { scratch }
    }

    /// Which valgrind it is.
    pub fn valgrind(&self) -> String {
        output(Command::new("valgrind").arg("--version"))
    }

    /// What valgrind lets a program see of the processor.
    pub fn features(&self) -> String {
        output(self.callgrind().arg(FEATURES))
    }

    pub fn count(&self, what: &What, times: u64) -> Count {
        let operations = match what {
            What::Requests(ask) => {
                let mut command = self.callgrind();
                command.arg(SERVE).arg(self.scratch);
                let mut kernel = Kernel::with(EVERYTHING, |device| {
                    let mut server = command.stdin(device).spawn().unwrap();
                    std::thread::spawn(move || {
                        assert!(server.wait()?.success());
                        Ok(())
                    })
                });
                let operations = ask(&mut kernel, times);
                kernel.destroy().unwrap();
                operations
            }
            What::Hash(algorithm, size) => {
                let mut command = self.callgrind();
                command.args([HASH, algorithm.name()]);
                command.args(["--size", &size.to_string(), "--times", &times.to_string()]);
                output(&mut command);
                times
            }
        };
        let log = fs::read_to_string(self.log()).unwrap();
        let instructions = log
            .lines()
            .find_map(|line| line.split_once("Collected : "))
            .unwrap_or_else(|| panic!("callgrind counted nothing: {log}"))
            .1
            .parse()
            .unwrap();
        Count {
            operations,
            instructions,
        }
    }

    fn callgrind(&self) -> Command {
        let profile = text("--profile").unwrap_or_else(|| "/dev/null".to_owned());
        let mut command = Command::new("valgrind");
        command
            .arg("--tool=callgrind")
            .arg(format!("--callgrind-out-file={profile}"))
            .arg(format!("--log-file={}", self.log().display()))
            .arg(std::env::current_exe().unwrap());
        command
    }

    fn log(&self) -> PathBuf {
        self.scratch.join("log")
    }
}

fn output(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Serves the tree in a directory to whoever is at the other end of standard
/// input, until that one ends it.
pub fn serve() {
    let scratch = text(SERVE).unwrap();
    let scratch = Path::new(&scratch);
    let manifest = fs::read(scratch.join("manifest")).unwrap();
    let table = InodeTable::build(&manifest, &Limits::default(), RootOwner::default()).unwrap();
    let source = PlainSource(scratch.join("tree"));
    let options = Options {
        block_cache: BLOCK_CACHE,
        ..Options::default()
    };
    let verifier = Verifier::new(Box::new(source), options).unwrap();
    let filesystem = Filesystem::new(table, verifier, Presentation::default(), None);
    let device = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let session = Session::start(device, Arc::new(filesystem)).unwrap();
    session.serve().unwrap();
}

/// A directory, by open(2): valgrind 3.19, for one, does not know openat2(2).
#[derive(Debug)]
struct PlainSource(PathBuf);

#[derive(Debug)]
struct PlainFile(File);

impl Source for PlainSource {
    fn open(&self, content: &ContentRef<'_>) -> Result<Box<dyn SourceFile>, SourceError> {
        let name = content.path.relative();
        let file = File::open(self.0.join(name)).map_err(SourceError::Io)?;
        Ok(Box::new(PlainFile(file)))
    }
}

impl SourceFile for PlainFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }
}

/// Hashes some bytes over and over.
pub fn hash() {
    let algorithm = Algorithm::from_name(&text(HASH).unwrap()).unwrap();
    let bytes: Vec<u8> = noise(1).take(number("--size", 0) as usize).collect();
    for _ in 0..number("--times", 1) {
        black_box(algorithm.hash(black_box(&bytes)));
    }
}

/// Prints what a program can see of the processor that matters to hashing.
pub fn print_features() {
    #[cfg(target_arch = "x86_64")]
    for (name, is_there) in [
        ("SHA-NI", is_x86_feature_detected!("sha")),
        ("AVX2", is_x86_feature_detected!("avx2")),
        ("AVX-512", is_x86_feature_detected!("avx512f")),
    ] {
        print!("{}{name} ", if is_there { "" } else { "no " });
    }
    #[cfg(not(target_arch = "x86_64"))]
    print!("what {} has", std::env::consts::ARCH);
}
