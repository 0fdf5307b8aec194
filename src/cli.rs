//! What the programs' command lines share, and how an outcome becomes an exit status.

mod stop;

use std::fs::File;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::{self, ExitCode};
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Args, Parser, ValueEnum};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::error::{Error, Result};
use crate::net::SocketOptions;
use crate::report::{Escaped, Event, Format, Reporter, Verbosity, say};

/// Reads the command line; or prints what was asked for, or what is wrong with it, and ends the program.
///
/// clap repeats a wrong argument as it is, and so do the parsers it calls. So the command line is read once more with
/// every argument escaped, and whatever is said of it then is safe to show.
pub fn parse<P: Parser>() -> P {
    let kind = match P::try_parse() {
        Ok(args) => return args,
        Err(error) => error.kind(),
    };
    let arguments = std::env::args_os().map(|argument| Escaped(argument.as_encoded_bytes()).to_string());
    // Escaped, bytes that are not UTF-8 are nothing wrong any more.
    let error = P::try_parse_from(arguments).err().unwrap_or_else(|| P::command().error(kind, kind));
    let printed = shown(error.print());
    match error.exit_code() {
        0 if printed.is_err() => {
            let _ = exit(P::command().get_name(), printed);
            process::exit(1)
        }
        status => process::exit(status),
    }
}

/// How printing went: a reader that has gone has seen enough, any other failure is told.
fn shown(outcome: io::Result<()>) -> Result<ExitCode> {
    match outcome {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::new("write", "standard output", error))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

pub use stop::Stop;

/// Ends a program: its own status where it has one, else the error on standard error and status 1.
pub fn exit(program: &str, outcome: Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        say(&format!("{program}: {error}"));
        ExitCode::FAILURE
    })
}

/// Runs a program that reports events, and ends it as [`exit`] does; a failure is an event too.
pub fn run(program: &str, output: &OutputArgs, body: impl FnOnce(&Reporter) -> Result<ExitCode>) -> ExitCode {
    raise_descriptor_limit();
    let outcome = output.reporter().and_then(|reporter| {
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
pub struct OutputArgs {
    /// How events are written: text, or one JSON object a line
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", help_heading = "Output")]
    pub format: Format,
    /// Print the program's own events only, none of its connections'
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
    /// A reporter on standard output that tells as much as was asked for, and on the file of events.
    fn reporter(&self) -> Result<Reporter> {
        let verbosity = match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        };
        let reporter = Reporter::stdout(self.format, verbosity);
        let Some(path) = &self.events else { return Ok(reporter) };
        let file = File::create(path).map_err(|error| Error::new("open", path.display(), error))?;
        Ok(reporter.with_record(file))
    }
}

/// `on` or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Set the option.
    On,
    /// Do not.
    Off,
}

impl Switch {
    /// Whether it is on.
    pub fn is_on(self) -> bool {
        self == Self::On
    }
}

/// A duration, or `none` for no limit.
#[derive(Clone, Copy, Debug)]
pub struct Limit(pub Option<Duration>);

/// The socket options that a lab wants to vary.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Socket options")]
pub struct SocketArgs {
    /// SO_REUSEADDR
    #[arg(
        long,
        hide_short_help = true,
        value_enum,
        default_value = "on",
        hide_possible_values = true,
        value_name = "on|off"
    )]
    pub reuse_address: Switch,
    /// SO_REUSEPORT
    #[arg(
        long,
        hide_short_help = true,
        value_enum,
        default_value = "on",
        hide_possible_values = true,
        value_name = "on|off"
    )]
    pub reuse_port: Switch,
    /// TCP_NODELAY
    #[arg(
        long,
        hide_short_help = true,
        value_enum,
        default_value = "on",
        hide_possible_values = true,
        value_name = "on|off"
    )]
    pub nodelay: Switch,
    /// IPV6_V6ONLY [default: as net.ipv6.bindv6only says]
    #[arg(long, hide_short_help = true, value_enum, hide_possible_values = true, value_name = "on|off")]
    pub v6_only: Option<Switch>,
    /// Close a connection whose unsent bytes do not leave for so long, or none; SO_SNDTIMEO too
    #[arg(long, hide_short_help = true, default_value = "30s", value_parser = limit, value_name = "DURATION")]
    pub send_timeout: Limit,
    /// SO_RCVBUF, which the kernel doubles [default: the kernel's]
    #[arg(long, hide_short_help = true, value_parser = size, value_name = "SIZE")]
    pub receive_buffer: Option<usize>,
    /// SO_SNDBUF, which the kernel doubles [default: the kernel's]
    #[arg(long, hide_short_help = true, value_parser = size, value_name = "SIZE")]
    pub send_buffer: Option<usize>,
    /// SO_LINGER; 0s: close sends RST [default: off]
    #[arg(long, hide_short_help = true, value_parser = whole_seconds, value_name = "DURATION")]
    pub linger: Option<Duration>,
    /// SO_KEEPALIVE after so long without traffic, and as often [default: off]
    #[arg(long, hide_short_help = true, value_parser = positive_whole_seconds, value_name = "DURATION")]
    pub keepalive: Option<Duration>,
    /// TCP_USER_TIMEOUT [default: the kernel's]
    #[arg(long, hide_short_help = true, value_parser = positive_duration, value_name = "DURATION")]
    pub user_timeout: Option<Duration>,
    /// TCP_MAXSEG in bytes [default: the route's]
    #[arg(long, hide_short_help = true, value_name = "BYTES")]
    pub mss: Option<u32>,
}

