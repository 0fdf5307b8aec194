//! `fourtuple why`: whether a call would succeed, who is in the way, and what helps.

mod json;
mod parse;
mod show;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use fourtuple::cli::Switch;
use fourtuple::error::{Error, Result};
use fourtuple::evidence::why::{Goal, Question, Verdict, why};
use fourtuple::net::SocketOptions;
use fourtuple::report::Format;

use parse::{parse_local, parse_remote};

const AFTER_HELP: &str = "\
Examples:
  fourtuple why 3000                                     may 0.0.0.0:3000 be listened on?
  fourtuple why listen [::1]:3000 --reuse-address on     with this option
  fourtuple why connect 127.0.0.1:3001 127.0.0.1:3000    from a fixed source port
  fourtuple why connect 192.0.2.7:443                    nothing is sent";

const AFTER_LONG_HELP: &str = "\
It disturbs nobody: bind(2) is made as asked and the socket closed at once; nothing listens, nothing
connects, nothing is sent. The rest is read from the socket table, the routes and the settings.

An option of an old socket is on, off, or unknown; `inferred` where its process may not be asked, or
is gone, and bind(2) beside it answered as it does with these options.

Exit status: 0 the call would succeed, 1 it would not, or cannot be told, 2 wrong usage.

Examples:
  fourtuple why 3000                                     may 0.0.0.0:3000 be listened on?
  fourtuple why listen [::1]:3000 --reuse-address on     with this option
  fourtuple why connect 127.0.0.1:3001 127.0.0.1:3000    from a fixed source port
  fourtuple why connect 192.0.2.7:443                    nothing is sent";

/// Say why a bind, listen or connect fails here: who is in the way, by which rule, and what helps
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true,
    override_usage = "fourtuple why [OPTIONS] LOCAL\n       \
                      fourtuple why bind|listen [OPTIONS] LOCAL\n       \
                      fourtuple why connect [OPTIONS] [LOCAL] REMOTE",
    after_help = AFTER_HELP,
    after_long_help = AFTER_LONG_HELP,
)]
pub struct WhyArgs {
    #[command(subcommand)]
    call: Option<Call>,
    /// Where the new socket listens: 3000, 127.0.0.1:3000, [::1]:3000; a port alone is 0.0.0.0's
    #[arg(required = true, value_parser = parse_local)]
    local: Option<SocketAddr>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Call {
    /// Would bind(2) succeed?
    Bind(Listen),
    /// Would bind(2) and then listen(2)?
    Listen(Listen),
    /// Would connect(2), after bind(2) where there is a local address?
    Connect(Connect),
}

#[derive(Args)]
struct Listen {
    /// Where the new socket is bound: 3000, 127.0.0.1:3000, [::1]:3000; a port alone is 0.0.0.0's
    #[arg(value_parser = parse_local)]
    local: SocketAddr,
    #[command(flatten)]
    options: Options,
}

#[derive(Args)]
#[command(allow_missing_positional = true)]
struct Connect {
    /// Where the new socket is bound before, if it is
    #[arg(value_parser = parse_local)]
    local: Option<SocketAddr>,
    /// Where it connects to
    #[arg(value_parser = parse_remote)]
    remote: SocketAddr,
    #[command(flatten)]
    options: Options,
}

/// What the new socket sets.
#[derive(Args)]
struct Options {
    /// SO_REUSEADDR of the new socket
    #[arg(long, value_enum, default_value = "off", hide_possible_values = true, value_name = "on|off")]
    reuse_address: Switch,
    /// SO_REUSEPORT of the new socket
    #[arg(long, value_enum, default_value = "off", hide_possible_values = true, value_name = "on|off")]
    reuse_port: Switch,
    /// IPV6_V6ONLY of the new socket [default: as net.ipv6.bindv6only says]
    #[arg(long, value_enum, hide_possible_values = true, value_name = "on|off")]
    v6_only: Option<Switch>,
    /// How the answer is written: text, or one JSON object a line
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

impl WhyArgs {
    /// What is asked; nothing where clap has printed the help.
    fn goal(&self) -> Option<(Goal, &Options)> {
        match &self.call {
            Some(Call::Bind(args)) => Some((Goal::Bind(args.local), &args.options)),
            Some(Call::Listen(args)) => Some((Goal::Listen(args.local), &args.options)),
            Some(Call::Connect(args)) => {
                Some((Goal::Connect { local: args.local, remote: args.remote }, &args.options))
            }
            None => self.local.map(|local| (Goal::Listen(local), &self.options)),
        }
    }
}

/// Answers, and says by the exit status whether the call would succeed.
pub fn run(args: &WhyArgs) -> Result<ExitCode> {
    let Some((goal, options)) = args.goal() else { return Ok(ExitCode::from(2)) };
    let question = Question {
        goal,
        options: SocketOptions {
            reuse_address: options.reuse_address.is_on(),
            reuse_port: options.reuse_port.is_on(),
            v6_only: options.v6_only.map(Switch::is_on),
            ..SocketOptions::default()
        },
    };
    let mut answer = why(&question)?;
    answer.try_out(&question);
    write(&match options.format {
        Format::Text => show::text(&question, &answer),
        Format::Json => json::json(&question, &answer),
    })?;
    Ok(if answer.verdict == Verdict::Works { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A reader that has gone has seen enough; any other failure is told.
fn write(text: &str) -> Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new("write", "standard output", error))
        }
        _ => Ok(()),
    }
}
