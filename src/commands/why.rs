//! `fourtuple why`: whether a call would succeed, who is in the way, and what helps.

mod json;
mod parse;
mod show;

use std::net::SocketAddr;
use std::process::ExitCode;

use crate::cli::{self, FormatArgs, Switch};
use crate::error::Result;
use crate::lab::why::{Goal, PlannedCall, Verdict, why};
use crate::net::{Device, OnDevice, SocketOptions};
use crate::report::say;
use crate::text::Format;
use clap::{Args, Subcommand};

use parse::{parse_device, parse_local, parse_remote};

const EXAMPLES: &str = "\
Examples:
  fourtuple why 3000                                   may I listen there?
  fourtuple why listen [::]:3000 --reuse-address on    with this option?
  fourtuple why connect 127.0.0.1:3001 127.0.0.1:3000  from a fixed port?
  fourtuple why connect 192.0.2.7:443                  nothing is sent";

const RULES: &str = "\
It has no side effects: nothing listens, connects or is sent, and no later call
returns anything else because of it. The sockets of the port, their options and
the kernel's rules decide whether bind(2) and listen(2) would succeed; routes
and settings decide whether connect(2) would. For an address of another host it
checks what this host decides: address, port, route and four-tuple.

Several things may be in the way, one behind the other: all are named, and a
remedy clears all of them, or says what else to do. Remedies are listed cheapest
first. One that was tried out was applied in a scratch network with sockets in
the same states, and the call worked there; one that did not help is not shown,
one that hangs on what could not be made again says so. Of several ways to the
same thing (\"or\") one was taken.

Packet filters are part of the answer: the rules of nf_tables, iptables-legacy
and ip6tables-legacy in this network namespace are followed, DNAT and redirects
among them, and the rule that decides is named. It takes CAP_NET_ADMIN to read
them. Programs of BPF, tc(8) and XDP are not looked at.

The interface of a socket is a part of its address: that of SO_BINDTODEVICE
(--device), and the zone of a link-local address, as in [fe80::1%eth0]:3000.

The options of another process's socket are read from that socket
(pidfd_getfd(2), getsockopt(2)). Where no process has it any more, they are
inferred by binding next to it, if that leaves no trace: the kernel remembers
how a port was bound for as long as it is in use. Where what decides cannot be
read, the answer is that the call may fail, and with which errno.

It is about TCP: UDP shares no port with it. What it cannot see: whether the far
end of a connection in TIME-WAIT had TCP timestamps; and, before Linux 6.8, the
sockets that are only bound of processes that may not be looked into.

The processes that have a socket are looked for in /proc: in every table of
open files that may be read (those of other users need CAP_SYS_PTRACE), and
among the files registered with an io_uring. Where none is found, a note says
how many were not looked into, or where else the socket may be. The service or
container of a process is that of /proc/PID/cgroup.

Not looked at: UDP, whose ports are others (MPTCP has those of TCP); whether
another host answers; ports that programs of Windows have, under WSL; whether
descriptors and memory are left to the program; security policies, but for what
bind(2) answers here; what other sockets do after the answer.

Exit status: 0 the call would work, 1 it would not, or that is unknown, 2 wrong
usage.
";

/// Explain why a bind, listen or connect fails here: which socket is in the way, by which rule, and what helps
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true,
    override_usage = "fourtuple why [OPTIONS] LOCAL\n       \
                      fourtuple why bind|listen [OPTIONS] LOCAL\n       \
                      fourtuple why connect [OPTIONS] [LOCAL] REMOTE",
    disable_help_subcommand = true,
    after_help = EXAMPLES,
    after_long_help = format!("{RULES}\n{EXAMPLES}"),
)]
pub(super) struct WhyArgs {
    #[command(subcommand)]
    call: Option<WhyCommand>,
    /// Where the new socket listens: 3000, 127.0.0.1:3000, [::1]:3000; a port alone is 0.0.0.0's
    #[arg(required = true, value_parser = parse_local)]
    local: Option<OnDevice>,
    #[command(flatten)]
    options: NewSocketArgs,
}