impl SocketArgs {
    /// The options to set, with the receive timeout, whose default differs between programs.
    pub fn options(&self, receive_timeout: Limit) -> SocketOptions {
        SocketOptions {
            reuse_address: self.reuse_address.is_on(),
            reuse_port: self.reuse_port.is_on(),
            v6_only: self.v6_only.map(Switch::is_on),
            no_delay: self.nodelay.is_on(),
            out_of_band_inline: true,
            receive_timeout: receive_timeout.0,
            send_timeout: self.send_timeout.0,
            receive_buffer: self.receive_buffer,
            send_buffer: self.send_buffer,
            linger: self.linger,
            keepalive: self.keepalive,
            user_timeout: self.user_timeout,
            maximum_segment_size: self.mss,
            ..SocketOptions::default()
        }
    }
}

type Parsed<T> = std::result::Result<T, String>;

/// Reads an IP literal. A host name would leave open which of its addresses is bound.
///
/// # Errors
///
/// Words for the user.
pub fn local_ip(text: &str) -> Parsed<IpAddr> {
    text.parse().map_err(|_| {
        "not an IPv4 or IPv6 address, such as 127.0.0.1 or ::1 (a host name cannot be bound)".to_owned()
    })
}

/// Reads a port.
///
/// # Errors
///
/// Words for the user.
pub fn port(text: &str) -> Parsed<u16> {
    text.parse().map_err(|_| "not a port, a number from 0 to 65535".to_owned())
}

/// Reads a port that can be connected to.
///
/// # Errors
///
/// Words for the user.
pub fn remote_port(text: &str) -> Parsed<u16> {
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err("not a port, a number from 1 to 65535".to_owned()),
    }
}

/// Reads a count of at least one.
///
/// # Errors
///
/// Words for the user.
pub fn positive(text: &str) -> Parsed<usize> {
    let number = text.parse().map_err(|_| "not a whole number".to_owned())?;
    if number == 0 { Err("must be at least 1".to_owned()) } else { Ok(number) }
}

/// Reads a duration with its unit.
///
/// # Errors
///
/// Words for the user.
pub fn duration(text: &str) -> Parsed<Duration> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; a duration has a unit, such as 5s, 250ms or 2m"))
}

/// Reads a duration longer than none.
///
/// # Errors
///
/// Words for the user.
pub fn positive_duration(text: &str) -> Parsed<Duration> {
    match duration(text)? {
        shorter if shorter < Duration::from_millis(1) => Err("must be at least 1ms".to_owned()),
        duration => Ok(duration),
    }
}

/// Reads a duration longer than none, or `none`.
///
/// # Errors
///
/// Words for the user.
pub fn limit(text: &str) -> Parsed<Limit> {
    if text == "none" {
        return Ok(Limit(None));
    }
    let limit = positive_duration(text).map_err(|error| format!("{error}; or none, for no limit"))?;
    Ok(Limit(Some(limit)))
}

