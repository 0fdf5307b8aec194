//! `talk`: a conversation in lines, or in any bytes.

use std::io::{IsTerminal, stderr, stdin, stdout};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use fourtuple::cli::{self, Limit, OutputArgs, Parsed, Switch};
use fourtuple::drive::{Ended, EventLoop, Limits, Settings};
use fourtuple::error::Result;
use fourtuple::evidence::advice::explain;
use fourtuple::net::{SocketOptions, bind};
use fourtuple::report::{Escaped, Event, Format, Output, Reporter};
use fourtuple::service::{Ack, Echo, Prefix, Reply, Script, Show, Signal, Speaker, Talk, TalkPlan};

/// A conversation over TCP: both sides speak at any time
///
/// Calls HOST, or with --listen waits for one caller. On a terminal you type lines, and what arrives is shown above
/// the one being typed; Ctrl-D ends your part, Ctrl-C the talk. On a pipe any bytes pass as they are, both ways, and
/// the end of input is a half-close: standard output is what the other side sent and nothing else, events go to
/// standard error. With --format json everything is an event on standard output.
#[derive(Parser)]
#[command(name = "talk", version, after_help = EXAMPLES, after_long_help = LONG_EXAMPLES)]
#[command(override_usage = "talk [OPTIONS] [HOST] [PORT]\n       talk [OPTIONS] --listen [PORT] [IP]")]
struct Args {
    /// Address or host name to call [default: 127.0.0.1]; with --listen PORT
    #[arg(value_name = "HOST")]
    first: Option<String>,
    /// Port to call [default: 3000, with --name 33016]; with --listen IP
    #[arg(value_name = "PORT")]
    second: Option<String>,
    /// Wait for one caller, on PORT [default: 5000] of IP [default: 0.0.0.0]
    #[arg(short, long)]
    listen: bool,
    /// Call a relay under this name
    #[arg(long, value_parser = word, conflicts_with = "listen")]
    name: Option<String>,
    /// A line that ends the talk, whoever says it; or none
    ///
    /// The whole line, exactly. May be given several times. [default: on a terminal revoir, quit and exit, else none]
    #[arg(long, value_parser = word, value_name = "WORD")]
    bye: Vec<String>,
    /// A line each in turn, the caller first; what comes early waits
    #[arg(long, conflicts_with = "name")]
    turns: bool,
    /// Send a built-in set of lines, check each reply, and end
    #[arg(long, conflicts_with_all = ["listen", "name", "turns", "bye"])]
    test: bool,
    /// What a reply to --test is: echo, ack or prefix:TEXT
    #[arg(long, default_value = "echo", value_parser = expect, value_name = "REPLY", hide_short_help = true)]
    expect: Expect,
    /// How long a reply to --test may take
    #[arg(long, default_value = "5s", value_parser = cli::positive_duration, value_name = "DURATION", hide_short_help = true)]
    reply_timeout: Duration,
    /// How long a call may go unanswered, or none
    #[arg(long, default_value = "10s", value_parser = cli::limit, value_name = "DURATION", hide_short_help = true)]
    connect_timeout: Limit,
    /// How long unsent bytes may take to leave at the end
    #[arg(long, default_value = "5s", value_parser = cli::duration, value_name = "DURATION", hide_short_help = true)]
    drain: Duration,
    /// SO_REUSEADDR of the listening socket: off shows EADDRINUSE after a restart
    #[arg(
        long,
        value_enum,
        default_value = "on",
        hide_possible_values = true,
        value_name = "on|off",
        hide_short_help = true
    )]
    reuse_address: Switch,
    #[command(flatten)]
    output: OutputArgs,
}

const EXAMPLES: &str = "\
Signals and exit status: talk --help

Examples:
  talk --listen 5000             wait for a caller
  talk 127.0.0.1 5000            call it
  talk --name alice              call a relay
  talk 127.0.0.1 5000 <in >out   any bytes, both ways";

const LONG_EXAMPLES: &str = "\
Examples:
  talk --listen 5000             wait for a caller
  talk 127.0.0.1 5000            call it
  talk --name alice              call a relay
  talk 127.0.0.1 5000 <in >out   any bytes, both ways
  talk --test 127.0.0.1 8888 --expect 'prefix:Server received: '

Signals:
  SIGINT, SIGTERM  end the conversation, within --drain; again: at once
  SIGUSR1          the same, but said to be a goodbye
  SIGUSR2          tell how the conversation stands

Exit status: 0 ended by either side, a keyword or a signal; 1 nobody answered,
the other side sent RST, a reply to --test was another, or standard input or
output failed; 2 wrong usage; 130 or 143 after a second SIGINT or SIGTERM.";

/// What a server replies.
#[derive(Clone)]
enum Expect {
    Echo,
    Ack,
    Prefix(String),
}

/// Where to call, or where to wait for a caller.
enum Place {
    Call { host: String, port: u16 },
    Listen(SocketAddr),
}

