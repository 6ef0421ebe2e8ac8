//! The helper of mount(8), installed as `mount.continuity`.

use std::process::ExitCode;

fn main() -> ExitCode {
    continuity::cli::mount_helper::main()
}
