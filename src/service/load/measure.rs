//! The measured time of one thread: when it begins, what is counted in it, when it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Course, Tally};
use crate::service::Io;

/// How often a thread that is ready looks whether all are.
const LOOK: Duration = Duration::from_micros(200);
/// How often answers that are overdue are looked for.
const SCAN: Duration = Duration::from_millis(100);

/// The clock of a thread, and its account.
#[derive(Debug)]
pub struct Measure {
    course: Arc<Course>,
    duration: Duration,
    stage: Stage,
    /// Answers that the course has not been told of.
    untold: u64,
    pub tally: Tally,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Opening,
    Ready,
    Counting { begin: Instant, end: Instant },
    Over,
}

/// What a thread is woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Not all threads are ready, or this one has ended.
    Wait,
    /// The measured time begins.
    Begin,
    /// It goes on: look after what is overdue by now.
    Look(Instant),
    /// It is over.
    End,
}

impl Measure {
    pub fn new(course: Arc<Course>, duration: Duration) -> Self {
        Self { course, duration, stage: Stage::Opening, untold: 0, tally: Tally::default() }
    }

    /// All that is needed before the beginning is done.
    pub fn ready(&mut self, io: &mut dyn Io) {
        if self.stage == Stage::Opening {
            self.stage = Stage::Ready;
            self.course.one_more_is_ready();
            io.wake_after(LOOK);
        }
    }

    /// What it is time for.
    pub fn woken(&mut self, io: &mut dyn Io) -> Moment {
        match self.stage {
            Stage::Opening | Stage::Over => Moment::Wait,
            Stage::Ready => match self.course.begun() {
                Some(begin) => {
                    self.stage = Stage::Counting { begin, end: begin + self.duration };
                    io.wake_after(self.duration.min(SCAN));
                    Moment::Begin
                }
                None => {
                    io.wake_after(LOOK);
                    Moment::Wait
                }
            },
            Stage::Counting { end, .. } => {
                self.course.count(std::mem::take(&mut self.untold));
                let now = Instant::now();
                if now >= end {
                    return Moment::End;
                }
                io.wake_after(SCAN.min(end - now));
                Moment::Look(now)
            }
        }
    }

    /// Whether what happens `now` comes after the measured time.
    pub fn is_past(&self, now: Instant) -> bool {
        match self.stage {
            Stage::Opening | Stage::Ready => false,
            Stage::Counting { end, .. } => now >= end,
            Stage::Over => true,
        }
    }

    /// A request of so many bytes was answered, so long after it was sent.
    pub fn answered(&mut self, bytes: usize, latency: Duration) {
        self.untold += 1;
        self.tally.answered(bytes, latency);
    }

    /// Ends the measured time, and the driver.
    pub fn end(&mut self, io: &mut dyn Io) {
        if let Stage::Counting { begin, end } = self.stage {
            self.tally.elapsed = Instant::now().min(end).saturating_duration_since(begin);
        }
        self.stage = Stage::Over;
        io.stop();
    }
}
