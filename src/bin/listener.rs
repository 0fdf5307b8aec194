//! `listener`: an echo server that opens its socket exactly as told.

use std::net::{IpAddr, SocketAddr};
use std::panic::resume_unwind;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, ValueEnum};
use fourtuple::cli::{self, Limit, OutputArgs, SocketArgs};
use fourtuple::drive::{Ended, EventLoop, Limits, Settings};
use fourtuple::error::Result;
use fourtuple::evidence::advice::explain;
use fourtuple::evidence::holders::listeners_on;
use fourtuple::net::bind;
use fourtuple::report::{Event, Reporter, Totals};
use fourtuple::service::{Ack, Echo, Prefix, Reply, Replying, Signal as Asked};
use nix::sys::signal::{Signal, raise};

/// TCP echo server that opens its socket exactly as told
///
/// Sends back every byte it receives (RFC 862) or answers in another way (--reply), serves any number of
/// connections on one event loop, and prints a line for each that opens or ends.
#[derive(Parser)]
#[command(name = "listener", version, after_help = EXAMPLES, after_long_help = LONG_EXAMPLES)]
struct Args {
    /// Port to listen on; 0 lets the kernel pick
    #[arg(default_value = "3000", value_parser = cli::port)]
    port: u16,
    /// Address to bind; 0.0.0.0 and :: are wildcards
    #[arg(default_value = "0.0.0.0", value_parser = cli::local_ip)]
    ip: IpAddr,
    /// Length of the accept queue, listen(2)
    #[arg(
        long,
        hide_short_help = true,
        default_value_t = 4096,
        value_parser = clap::value_parser!(i32).range(0..),
        value_name = "N"
    )]
    backlog: i32,
    /// Most connections open at once; one more is closed [default: no limit]
    #[arg(long, value_parser = cli::positive, value_name = "N")]
    max_connections: Option<usize>,
    /// Threads, each with its own loop and listening socket
    #[arg(long, hide_short_help = true, default_value_t = 1, value_parser = cli::positive, value_name = "N")]
    workers: usize,
    /// The same bytes, or `Ack!` for each line
    #[arg(long, value_enum, default_value_t, value_name = "echo|ack", hide_possible_values = true)]
    reply: Answer,
    /// Echo, with TEXT in front of each line
    #[arg(long, value_parser = prefix, value_name = "TEXT")]
    reply_prefix: Option<String>,
    /// Longest time without a byte, or none; SO_RCVTIMEO too
    #[arg(long, default_value = "5m", value_parser = cli::limit, value_name = "DURATION")]
    receive_timeout: Limit,
    /// Time for connections to end after SIGINT or SIGTERM
    #[arg(long, default_value = "5s", value_parser = cli::duration, value_name = "DURATION")]
    drain: Duration,
    #[command(flatten)]
    socket: SocketArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// What a client is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Answer {
    /// The same bytes.
    #[default]
    Echo,
    /// For each line, `Ack!` and a newline.
    Ack,
}

/// The longest text before a line, in bytes: a read is shorter by so much, lest its answer be too long to keep.
const LONGEST_PREFIX: usize = 1024;

fn prefix(text: &str) -> cli::Parsed<String> {
    match text.len() {
        0..=LONGEST_PREFIX => Ok(text.to_owned()),
        length => Err(format!("{length} bytes, and {LONGEST_PREFIX} is the most")),
    }
}

const EXAMPLES: &str = "\
All options, signals and exit status: listener --help

Examples:
  listener                     echo on 0.0.0.0:3000
  listener 4545 127.0.0.1      on one address
  listener 4545 ::1            on IPv6
  listener 0 --reuse-port off  on any free port, shared with nobody";

const LONG_EXAMPLES: &str = "\
Examples:
  listener                     echo on 0.0.0.0:3000
  listener 4545 127.0.0.1      on one address
  listener 4545 ::1            on IPv6
  listener 0 --reuse-port off  on any free port, shared with nobody

Signals:
  SIGINT, SIGTERM  stop accepting, echo what was read, send FIN, end within --drain; again: end at once
  SIGUSR2          print the number of open connections

Exit status: 0 done, 1 the kernel said no, 2 wrong usage; 130 or 143 after a second SIGINT or SIGTERM.
There is no authentication and no encryption: on 0.0.0.0 everybody who reaches this host is served.";

