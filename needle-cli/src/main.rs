//! The `needle` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(needle_cli::run(std::env::args_os()))
}
