//! Who writes events, and how many.

mod sink;

use std::fs::File;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;

use super::event::Event;
use super::output::Output;
use super::values::Verbosity;
use crate::text::Format;
use sink::{OUTPUT, RECORD, Sink};

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

    /// The reporter of a child process: it sends each line as a message, for the parent to [`pass_on`](Self::pass_on).
    ///
    /// fork(2) copies no other thread, so the child has no writer; and a line is not cut by others in a message.
    #[must_use]
    pub fn through(&self, socket: &Arc<UnixDatagram>) -> Self {
        let parent = |output| Sink::Parent { socket: Arc::clone(socket), output };
        let output = self.output.as_ref().map(|_| parent(OUTPUT));
        let record = self.record.as_ref().map(|_| parent(RECORD));
        Self { output, record, ..*self }
    }

    /// Writes the line of a child process; whether `message` was one.
    pub fn pass_on(&self, message: &[u8]) -> bool {
        let Some((output, line)) = message.split_first() else { return false };
        let sink = match *output {
            OUTPUT => &self.output,
            RECORD => &self.record,
            _ => return false,
        };
        if let Some(sink) = sink {
            sink.line(String::from_utf8_lossy(line).into_owned());
        }
        true
    }

    /// Waits until what was reported has been written, for a second at most.
    pub fn flush(&self) {
        for output in [&self.output, &self.record].into_iter().flatten() {
            output.flush();
        }
    }
}
