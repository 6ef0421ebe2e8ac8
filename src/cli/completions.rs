//! `continuity completions`: what a shell needs to complete our commands.

use std::io::Write;

use clap::{CommandFactory, ValueEnum};
use clap_complete::Shell as Kind;

use super::output::Output;
use super::{Failure, Outcome};

/// Print the completions for a shell
///
/// `make install` and the Debian package put them where bash, zsh and fish look.
/// Elsewhere, in the shell's startup file: for bash
/// `source <(continuity completions bash)`, for fish
/// `continuity completions fish | source`; for zsh, write them to a file `_continuity`
/// in a directory of `$fpath`.
#[derive(Debug, clap::Args)]
#[command(visible_alias = "completion")]
pub(super) struct Arguments {
    shell: Shell,
}

/// The shells that are tested.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Fish,
    Zsh,
}

pub(super) fn run(arguments: &Arguments) -> Result<Outcome, Failure> {
    let shell = match arguments.shell {
        Shell::Bash => Kind::Bash,
        Shell::Fish => Kind::Fish,
        Shell::Zsh => Kind::Zsh,
    };
    let mut script = Vec::new();
    let mut command = super::Arguments::command();
    clap_complete::generate(shell, &mut command, "continuity", &mut script);
    let mut output = Output::stdout();
    output.write_all(&script)?;
    output.finish()?;
    Ok(Outcome::Success)
}
