//! Output by a thread of its own: whoever does not read costs us lines of events, or a pause, never time.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use anstyle::{Effects, Style};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::SigSet;
use nix::sys::stat::fstat;

use crate::buffer::Buffer;
use crate::error::errno_of;
use crate::ready;
use crate::text::{Format, Line};

/// How many bytes wait for a reader before lines are dropped.
const QUEUE: usize = 1024 * 1024;
/// How long the end of a program waits for somebody to read its last lines.
const FLUSH: Duration = Duration::from_secs(1);
/// How often it does so again while there is room, and only the writer is late: a machine may be busy for a minute.
const MOST_FLUSHES: usize = 60;

/// A queue in front of a file descriptor. A clone is the same queue.
///
/// Where the reader is so slow that a mebibyte waits, further lines are dropped and counted; the
/// count is told as `output-dropped lines=N` once there is room. What is queued as [`bytes`](Self::bytes) is never
/// dropped while somebody may read it: whoever queues it waits for room.
#[derive(Clone)]
pub struct Output(Arc<OutputState>);

struct OutputState {
    /// None where it is closed: then no thread writes.
    file: Option<File>,
    format: Format,
    word_style: Style,
    queue: Mutex<Queue>,
    /// Something was queued.
    queued: Condvar,
    /// The writer has written all that was queued.
    written: Condvar,
    /// Called at the same time, and at a failure.
    wake: OnceLock<Wake>,
}

type Wake = Box<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Queue {
    bytes: Buffer,
    /// How many of them are lines that might have been dropped.
    lines: usize,
    dropped: u64,
    /// How many bytes the writer has taken out and not written yet.
    writing: usize,
    /// Which call of the writer's failed first, and how.
    failed: Option<(&'static str, Errno)>,
}

impl Output {
    /// Standard output. Where it is closed or fails, lines go nowhere and nobody is stopped by it.
    pub fn stdout(format: Format) -> Self {
        Self::stream(&io::stdout(), format)
    }

    /// Standard error, in the same way, beside this standard output. Where both are one file they are one queue: what
    /// was first stands first.
    pub fn beside_stdout(&self) -> Self {
        if same_file(io::stdout(), io::stderr()) {
            self.clone()
        } else {
            Self::stream(&io::stderr(), self.0.format)
        }
    }

    fn stream(stream: &(impl AsFd + IsTerminal), format: Format) -> Self {
        let bold = Style::new().effects(Effects::BOLD);
        let word_style = if format == Format::Text && coloured(stream) { bold } else { Style::new() };
        Self::to(stream.as_fd().try_clone_to_owned().map(File::from), format, word_style)
    }

    /// A file of JSON Lines.
    pub fn record(file: File) -> Self {
        Self::to(Ok(file), Format::Json, Style::new())
    }

    fn to(file: io::Result<File>, format: Format, word_style: Style) -> Self {
        let failed = file.as_ref().err().map(|error| ("fcntl", errno_of(error)));
        let output = Self(Arc::new(OutputState {
            file: file.ok(),
            format,
            word_style,
            queue: Mutex::new(Queue { failed, ..Queue::default() }),
            queued: Condvar::new(),
            written: Condvar::new(),
            wake: OnceLock::new(),
        }));
        if output.0.file.is_some() {
            let shared = Arc::clone(&output.0);
            let writer = thread::Builder::new().name("output".to_owned()).spawn(move || {
                // A signal is to wake the loop, not to interrupt a write.
                let _ = SigSet::all().thread_block();
                shared.write_all_queued();
            });
            // Without a thread the queue fills up and lines are dropped, which is what is promised.
            if let Err(error) = writer {
                output.0.lock().failed = Some(("clone", errno_of(&error)));
            }
        }
        output
    }

    /// Queues a line, or drops and counts it where the queue is full.
    pub fn line(&self, line: String) {
        let mut queue = self.0.lock();
        if queue.lines + line.len() > QUEUE {
            queue.dropped += 1;
            return;
        }
        self.0.tell_dropped(&mut queue);
        self.0.append(&mut queue, &line);
        drop(queue);
        self.0.queued.notify_one();
    }

    /// Queues bytes whether or not there is room, and returns how many wait to be written.
    pub fn bytes(&self, bytes: &[u8]) -> usize {
        let mut queue = self.0.lock();
        queue.bytes.extend_from_slice(bytes);
        let waiting = queue.waiting();
        drop(queue);
        self.0.queued.notify_one();
        waiting
    }

    /// How many bytes wait to be written.
    pub fn waiting(&self) -> usize {
        self.0.lock().waiting()
    }

    /// Which call failed, if one did, and how: what was queued behind it is lost.
    pub fn failed(&self) -> Option<(&'static str, Errno)> {
        self.0.lock().failed
    }

    /// Calls `wake`, in the writer's thread, whenever all has been written and whenever a write fails.
    pub fn wake_with(&self, wake: impl Fn() + Send + Sync + 'static) {
        let _ = self.0.wake.set(Box::new(wake));
    }

    /// Waits until all lines are written; gives up where for a second nobody has made room for them.
    pub fn flush(&self) {
        let mut queue = self.0.lock();
        for _ in 0..MOST_FLUSHES {
            let late = self.0.written.wait_timeout_while(queue, FLUSH, |queue| queue.waiting() > 0);
            queue = late.unwrap_or_else(PoisonError::into_inner).0;
            if queue.waiting() == 0 || matches!(queue.failed, Some(("clone", _))) || !self.0.has_room() {
                return;
            }
        }
    }
}

impl Queue {
    fn waiting(&self) -> usize {
        self.bytes.len() + self.writing
    }
}

impl OutputState {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the descriptor would take more: the writer is only waiting for the processor.
    fn has_room(&self) -> bool {
        let Some(file) = &self.file else { return false };
        let mut descriptors = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
        ready::wait_within(&mut descriptors, Some(Duration::ZERO)).is_ok_and(|ready| ready > 0)
    }

    fn append(&self, queue: &mut Queue, line: &str) {
        let (word, fields) = line.split_at(line.find(' ').unwrap_or(line.len()));
        let style = self.word_style;
        let before = queue.bytes.len();
        // Writing to a Buffer cannot fail.
        let _ = writeln!(queue.bytes, "{style}{word}{style:#}{fields}");
        queue.lines += queue.bytes.len() - before;
    }

    fn tell_dropped(&self, queue: &mut Queue) {
        if queue.dropped > 0 {
            let mut line = Line::new(self.format, "output-dropped");
            line.number("lines", std::mem::take(&mut queue.dropped));
            self.append(queue, &line.finish());
        }
    }

    fn write_all_queued(&self) {
        let Some(file) = &self.file else { return };
        let mut batch = Buffer::default();
        let mut queue = self.lock();
        loop {
            while queue.bytes.is_empty() {
                self.written.notify_all();
                queue = self.queued.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            batch.extend_from_slice(&queue.bytes);
            queue.bytes.clear();
            queue.lines = 0;
            queue.writing = batch.len();
            drop(queue);
            let (written, failed) = write_batch(file, &batch);
            let lost = drop_unwritten(&mut batch, written);
            queue = self.lock();
            queue.writing = 0;
            queue.failed = queue.failed.or(failed.map(|errno| ("write", errno)));
            queue.dropped += lost;
            if lost == 0 {
                self.tell_dropped(&mut queue);
            }
            if (failed.is_some() || queue.bytes.is_empty())
                && let Some(wake) = self.wake.get()
            {
                wake();
            }
        }
    }
}

/// Whether both are open, and the same file, pipe or terminal.
fn same_file(one: impl AsFd, other: impl AsFd) -> bool {
    let (Ok(one), Ok(other)) = (fstat(one), fstat(other)) else { return false };
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// Throws away what was written and the lines that were not, and returns how many these are.
///
/// The rest of a line that is cut stays, to be written first: half a line and the next one would read as one.
fn drop_unwritten(batch: &mut Buffer, written: usize) -> u64 {
    let (before, rest) = batch.split_at_checked(written).unwrap_or((&**batch, &[]));
    let cut = before.last().is_some_and(|&byte| byte != b'\n');
    let kept =
        if cut { rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |end| end + 1) } else { 0 };
    let lost = rest.iter().skip(kept).filter(|&&byte| byte == b'\n').count();
    batch.remove_front(written);
    batch.truncate(kept);
    lost as u64
}

/// Writes until the end or a failure, and returns how much and which; waits where somebody has made the shared
/// descriptor non-blocking.
fn write_batch(mut file: &File, bytes: &[u8]) -> (usize, Option<Errno>) {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => return (written, Some(Errno::EIO)),
            Ok(length) => written += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut descriptors = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
                if let Err(errno) = ready::wait(&mut descriptors) {
                    return (written, Some(errno));
                }
            }
            Err(error) => return (written, Some(errno_of(&error))),
        }
    }
    (written, None)
}

