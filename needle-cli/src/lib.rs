//! The `needle` command: results on standard output, everything else on standard error.
//!
//! Exit codes: 0 for a result (a call or a hand-off), 2 for wrong usage or wrong input.

mod commands;
mod draw;
mod files;
mod listen;
mod model;
mod playground;
mod serve;
mod tools;

use std::ffi::OsString;

use clap::{Parser, Subcommand};

use commands::{
    bench, calibrate, convert, eval, playground as playground_command, pull, run, serve as serve_command,
    shadow, tools as tools_command,
};

/// Decides small tool calls locally: a query and a list of tools in, calls or a hand-off out.
#[derive(Parser)]
#[command(name = "needle", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Run),
    Serve(serve_command::Serve),
    Shadow(shadow::Shadow),
    Playground(playground_command::Playground),
    Eval(eval::Eval),
    Bench(bench::Bench),
    Calibrate(calibrate::Calibrate),
    Convert(convert::Convert),
    Pull(pull::Pull),
    #[command(subcommand)]
    Tools(tools_command::Tools),
}

/// What a command ends with; the message goes to standard error.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Runs the command with these arguments, the program's name first, and returns its exit code.
///
/// `--help`, `--version` and wrong usage end the process, as clap does.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let result = match Cli::parse_from(arguments).command {
        Command::Run(command) => command.run(),
        Command::Serve(command) => command.run(),
        Command::Shadow(command) => command.run(),
        Command::Playground(command) => command.run(),
        Command::Eval(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Calibrate(command) => command.run(),
        Command::Convert(command) => command.run(),
        Command::Pull(command) => command.run(),
        Command::Tools(command) => command.run(),
    };
    match result {
        Ok(()) => 0,
        // A reader that has seen enough, such as `head`, is no error.
        Err(error) if is_closed_pipe(error.as_ref()) => 0,
        Err(error) => {
            note(format_args!("error: {error}"));
            2
        }
    }
}

fn is_closed_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Writes a line to standard error; if that is closed there is nobody to tell.
fn note(message: std::fmt::Arguments<'_>) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{message}");
}
