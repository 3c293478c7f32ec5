//! `cargo xtask test` runs every test there is, quick ones first, or those of one language; `cargo xtask schemas` and
//! `header` and `conformance` write `schemas/`, `needle_rs.h` and `tests/conformance/vectors.json` anew.

mod c;
mod conformance;
mod driver;
mod header;
mod node;
mod process;
mod python;
mod schemas;

use std::process::ExitCode;

use process::{cargo, root, say};

const USAGE: &str = "usage: cargo xtask test [rust|python|node|c] | schemas [--check] | header | conformance";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["test"] => rust().and_then(|()| python::test()).and_then(|()| node::test()).and_then(|()| c::test()),
        ["test", "rust"] => rust(),
        ["test", "python"] => python::test(),
        ["test", "node"] => node::test(),
        ["test", "c"] => c::test(),
        ["schemas"] => schemas::write(&root().join("schemas")),
        ["schemas", "--check"] => schemas::check(&root().join("schemas")),
        ["header"] => header::write(),
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
    header::check()?;
    cargo(&["test", "--workspace"])
}
