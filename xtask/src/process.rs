//! Running commands.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Instant;

/// When the first command was run.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Runs cargo in the workspace's root.
pub(crate) fn cargo(arguments: &[&str]) -> Result<(), String> {
    run(Command::new(env!("CARGO")).args(arguments))
}

/// Runs a command in the workspace's root unless it says otherwise, and shows what it runs and when.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    prepare(command);
    let shown = shown(command);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{shown}: {status}")),
        Err(error) => Err(format!("{shown}: {error}")),
    }
}

/// As `run`, with a label before each line that the command prints, for commands that run at once.
pub(crate) fn labelled(label: &str, mut command: Command) -> Result<(), String> {
    prepare(&mut command);
    let shown = shown(&command);
    let failed = |error: std::io::Error| format!("{shown}: {error}");
    let (reader, writer) = std::io::pipe().map_err(failed)?;
    command.stdout(writer.try_clone().map_err(failed)?).stderr(writer);
    let mut child = command.spawn().map_err(failed)?;
    // It holds ends of the pipe, which would never close.
    drop(command);
    for line in BufReader::new(reader).split(b'\n') {
        say(&format!("{label} | {}", String::from_utf8_lossy(&line.map_err(failed)?)));
    }
    let status = child.wait().map_err(failed)?;
    if status.success() { Ok(()) } else { Err(format!("{shown}: {status}")) }
}

/// As `run`; returns what the command printed.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    prepare(command);
    let shown = shown(command);
    let output = command.output().map_err(|error| format!("{shown}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{shown}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("{shown}: {error}"))
}

/// Fails if generated files differ from the committed ones.
pub(crate) fn unchanged(paths: &[&str]) -> Result<(), String> {
    run(Command::new("git").args(["diff", "--exit-code", "--stat", "--"]).args(paths))
        .map_err(|problem| format!("{problem}: a generated file is not what is committed; commit it"))
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub(crate) fn say(line: &str) {
    use std::io::Write;
    // If standard error is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn prepare(command: &mut Command) {
    if command.get_current_dir().is_none() {
        command.current_dir(root());
    }
    let seconds = START.elapsed().as_secs();
    say(&format!("+ {:02}:{:02} {}", seconds / 60, seconds % 60, shown(command)));
}

fn shown(command: &Command) -> String {
    let arguments: Vec<_> = command.get_args().map(|argument| argument.to_string_lossy()).collect();
    format!("{} {}", command.get_program().display(), arguments.join(" "))
}
