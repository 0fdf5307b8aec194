//! Standard input and output of a program that holds a conversation.
//!
//! epoll refuses regular files, and a descriptor that is shared with other programs must stay blocking. So one thread
//! reads and one writes, for terminal, pipe and file alike; each passes on a bounded amount and wakes the loop.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use mio::Waker;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, read};

use super::raw::RawTerminal;
use crate::buffer::Buffer;
use crate::error::{Error, Result};
use crate::ready;
use crate::report::Output;

/// The most that one read takes, in bytes.
const CHUNK: usize = 64 * 1024;
/// How many chunks wait for the loop before the thread waits.
const AHEAD: usize = 4;

/// What one read of standard input brought; nothing at its end.
type Chunk = Result<Buffer>;

/// Both streams, as a loop keeps them.
pub(crate) struct Standard {
    waker: Arc<Waker>,
    output: Output,
    /// Bytes were written that the service has not been told of as gone.
    owed: bool,
    failure_told: bool,
    /// Nothing is read before somebody wants it: what a program leaves unread is the next one's.
    chunks: Option<Receiver<Chunk>>,
    ended: bool,
    paused: bool,
    /// A chunk may be there.
    ready: bool,
    terminal: Option<RawTerminal>,
    /// How wide the terminal is has not been told since it may have changed.
    width_due: bool,
}

impl Standard {
    /// Wakes its loop by `waker`.
    pub(crate) fn new(waker: Waker, output: Output) -> Self {
        let waker = Arc::new(waker);
        let wake = Arc::clone(&waker);
        output.wake_with(move || wake_by(&wake));
        Self {
            waker,
            output,
            owed: false,
            failure_told: false,
            chunks: None,
            ended: false,
            paused: true,
            ready: false,
            terminal: None,
            width_due: false,
        }
    }

    /// Reads keys from a terminal, until this is dropped.
    pub(crate) fn read_keys(&mut self, terminal: RawTerminal) {
        self.terminal = Some(terminal);
        self.width_due = true;
    }

    /// The terminal may have another width, or other settings than ours.
    pub(crate) fn note_terminal(&mut self) {
        if let Some(terminal) = &self.terminal {
            terminal.set_again();
            self.width_due = true;
        }
    }

    /// How wide the terminal is, where that is to be told.
    pub(crate) fn columns(&mut self) -> Option<usize> {
        let due = std::mem::take(&mut self.width_due);
        self.terminal.as_ref().filter(|_| due).map(RawTerminal::columns)
    }

    pub(crate) fn note(&mut self) {
        self.ready = true;
    }

    /// Whether there is something to pass on without waiting for the waker.
    pub(crate) fn ready(&self) -> bool {
        self.ready && !self.paused
    }

    pub(crate) fn pause(&mut self) {
        self.paused = true;
    }

    /// Reads, from the first time on in a thread.
    pub(crate) fn resume(&mut self) {
        self.paused = false;
        self.ready = true;
        if self.chunks.is_none() {
            let (sender, chunks) = sync_channel(AHEAD);
            self.chunks = Some(chunks);
            let (waker, spare) = (Arc::clone(&self.waker), sender.clone());
            let thread = thread::Builder::new().name("input".to_owned());
            if let Err(error) = thread.spawn(move || read_all(&sender, &waker)) {
                // There is room: nobody else has sent anything.
                let _ = spare.send(Err(Error::new("clone", "for standard input", error)));
            }
        }
    }

    /// The next bytes of standard input, empty at its end; `None` where none are there or wanted.
    pub(crate) fn chunk(&mut self) -> Option<Chunk> {
        if self.paused || self.ended {
            return None;
        }
        let chunk = self.chunks.as_ref().and_then(|chunks| chunks.try_recv().ok());
        self.ready = chunk.is_some();
        let chunk = chunk?;
        self.ended = chunk.as_ref().map_or(true, |bytes| bytes.is_empty());
        Some(chunk)
    }

    /// Queues bytes for standard output, and returns how many wait there.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> usize {
        if self.failure_told {
            return 0;
        }
        let waiting = self.output.bytes(bytes);
        self.owed |= waiting > 0;
        waiting
    }

    /// Whether all that was queued has been written, to be told once; or why it cannot be.
    pub(crate) fn written(&mut self) -> Option<Result<()>> {
        // In this order: a write that fails in between is no longer waiting, and must not be taken for well written.
        let gone = self.owed && self.output.waiting() == 0;
        if let Some((call, errno)) = self.output.failed().filter(|_| !self.failure_told) {
            self.failure_told = true;
            self.owed = false;
            return Some(Err(Error::new(call, "standard output", errno)));
        }
        self.owed &= !gone;
        gone.then_some(Ok(()))
    }

    /// Whether bytes wait to be written that somebody may still read.
    pub(crate) fn writes(&self) -> bool {
        self.owed
    }
}

/// Passes on what standard input brings until its end, or until nobody wants it.
fn read_all(chunks: &SyncSender<Chunk>, waker: &Waker) {
    // A signal is to wake the loop, not to interrupt a read.
    let _ = SigSet::all().thread_block();
    loop {
        let chunk = read_chunk();
        let last = chunk.as_ref().map_or(true, |bytes| bytes.is_empty());
        if chunks.send(chunk).is_err() {
            return;
        }
        wake_by(waker);
        if last {
            return;
        }
    }
}

/// Wakes the loop, by a signal where the eventfd fails: it may have nothing else to wait for.
fn wake_by(waker: &Waker) {
    if waker.wake().is_err() {
        let _ = kill(Pid::this(), Signal::SIGIO);
    }
}

/// Reads once; waits where somebody has made the shared descriptor non-blocking.
fn read_chunk() -> Chunk {
    let stdin = io::stdin();
    let failed = |call, errno| Err(Error::new(call, "standard input", errno));
    let mut chunk = Buffer::zeroed(CHUNK);
    loop {
        match read(&stdin, &mut chunk) {
            Ok(length) => {
                chunk.truncate(length);
                return Ok(chunk);
            }
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                let mut descriptors = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
                if let Err(errno) = ready::wait(&mut descriptors) {
                    return failed("poll", errno);
                }
            }
            Err(errno) => return failed("read", errno),
        }
    }
}
