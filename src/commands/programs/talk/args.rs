//! What the command line says.

use std::net::SocketAddr;
use std::time::Duration;

use crate::cli::{self, Limit, OutputArgs, Parsed, Switch};
use crate::net::spelling::{Form, Grammar, Spelled, Zones};
use crate::service::{Expect, NAME_RULE, Name, Speaker};
use crate::text::Escaped;
use clap::Parser;

/// A conversation over TCP: both sides speak at any time
///
/// Calls HOST, or with --listen waits for one caller. On a terminal you type lines, and what arrives is shown above
/// the one being typed; Ctrl-D ends your part, Ctrl-C the talk. On a pipe any bytes pass as they are, both ways, and
/// the end of input is a half-close: standard output is what the other side sent and nothing else, events go to
/// standard error. With --format json everything is an event on standard output.
#[derive(Parser)]
#[command(name = "talk", version, after_help = EXAMPLES, after_long_help = LONG_EXAMPLES)]
#[command(override_usage = "talk [OPTIONS] [HOST] [PORT]\n       talk [OPTIONS] --listen [PORT] [IP]")]
pub(super) struct TalkArgs {
    /// Address or host name to call [default: 127.0.0.1]; with --listen PORT
    #[arg(value_name = "HOST")]
    pub first: Option<String>,
    /// Port to call [default: 3000, with --name 33016]; with --listen IP
    #[arg(value_name = "PORT")]
    pub second: Option<String>,
    /// Wait for one caller, on PORT [default: 5000] of IP [default: 0.0.0.0]
    #[arg(short, long)]
    pub listen: bool,
    /// Call a relay under this name
    #[arg(long, value_parser = name, conflicts_with = "listen")]
    pub name: Option<String>,
    /// A line that ends the talk, from either side; or none
    ///
    /// The whole line, exactly. May be given several times. [default: on a terminal revoir, quit and exit, else none]
    #[arg(long, value_parser = word, value_name = "WORD")]
    pub bye: Vec<String>,
    /// Take turns, a line each, the caller first; an early line waits
    #[arg(long, conflicts_with = "name")]
    pub turns: bool,
    /// Send a built-in set of lines, check each reply, and end
    #[arg(long, conflicts_with_all = ["listen", "name", "turns", "bye"])]
    pub test: bool,
    /// The replies that --test expects: echo, ack or prefix:TEXT [default: as the first reply]
    #[arg(long, value_parser = expect, value_name = "REPLY", hide_short_help = true)]
    pub expect: Option<Expect>,
    /// How long a reply to --test may take
    #[arg(long, default_value = "5s", value_parser = cli::positive_duration, value_name = "DURATION", hide_short_help = true)]
    pub reply_timeout: Duration,
    /// How long a call may go unanswered, or none
    #[arg(long, default_value = "10s", value_parser = cli::limit, value_name = "DURATION", hide_short_help = true)]
    pub connect_timeout: Limit,
    /// Time to flush unsent data before closing
    #[arg(long, default_value = "5s", value_parser = cli::duration, value_name = "DURATION", hide_short_help = true)]
    pub drain: Duration,
    /// SO_REUSEADDR of the listening socket: off shows EADDRINUSE after a restart
    #[arg(long, hide_short_help = true, value_enum, default_value_t = Switch::On, hide_possible_values = true, value_name = "on|off")]
    pub reuse_address: Switch,
    #[command(flatten)]
    pub output: OutputArgs,
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
  SIGUSR1          the same, announced as a goodbye
  SIGUSR2          print the state of the conversation

Exit status: 0 ended by either side, a keyword or a signal; 1 no answer to the
call, RST from the other side, an unexpected reply to --test, or a failure of
standard input or output; 2 wrong usage; 130 or 143 after a second SIGINT or
SIGTERM.";

/// A host, and the ports that users put beside it, which are told where they belong.
const SPELLING: Grammar = Grammar {
    forms: &[Form::Address, Form::AddressPort, Form::Port],
    names: true,
    zones: Zones::Ipv6,
    lowest_port: 0,
};

/// Where to call, or where to wait for a caller.
pub(super) enum CallOrListen {
    Call { host: String, port: u16 },
    Listen(SocketAddr),
}

impl TalkArgs {
    /// The keywords: `none` for none; on a terminal three if none is named.
    pub(super) fn keywords(&self, speaker: Speaker) -> Vec<String> {
        match self.bye.as_slice() {
            [] if speaker != Speaker::Program => ["revoir", "quit", "exit"].map(str::to_owned).to_vec(),
            [none] if none == "none" => Vec::new(),
            words => words.to_vec(),
        }
    }

    /// What the two arguments mean, or words for the user.
    pub(super) fn place(&self) -> Parsed<CallOrListen> {
        let wrong = |value: &str, argument: &str, words: String| {
            format!("invalid value '{}' for '[{argument}]': {words}", Escaped(value.as_bytes()))
        };
        let (first, second) = (self.first.as_deref(), self.second.as_deref());
        if self.listen {
            let port =
                first.map_or(Ok(5000), |text| cli::port(text).map_err(|words| wrong(text, "PORT", words)))?;
            let ip = second.unwrap_or("0.0.0.0");
            let ip = cli::local_ip(ip).map_err(|words| wrong(ip, "IP", words))?;
            return Ok(CallOrListen::Listen(ip.at(port)));
        }
        let host = first.unwrap_or("127.0.0.1");
        let wrong_host = |words| wrong(host, "HOST", words);
        match SPELLING.read(host) {
            Ok(Spelled { host: Some(host), port: Some(port), .. }) => {
                return Err(wrong_host(format!("the port is an argument of its own: talk {host} {port}")));
            }
            Ok(Spelled { host: None, port: Some(port), .. }) => {
                return Err(wrong_host(format!("a host comes before its port: talk 127.0.0.1 {port}")));
            }
            _ => {}
        }
        let host = cli::host(host).map_err(wrong_host)?;
        let default = if self.name.is_some() { 33016 } else { 3000 };
        let port = second
            .map_or(Ok(default), |text| cli::remote_port(text).map_err(|words| wrong(text, "PORT", words)))?;
        Ok(CallOrListen::Call { host, port })
    }
}

/// Reads a name that a relay takes.
fn name(text: &str) -> Parsed<String> {
    Name::parse(text.as_bytes()).map(|name| name.as_str().to_owned()).ok_or_else(|| NAME_RULE.to_owned())
}

/// Reads a word that can stand in a line and be shown as it is.
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
