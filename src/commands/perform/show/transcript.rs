//! What has been told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::report::Reporter;

/// The lines told so far. Both threads tell: one the calls that returned, the other the call that did not.
#[derive(Clone)]
pub(super) struct Transcript {
    pub reporter: Reporter,
    told: Arc<Mutex<TranscriptState>>,
}

#[derive(Default)]
pub(super) struct TranscriptState {
    /// The step whose call has begun and is not told yet.
    pub begun: Option<usize>,
    /// Nothing more is to be told.
    pub broken_off: bool,
}

impl Transcript {
    /// Nothing so far.
    pub(super) fn of(reporter: Reporter) -> Self {
        Self { reporter, told: Arc::default() }
    }

    /// Whether the call of this step may be made: not when the performance is broken off.
    pub(super) fn begin(&self, index: usize) -> bool {
        let mut told = self.lock();
        told.begun = Some(index);
        !told.broken_off
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, TranscriptState> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
