//! Which system calls can be made, and with what.
//!
//! Two filters, of which the stricter answer counts. One has the calls that are
//! allowed (`allowed.rs`); any other kills the process. The other has a few that
//! libraries try and go on without: those fail as if the kernel had them not.
//!
//! What a pointer points to cannot be looked at. So openat2(2) may name any
//! path here: what it can open is up to landlock. And clone3(2), whose flags
//! are behind a pointer, is one that the kernel has not: the C library then
//! makes its threads by clone(2), whose flags can be looked at.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompFilter, SeccompRule, TargetArch,
};

use super::allowed::{self, Call};
use super::{Cause, Confinement, State, Supervision, Violation, forbidden};

/// What each group of calls is for, and their names.
pub(super) fn calls(confinement: &Confinement<'_>) -> Result<Vec<Purpose>, Cause> {
    let groups = allowed::groups(confinement).map_err(|error| not_built(&error))?;
    let groups = groups.into_iter().map(|group| Purpose {
        what_for: group.what_for,
        calls: group.calls.iter().map(Call::name).collect(),
    });
    Ok(groups.collect())
}

pub(super) fn install(confinement: &Confinement<'_>, violation: Violation) -> Result<State, Cause> {
    let filters = Filters::build(confinement, violation).map_err(|error| not_built(&error))?;
    load(&filters.absent)?;
    // The last: to load a filter is not on the list.
    load(&filters.list)?;
    let others = match violation {
        Violation::Kill => "any other kills",
        Violation::Refuse => "any other fails",
    };
    Ok(State::Full(format!("{} calls, {others}", filters.count)))
}

/// The names and numbers of what a supervisor must not call.
pub(super) fn not_allowed(supervision: &Supervision) -> Result<Vec<(&'static str, i64)>, Cause> {
    let calls = forbidden::calls(supervision).map_err(|error| not_built(&error))?;
    Ok(calls
        .iter()
        .map(|call| (call.name(), call.number))
        .collect())
}

/// Forbids some calls; all others are allowed.
pub(super) fn forbid(supervision: &Supervision) -> Result<State, Cause> {
    let build = || -> Result<(usize, BpfProgram), BackendError> {
        let rules = to_rules(forbidden::calls(supervision)?);
        let count = rules.len();
        let refusal = SeccompAction::Errno(number(libc::EPERM));
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, refusal, ARCH)?;
        Ok((count, filter.try_into()?))
    };
    let (count, filter) = build().map_err(|error| not_built(&error))?;
    load(&filter)?;
    Ok(State::Full(format!("{count} calls fail")))
}

#[cfg(target_arch = "x86_64")]
const ARCH: TargetArch = TargetArch::x86_64;
#[cfg(target_arch = "aarch64")]
const ARCH: TargetArch = TargetArch::aarch64;

/// System calls that are allowed for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purpose {
    /// The reason.
    pub what_for: &'static str,
    /// Their names, as in the C library.
    pub calls: Vec<&'static str>,
}

struct Filters {
    absent: BpfProgram,
    list: BpfProgram,
    /// How many calls are on the list.
    count: usize,
}

impl Filters {
    fn build(confinement: &Confinement<'_>, violation: Violation) -> Result<Self, BackendError> {
        let allowed: Vec<Call> = allowed::groups(confinement)?
            .into_iter()
            .flat_map(|group| group.calls)
            .collect();
        let refusal = match violation {
            Violation::Kill => SeccompAction::KillProcess,
            Violation::Refuse => SeccompAction::Errno(number(libc::EPERM)),
        };
        let mut rules = to_rules(allowed);
        let count = rules.len();
        // The list lets them pass, since the other filter does not.
        for call in allowed::absent()? {
            add(&mut rules, call);
        }
        let list = SeccompFilter::new(rules, refusal, SeccompAction::Allow, ARCH)?;
        let absent = SeccompFilter::new(
            to_rules(allowed::absent()?),
            SeccompAction::Allow,
            SeccompAction::Errno(number(libc::ENOSYS)),
            ARCH,
        )?;
        Ok(Self {
            absent: absent.try_into()?,
            list: list.try_into()?,
            count,
        })
    }
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn to_rules(calls: impl IntoIterator<Item = Call>) -> Rules {
    let mut rules = Rules::new();
    for call in calls {
        add(&mut rules, call);
    }
    rules
}

/// A call that comes twice may be made in both ways; without a rule, in any.
fn add(rules: &mut Rules, call: Call) {
    match rules.entry(call.number) {
        std::collections::btree_map::Entry::Vacant(entry) => {
            entry.insert(call.only);
        }
        std::collections::btree_map::Entry::Occupied(mut entry) => {
            if call.only.is_empty() {
                entry.get_mut().clear();
            } else if !entry.get().is_empty() {
                entry.get_mut().extend(call.only);
            }
        }
    }
}

fn load(filter: &BpfProgram) -> Result<(), Cause> {
    seccompiler::apply_filter(filter).map_err(|error| match error {
        seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => Cause::Io(error),
        error => Cause::Unavailable(error.to_string()),
    })
}

fn not_built(error: &BackendError) -> Cause {
    Cause::Unavailable(error.to_string())
}

/// An errno as a filter gives it.
fn number(errno: i32) -> u32 {
    errno.unsigned_abs()
}