/// Writes `text` and a newline to standard error; where that fails there is nobody left to tell.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether `stream` is a terminal that is to be coloured (`NO_COLOR` is not set).
pub(crate) fn coloured(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_line_that_was_cut_is_finished_later_and_those_behind_it_are_lost() {
        for (written, kept, lost) in
            [(0, "", 3), (2, "e\n", 2), (4, "", 2), (7, "\n", 1), (8, "", 1), (12, "", 0)]
        {
            let mut batch = Buffer::from(&b"one\ntwo\nsix\n"[..]);
            assert_eq!(drop_unwritten(&mut batch, written), lost, "{written}");
            assert_eq!(&*batch, kept.as_bytes(), "{written}");
        }
    }

    #[test]
    fn the_end_waits_for_a_writer_that_is_late_while_there_is_room() {
        let (mut reader, writer) = io::pipe().unwrap();
        let output =
            Output::to(Ok(File::from(std::os::fd::OwnedFd::from(writer))), Format::Text, Style::new());
        output.wake_with(|| thread::sleep(FLUSH * 2));
        output.line("one".to_owned());
        let mut read = [0; 8];
        assert_eq!(io::Read::read(&mut reader, &mut read).unwrap(), 4);
        // The writer sleeps now, as one does that does not come to the processor.
        output.line("two".to_owned());
        output.flush();
        assert_eq!(output.waiting(), 0);
    }

    #[test]
    fn the_end_does_not_wait_for_a_reader_that_does_not_read() {
        let (_reader, writer) = io::pipe().unwrap();
        let output =
            Output::to(Ok(File::from(std::os::fd::OwnedFd::from(writer))), Format::Text, Style::new());
        output.bytes(&[b'x'; 256 * 1024]);
        let begin = Instant::now();
        output.flush();
        assert!(output.waiting() > 0);
        assert!(begin.elapsed() < FLUSH * 30, "{:?}", begin.elapsed());
    }

    #[test]
    fn lines_that_are_written_make_room_for_others() {
        let (mut reader, writer) = io::pipe().unwrap();
        thread::spawn(move || io::copy(&mut reader, &mut io::sink()));
        let output =
            Output::to(Ok(File::from(std::os::fd::OwnedFd::from(writer))), Format::Text, Style::new());
        for _ in 0..3 {
            output.line("x".repeat(QUEUE / 2));
            output.flush();
        }
        assert_eq!(output.0.lock().dropped, 0);
    }
}
