//! Lines to standard output by a thread of their own: whoever does not read them costs us lines, never time.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anstyle::{Effects, Style};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;

use super::coloured;
use super::line::{Format, Line};

/// How many bytes wait for a reader before lines are dropped.
const QUEUE: usize = 1024 * 1024;
/// How long the end of a program waits for its last lines to be read.
const FLUSH: Duration = Duration::from_secs(1);

/// A queue of lines in front of a file descriptor. A clone is the same queue.
///
/// Where the reader is so slow that a mebibyte waits, further lines are dropped and counted; the
/// count is told as `output-dropped lines=N` once there is room.
#[derive(Clone)]
pub struct Output(Arc<Shared>);

struct Shared {
    format: Format,
    word_style: Style,
    queue: Mutex<Queue>,
    /// Something was queued.
    queued: Condvar,
    /// The writer has written all that was queued.
    written: Condvar,
}

#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    dropped: u64,
    writing: bool,
}

impl Output {
    /// Standard output. Where it is closed or fails, lines go nowhere and nobody is stopped by it.
    pub fn stdout(format: Format) -> Self {
        let bold = Style::new().effects(Effects::BOLD);
        let word_style = if format == Format::Text && coloured() { bold } else { Style::new() };
        Self::to(io::stdout().as_fd().try_clone_to_owned().map(File::from).ok(), format, word_style)
    }

    /// A file of JSON Lines.
    pub fn record(file: File) -> Self {
        Self::to(Some(file), Format::Json, Style::new())
    }

    fn to(file: Option<File>, format: Format, word_style: Style) -> Self {
        let output = Self(Arc::new(Shared {
            format,
            word_style,
            queue: Mutex::default(),
            queued: Condvar::new(),
            written: Condvar::new(),
        }));
        if let Some(file) = file {
            let shared = Arc::clone(&output.0);
            // Without a thread the queue fills up and lines are dropped, which is what is promised.
            let _ = thread::Builder::new().name("output".to_owned()).spawn(move || {
                // A signal is to wake the loop, not to interrupt a write.
                let _ = SigSet::all().thread_block();
                shared.write_all_queued(&file);
            });
        }
        output
    }

    /// Queues a line, or drops and counts it where the queue is full.
    pub fn line(&self, line: String) {
        let mut queue = self.0.lock();
        if queue.bytes.len() + line.len() > QUEUE {
            queue.dropped += 1;
            return;
        }
        self.0.tell_dropped(&mut queue);
        self.0.append(&mut queue, &line);
        drop(queue);
        self.0.queued.notify_one();
    }

    /// Waits until all lines are written, for a second at most.
    pub fn flush(&self) {
        let deadline = Instant::now() + FLUSH;
        let mut queue = self.0.lock();
        while queue.writing || !queue.bytes.is_empty() {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return };
            queue = self.0.written.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, queue: &mut Queue, line: &str) {
        let (word, fields) = line.split_at(line.find(' ').unwrap_or(line.len()));
        let style = self.word_style;
        // Writing to a Vec cannot fail.
        let _ = writeln!(queue.bytes, "{style}{word}{style:#}{fields}");
    }

    fn tell_dropped(&self, queue: &mut Queue) {
        if queue.dropped > 0 {
            let mut line = Line::new(self.format, "output-dropped");
            line.number("lines", std::mem::take(&mut queue.dropped));
            self.append(queue, &line.finish());
        }
    }

    fn write_all_queued(&self, file: &File) {
        let mut batch = Vec::new();
        let mut queue = self.lock();
        loop {
            while queue.bytes.is_empty() {
                self.written.notify_all();
                queue = self.queued.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            batch.append(&mut queue.bytes);
            queue.writing = true;
            drop(queue);
            let written = write_batch(file, &batch);
            let lost = drop_unwritten(&mut batch, written);
            queue = self.lock();
            queue.writing = false;
            queue.dropped += lost;
            if lost == 0 {
                self.tell_dropped(&mut queue);
            }
        }
    }
}

/// Throws away what was written and the lines that were not, and returns how many these are.
///
/// The rest of a line that is cut stays, to be written first: half a line and the next one would read as one.
fn drop_unwritten(batch: &mut Vec<u8>, written: usize) -> u64 {
    let (before, rest) = batch.split_at_checked(written).unwrap_or((batch, &[]));
    let cut = before.last().is_some_and(|&byte| byte != b'\n');
    let kept =
        if cut { rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |end| end + 1) } else { 0 };
    let lost = rest.iter().skip(kept).filter(|&&byte| byte == b'\n').count();
    batch.drain(..written);
    batch.truncate(kept);
    lost as u64
}

/// Writes until the end or a failure, and returns how much; waits where somebody has made the shared descriptor
/// non-blocking.
fn write_batch(mut file: &File, bytes: &[u8]) -> usize {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => break,
            Ok(length) => written += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut descriptors = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
                if poll(&mut descriptors, PollTimeout::NONE).is_err_and(|errno| errno != Errno::EINTR) {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    written
}

/// Writes `text` and a newline to standard error; where that fails there is nobody left to tell.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_is_finished_later_and_those_behind_it_are_lost() {
        for (written, kept, lost) in
            [(0, "", 3), (2, "e\n", 2), (4, "", 2), (7, "\n", 1), (8, "", 1), (12, "", 0)]
        {
            let mut batch = b"one\ntwo\nsix\n".to_vec();
            assert_eq!(drop_unwritten(&mut batch, written), lost, "{written}");
            assert_eq!(batch, kept.as_bytes(), "{written}");
        }
    }
}