/// The kernel counts these in seconds, and half a second would silently become zero.
fn whole_seconds(text: &str) -> Parsed<Duration> {
    duration(text).and_then(|time| {
        if time.subsec_nanos() == 0 { Ok(time) } else { Err("must be whole seconds".into()) }
    })
}

fn positive_whole_seconds(text: &str) -> Parsed<Duration> {
    positive_duration(text)?;
    whole_seconds(text)
}

/// Reads a size in bytes with its unit, 2GiB at most.
///
/// # Errors
///
/// Words for the user.
pub fn size(text: &str) -> Parsed<usize> {
    let words = "a size has a unit, such as 64KiB, 1MB or 512B";
    if !text.ends_with(['b', 'B']) {
        return Err(words.to_owned());
    }
    let size: ByteSize = text.parse().map_err(|_| words.to_owned())?;
    i32::try_from(size.as_u64()).map(|bytes| bytes as usize).map_err(|_| "at most 2GiB".to_owned())
}

/// Reads `LOW-HIGH`.
///
/// # Errors
///
/// Words for the user.
pub fn port_range(text: &str) -> Parsed<(u16, u16)> {
    let words = || "not LOW-HIGH, two ports from 1 to 65535, such as 40000-40007".to_owned();
    let (low, high) = text.split_once('-').ok_or_else(words)?;
    let range = (low.parse().map_err(|_| words())?, high.parse().map_err(|_| words())?);
    if range.0 == 0 || range.0 > range.1 { Err(words()) } else { Ok(range) }
}

/// All addresses of `host` that a socket bound to `local` can connect to, in the resolver's order.
///
/// # Errors
///
/// What getaddrinfo(3) says, or that `host` has no address of `local`'s family.
pub fn resolve(host: &str, port: u16, local: SocketAddr) -> Result<Vec<SocketAddr>> {
    let failed = |error| Error::new("getaddrinfo", Escaped(host.as_bytes()), error);
    let mut addresses: Vec<SocketAddr> = (host, port)
        .to_socket_addrs()
        .map_err(|error| failed(error).hint("an IPv4 or IPv6 address, or a name that `getent hosts` knows"))?
        .collect();
    addresses.retain(|address| address.is_ipv4() == local.is_ipv4());
    addresses.dedup();
    if addresses.is_empty() {
        let family = if local.is_ipv4() { "IPv4" } else { "IPv6" };
        let error = io::Error::other(format!("no {family} address, and {} is one", local.ip()));
        return Err(failed(error).hint("both addresses of one family"));
    }
    Ok(addresses)
}

/// Raises the soft limit on open descriptors to the hard one; where that is refused, the soft one stands.
pub fn raise_descriptor_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// The status a shell gives a program that a signal ended.
pub fn signalled(number: i32) -> ExitCode {
    ExitCode::from(128 + u8::try_from(number).unwrap_or(0))
}

/// Prints a program's short help, as `-h` does.
///
/// # Errors
///
/// What write(2) says, but for `EPIPE`.
pub fn print_help(command: &mut clap::Command) -> Result<ExitCode> {
    shown(command.print_help())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_needs_a_unit() {
        assert!(duration("5").unwrap_err().contains("5s"));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
    }

    #[test]
    fn nothing_is_no_interval() {
        assert!(positive_duration("0s").is_err());
        assert!(positive_duration("999us").is_err());
        assert_eq!(positive_duration("1ms"), Ok(Duration::from_millis(1)));
    }

    #[test]
    fn half_a_second_of_linger_is_refused_for_the_kernel_would_take_it_for_none() {
        assert!(whole_seconds("500ms").is_err());
        assert_eq!(whole_seconds("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn a_size_needs_a_unit() {
        assert!(size("64").is_err());
        assert!(size("4GiB").is_err());
        assert_eq!(size("64KiB"), Ok(65_536));
    }

    #[test]
    fn a_port_range_has_a_low_and_a_high_end() {
        assert_eq!(port_range("40000-40007"), Ok((40_000, 40_007)));
        for wrong in ["40000", "2-1", "0-1", "1-70000", "a-b"] {
            assert!(port_range(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_host_name_cannot_be_bound() {
        assert!(local_ip("localhost").unwrap_err().contains("host name"));
        assert!(local_ip("1.2.3").is_err());
    }
}
