//! `talk`: a conversation in lines, or in any bytes.

mod args;

use std::ffi::OsString;
use std::io::{IsTerminal, stderr, stdin, stdout};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use crate::cli;
use crate::drive::{Ended, EventLoop, Limits, LoopSettings};
use crate::error::{Error, Result};
use crate::lab::explain::explain;
use crate::net::{SocketOptions, any_local};
use crate::report::{Output, Reporter};
use crate::service::{Script, Show, Signal, Speaker, Talk, TalkPlan};
use crate::text::Format;
use args::{CallOrListen, TalkArgs};
use clap::CommandFactory;
use clap::error::ErrorKind;
use nix::errno::Errno;

/// Runs it with this command line.
pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    let args: TalkArgs = cli::parse(arguments);
    let place = args.place().unwrap_or_else(|words| {
        TalkArgs::command().error(ErrorKind::ValueValidation, words).exit();
    });
    if let (CallOrListen::Call { host, port }, true) = (&place, args.test) {
        return cli::run("talk", &args.output, |reporter| test(&args, host, *port, reporter));
    }
    let streams = Streams::look(args.output.format);
    let conversation = Output::stdout(args.output.format);
    let events = match streams.show {
        Show::Json => Some(conversation.clone()),
        // Told in words where the conversation stands; a file has them as events all the same.
        Show::Lines if stderr().is_terminal() => None,
        Show::Exact | Show::Lines => Some(conversation.beside_stdout()),
    };
    cli::run_on("talk", &args.output, events, |reporter| run(&args, &place, streams, reporter, conversation))
}

/// What standard input and output are.
#[derive(Clone, Copy)]
struct Streams {
    speaker: Speaker,
    show: Show,
}

impl Streams {
    fn look(format: Format) -> Self {
        let (person, terminal) = (stdin().is_terminal(), stdout().is_terminal());
        let dumb = std::env::var_os("TERM").is_none_or(|kind| kind.is_empty() || kind == "dumb");
        Self {
            speaker: match person {
                true if terminal && !dumb && format == Format::Text => Speaker::Keyboard,
                true => Speaker::Person,
                false => Speaker::Program,
            },
            show: match format {
                Format::Json => Show::Json,
                Format::Text if terminal => Show::Lines,
                Format::Text => Show::Exact,
            },
        }
    }
}

fn run(
    args: &TalkArgs,
    place: &CallOrListen,
    streams: Streams,
    reporter: &Reporter,
    conversation: Output,
) -> Result<ExitCode> {
    let mut event_loop =
        EventLoop::new(reporter.clone(), settings(args), &[Signal::Stop, Signal::Goodbye, Signal::Status])?;
    let (remotes, listening) = match place {
        CallOrListen::Call { host, port } => (cli::addresses_of(host, *port)?, None),
        CallOrListen::Listen(local) => (Vec::new(), Some(listen(args, *local, &mut event_loop, reporter)?)),
    };
    let mut talk = Talk::new(TalkPlan {
        remotes,
        listening,
        name: args.name.clone(),
        bye: args.keywords(streams.speaker),
        turns: args.turns,
        speaker: streams.speaker,
        show: streams.show,
    });
    event_loop.converse(conversation, streams.speaker == Speaker::Keyboard)?;
    let ended = event_loop.run(&mut talk);
    let remote = talk.remote();
    let ended = ended.and_then(|ended| talk.outcome().map(|()| ended));
    status(ended.map_err(|error| if args.name.is_some() { no_relay(error, remote) } else { error }), remote)
}

fn test(args: &TalkArgs, host: &str, port: u16, reporter: &Reporter) -> Result<ExitCode> {
    let remotes = cli::addresses_of(host, port)?;
    let mut script = Script::new(remotes, args.expect.clone(), args.reply_timeout);
    let ended = EventLoop::new(reporter.clone(), settings(args), &[Signal::Stop])?.run(&mut script);
    let remote = script.remote();
    status(ended.and_then(|ended| script.outcome().map(|()| ended)), remote)
}

fn settings(args: &TalkArgs) -> LoopSettings {
    LoopSettings {
        limits: Limits { connect: args.connect_timeout.0, ..Limits::default() },
        drain: args.drain,
        options: calling(),
        ..LoopSettings::default()
    }
}

/// The options of a socket that calls.
fn calling() -> SocketOptions {
    SocketOptions { no_delay: true, bind_address_no_port: true, ..SocketOptions::default() }
}

fn status(ended: Result<Ended>, remote: Option<SocketAddr>) -> Result<ExitCode> {
    let local = remote.map_or((Ipv4Addr::UNSPECIFIED, 0).into(), any_local);
    ended.map(cli::status).map_err(|error| explain(error, local, remote, &calling()))
}

/// Whoever gives a name wants a relay.
fn no_relay(error: Error, remote: Option<SocketAddr>) -> Error {
    match remote {
        Some(remote) if error.errno() == Some(Errno::ECONNREFUSED) => {
            let (port, ip) = (remote.port(), remote.ip());
            error.hint(format_args!("nothing listens on {remote}: `relay {port} {ip}` does"))
        }
        _ => error,
    }
}

/// Listens, with SO_REUSEPORT off: a second `talk --listen` would share the callers instead of being told.
fn listen(
    args: &TalkArgs,
    local: SocketAddr,
    event_loop: &mut EventLoop,
    reporter: &Reporter,
) -> Result<SocketAddr> {
    let options = SocketOptions {
        reuse_address: args.reuse_address.is_on(),
        no_delay: true,
        ..SocketOptions::default()
    };
    cli::accept_on(event_loop, local, &options, BACKLOG, reporter)
}

/// More than one, so that a second caller is told that we are busy.
const BACKLOG: i32 = 128;
