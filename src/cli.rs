//! What the programs' command lines share, and how an outcome becomes an exit status.

mod format_args;
mod listen;
mod pages;
mod remote;
mod resolve;
mod socket_args;
mod socket_line;
mod spelling;
mod stop;
mod values;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};

use clap::{Args, Parser};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::drive::{Ended, map_large_blocks};
use crate::error::{Error, Result};
use crate::lab::QUESTIONS;
use crate::report::{Event, Output, Reporter, Verbosity, say};
use crate::sandbox::scratch;
use crate::text::{Escaped, Format, spell_settings};

pub(crate) use format_args::{FormatArgs, how};
pub(crate) use listen::{accept_on, listen};
pub(crate) use remote::{Remote, remote, remotes};
pub(crate) use resolve::{addresses_of, resolve};
pub(crate) use socket_args::SocketArgs;
pub(crate) use socket_line::{say_owner, say_sharing, say_timer, socket_line};
pub(crate) use stop::Stop;
pub(crate) use values::{
    Limit, LocalIp, Parsed, Switch, count, duration, host, limit, local_ip, one_of_ports, port, port_range,
    positive, positive_duration, positive_size, rate, remote_port, size, source_ip,
};

/// What each of the programs does first: it has settings spelled as its user types them; it answers a
/// [question](scratch) of an instrument, and ends, where it was started to; else it has malloc give back what a crowd
/// of slow readers cost.
pub(crate) fn start() {
    spell_settings(spelling::spelling);
    scratch::attend(QUESTIONS);
    map_large_blocks();
}

/// Reads the command line, the program's name first; or prints what was asked for, or what is wrong with it, and ends the program.
///
/// clap repeats a wrong argument as it is, and so do the parsers it calls. So the command line is read once more with
/// every argument escaped, and whatever is said of it then is safe to show.
///
/// `--generate PREFIX` alone asks every program for its man pages and shell completions, at their places below PREFIX.
pub(crate) fn parse<P: Parser>(arguments: &[OsString]) -> P {
    if let [_, option, prefix] = arguments
        && option == "--generate"
    {
        let installed = pages::install(P::command(), Path::new(prefix));
        let failed = installed.is_err();
        exit(P::command().get_name(), installed.map(|()| ExitCode::SUCCESS));
        process::exit(failed.into())
    }
    let kind = match P::try_parse_from(arguments) {
        Ok(args) => return args,
        Err(error) => error.kind(),
    };
    let escaped = arguments.iter().map(|argument| Escaped(argument.as_encoded_bytes()).to_string());
    // Escaped, bytes that are not UTF-8 are nothing wrong any more.
    let error = P::try_parse_from(escaped).err().unwrap_or_else(|| P::command().error(kind, kind));
    let printed = written(error.print());
    match error.exit_code() {
        0 if printed.is_err() => {
            let _ = exit(P::command().get_name(), printed);
            process::exit(1)
        }
        status => process::exit(status),
    }
}

/// Prints text whole.
///
/// # Errors
///
/// What write(2) says, but for `EPIPE`.
pub(crate) fn print(text: &str) -> Result<ExitCode> {
    let mut output = io::stdout().lock();
    written(output.write_all(text.as_bytes()).and_then(|()| output.flush()))
}

/// How writing to standard output went: a reader that has gone has seen enough, any other failure is told.
///
/// # Errors
///
/// That of the outcome, but for `EPIPE`.
pub(crate) fn written(outcome: io::Result<()>) -> Result<ExitCode> {
    match outcome {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::new("write", "standard output", error))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Ends a program: its own status where it has one, else the error on standard error and status 1.
pub(crate) fn exit(program: &str, outcome: Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        say(&format!("{program}: {error}"));
        ExitCode::FAILURE
    })
}

/// Runs a program that reports events on standard output, and ends it as [`exit`] does; a failure is an event too.
pub(crate) fn run(
    program: &str,
    output: &OutputArgs,
    body: impl FnOnce(&Reporter) -> Result<ExitCode>,
) -> ExitCode {
    run_on(program, output, Some(Output::stdout(output.format)), body)
}

/// The same for a program that reports them elsewhere, or nowhere.
pub(crate) fn run_on(
    program: &str,
    output: &OutputArgs,
    events: Option<Output>,
    body: impl FnOnce(&Reporter) -> Result<ExitCode>,
) -> ExitCode {
    raise_descriptor_limit();
    let outcome = output.reporter(events).and_then(|reporter| {
        let outcome = body(&reporter);
        if let Err(error) = &outcome {
            reporter.report(&Event::Failed { error });
        }
        reporter.flush();
        outcome
    });
    exit(program, outcome)
}

/// How a program prints its events.
#[derive(Args, Clone, Debug)]
pub(crate) struct OutputArgs {
    /// How events are written: text, or one JSON object a line
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", help_heading = "Output")]
    pub format: Format,
    /// Print only the program's own events, none of its connections
    #[arg(short, long, conflicts_with = "verbose", help_heading = "Output")]
    pub quiet: bool,
    /// Print every read too
    #[arg(short, long, help_heading = "Output")]
    pub verbose: bool,
    /// Write every event to this file too, as JSON Lines
    #[arg(long, value_name = "FILE", help_heading = "Output", hide_short_help = true)]
    pub events: Option<PathBuf>,
}

impl OutputArgs {
    /// A reporter on `output` that tells as much as was asked for, and on the file of events.
    fn reporter(&self, output: Option<Output>) -> Result<Reporter> {
        let verbosity = match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        };
        let reporter = Reporter::to(output, self.format, verbosity);
        let Some(path) = &self.events else { return Ok(reporter) };
        let file = File::create(path).map_err(|error| Error::new("open", path.display(), error))?;
        Ok(reporter.with_record(file))
    }
}

/// Raises the soft limit on open descriptors to the hard one; where that is refused, the soft one stands.
pub(crate) fn raise_descriptor_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// The status a shell gives a program that a signal ended.
pub(crate) fn signalled(number: i32) -> ExitCode {
    ExitCode::from(128 + u8::try_from(number).unwrap_or(0))
}

/// The status of a program whose loop ended so.
pub(crate) fn status(ended: Ended) -> ExitCode {
    match ended {
        Ended::Stopped => ExitCode::SUCCESS,
        Ended::AtOnce(signal) => signalled(signal),
    }
}

/// Prints a program's short help, as `-h` does.
///
/// # Errors
///
/// What write(2) says, but for `EPIPE`.
pub(crate) fn print_help(command: &mut clap::Command) -> Result<ExitCode> {
    written(command.print_help())
}
