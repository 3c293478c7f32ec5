//! The tests of the npm package, and its installation into a fresh project.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::process::{output, root, run, unchanged};

pub(crate) fn test() -> Result<(), String> {
    same_version()?;
    // Not `npm ci`: it wants the tools of every platform, also those that cannot be had here.
    npm(&["install", "--no-save", "--no-audit", "--no-fund"])?;
    // The profile of the Rust tests, whose dependencies are then compiled already.
    npm(&["run", "build:native"])?;
    unchanged(&["needle-node/native.js", "needle-node/native.d.ts"])?;
    npm(&["run", "build:ts"])?;
    run(Command::new("npm").arg("test").current_dir(project()).env("NEEDLE_COMMAND", command()?))?;
    install()
}

/// npm knows no version but the one in the package; the other packages read the workspace's.
fn same_version() -> Result<(), String> {
    let path = project().join("package.json");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let package: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let (found, wanted) = (&package["version"], env!("CARGO_PKG_VERSION"));
    if found == wanted {
        Ok(())
    } else {
        Err(format!("package.json has version {found}, Cargo.toml {wanted}"))
    }
}

/// The path of the `needle` command, which is built for the tests of the server.
fn command() -> Result<String, String> {
    let messages = output(Command::new(env!("CARGO")).args([
        "build",
        "--quiet",
        "--package",
        "needle-cli",
        "--message-format",
        "json",
    ]))?;
    let executable = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(str::to_owned)
    };
    messages.lines().find_map(executable).ok_or_else(|| "cargo names no executable of needle-cli".into())
}

/// Packs the package and its addon, installs both into an empty project and runs the example there.
fn install() -> Result<(), String> {
    let packages = root().join("target/npm");
    let fresh = packages.join("fresh");
    let written =
        |result: std::io::Result<()>| result.map_err(|error| format!("{}: {error}", packages.display()));
    if packages.exists() {
        written(fs::remove_dir_all(&packages))?;
    }
    written(fs::create_dir_all(&fresh))?;
    npm(&["exec", "napi", "--", "create-npm-dirs"])?;
    let platform = platform()?;
    let addon = format!("needle-rs.{platform}.node");
    written(
        fs::copy(project().join(&addon), project().join("npm").join(&platform).join(&addon)).map(|_| ()),
    )?;
    let pack = |folder: &str| {
        let destination = packages.display().to_string();
        npm(&["pack", folder, "--ignore-scripts", "--pack-destination", &destination])
    };
    pack(".")?;
    pack(&format!("./npm/{platform}"))?;
    written(fs::write(fresh.join("package.json"), r#"{"name":"fresh","private":true}"#))?;
    let version = env!("CARGO_PKG_VERSION");
    run(Command::new("npm")
        .args(["install", "--no-audit", "--no-fund"])
        .arg(format!("../needle-rs-{version}.tgz"))
        .arg(format!("../needle-rs-{platform}-{version}.tgz"))
        .current_dir(&fresh))?;
    let example = fresh.join("quickstart.mjs");
    written(fs::copy(root().join("examples/node/quickstart.mjs"), &example).map(|_| ()))?;
    let printed = output(Command::new("node").arg("quickstart.mjs").current_dir(&fresh))?;
    let expected = "bedroom at 30 %";
    if printed.contains(expected) {
        Ok(())
    } else {
        Err(format!("the example printed {printed:?}, not {expected:?}"))
    }
}

/// The platform that the addon was built for, such as `linux-x64-gnu`.
fn platform() -> Result<String, String> {
    let files = fs::read_dir(project()).map_err(|error| format!("needle-node: {error}"))?;
    files
        .flatten()
        .filter_map(|file| file.file_name().into_string().ok())
        .find_map(|name| Some(name.strip_prefix("needle-rs.")?.strip_suffix(".node")?.to_owned()))
        .ok_or_else(|| "needle-node: no addon was built".into())
}

fn npm(arguments: &[&str]) -> Result<(), String> {
    run(Command::new("npm").args(arguments).current_dir(project()))
}

fn project() -> PathBuf {
    root().join("needle-node")
}
