//! `fourtuple ports measure`: what each method reaches, beside its plan.

use std::process::ExitCode;

use crate::cli::{self, FormatArgs};
use crate::error::Result;
use crate::lab::ports::{Compared, Measure};
use crate::text::{Format, Line};
use clap::Args;

use super::layout::{blocks, table};
use super::plan::between;

const AFTER_LONG_HELP: &str = "\
Columns:
  METHOD       how the client gets its source port: fourtuple ports --help
  PLANNED      how many connections should be open at once, from 127.0.0.1 to
               all destinations together; for an odd range, minimum and maximum
  MEASURED     how many were ESTABLISHED
  CALL, ERRNO  what failed then
  PLAN         `held`, `differs`, or `differs:` and what should fail

Exit status: 0 every plan held, 1 one differs or the system said no,
2 wrong usage.";

/// Measure the same in a network of its own, and compare it with the plan
#[derive(Args)]
#[command(after_long_help = AFTER_LONG_HELP)]
pub(super) struct MeasureArgs {
    /// The ephemeral ports of that network, 1024 or higher
    #[arg(long, value_name = "LOW-HIGH", default_value = "40000-40099", value_parser = range)]
    range: (u16, u16),
    /// How many remote addresses to connect to, one port each
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=250))]
    destinations: u8,
    #[command(flatten)]
    output: FormatArgs,
}

/// Below that the kernel takes no range.
fn range(text: &str) -> cli::Parsed<(u16, u16)> {
    match cli::port_range(text)? {
        (0..1024, _) => Err("the kernel's own range begins at 1024 or higher".to_owned()),
        range => Ok(range),
    }
}

/// Measures, prints, and fails where a plan did not hold.
pub(super) fn run(args: &MeasureArgs) -> Result<ExitCode> {
    cli::raise_descriptor_limit();
    let (low, high) = args.range;
    let compared = Measure { low, high, destinations: args.destinations }.run()?;
    let mut line = Line::new(args.output.format, "range");
    line.field("ports", format_args!("{low}-{high}"))
        .number("count", (low..=high).count() as u64)
        .number("destinations", args.destinations.into());
    let line = line.finish() + "\n";
    let text = match args.output.format {
        Format::Json => {
            let rows = compared.iter().map(|compared| json(compared) + "\n");
            line + &rows.collect::<String>()
        }
        Format::Text => {
            let header = ["METHOD", "PLANNED", "MEASURED", "CALL", "ERRNO", "PLAN"];
            blocks(&[line, table(header, compared.iter().map(cells).collect())])
        }
    };
    cli::print(&text)?;
    let held = compared.iter().all(Compared::agrees);
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn cells(compared: &Compared) -> [String; 6] {
    let end = compared.measured_end.clone();
    let (call, errno) = end.map_or(("-".to_owned(), "-".to_owned()), |end| (end.call, end.errno));
    let planned = &compared.planned_end;
    let verdict = match (compared.agrees(), compared.measured_end.as_ref() == Some(planned)) {
        (true, _) => "held".to_owned(),
        (false, true) => "differs".to_owned(),
        (false, false) => format!("differs:{}/{}", planned.call, planned.errno),
    };
    let name = compared.method.name().to_owned();
    [name, between(&compared.planned), compared.measured.to_string(), call, errno, verdict]
}

fn json(compared: &Compared) -> String {
    let mut line = Line::new(Format::Json, "method");
    let end = compared.measured_end.as_ref();
    line.field("method", compared.method.name())
        .number("planned-least", *compared.planned.start() as u64)
        .number("planned-most", *compared.planned.end() as u64)
        .number("measured", compared.measured as u64)
        .field("planned-call", &compared.planned_end.call)
        .field("planned-errno", &compared.planned_end.errno)
        .optional("call", end.map(|end| end.call.clone()))
        .optional("errno", end.map(|end| end.errno.clone()))
        .mark("held", compared.agrees());
    line.finish()
}
