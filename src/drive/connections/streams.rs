//! Standard input and output beside the connections.

use super::Connections;
use crate::drive::stream::Stream;
use crate::service::{Input, Service};
use crate::terminal::standard::Standard;

impl<S: Stream> Connections<S> {
    /// Reads and writes standard input and output too, as the service asks.
    pub(crate) fn take_streams(&mut self, standard: Standard) {
        self.standard = Some(Box::new(standard));
    }

    /// Standard input or output woke the loop.
    pub(crate) fn note_streams(&mut self) {
        if let Some(standard) = &mut self.standard {
            standard.note();
        }
    }

    /// The terminal may have another width, or other settings than ours.
    pub(crate) fn note_terminal(&mut self) {
        if let Some(standard) = &mut self.standard {
            standard.note_terminal();
        }
    }

    /// Whether bytes wait for standard output.
    pub(crate) fn writes(&self) -> bool {
        self.standard.as_ref().is_some_and(|standard| standard.writes())
    }

    /// Gives up standard input and output.
    pub(crate) fn drop_streams(&mut self) {
        self.standard = None;
    }

    /// Tells the service what came from standard input, a bounded piece, and what has gone to standard output.
    pub(crate) fn serve_streams(&mut self, service: &mut dyn Service) {
        if self.standard.is_some() {
            self.tell_of_streams(service);
        }
    }

    fn tell_of_streams(&mut self, service: &mut dyn Service) {
        if let Some(outcome) = self.standard.as_mut().and_then(|standard| standard.written()) {
            service.written(self, outcome);
        }
        if let Some(columns) = self.standard.as_mut().and_then(|standard| standard.columns()) {
            service.input(self, Input::Columns(columns));
        }
        match self.standard.as_mut().and_then(|standard| standard.chunk()) {
            None => {}
            Some(Ok(bytes)) if bytes.is_empty() => service.input(self, Input::End),
            Some(Ok(bytes)) => service.input(self, Input::Bytes(&bytes)),
            Some(Err(error)) => service.input(self, Input::Failed(error)),
        }
    }
}
