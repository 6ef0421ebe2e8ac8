//! A process that confines itself and then does one thing, and what came of it.
#![allow(dead_code, reason = "each side takes what it needs")]

pub mod attacks;
pub mod needs;
pub mod prepared;
pub mod scene;

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use continuity::sandbox::{self, Layer, Mode, Violation};

use prepared::Prepared;
use scene::Scene;

/// Tells this program that it is the one that is to be confined.
const ROLE: &str = "CONTINUITY_TEST_CONFINED";

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It failed with this error.
    Denied(i32),
    /// The process was killed by this signal.
    Killed(i32),
    /// Something went wrong with the test itself.
    Broken(String),
}

/// What is taken from the process before it acts.
#[derive(Clone, Copy, Debug)]
pub struct Cage<'a> {
    pub layers: &'a [Layer],
    pub violation: Violation,
    /// With a directory for copies.
    pub copies: bool,
}

/// Everything, as in earnest.
pub const WHOLE: Cage<'static> = Cage {
    layers: &Layer::ALL,
    violation: Violation::Kill,
    copies: false,
};

/// Starts this program again, confined, to do one thing.
pub fn command(scene: &Scene, cage: Cage<'_>, act: &str) -> Command {
    let layers: Vec<String> = cage.layers.iter().map(Layer::to_string).collect();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .env_clear()
        .env(ROLE, act)
        .env("LAYERS", layers.join(","))
        .env("KILL", (cage.violation == Violation::Kill).to_string())
        .env("COPIES", cage.copies.to_string())
        .env("RUST_BACKTRACE", "1")
        .envs(scene.environment())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The same, and waits for it.
pub fn act(scene: &Scene, cage: Cage<'_>, act: &str) -> Outcome {
    let output = command(scene, cage, act).output().unwrap();
    if let Some(signal) = output.status.signal() {
        return Outcome::Killed(signal);
    }
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    match said.trim().split_once(' ') {
        None if said.trim() == "done" => Outcome::Done,
        Some(("denied", errno)) => Outcome::Denied(errno.parse().unwrap()),
        _ => Outcome::Broken(format!(
            "{act}: {said:?} {:?}",
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

/// Tries to confine itself where `missing` cannot be had, and gives what came of
/// it: the report or the error.
pub fn enter_without(scene: &Scene, missing: &str, mode: Mode) -> String {
    let cage = Cage {
        layers: &[],
        ..WHOLE
    };
    let output = command(scene, cage, "enter")
        .env("MISSING", missing)
        .env("MODE", mode.to_string())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Makes a layer fail, as on a kernel that does not have it.
fn take_away(layer: &str) {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
    let call = match layer {
        "landlock" => libc::SYS_landlock_create_ruleset,
        "capabilities" => libc::SYS_capset,
        "seccomp" => libc::SYS_seccomp,
        other => panic!("{other} cannot be taken away"),
    };
    let filter: BpfProgram = SeccompFilter::new(
        [(call, Vec::new())].into(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS as u32),
        TargetArch::try_from(std::env::consts::ARCH).unwrap(),
    )
    .unwrap()
    .try_into()
    .unwrap();
    seccompiler::apply_filter(&filter).unwrap();
}

/// Where this program is the confined one, does what it was told, and ends.
pub fn run_if_confined() {
    let Ok(name) = std::env::var(ROLE) else {
        return;
    };
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let words = variable("LAYERS");
    let layers: Vec<Layer> = Layer::ALL
        .into_iter()
        .filter(|layer| words.split(',').any(|word| word == layer.to_string()))
        .collect();
    let violation = match variable("KILL").as_str() {
        "true" => Violation::Kill,
        _ => Violation::Refuse,
    };
    let copies = variable("COPIES") == "true";
    let prepared = Prepared::new(copies);
    if name == "enter" {
        take_away(&variable("MISSING"));
        let mode: Mode = variable("MODE").parse().unwrap();
        match prepared.confine(|confinement| sandbox::enter(confinement, mode)) {
            Ok(report) => println!("{report}"),
            Err(error) => println!("{error}"),
        }
        std::process::exit(0);
    }
    prepared.confine(|confinement| {
        sandbox::enter_layers(confinement, Mode::Required, &layers, violation).unwrap();
    });
    let result = match (attacks::find(&name), needs::find(&name)) {
        (Some(attack), _) => (attack.run)(&prepared),
        (None, Some(need)) => (need.run)(&prepared),
        (None, None) => panic!("there is no {name}"),
    };
    match result {
        Ok(()) => println!("done"),
        Err(error) => match error.raw_os_error() {
            Some(errno) => println!("denied {errno}"),
            None => println!("failed {error}"),
        },
    }
    std::process::exit(0);
}
