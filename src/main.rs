//! The `continuity` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    continuity::cli::main()
}
