//! The sandbox, from within: a process that confines itself tries what somebody
//! would try who has taken it over, and what it needs for its work.
//!
//! Every attack is tried without a sandbox too, where it works: a test that
//! would pass without the sandbox shows nothing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod sandboxed;

use std::os::fd::AsFd;
use std::sync::{Arc, LazyLock};

use continuity::sandbox::{Confinement, Layer, Mode, Purpose, Violation};
use libtest_mimic::{Arguments, Failed, Trial};
use sandboxed::attacks::{ATTACKS, Attack};
use sandboxed::needs::{COPY_NEEDS, NEEDS, Need};
use sandboxed::scene::Scene;
use sandboxed::{Cage, Outcome, WHOLE, act, enter_without, run_if_confined};

fn main() {
    // First: a confined process has one thread only.
    run_if_confined();
    let arguments = Arguments::from_args();
    // Only made if a test needs it.
    let scene: Arc<LazyLock<Scene>> = Arc::new(LazyLock::new(Scene::new));
    let mut trials = Vec::new();
    for attack in ATTACKS {
        let scene = Arc::clone(&scene);
        trials.push(Trial::test(format!("refuses_{}", attack.name), move || {
            refuses(&scene, attack)
        }));
    }
    let needs = NEEDS.iter().map(|need| (need, false));
    for (need, copies) in needs.chain(COPY_NEEDS.iter().map(|need| (need, true))) {
        let scene = Arc::clone(&scene);
        trials.push(Trial::test(format!("allows_{}", need.name), move || {
            allows(&scene, need, copies)
        }));
    }
    for missing in ["landlock", "capabilities", "seccomp"] {
        let scene = Arc::clone(&scene);
        trials.push(Trial::test(format!("tells_without_{missing}"), move || {
            tells(&scene, missing)
        }));
    }
    trials.push(Trial::test("documents_every_call", documents));
    let result = libtest_mimic::run(&arguments, trials);
    drop(scene);
    result.exit();
}

/// Without a sandbox it works; each layer that should refuses it, and no other
/// does; all together refuse it; and where the list of system calls has not got
/// it, the process is killed.
fn refuses(scene: &Scene, attack: &Attack) -> Result<(), Failed> {
    let works = match attack.without {
        None => Outcome::Done,
        Some(errno) => Outcome::Denied(errno),
    };
    let alone = |layers: &[Layer]| {
        let violation = Violation::Refuse;
        let outcome = act(
            scene,
            Cage {
                layers,
                violation,
                copies: false,
            },
            attack.name,
        );
        match outcome {
            Outcome::Broken(how) => Err(Failed::from(how)),
            outcome => Ok(outcome),
        }
    };
    let without = alone(&[])?;
    check(without == works, format!("without a sandbox: {without:?}"))?;
    for layer in Layer::ALL {
        let outcome = alone(&[layer])?;
        let refused = outcome != works;
        check(
            refused == attack.by.contains(&layer) || attack.perhaps_by == Some(layer),
            format!("{layer} alone: {outcome:?}"),
        )?;
    }
    let refused = alone(&Layer::ALL)?;
    check(refused != works, format!("all layers: {refused:?}"))?;
    let outcome = act(scene, WHOLE, attack.name);
    let is_as_it_should = match outcome {
        Outcome::Killed(libc::SIGSYS) => attack.by.contains(&Layer::Seccomp),
        Outcome::Killed(_) | Outcome::Denied(_) => refused == outcome,
        Outcome::Done | Outcome::Broken(_) => false,
    };
    check(is_as_it_should, format!("in earnest: {outcome:?}"))
}

fn allows(scene: &Scene, need: &Need, copies: bool) -> Result<(), Failed> {
    let outcome = act(scene, Cage { copies, ..WHOLE }, need.name);
    check(outcome == Outcome::Done, format!("{outcome:?}"))
}

/// What is required and cannot be had is an error; where the best is enough the
/// report says what is missing, and the rest is there.
fn tells(scene: &Scene, missing: &str) -> Result<(), Failed> {
    let said = enter_without(scene, missing, Mode::Required);
    check(
        said.starts_with(&format!("the layer {missing} of the sandbox cannot")),
        format!("required: {said}"),
    )?;
    let said = enter_without(scene, missing, Mode::BestEffort);
    for layer in Layer::ALL.map(|layer| layer.to_string()) {
        let word = if layer == missing { "missing" } else { "full" };
        check(said.contains(&format!(" {layer}={word}(")), said.clone())?;
    }
    Ok(())
}

/// The table of docs/security.md is the list that the filter is made of.
fn documents() -> Result<(), Failed> {
    let document = std::fs::read_to_string("docs/security.md")?;
    let pairs = std::os::unix::net::UnixStream::pair()?;
    let confinement = Confinement {
        writable: Some(pairs.0.as_fd()),
        passthrough: true,
        ..Confinement::default()
    };
    for Purpose { what_for, calls } in continuity::sandbox::calls(&confinement)? {
        let calls: Vec<String> = calls.iter().map(|call| format!("`{call}`")).collect();
        let row = format!("| {what_for} | {} |", calls.join(" "));
        check(
            document.contains(&row),
            format!("docs/security.md lacks: {row}"),
        )?;
    }
    Ok(())
}

fn check(holds: bool, otherwise: String) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}
