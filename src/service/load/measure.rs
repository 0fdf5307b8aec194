//! The measured time of one thread: when it begins, what is counted in it, when it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Course, Tally};
use crate::service::Io;

/// How often a thread that is ready looks whether all are.
const LOOK: Duration = Duration::from_micros(200);
/// How often answers that are overdue are looked for.
const SCAN: Duration = Duration::from_millis(100);
/// How often, after the end, it is looked whether the last answer has come.
const LATE: Duration = Duration::from_millis(5);

/// The clock of a thread, and its account.
#[derive(Debug)]
pub(super) struct Measurement {
    course: Arc<Course>,
    duration: Duration,
    /// What is under way at the end is waited for, and counted.
    waits: bool,
    stage: MeasurePhase,
    /// Answers that the course has not been told of.
    untold: u64,
    /// When the last answer came.
    last: Instant,
    pub tally: Tally,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MeasurePhase {
    Opening,
    Ready,
    Counting { begin: Instant, end: Instant, look: Instant },
    Over,
}

/// What a thread is woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Nothing, or for something of its own.
    Wait,
    /// The measured time has begun then.
    Begin(Instant),
    /// To look for what is overdue.
    Look,
    /// The measured time is over, and what is under way is to be waited for; what is overdue is not.
    Rest,
    End,
}

impl Measurement {
    pub(super) fn new(course: Arc<Course>, duration: Duration, waits: bool) -> Self {
        let (last, tally) = (Instant::now(), Tally::default());
        Self { course, duration, waits, stage: MeasurePhase::Opening, untold: 0, last, tally }
    }

    /// All that is needed before the beginning is done.
    pub(super) fn ready(&mut self, io: &mut dyn Io) {
        if self.stage == MeasurePhase::Opening {
            self.stage = MeasurePhase::Ready;
            self.course.one_more_is_ready();
            io.wake_after(LOOK);
        }
    }

    /// What it is time for.
    pub(super) fn woken(&mut self, now: Instant) -> Moment {
        match &mut self.stage {
            MeasurePhase::Opening | MeasurePhase::Over => Moment::Wait,
            MeasurePhase::Ready => match self.course.begun() {
                Some(begin) => {
                    let end = begin + self.duration;
                    self.stage = MeasurePhase::Counting { begin, end, look: end.min(begin + SCAN) };
                    Moment::Begin(begin)
                }
                None => Moment::Wait,
            },
            MeasurePhase::Counting { look, .. } if now < *look => Moment::Wait,
            MeasurePhase::Counting { end, look, .. } => {
                self.course.count(std::mem::take(&mut self.untold));
                *look = if now < *end { (now + SCAN).min(*end) } else { now + LATE };
                match (now < *end, self.waits) {
                    (true, _) => Moment::Look,
                    (false, true) => Moment::Rest,
                    (false, false) if self.course.is_over() => Moment::End,
                    (false, false) => Moment::Wait,
                }
            }
        }
    }

    /// Asks to be woken when that is next needed, or when something of the caller's own is due.
    pub(super) fn wake(&self, io: &mut dyn Io, due: Option<Instant>) {
        let next = match self.stage {
            MeasurePhase::Opening | MeasurePhase::Over => return,
            MeasurePhase::Ready => return io.wake_after(LOOK),
            MeasurePhase::Counting { look, .. } => due.map_or(look, |due| due.min(look)),
        };
        io.wake_after(next.saturating_duration_since(Instant::now()));
    }

    /// Whether the measured time has begun.
    pub(super) fn has_begun(&self) -> bool {
        !matches!(self.stage, MeasurePhase::Opening | MeasurePhase::Ready)
    }

    /// Whether what happens `now` comes too late to be counted.
    pub(super) fn is_past(&self, now: Instant) -> bool {
        match self.stage {
            MeasurePhase::Opening | MeasurePhase::Ready => false,
            MeasurePhase::Counting { end, .. } => now >= end && !self.waits,
            MeasurePhase::Over => true,
        }
    }

    /// A request of so many bytes that was due then was answered now.
    pub(super) fn answered(&mut self, bytes: usize, due: Instant, now: Instant) {
        self.untold += 1;
        self.last = now;
        self.tally.answered(bytes, now.saturating_duration_since(due));
    }

    /// Ends the measured time, and the driver.
    pub(super) fn end(&mut self, io: &mut dyn Io) {
        if let MeasurePhase::Counting { begin, end, .. } = self.stage {
            let end = Instant::now().min(if self.waits { end.max(self.last) } else { end });
            self.tally.elapsed = end.saturating_duration_since(begin);
        }
        self.stage = MeasurePhase::Over;
        io.stop();
    }
}