#[derive(Subcommand)]
enum WhyCommand {
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
    local: OnDevice,
    #[command(flatten)]
    options: NewSocketArgs,
}

#[derive(Args)]
#[command(allow_missing_positional = true)]
struct Connect {
    /// Where the new socket is bound first, if it is
    #[arg(value_parser = parse_local)]
    local: Option<OnDevice>,
    /// Where it connects to
    #[arg(value_parser = parse_remote)]
    remote: SocketAddr,
    #[command(flatten)]
    options: NewSocketArgs,
}

/// What the new socket sets.
#[derive(Args)]
#[command(mut_arg("format", cli::how("the answer is")))]
struct NewSocketArgs {
    /// SO_REUSEADDR of the new socket
    #[arg(long, value_enum, default_value = "off", hide_possible_values = true, value_name = "on|off")]
    reuse_address: Switch,
    /// SO_REUSEPORT of the new socket
    #[arg(long, value_enum, default_value = "off", hide_possible_values = true, value_name = "on|off")]
    reuse_port: Switch,
    /// IPV6_V6ONLY of the new socket [default: as net.ipv6.bindv6only says]
    #[arg(long, value_enum, hide_possible_values = true, value_name = "on|off")]
    v6_only: Option<Switch>,
    /// SO_BINDTODEVICE of the new socket, also written 0.0.0.0%eth0:3000
    #[arg(long, value_parser = parse_device, value_name = "INTERFACE")]
    device: Option<Device>,
    #[command(flatten)]
    output: FormatArgs,
}

impl WhyArgs {
    /// What is asked, and the interface that stands with the local address; nothing where clap has printed the help.
    fn goal(&self) -> Option<(Goal, Option<Device>, &NewSocketArgs)> {
        Some(match &self.call {
            Some(WhyCommand::Bind(Listen { local: OnDevice(local, on), options })) => {
                (Goal::Bind(*local), *on, options)
            }
            Some(WhyCommand::Listen(Listen { local: OnDevice(local, on), options })) => {
                (Goal::Listen(*local), *on, options)
            }
            Some(WhyCommand::Connect(Connect { local, remote, options })) => {
                let goal = Goal::Connect { local: local.map(|OnDevice(local, _)| local), remote: *remote };
                (goal, local.and_then(|OnDevice(_, on)| on), options)
            }
            None => self.local.map(|OnDevice(local, on)| (Goal::Listen(local), on, &self.options))?,
        })
    }
}

/// Why a socket of one family does not reach an address of the other.
fn families(local: SocketAddr, remote: SocketAddr) -> String {
    let family = |address: SocketAddr| if address.is_ipv4() { "IPv4" } else { "IPv6" };
    format!("{local} is {} and {remote} is {}: a connection has one family", family(local), family(remote))
}

/// Answers, and says by the exit status whether the call would succeed.
pub(super) fn run(args: &WhyArgs) -> Result<ExitCode> {
    let Some((goal, on, options)) = args.goal() else { return Ok(ExitCode::from(2)) };
    if let (Some(on), Some(device)) = (on, options.device)
        && on != device
    {
        say(&format!("fourtuple: the address names {on}, and --device {device}: a socket is bound to one"));
        return Ok(ExitCode::from(2));
    }
    if let Goal::Connect { local: Some(local), remote } = goal
        && local.is_ipv4() != remote.is_ipv4()
    {
        say(&format!("fourtuple: {}", families(local, remote)));
        return Ok(ExitCode::from(2));
    }
    let question = PlannedCall {
        goal,
        options: SocketOptions {
            reuse_address: options.reuse_address.is_on(),
            reuse_port: options.reuse_port.is_on(),
            v6_only: options.v6_only.map(Switch::is_on),
            device: on.or(options.device),
            ..SocketOptions::default()
        },
    };
    let mut answer = why(&question)?;
    answer.look_elsewhere(&question);
    answer.try_out(&question);
    cli::print(&match options.output.format {
        Format::Text => show::text(&question, &answer),
        Format::Json => json::json(&question, &answer),
    })?;
    Ok(if answer.verdict == Verdict::Works { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
