//! The tests of the Python package: its wheel is built and installed into an environment for them under `target/`, and into
//! an empty one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{output, root, run};

/// The profile of the Rust tests, whose dependencies are then compiled already.
const PROFILE: (&str, &str) = ("MATURIN_PEP517_ARGS", "--profile dev");

/// `LiteLLM`, which wants other versions of what the other frameworks want, and works with theirs; and what it lacks then.
const LITELLM: [&str; 2] = ["--no-deps", "litellm==1.109.1"];
const OF_LITELLM: [&str; 4] = ["fastuuid", "h2", "importlib-metadata", "pydantic-settings"];

pub(crate) fn test() -> Result<(), String> {
    let python = environment("target/python")?;
    let project = root().join("needle-py");
    // The one that comes with Python 3.11 gives up on so many packages.
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--upgrade", "pip"]))?;
    let wheel = wheel(&python, &project)?;
    let install = |packages: &[&str]| {
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(packages))
    };
    install(&["--force-reinstall", "--no-deps", &wheel])?;
    install(&[&format!("{wheel}[train,test]")])?;
    install(&LITELLM)?;
    install(&OF_LITELLM)?;
    run(Command::new(&python).args(["-m", "ruff", "check", "."]).current_dir(&project))?;
    run(Command::new(&python).args(["-m", "ruff", "format", "--check", "."]).current_dir(&project))?;
    run(Command::new(&python).args(["-m", "pytest", "--quiet"]).current_dir(&project))?;
    alone(&wheel, &project)
}

/// Builds the wheel; returns its path.
fn wheel(python: &Path, project: &Path) -> Result<String, String> {
    let folder = empty("target/wheels")?;
    run(Command::new(python)
        .args(["-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir"])
        .args([&folder, project])
        .env(PROFILE.0, PROFILE.1))?;
    let mut files = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let file = files.find_map(Result::ok).ok_or("pip built no wheel")?;
    Ok(file.path().display().to_string())
}

/// Installs the wheel into an empty environment and runs the README's program there.
fn alone(wheel: &str, project: &Path) -> Result<(), String> {
    empty("target/fresh-python")?;
    let python = environment("target/fresh-python")?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--no-index", wheel]))?;
    let readme =
        fs::read_to_string(project.join("README.md")).map_err(|error| format!("README.md: {error}"))?;
    let program = readme.split("```python\n").nth(1).and_then(|rest| rest.split("```").next());
    let program = program.ok_or("needle-py/README.md has no program")?;
    // Not in the project's folder, where the package's source lies.
    let printed = output(Command::new(&python).args(["-c", program]).current_dir(root().join("target")))?;
    let expected = "['bedroom: 30 %']";
    if printed.contains(expected) { Ok(()) } else { Err(format!("the README's program printed {printed:?}")) }
}

/// A folder that is not there, or not any more.
fn empty(place: &str) -> Result<PathBuf, String> {
    let folder = root().join(place);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    Ok(folder)
}

/// A virtual environment, made if there is none; returns its interpreter.
fn environment(place: &str) -> Result<PathBuf, String> {
    let folder = root().join(place);
    let python = folder.join("bin/python");
    if !python.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    }
    Ok(python)
}
