//! Who writes events, and how many.

mod sink;

use std::fs::File;
use std::io::IsTerminal;

use super::{Event, Format, Output};
use sink::Sink;

/// How much a program tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Nothing at all.
    Nothing,
    /// The program's own events, none of its connections'.
    Quiet,
    /// A line when a connection opens or closes, a heartbeat leaves or is answered.
    Normal,
    /// Every read too.
    Verbose,
}

/// Writes events as a program was asked to.
///
/// A clone writes to the same output.
#[derive(Clone)]
pub struct Reporter {
    format: Format,
    verbosity: Verbosity,
    output: Option<Sink>,
    record: Option<Sink>,
}

impl Reporter {
    /// A reporter on standard output.
    pub fn stdout(format: Format, verbosity: Verbosity) -> Self {
        Self::to(Some(Output::stdout(format)), format, verbosity)
    }

    /// A reporter on `output`, which has the same format; or on none.
    pub fn to(output: Option<Output>, format: Format, verbosity: Verbosity) -> Self {
        Self { format, verbosity, output: output.map(Sink::Writer), record: None }
    }

    /// One that writes nothing, for a loop of whose connections another tells.
    #[must_use]
    pub fn silent(&self) -> Self {
        Self { verbosity: Verbosity::Nothing, record: None, ..self.clone() }
    }

    /// The same, which also writes every event to `file` as JSON Lines, the verbose ones too.
    #[must_use]
    pub fn with_record(self, file: File) -> Self {
        Self { record: Some(Sink::Writer(Output::record(file))), ..self }
    }

    /// Whether an event of this verbosity is printed or recorded.
    pub fn tells(&self, verbosity: Verbosity) -> bool {
        verbosity <= self.verbosity || self.record.is_some()
    }

    /// Queues the event's line; returns at once, whether anybody reads or not.
    pub fn report(&self, event: &Event) {
        if let Some(output) = &self.output
            && event.verbosity() <= self.verbosity
            && self.prints(event)
        {
            output.line(event.line(self.format).finish());
        }
        if let Some(record) = &self.record {
            record.line(event.line(Format::Json).finish());
        }
    }

    /// A failure stands on standard error in words; only JSON Lines have it as an event too.
    fn prints(&self, event: &Event) -> bool {
        self.format == Format::Json || !matches!(event, Event::Failed { .. })
    }

    /// Waits until what was reported has been written, for a second at most.
    pub fn flush(&self) {
        for output in [&self.output, &self.record].into_iter().flatten() {
            output.flush();
        }
    }
}

/// Whether `stream` is a terminal that is to be coloured (`NO_COLOR` is not set).
pub fn coloured(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}
