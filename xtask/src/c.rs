//! The tests of the C library, which is installed for them: misuse, the host's allocator and memory, and conformance under
//! sanitizers, and the examples as a project of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::driver;
use crate::process::{output, root, run, say};

const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

pub(crate) fn test() -> Result<(), String> {
    let folder = root().join("target/c");
    let prefix = folder.join("prefix");
    install(&folder.join("library"), &prefix)?;
    only_own_symbols(&prefix)?;
    beside(&prefix, &folder)?;
    let sanitized = |name: &str| compile(&prefix, &folder, name);
    for program in ["misuse", "allocator", "memory"] {
        run(with_library(&mut Command::new(sanitized(program)?), &prefix).arg("models/default"))?;
    }
    driver::conformance(with_library(&mut Command::new(sanitized("driver")?), &prefix))?;
    examples(&folder.join("examples"), &prefix)
}

/// Builds with the profile of the Rust tests, whose dependencies are then compiled already.
fn install(build: &Path, prefix: &Path) -> Result<(), String> {
    let define = |name: &str, value: &Path| format!("-D{name}={}", value.display());
    run(cmake(build).args(["-S", "needle-c", "-DNEEDLE_RS_PROFILE=dev"]).args([
        define("CMAKE_INSTALL_PREFIX", prefix),
        define("NEEDLE_RS_TARGET_DIR", &target()),
        "-DCMAKE_INSTALL_LIBDIR=lib".into(),
    ]))?;
    run(Command::new("cmake").arg("--build").arg(build))?;
    run(Command::new("cmake").arg("--install").arg(build))
}

/// Whatever else the libraries exported could clash with the host's own.
fn only_own_symbols(prefix: &Path) -> Result<(), String> {
    for (library, table) in [("libneedle_rs.so", "--dynamic"), ("libneedle_rs.a", "--extern-only")] {
        let symbols = output(
            Command::new("nm")
                .args([table, "--defined-only", "--format=posix"])
                .arg(prefix.join("lib").join(library)),
        )?;
        let is_own = |line: &&str| line.starts_with("ndl_") || line.ends_with("[needle_rs.o]:");
        let foreign: Vec<&str> = symbols.lines().filter(|line| !is_own(line)).collect();
        if !foreign.is_empty() {
            return Err(format!("{library} exports {}", foreign.join(", ")));
        }
    }
    Ok(())
}

/// A program of the static library and another in Rust, neither of which sees the other's insides.
fn beside(prefix: &Path, folder: &Path) -> Result<(), String> {
    let (neighbour, program) = (folder.join("libneighbour.a"), folder.join("beside"));
    run(Command::new("rustc")
        .args(["--edition", "2024", "--crate-type", "staticlib", "needle-c/tests/beside/neighbour.rs", "-o"])
        .arg(&neighbour))?;
    run(Command::new("gcc")
        .args(["-std=c99", "needle-c/tests/beside/beside.c"])
        .args(WARNINGS)
        .arg("-I")
        .arg(prefix.join("include"))
        .args([&prefix.join("lib/libneedle_rs.a"), &neighbour])
        .args(["-lpthread", "-ldl", "-lm", "-o"])
        .arg(&program))?;
    run(&mut Command::new(program))
}

/// A test program with the address and undefined-behaviour sanitizers.
fn compile(prefix: &Path, folder: &Path, name: &str) -> Result<PathBuf, String> {
    let program = folder.join(name);
    run(Command::new("gcc")
        .args(["-std=c99", "-D_POSIX_C_SOURCE=200809L", "-g", "-fsanitize=address,undefined"])
        .args(["-fno-sanitize-recover"])
        .args(WARNINGS)
        .arg(format!("needle-c/tests/{name}.c"))
        .arg("-o")
        .arg(&program)
        .args(link(prefix)?))?;
    Ok(program)
}

/// What pkg-config says.
fn link(prefix: &Path) -> Result<Vec<String>, String> {
    let flags = output(
        Command::new("pkg-config")
            .args(["--cflags", "--libs", "needle_rs"])
            .env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig")),
    )?;
    Ok(flags.split_whitespace().map(str::to_owned).collect())
}

fn examples(build: &Path, prefix: &Path) -> Result<(), String> {
    run(cmake(build).args(["-S", "examples/c"]).arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display())))?;
    run(Command::new("cmake").arg("--build").arg(build))?;
    let expected = "dim_lights {\"room\":\"bedroom\",\"level\":30}";
    let answers = |program: &mut Command| {
        let printed = output(program)?;
        if printed.contains(expected) {
            Ok(())
        } else {
            Err(format!("it printed {printed:?}, not {expected:?}"))
        }
    };
    let quickstart = build.join("quickstart");
    answers(&mut Command::new(&quickstart))?;
    answers(Command::new(&quickstart).arg("models/default"))?;
    // What a dependency keeps for the process in its statics is still reachable, though not by pointers to its start.
    answers(
        Command::new("valgrind")
            .args([
                "-q",
                "--leak-check=full",
                "--show-leak-kinds=definite",
                "--errors-for-leak-kinds=definite",
            ])
            .arg("--error-exitcode=9")
            .arg(&quickstart),
    )?;
    run(&mut Command::new(build.join("car_cabin")))?;
    run(&mut Command::new(build.join("game_loop")))?;
    // C++ takes the C header and the C programs as they are.
    for program in ["quickstart", "car_cabin"] {
        run(Command::new("g++")
            .args(["-x", "c++", "-std=c++17", "-fsyntax-only"])
            .args(WARNINGS)
            .arg(format!("examples/c/{program}.c"))
            .args(link(prefix)?))?;
    }
    if Command::new("mcs").arg("--version").output().is_err() {
        say("no mcs: the C# file is not tested");
        return Ok(());
    }
    let program = build.join("Quickstart.exe");
    run(Command::new("mcs")
        .args(["-unsafe", "-langversion:7.2", "examples/c/Quickstart.cs", "needle-c/csharp/NeedleRs.cs"])
        .arg(format!("-out:{}", program.display())))?;
    answers(with_library(&mut Command::new("mono"), prefix).arg(program))
}

fn with_library<'a>(command: &'a mut Command, prefix: &Path) -> &'a mut Command {
    command.env("LD_LIBRARY_PATH", prefix.join("lib"))
}

fn cmake(build: &Path) -> Command {
    let mut command = Command::new("cmake");
    command.arg("-B").arg(build);
    command
}

/// Where cargo puts its results.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
