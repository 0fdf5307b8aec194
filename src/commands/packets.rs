//! `fourtuple packets`: TCP segments as they pass.

mod line;

use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::{self, FormatArgs, Stop, positive, size, written};
use crate::error::Result;
use crate::report::{Output, say};
use crate::text::{Format, Line};
use crate::wire::capture::{Capture, Packet, SMALLEST_BUFFER};
use crate::wire::pcapng::{self, Writer};
use crate::wire::segment::{Link, Segment};
use clap::Args;

use line::{AddressAlias, Printer, parse_name};

const EXAMPLES: &str = "\
Examples:
  fourtuple packets                in a shell of `fourtuple isolate -- bash`
  fourtuple packets --port 3000 --count 10
  fourtuple packets --quiet --write connection.pcapng
  fourtuple packets --read connection.pcapng --name 127.0.0.1:3000=listener";

const MORE: &str = "\
A segment's line:
  time            seconds since the first segment shown
  local, remote   its sender and its receiver
  flags           S SYN, F FIN, R RST, P PSH, U URG, . ACK
  seq, ack        counted from the initial sequence number of the side that they
                  number; where no SYN was captured, the first segment is number
                  1. ack=- without ACK
  length          bytes of data
  window          as it is on the wire: to be shifted by the wscale of that
                  side's SYN
  options         mss, wscale, sackOK, sack {FIRST:PAST-THE-LAST} (relative),
                  TS, kind N for others
  retransmission  everything it carries was captured before

In JSON, time_us is when the kernel saw the segment, and addresses are never
replaced by names.

Every packet of lo is captured once, as it arrives; on other interfaces, both
directions. The kernel buffers packets until they are read; those it has no room
for are counted as dropped.

Exit status: 0 done, 1 the kernel does not let this user capture, or a file
cannot be read or written, 2 wrong usage, 130 or 143 after a second signal.";

/// Show TCP segments as they pass: flags, relative numbers, options
///
/// Captures in the network that it runs in, on all interfaces, IPv4 and IPv6, until SIGINT or SIGTERM. Needs root, or
/// `fourtuple isolate`, where an ordinary user may capture.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{MORE}\n\n{EXAMPLES}"))]
#[command(mut_arg("format", cli::how("lines are")))]
pub(super) struct PacketsArgs {
    /// Write the segments to this file too, as pcapng with nanoseconds
    #[arg(long, value_name = "FILE", conflicts_with = "read")]
    write: Option<PathBuf>,
    /// Show the segments of this pcapng file instead
    #[arg(long, value_name = "FILE")]
    read: Option<PathBuf>,
    /// Only segments with one of these ports at either end
    #[arg(long, value_name = "PORT", value_delimiter = ',', value_parser = cli::one_of_ports)]
    port: Vec<u16>,
    /// End after this many segments
    #[arg(long, value_name = "N", value_parser = positive)]
    count: Option<usize>,
    /// Show this name in place of an address; may be repeated
    #[arg(long, value_name = "ADDR:PORT=NAME", value_parser = parse_name)]
    name: Vec<AddressAlias>,
    /// Size of the kernel's capture buffer, at least 256KiB
    #[arg(long, value_name = "SIZE", default_value = "32MiB", value_parser = buffer, conflicts_with = "read")]
    buffer: usize,
    /// Print no segments
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    output: FormatArgs,
}

fn buffer(text: &str) -> std::result::Result<usize, String> {
    match size(text)? {
        small if small < SMALLEST_BUFFER => Err("at least 256KiB".to_owned()),
        bytes => Ok(bytes),
    }
}

impl PacketsArgs {
    fn matches(&self, segment: &Segment) -> bool {
        self.port.is_empty()
            || [segment.from, segment.to].iter().any(|address| self.port.contains(&address.port()))
    }

    fn printer(&self) -> Printer<'_> {
        Printer::new(self.output.format, &self.name)
    }

    fn most(&self) -> usize {
        self.count.unwrap_or(usize::MAX)
    }
}

/// Shows what passes, or what a file holds.
pub(super) fn run(args: &PacketsArgs) -> Result<ExitCode> {
    match &args.read {
        Some(path) => show_file(args, path),
        None => capture(args),
    }
}

fn show_file(args: &PacketsArgs, path: &Path) -> Result<ExitCode> {
    let mut output = BufWriter::new(io::stdout().lock());
    let mut printer = args.printer();
    let mut left = args.most();
    let mut outcome = Ok(ExitCode::SUCCESS);
    for segment in pcapng::read(path)? {
        match segment {
            Ok(segment) if args.matches(&segment) => {
                let line = printer.line(&segment);
                if !args.quiet
                    && let Err(error) = writeln!(output, "{line}")
                {
                    return written(Err(error));
                }
                left -= 1;
            }
            Ok(_) => {}
            Err(error) => outcome = Err(error),
        }
        if left == 0 {
            break;
        }
    }
    written(output.flush())?;
    outcome
}

fn capture(args: &PacketsArgs) -> Result<ExitCode> {
    let stop = Stop::on_signal()?;
    let mut capture = Capture::open(args.buffer)?;
    let mut sink = PacketSink::open(args)?;
    sink.output.line(capturing(args.output.format));
    while !sink.is_full() {
        let stopped = capture.wait(stop.as_fd())?;
        capture.read(&mut |packet| sink.take(&packet))?;
        sink.flush()?;
        if stopped {
            break;
        }
    }
    let dropped = capture.finish(&mut |packet| sink.take(&packet))?;
    sink.end(dropped)
}

fn capturing(format: Format) -> String {
    let mut line = Line::new(format, "capturing");
    line.field("interface", "all");
    line.finish()
}

/// Where captured packets go.
struct PacketSink<'a> {
    args: &'a PacketsArgs,
    output: Output,
    printer: Printer<'a>,
    file: Option<Writer>,
    taken: usize,
}

impl<'a> PacketSink<'a> {
    fn open(args: &'a PacketsArgs) -> Result<Self> {
        let file = args.write.as_deref().map(Writer::create).transpose()?;
        Ok(Self { args, output: Output::stdout(args.output.format), printer: args.printer(), file, taken: 0 })
    }

    fn is_full(&self) -> bool {
        self.taken >= self.args.most()
    }

    fn take(&mut self, packet: &Packet) -> Result<()> {
        let segment = Segment::parse(packet.time, Link::None, packet.bytes, packet.wire_length);
        let Some(segment) = segment.filter(|segment| !self.is_full() && self.args.matches(segment)) else {
            return Ok(());
        };
        self.taken += 1;
        if let Some(file) = &mut self.file {
            file.write(packet)?;
        }
        if !self.args.quiet {
            self.output.line(self.printer.line(&segment));
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.file.as_mut().map_or(Ok(()), Writer::flush)
    }

    fn end(mut self, dropped: u64) -> Result<ExitCode> {
        self.flush()?;
        let mut line = Line::new(self.args.output.format, "captured");
        line.number("packets", self.taken as u64).number("dropped", dropped);
        self.output.line(line.finish());
        self.output.flush();
        if dropped > 0 {
            say(&format!("fourtuple: the kernel had no room for {dropped} packets\nhint: a larger --buffer"));
        }
        Ok(ExitCode::SUCCESS)
    }
}
