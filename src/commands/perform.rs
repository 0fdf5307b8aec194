//! `fourtuple perform`: socket calls exactly as they are written.

mod open_sockets;
mod parse;
mod show;
mod steps;
mod words;

use std::process::ExitCode;
use std::time::Duration;

use crate::cli::{self, OutputArgs};
use crate::net::{NamedOption, Takes};
use crate::report::{say, visible};
use clap::Args;

use words::Mistake;

const EXAMPLES: &str = "\
Examples:
  fourtuple perform 'socket; connect 127.0.0.1:3000; send \"x\"; recv; close'
  fourtuple perform 'socket; connect 127.0.0.1:3000; shutdown WR; recv'
  fourtuple perform 'socket; bind 127.0.0.1:3000; listen 1; pause'
  fourtuple perform 'a: socket; bind 127.0.0.1:0; connect @a'    with itself";

const STEPS: &str = "\
Steps, with `;` or a new line between them:
  socket [inet|inet6]      a TCP socket, blocking and without any option
  bind ADDRESS             127.0.0.1:3001, [::1]:3001, or @NAME: what
                           getsockname says of NAME
  connect ADDRESS
  listen N
  accept as NAME           NAME is the new socket
  setsockopt OPTION VALUE  by the kernel's name; see below
  getsockopt OPTION        prints the value; of SO_ERROR, the errno or 0
  send \"TEXT\" [FLAGS]      escapes: \\n \\r \\t \\\" \\\\ \\xNN
  send SIZE [FLAGS]        this much filler, such as 64KiB
  recv [N] [FLAGS]         at most N bytes, 4096 unless said; prints them
                           escaped
  shutdown RD|WR|RDWR
  close
  nonblocking on|off       O_NONBLOCK, fcntl(2)
  poll [EVENTS] [TIME]     waits for TIME, or does not wait; asks for EVENTS, or
                           for all of POLLIN|POLLPRI|POLLOUT|POLLRDHUP
  getsockname
  getpeername
  hide segments [BITS]     drops what arrives for this socket: every segment, or
                           those with exactly these flags as tcpdump spells them
                           (S, S., F.); SO_ATTACH_FILTER
  show segments            lets all arrive again; SO_DETACH_FILTER
  wait STATE               until the kernel has this socket in STATE, a name of
                           RFC 9293; after close too, such as TIME-WAIT
  pause TIME               such as 100ms
  pause                    until SIGINT or SIGTERM; then it goes on
  setfsuid UID             sockets opened from here on are this user's; needs
                           root

FLAGS: MSG_OOB, MSG_PEEK, MSG_WAITALL, MSG_DONTWAIT, MSG_TRUNC, several with |
between them.

Names: `a: bind 127.0.0.1:0` is about socket a. A step without a name is about
the socket that was named last, before a step or by `accept as`; or, before any
was named, about the one without.

Options that take a whole number:
";

const RULES: &str = "
SO_LINGER takes 0 or 1 and seconds; SO_RCVTIMEO and SO_SNDTIMEO a time, such as 500ms;
IP_LOCAL_PORT_RANGE two ports, such as 40000-40007; SO_BINDTODEVICE the name of an interface, or -
for none. SO_ERROR can only be read.

Each call is printed when it returns: its result, then what it gave, or -1 and the errno. A call
that fails does not end the performance; a call on a socket that was never created returns EBADF.
Sockets left open are closed at the end, in the order of their names. SIGPIPE is ignored.

Signals: each `pause` without a time takes one SIGINT or SIGTERM, now or when its turn comes. One
more ends the performance.

Exit status: 0 every call was made, whatever it returned; 1 a state was not reached or a call did not
return within --patience; 2 wrong usage, and no call was made; 130 or 143 by a signal.
";

/// What `-h` says below the options.
fn short_help() -> String {
    format!("Every step, signals and exit status: fourtuple perform --help\n\n{EXAMPLES}")
}

/// What `--help` says there.
fn long_help() -> String {
    let numbers = NamedOption::ALL.iter().filter(|option| option.takes == Some(Takes::Number));
    let names: Vec<&str> = numbers.map(|option| option.name).collect();
    let lines: Vec<String> = names.chunks(5).map(|names| format!("  {}\n", names.join(" "))).collect();
    format!("{STEPS}{}{RULES}\n{EXAMPLES}", lines.concat())
}

/// Make socket calls exactly as written, and print what each returns
#[derive(Args)]
#[command(after_help = short_help(), after_long_help = long_help())]
pub(super) struct PerformArgs {
    /// The calls, with `;` or a new line between them
    #[arg(value_name = "STEPS")]
    steps: String,
    /// How long a call may block, and a state be waited for
    #[arg(long, default_value = "10s", value_parser = cli::positive_duration, value_name = "DURATION")]
    patience: Duration,
    #[command(flatten)]
    output: OutputArgs,
}

/// Performs the steps, or says what is wrong with them.
pub(super) fn run(args: &PerformArgs) -> ExitCode {
    match parse::parse(&args.steps) {
        Ok(steps) => {
            cli::run("fourtuple", &args.output, |reporter| show::perform(steps, args.patience, reporter))
        }
        Err(mistake) => {
            say(&format!("fourtuple: {}", pointed_at(&args.steps, &mistake)));
            ExitCode::from(2)
        }
    }
}

/// What is wrong, below it the line where it is, and marks under the place.
fn pointed_at(text: &str, mistake: &Mistake) -> String {
    let before = text.get(..mistake.at.start).unwrap_or_default();
    let begin = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text.get(begin..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let column = before.get(begin..).unwrap_or_default().chars().count();
    let place = text.get(mistake.at.clone()).and_then(|place| place.lines().next()).unwrap_or_default();
    let marks = "^".repeat(place.chars().count().max(1));
    let Mistake { step, why, .. } = mistake;
    format!("STEPS: step {step}: {why}\n  {}\n  {}{marks}", visible(line), " ".repeat(column))
}
