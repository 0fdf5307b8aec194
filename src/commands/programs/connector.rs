//! `connector`: a connection from a fixed local address, and a heartbeat over it.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use crate::cli::{self, Limit, LocalIp, OutputArgs, SocketArgs};
use crate::drive::{EventLoop, Limits, LoopSettings};
use crate::error::Result;
use crate::lab::explain::explain;
use crate::net::SocketOptions;
use crate::report::Reporter;
use crate::service::{Heartbeat, HeartbeatPlan, Signal};
use clap::{CommandFactory, Parser};

/// TCP client that binds a fixed local address before it connects, and sends a heartbeat
///
/// Binds LOCAL_IP:LOCAL_PORT, connects to REMOTE_IP:REMOTE_PORT, sends MESSAGE at once and every interval,
/// whether or not the remote side answers, and prints each answer with its round-trip time.
#[derive(Parser)]
#[command(name = "connector", version)]
#[command(override_usage = "connector [OPTIONS] LOCAL_IP LOCAL_PORT REMOTE_IP REMOTE_PORT [MESSAGE]")]
#[command(after_help = EXAMPLES, after_long_help = LONG_EXAMPLES)]
struct ConnectorArgs {
    /// Address to bind
    #[arg(value_parser = cli::local_ip)]
    local_ip: LocalIp,
    /// Port to bind; 0 lets the kernel pick
    #[arg(value_parser = cli::port)]
    local_port: u16,
    /// Address or host name to connect to
    #[arg(value_name = "REMOTE_IP", value_parser = cli::host)]
    remote_host: String,
    /// Port to connect to
    #[arg(value_parser = cli::remote_port)]
    remote_port: u16,
    /// The text of a heartbeat
    #[arg(default_value = "hi", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    message: String,
    /// Time between heartbeats
    #[arg(long, default_value = "5s", value_parser = cli::positive_duration, value_name = "DURATION")]
    interval: Duration,
    /// End after this many heartbeats [default: at a signal]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..), value_name = "N")]
    count: Option<u64>,
    /// How long the handshake may take, or none
    #[arg(long, default_value = "10s", value_parser = cli::limit, value_name = "DURATION")]
    connect_timeout: Limit,
    /// How long an answer may take, or none; sets SO_RCVTIMEO
    #[arg(long, default_value = "none", value_parser = cli::limit, value_name = "DURATION")]
    receive_timeout: Limit,
    /// For port 0, let connect(2) pick the port, not bind(2): IP_BIND_ADDRESS_NO_PORT
    #[arg(long, hide_short_help = true)]
    bind_address_no_port: bool,
    /// Ports the kernel may pick from: IP_LOCAL_PORT_RANGE
    #[arg(long, value_parser = cli::port_range, value_name = "LOW-HIGH", hide_short_help = true)]
    local_port_range: Option<(u16, u16)>,
    /// Time to flush unsent data after SIGINT or SIGTERM
    #[arg(long, default_value = "5s", value_parser = cli::duration, value_name = "DURATION", hide_short_help = true)]
    drain: Duration,
    #[command(flatten)]
    socket: SocketArgs,
    #[command(flatten)]
    output: OutputArgs,
}

const EXAMPLES: &str = "\
Socket options, signals and exit status: connector --help

Examples:
  connector 127.0.0.1 3001 127.0.0.1 3000 hello
  connector 127.0.0.1 0 localhost 3000 --count 3 --interval 1s
  connector ::1 3001 ::1 3000 --reuse-address off --reuse-port off";

const LONG_EXAMPLES: &str = "\
Examples:
  connector 127.0.0.1 3001 127.0.0.1 3000 hello
  connector 127.0.0.1 0 localhost 3000 --count 3 --interval 1s
  connector ::1 3001 ::1 3000 --reuse-address off --reuse-port off

Signals:
  SIGINT, SIGTERM  close at once, print the summary; again: without waiting for unsent bytes
  SIGUSR2          print the summary so far

Exit status: 0 ended by a signal, by the remote side's FIN, or with --count when all were answered;
1 the network or the kernel said no; 2 wrong usage; 130 or 143 after a second SIGINT or SIGTERM.";

/// Runs it with this command line.
pub(super) fn main(arguments: &[OsString]) -> ExitCode {
    if arguments.len() == 1 {
        return cli::exit("connector", cli::print_help(&mut ConnectorArgs::command()));
    }
    let args: ConnectorArgs = cli::parse(arguments);
    cli::run("connector", &args.output, |reporter| run(&args, reporter))
}

fn run(args: &ConnectorArgs, reporter: &Reporter) -> Result<ExitCode> {
    let local = args.local_ip.at(args.local_port);
    let options = SocketOptions {
        bind_address_no_port: args.bind_address_no_port,
        local_port_range: args.local_port_range,
        ..args.socket.options(args.receive_timeout)
    };
    let settings = LoopSettings {
        limits: Limits { connect: args.connect_timeout.0, send: args.socket.send_timeout.0, receive: None },
        drain: args.drain,
        options: options.clone(),
        ..LoopSettings::default()
    };
    let mut heartbeat = Heartbeat::new(HeartbeatPlan {
        local,
        remotes: cli::resolve(&args.remote_host, args.remote_port, local)?,
        message: args.message.clone().into_bytes(),
        interval: args.interval,
        count: args.count,
        receive_timeout: args.receive_timeout.0,
    });
    let ended =
        EventLoop::new(reporter.clone(), settings, &[Signal::Stop, Signal::Status])?.run(&mut heartbeat);
    if let Some(summary) = heartbeat.summary() {
        reporter.report(&summary);
    }
    let remote = heartbeat.remote();
    let ended = ended.and_then(|ended| heartbeat.outcome().map(|()| ended));
    ended.map(cli::status).map_err(|error| explain(error, local, remote, &options))
}
