//! What a person types: argv, usage text, exit code. Parses and hands over;
//! what a command does is in its own file.

pub mod check;
mod control;
pub mod create;
mod export;
mod grids;
mod other_name;
mod serve;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// A mistake in the arguments (DESIGN.md §2).
const USAGE: u8 = 1;
const SYSTEM_REFUSED: u8 = 3;

#[derive(Parser)]
#[command(
    name = "rhumb",
    version,
    about = "A map proxy and tile cache as one native daemon",
    long_about = "A map proxy and tile cache as one native daemon. It reads the mapproxy.yaml that \
                  MapProxy users have, answers the same requests and shares the same caches.\n\n\
                  Without a command it serves a world map that is inside the program on \
                  http://127.0.0.1:8080/.",
    after_help = "Exit codes: 0 done, 1 usage, 2 a configuration is refused, 3 the system refused.\n\
                  The master reloads its configuration on SIGHUP, leaves at once on SIGTERM and \
                  after the last request on SIGQUIT."
)]
struct Line {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    start: Start,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a map for development: human log, reloads by itself when a file changes
    Develop(Develop),
    /// Run the production daemon
    Serve(Serve),
    /// Print every error and warning of a configuration
    Check(Check),
    /// Write a directory to start from
    Create(Create),
    /// Tell resolutions and numbers of tiles of a configuration's grids
    Grids(grids::Grids),
    /// Write the tiles of a cache or source into files of their own
    Export(Box<export::Export>),
    /// Let the running daemon take its configuration anew; tell why where it refuses
    Reload(Ask),
    /// Let the running daemon start its program file anew and hand over to it
    Upgrade(Ask),
    /// End the running daemon now
    Stop(Ask),
    /// End the running daemon after the last request
    Quit(Ask),
    /// Let the running daemon open its log files anew
    Reopen(Ask),
    /// Tell how the running daemon fares
    Status(Status),
    /// Send the running daemon a signal by its name
    Signal(SendSignal),
}

/// What every command that acts on a running daemon takes.
#[derive(Args)]
struct Ask {
    /// The daemon's file: says where the daemon is to be found
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Seconds to wait for the outcome
    #[arg(long = "timeout", value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout_s: u64,
}

#[derive(Args)]
struct Status {
    #[command(flatten)]
    ask: Ask,
    /// Print the answer as it came
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct SendSignal {
    /// For example HUP; see the manual
    #[arg(value_name = "NAME", value_parser = control::parse_signal)]
    signal: &'static crate::master::Row,
    #[command(flatten)]
    ask: Ask,
}

/// A command for a running daemon.
struct Act {
    ask: Ask,
    command: control::Command,
}

/// What every command that starts a master takes.
#[derive(Args, Clone, Copy)]
struct Start {
    /// Write one line with the listening addresses to this descriptor when the
    /// first workers are ready
    #[arg(long, value_name = "N", global = true)]
    ready_fd: Option<i32>,
    /// Say whether this program can take over from a running one, and end
    #[arg(long, global = true, hide = true)]
    handshake: bool,
}

#[derive(Args)]
struct Develop {
    /// A mapproxy.yaml, or a directory of which each NAME.yaml is served under
    /// /NAME/ [default: the world map inside the program]
    #[arg(value_name = "MAP.yaml|DIR")]
    map: Option<PathBuf>,
    /// A daemon's file to start from
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1:8080]
    #[arg(short, long, value_name = "[HOST:]PORT", value_parser = serve::parse_bind)]
    bind: Option<std::net::SocketAddr>,
    /// Reload when a file of the configuration changes (the default)
    #[arg(long, overrides_with = "no_reload")]
    reload: bool,
    /// Reload on SIGHUP only
    #[arg(long)]
    no_reload: bool,
    /// List the maps of a directory at /
    #[arg(long)]
    allow_listing: bool,
}

#[derive(Args)]
struct Serve {
    /// The daemon's file, for example etc/rhumb.yaml
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Go to the background once the first workers are ready
    #[arg(long)]
    daemon: bool,
}

#[derive(Args)]
struct Check {
    /// A daemon's file
    #[arg(short, long, value_name = "FILE", required_unless_present = "map")]
    config: Option<PathBuf>,
    /// A mapproxy.yaml
    #[arg(value_name = "MAP.yaml")]
    map: Option<PathBuf>,
    /// Refuse what draws a warning too: unknown keys, missing features
    #[arg(long)]
    strict: bool,
}