fn main() -> ExitCode {
    let args: Args = cli::parse();
    if let Some(words) = args.conflict() {
        Args::command().error(ErrorKind::ArgumentConflict, words).exit();
    }
    cli::run("listener", &args.output, |reporter| run(&args, reporter))
}

impl Args {
    /// What does not go together.
    fn conflict(&self) -> Option<&'static str> {
        if self.workers > 1 && !self.socket.reuse_port.is_on() {
            return Some(
                "--workers beyond 1 needs --reuse-port on: each worker has a listening socket of its own",
            );
        }
        if self.reply == Answer::Ack && self.reply_prefix.is_some() {
            return Some("--reply-prefix goes with --reply echo: ack answers each line with `Ack!` alone");
        }
        None
    }
}

fn run(args: &Args, reporter: &Reporter) -> Result<ExitCode> {
    let (ended, totals) = match (args.reply, &args.reply_prefix) {
        (_, Some(text)) => serve_all(open_loops(args, reporter)?, &Prefix::new(text)),
        (Answer::Echo, None) => serve_all(open_loops(args, reporter)?, &Echo),
        (Answer::Ack, None) => serve_all(open_loops(args, reporter)?, &Ack::default()),
    }?;
    reporter.report(&Event::Stopped { totals });
    Ok(match ended {
        Ended::Stopped => ExitCode::SUCCESS,
        Ended::AtOnce(signal) => cli::signalled(signal),
    })
}

/// A loop for each worker, every one with a listening socket of its own on the same address.
fn open_loops(args: &Args, reporter: &Reporter) -> Result<Vec<EventLoop>> {
    let options = args.socket.options(args.receive_timeout);
    let settings = Settings {
        limits: Limits {
            receive: args.receive_timeout.0,
            send: args.socket.send_timeout.0,
            ..Limits::default()
        },
        drain: args.drain,
        max_connections: args.max_connections,
        ..Settings::default()
    };
    let mut local = SocketAddr::new(args.ip, args.port);
    let mut loops = Vec::new();
    for worker in 0..args.workers {
        // One answers for all.
        let asked: &[_] = if worker == 0 { &[Asked::Status] } else { &[] };
        let mut event_loop = EventLoop::new(reporter.clone(), settings.clone(), asked)?;
        let listening = bind(local, &options)
            .and_then(|bound| bound.listen(args.backlog))
            .map_err(|error| explain(error, local, None, &options))?;
        // The first may have been given a port.
        local = event_loop.accept_from(listening)?;
        loops.push(event_loop);
    }
    // Before the ready line: this reads all of /proc, and whoever is told to come shall be served at once.
    let others = if options.reuse_port { listeners_on(local).unwrap_or_default() } else { Vec::new() };
    reporter.report(&Event::Listening {
        local,
        reuse_address: options.reuse_address,
        reuse_port: options.reuse_port,
        workers: args.workers,
    });
    if !others.is_empty() {
        reporter.report(&Event::SharedWith { pids: &others });
    }
    Ok(loops)
}

/// Runs the first loop on this thread and each further one on its own, until all have ended.
fn serve_all<R: Reply + Sync>(loops: Vec<EventLoop>, reply: &R) -> Result<(Ended, Totals)> {
    let serve = |event_loop| serve(event_loop, reply.clone());
    let mut loops = loops.into_iter();
    let first = loops.next();
    thread::scope(|scope| {
        let others: Vec<_> = loops.map(|other| scope.spawn(|| serve(other))).collect();
        let mut sum = first.map_or(Ok((Ended::Stopped, Totals::default())), serve)?;
        for other in others {
            let (ended, totals) = other.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            sum.0 = sum.0.max(ended);
            sum.1 += totals;
        }
        Ok(sum)
    })
}

fn serve(event_loop: EventLoop, reply: impl Reply) -> Result<(Ended, Totals)> {
    let mut replying = Replying::new(reply);
    match event_loop.run(&mut replying) {
        Ok(ended) => Ok((ended, replying.totals())),
        Err(error) => {
            // The others would serve on, and the error would wait for their end.
            let _ = raise(Signal::SIGTERM);
            Err(error)
        }
    }
}
