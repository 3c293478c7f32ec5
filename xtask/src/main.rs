//! `cargo xtask test` runs every test there is, quick ones first; `cargo xtask schemas` and `cargo xtask conformance`
//! write `schemas/` and `tests/conformance/vectors.json` anew.

mod conformance;
mod schemas;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str = "usage: cargo xtask test [--no-python] | schemas [--check] | conformance";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["test"] => rust().and_then(|()| python()),
        ["test", "--no-python"] => rust(),
        ["schemas"] => schemas::write(&root().join("schemas")),
        ["schemas", "--check"] => schemas::check(&root().join("schemas")),
        ["conformance"] => {
            conformance::write(&root().join("tests/conformance"), &root().join("models/default"))
        }
        _ => Err(USAGE.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            say(&format!("error: {problem}"));
            ExitCode::FAILURE
        }
    }
}

fn rust() -> Result<(), String> {
    cargo(&["fmt", "--all", "--check"])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    schemas::check(&root().join("schemas"))?;
    cargo(&["test", "--workspace"])
}

/// The tests of the Python package, which is built for them, in an environment of their own under `target/`.
fn python() -> Result<(), String> {
    let environment = root().join("target/python");
    let python = environment.join("bin/python");
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
    }
    let project = root().join("needle-py");
    let package = format!("{}[train,test]", project.display());
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--editable", &package])
        // The profile of the Rust tests, whose dependencies are then compiled already.
        .env("MATURIN_PEP517_ARGS", "--profile dev"))?;
    run(Command::new(&python).args(["-m", "ruff", "check", "."]).current_dir(&project))?;
    run(Command::new(&python).args(["-m", "ruff", "format", "--check", "."]).current_dir(&project))?;
    run(Command::new(&python).args(["-m", "pytest", "--quiet"]).current_dir(&project))
}

fn cargo(arguments: &[&str]) -> Result<(), String> {
    run(Command::new(env!("CARGO")).args(arguments))
}

/// Runs a command in the workspace's root unless it says otherwise, and shows what it runs.
fn run(command: &mut Command) -> Result<(), String> {
    if command.get_current_dir().is_none() {
        command.current_dir(root());
    }
    let shown = format!("{} {}", command.get_program().display(), join(command));
    say(&format!("+ {shown}"));
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{shown}: {status}")),
        Err(error) => Err(format!("{shown}: {error}")),
    }
}

fn join(command: &Command) -> String {
    command.get_args().map(|argument| argument.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn say(line: &str) {
    use std::io::Write;
    // If standard error is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}
