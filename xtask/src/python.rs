//! The tests of the Python package, which is built for them, in an environment of their own under `target/`.

use std::process::Command;

use crate::process::{root, run};

pub(crate) fn test() -> Result<(), String> {
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