fn main() -> ExitCode {
    let args: Args = cli::parse();
    let place = place(&args).unwrap_or_else(|words| {
        Args::command().error(ErrorKind::ValueValidation, words).exit();
    });
    if args.test {
        return cli::run("talk", &args.output, |reporter| test(&args, &place, reporter));
    }
    let streams = Streams::look(args.output.format);
    let conversation = Output::stdout(args.output.format);
    let events = match streams.show {
        Show::Json => Some(conversation.clone()),
        // Told in words where the conversation stands; a file has them as events all the same.
        Show::Lines if stderr().is_terminal() => None,
        Show::Exact | Show::Lines => Some(Output::stderr(Format::Text)),
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
    args: &Args,
    place: &Place,
    streams: Streams,
    reporter: &Reporter,
    conversation: Output,
) -> Result<ExitCode> {
    let mut event_loop =
        EventLoop::new(reporter.clone(), settings(args), &[Signal::Goodbye, Signal::Status])?;
    let (remotes, listening) = match place {
        Place::Call { host, port } => (cli::addresses_of(host, *port)?, None),
        Place::Listen(local) => (Vec::new(), Some(listen(args, *local, &mut event_loop, reporter)?)),
    };
    let mut talk = Talk::new(TalkPlan {
        remotes,
        listening,
        name: args.name.clone(),
        bye: bye(&args.bye, streams.speaker),
        turns: args.turns,
        speaker: streams.speaker,
        show: streams.show,
    });
    event_loop.converse(conversation, streams.speaker == Speaker::Keyboard)?;
    let ended = event_loop.run(&mut talk);
    let remote = talk.remote();
    status(ended.and_then(|ended| talk.outcome().map(|()| ended)), remote)
}

fn test(args: &Args, place: &Place, reporter: &Reporter) -> Result<ExitCode> {
    match &args.expect {
        Expect::Echo => test_with(Echo, args, place, reporter),
        Expect::Ack => test_with(Ack::default(), args, place, reporter),
        Expect::Prefix(text) => test_with(Prefix::new(text), args, place, reporter),
    }
}

fn test_with(reply: impl Reply, args: &Args, place: &Place, reporter: &Reporter) -> Result<ExitCode> {
    let Place::Call { host, port } = place else { return Ok(ExitCode::FAILURE) };
    let mut script = Script::new(cli::addresses_of(host, *port)?, reply, args.reply_timeout);
    let ended = EventLoop::new(reporter.clone(), settings(args), &[])?.run(&mut script);
    let remote = script.remote();
    status(ended.and_then(|ended| script.outcome().map(|()| ended)), remote)
}

fn settings(args: &Args) -> Settings {
    Settings {
        limits: Limits { connect: args.connect_timeout.0, ..Limits::default() },
        drain: args.drain,
        options: calling(),
        ..Settings::default()
    }
}

/// The options of a socket that calls.
fn calling() -> SocketOptions {
    SocketOptions { no_delay: true, bind_address_no_port: true, ..SocketOptions::default() }
}

fn status(ended: Result<Ended>, remote: Option<SocketAddr>) -> Result<ExitCode> {
    let local = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    Ok(match ended.map_err(|error| explain(error, local, remote, &calling()))? {
        Ended::Stopped => ExitCode::SUCCESS,
        Ended::AtOnce(signal) => cli::signalled(signal),
    })
}

/// Listens, with SO_REUSEPORT off: a second `talk --listen` would share the callers instead of being told.
fn listen(
    args: &Args,
    local: SocketAddr,
    event_loop: &mut EventLoop,
    reporter: &Reporter,
) -> Result<SocketAddr> {
    let options = SocketOptions {
        reuse_address: args.reuse_address.is_on(),
        no_delay: true,
        ..SocketOptions::default()
    };
    let listening = bind(local, &options).and_then(|bound| bound.listen(BACKLOG));
    let local = event_loop.accept_from(listening.map_err(|error| explain(error, local, None, &options))?)?;
    reporter.report(&Event::Listening {
        local,
        reuse_address: options.reuse_address,
        reuse_port: options.reuse_port,
        workers: 1,
    });
    Ok(local)
}

/// More than one, so that a second caller is told that we are busy.
const BACKLOG: i32 = 128;

/// The keywords: `none` for none; on a terminal three if none is named.
fn bye(words: &[String], speaker: Speaker) -> Vec<String> {
    match words {
        [] if speaker != Speaker::Program => ["revoir", "quit", "exit"].map(str::to_owned).to_vec(),
        [none] if none == "none" => Vec::new(),
        words => words.to_vec(),
    }
}

/// What the two arguments mean, or words for the user.
fn place(args: &Args) -> Parsed<Place> {
    let wrong = |value: &str, argument: &str, words: String| {
        format!("invalid value '{}' for '[{argument}]': {words}", Escaped(value.as_bytes()))
    };
    let (first, second) = (args.first.as_deref(), args.second.as_deref());
    if args.listen {
        let port =
            first.map_or(Ok(5000), |text| cli::port(text).map_err(|words| wrong(text, "PORT", words)))?;
        let ip = second.map_or(Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), |text| {
            cli::local_ip(text).map_err(|words| wrong(text, "IP", words))
        })?;
        return Ok(Place::Listen(SocketAddr::new(ip, port)));
    }
    let host = first.unwrap_or("127.0.0.1").to_owned();
    if !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_digit()) {
        let words = format!("a host comes before its port: talk 127.0.0.1 {host}");
        return Err(wrong(&host, "HOST", words));
    }
    let default = if args.name.is_some() { 33016 } else { 3000 };
    let port = second
        .map_or(Ok(default), |text| cli::remote_port(text).map_err(|words| wrong(text, "PORT", words)))?;
    Ok(Place::Call { host, port })
}

/// Reads a word that can stand in a line and be shown as it is: a name, a keyword.
fn word(text: &str) -> Parsed<String> {
    match text {
        "" => Err("at least one character".to_owned()),
        _ if Escaped(text.as_bytes()).to_string() != text => {
            Err("no control characters, invisible ones, quotes or backslashes".to_owned())
        }
        _ => Ok(text.to_owned()),
    }
}

/// Reads what a reply is.
fn expect(text: &str) -> Parsed<Expect> {
    match (text, text.strip_prefix("prefix:")) {
        ("echo", _) => Ok(Expect::Echo),
        ("ack", _) => Ok(Expect::Ack),
        (_, Some(text)) => Ok(Expect::Prefix(text.to_owned())),
        _ => Err("not echo, ack or prefix:TEXT".to_owned()),
    }
}
