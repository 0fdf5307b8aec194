//! `fourtuple isolate`: a command in a network of its own.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::error::Error;
use crate::report::say;
use crate::sandbox::namespace::{self, CommandEnd, IsolatedCommand, Namespaces, Sysctl};
use clap::Args;
use clap::builder::RangedI64ValueParser;
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use signal_hook::low_level::emulate_default_handler;

const EXAMPLES: &str = "\
Examples:
  fourtuple isolate -- listener 3000 127.0.0.1
  fourtuple isolate --sysctl net.ipv4.tcp_timestamps=0 -- bash
  fourtuple isolate -- bash              a shell to look around in
  fourtuple isolate --join 4711 -- bash  a second one in the same network";

const MORE: &str = "\
Exit status:
  that of CMD; CMD ended by a signal ends this program by the same signal.
  125 no namespace or no such sysctl, 126 CMD cannot be executed, 127 CMD is
  not found, 2 wrong usage.";

/// Run a command in a network of its own, which ends with it
///
/// CMD runs in new network, PID and mount namespaces, as an ordinary user too: root is then mapped to that user. lo
/// is up, so all of 127.0.0.0/8 and ::1 can be used; nothing else is reachable. These sysctls are pinned, those that
/// the kernel has: net.ipv4.tcp_timestamps=1, tcp_tw_reuse=0, tcp_rfc1337=1, tcp_syn_retries=3,
/// tcp_syn_linear_timeouts=0, tcp_congestion_control=reno, ip_local_port_range=32768 60999.
///
/// Signals are passed on to CMD. When CMD or this program ends, by SIGKILL too, the kernel ends every process inside
/// and removes the network.
#[derive(Args)]
#[command(
    override_usage = "fourtuple isolate [--sysctl KEY=VALUE]... -- CMD...\n       fourtuple isolate --join PID -- CMD...",
    after_help = EXAMPLES,
    after_long_help = format!("{EXAMPLES}\n\n{MORE}")
)]
pub(super) struct IsolateArgs {
    /// Set a sysctl of the new network, instead of the pinned value or in addition; may be repeated
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "join")]
    sysctl: Vec<Sysctl>,
    /// Enter the namespaces that process PID is in, instead of new ones
    ///
    /// PID is that of `fourtuple isolate` or of any process inside, as it is seen from where this is called. Needs
    /// the user who made them, or root. They outlive CMD, which ends with them.
    #[arg(long, value_name = "PID", value_parser = RangedI64ValueParser::<i32>::new().range(1..))]
    join: Option<i32>,
    /// The command and its arguments
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true)]
    command: Vec<OsString>,
}

/// Runs the command and becomes its exit status, or dies of its signal.
pub(super) fn run(args: IsolateArgs) -> ExitCode {
    let place = args.join.map_or(Namespaces::Own(args.sysctl), |pid| Namespaces::Of(Pid::from_raw(pid)));
    match namespace::run(&place, &IsolatedCommand { words: args.command, failed }) {
        Ok(CommandEnd::Exited(status)) => status.into(),
        Ok(CommandEnd::Signaled(signal)) => die_of(signal),
        Err(error) => failed(&error).into(),
    }
}

/// Says why the command did not run; the exit status is that of env(1) and its kin.
fn failed(error: &Error) -> u8 {
    say(&format!("fourtuple: {error}"));
    match (error.call(), error.errno()) {
        ("execve", Some(Errno::ENOENT)) => 127,
        ("execve", _) => 126,
        _ => 125,
    }
}

/// Ends this process as `signal` ended the command, so that a shell sees the same.
fn die_of(signal: Signal) -> ExitCode {
    // The command has dumped its core; ours would overwrite it.
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_CORE) {
        let _ = setrlimit(Resource::RLIMIT_CORE, 0, hard);
    }
    let signal = signal as i32;
    let _ = emulate_default_handler(signal);
    // A signal that does not end us; a shell would show this status for it.
    ExitCode::from(128 + signal as u8)
}
