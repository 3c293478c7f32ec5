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

use std::process::{Command, ExitCode};
use std::thread;

use process::{cargo, labelled, root, say};

const USAGE: &str = "usage: cargo xtask test [rust|python|node|c] | schemas [--check] | header | conformance";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["test"] => rust().and_then(|()| at_once(&["python", "node", "c"])),
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

/// The tests of several languages, which wait for the network and for one another's compilers more than they compute.
fn at_once(languages: &[&str]) -> Result<(), String> {
    let this = std::env::current_exe().map_err(|error| format!("xtask: {error}"))?;
    let test = |language| {
        let mut command = Command::new(&this);
        command.args(["test", language]);
        labelled(language, command)
    };
    let results: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = languages.iter().map(|language| scope.spawn(|| test(language))).collect();
        running.into_iter().map(|one| one.join().unwrap_or_else(|_| Err("xtask panicked".into()))).collect()
    });
    let problems: Vec<String> = results.into_iter().filter_map(Result::err).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}