#[derive(Args)]
struct Create {
    /// Must not hold any of the files yet
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Runs the command line; 0 done, 1 usage, 2 a configuration is refused,
/// 3 the system refused.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments = match other_name::translate(arguments.collect()) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(USAGE);
        }
    };
    let line = match Line::try_parse_from(arguments) {
        Ok(line) => line,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    match line.command {
        None => serve::serve_embedded(line.start),
        Some(Command::Develop(develop)) => serve::develop(develop, line.start),
        Some(Command::Serve(serve)) => serve::serve(serve, line.start),
        Some(Command::Check(check)) => check::run(check.config, check.map, check.strict),
        Some(Command::Create(create)) => create::run(create.directory),
        Some(Command::Grids(grids)) => grids::run(grids),
        Some(Command::Export(export)) => export::run(*export),
        Some(Command::Reload(ask)) => control::run(Act { ask, command: control::Command::Reload }),
        Some(Command::Upgrade(ask)) => control::run(Act { ask, command: control::Command::Upgrade }),
        Some(Command::Stop(ask)) => control::run(Act { ask, command: control::Command::Stop }),
        Some(Command::Quit(ask)) => control::run(Act { ask, command: control::Command::Quit }),
        Some(Command::Reopen(ask)) => control::run(Act { ask, command: control::Command::Reopen }),
        Some(Command::Status(Status { ask, json })) => {
            control::run(Act { ask, command: control::Command::Status { json } })
        }
        Some(Command::Signal(SendSignal { signal, ask })) => {
            control::run(Act { ask, command: control::Command::Signal(signal) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Line, clap::Error> {
        Line::try_parse_from(std::iter::once("rhumb").chain(line.split_whitespace()))
    }

    #[test]
    fn the_table_of_arguments_is_sound() {
        Line::command().debug_assert();
    }

    #[test]
    fn commands_and_their_mistakes() {
        for good in [
            "",
            "--ready-fd 5",
            "develop",
            "develop map.yaml --bind 9000 --no-reload --allow-listing --ready-fd 7",
            "develop -c etc/develop.yaml -b [::1]:80",
            "serve -c etc/rhumb.yaml",
            "serve -c etc/rhumb.yaml --daemon",
            "check map.yaml",
            "check -c etc/rhumb.yaml",
            "check --strict map.yaml",
            "create there",
            "grids map.yaml",
            "grids -f map.yaml -l --all -g own",
            "grids -f map.yaml -s seed.yaml -c area",
            "export -f map.yaml --source a --grid b --dest c --levels 1..3",
            "export map.yaml --source a --grid x=y --dest c --levels 0 --type tc -n -c 4 --force -qq",
            "reload -c etc/rhumb.yaml",
            "upgrade -c etc/rhumb.yaml --timeout 30",
            "stop -c a",
            "quit -c a",
            "reopen -c a",
            "status -c a --json",
            "signal USR2 -c a",
            "signal sigusr2 -c a",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "serv",
            "serve",
            "serve map.yaml",
            "check",
            "create",
            "grids",
            "grids map.yaml -s seed.yaml",
            "export --source a --grid b --dest c --levels 1",
            "export map.yaml --source a --grid b --dest c --levels 1 --type zip",
            "develop a b",
            "develop --bind 99999",
            "--ready-fd x",
            "reload",
            "status --json",
            "signal KILL -c a",
            "signal -c a",
            "stop -c a --timeout 0",
        ] {
            assert!(parse(bad).is_err_and(|error| error.use_stderr()), "{bad}");
        }
        for asked in ["--help", "--version", "develop --help"] {
            assert!(parse(asked).is_err_and(|error| !error.use_stderr()), "{asked}");
        }
    }

    #[test]
    fn the_last_of_reload_and_no_reload_wins() {
        for (line, watch) in [
            ("develop", true),
            ("develop --reload", true),
            ("develop --no-reload", false),
            ("develop --no-reload --reload", true),
        ] {
            let Ok(Line { command: Some(Command::Develop(develop)), .. }) = parse(line) else {
                panic!("{line}")
            };
            assert_eq!(!develop.no_reload, watch, "{line}");
        }
    }
}
