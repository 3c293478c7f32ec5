//! `cargo xtask test` runs every test there is, quick ones first, or those of one language; `cargo xtask schemas` and
//! `cargo xtask conformance` write `schemas/` and `tests/conformance/vectors.json` anew.

mod conformance;
mod node;
mod process;
mod python;
mod schemas;

use std::process::ExitCode;

use process::{cargo, root, say};

const USAGE: &str = "usage: cargo xtask test [rust|python|node] | schemas [--check] | conformance";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["test"] => rust().and_then(|()| python::test()).and_then(|()| node::test()),
        ["test", "rust"] => rust(),
        ["test", "python"] => python::test(),
        ["test", "node"] => node::test(),
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
