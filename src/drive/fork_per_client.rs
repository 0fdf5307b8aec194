//! A process for each client.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc::{self, WNOHANG, c_int};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, kill, signal};
use nix::unistd::{self, ForkResult, Pid, close, getpid, getppid};
use socket2::Socket;

use super::blocking::{Front, Model};
use super::client::{AcceptedClient, serve};
use super::event_loop::Ended;
use super::gauge::Gauge;
use crate::error::{Error, Result};
use crate::net::FourTuple;
use crate::report::{Event, Reporter, Totals};
use crate::service::Reply;

/// Asks a child to finish, and to end at once. SIGINT is not for it: a terminal sends that to the parent too.
const FINISH: Signal = Signal::SIGTERM;
const ABORT: Signal = Signal::SIGALRM;
/// The first byte of a message that tells the pid of a child whose connection has ended.
const ENDED: u8 = b'e';
/// The longest message in bytes; a line is far shorter.
const MESSAGE: usize = 64 * 1024;
/// The most messages read before the others get a turn.
const BATCH: usize = 1024;

/// Forks a child for each connection, which serves it and ends.
///
/// The parent writes the children's lines, and its death is theirs.
pub(crate) struct ForkPerClient<R> {
    reply: R,
    drain: Duration,
    gauge: Gauge,
    reporter: Reporter,
    /// Those not reaped yet, and the connections that still count.
    children: HashMap<i32, Option<FourTuple>>,
    heard: UnixDatagram,
    told: Arc<UnixDatagram>,
    message: Vec<u8>,
    accepted: u64,
}

impl<R: Reply> ForkPerClient<R> {
    /// Serves what `front` accepts until a signal stops it. The totals count connections alone.
    ///
    /// # Errors
    ///
    /// `ENOMEM` from `ppoll`; `EMFILE` and `ENFILE` from `socketpair`.
    pub(crate) fn run(front: Front, reply: R) -> Result<(Ended, Totals)> {
        let pair = UnixDatagram::pair().and_then(|(heard, told)| {
            heard.set_nonblocking(true)?;
            Ok((heard, told))
        });
        let (heard, told) = pair.map_err(|error| Error::new("socketpair", "for children", error))?;
        front.signals().wake_for_children()?;
        let mut model = Self {
            reply,
            drain: front.settings().drain,
            gauge: front.settings().gauge.clone(),
            reporter: front.reporter().clone(),
            children: HashMap::new(),
            heard,
            told: Arc::new(told),
            message: vec![0; MESSAGE],
            accepted: 0,
        };
        let ended = front.run(&mut model)?;
        Ok((ended, Totals { accepted: model.accepted, ..Totals::default() }))
    }

    fn signal_all(&self, signal: Signal) {
        for &pid in self.children.keys() {
            // Not reaped yet, so the pid is still its own.
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    /// Reaps every child that has ended.
    fn reap(&mut self) {
        while let Some((pid, status)) = ended_child() {
            let Some(Some(FourTuple { local, remote })) = self.children.remove(&pid) else { continue };
            self.gauge.leave();
            if status != 0 {
                self.reporter.report(&Event::Killed { local, remote, pid: pid.unsigned_abs() });
            }
        }
    }

    /// Reads what children have told.
    fn listen(&mut self) {
        // A child ends after its last word: without children there is an end to this.
        let most = if self.children.is_empty() { usize::MAX } else { BATCH };
        for _ in 0..most {
            match self.heard.recv(&mut self.message) {
                Ok(length) => self.hear(length),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    fn hear(&mut self, length: usize) {
        let message = self.message.get(..length).unwrap_or_default();
        if !self.reporter.pass_on(message)
            && let Some((&ENDED, pid)) = message.split_first()
            && let Ok(pid) = pid.try_into().map(i32::from_ne_bytes)
            && self.children.get_mut(&pid).and_then(Option::take).is_some()
        {
            self.gauge.leave();
        }
    }

    /// Serves one client, from the fork to the end of the process.
    fn be_child(&self, client: AcceptedClient, listener: &Socket, parent: Pid, mask: &SigSet) -> ! {
        if set_pdeathsig(Signal::SIGKILL).is_err() || getppid() != parent {
            exit(1);
        }
        // The process ends without dropping what the parent had, so it is closed once.
        let _ = close(listener.as_raw_fd());
        let client = CLIENT.get_or_init(|| client);
        catch_signals();
        let _ = mask.thread_set_mask();
        let reporter = self.reporter.through(&self.told);
        let account = serve(client, self.reply.clone(), self.drain, &reporter);
        let _ = close(client.as_raw_fd());
        let _ = self.told.send(&[&[ENDED][..], &getpid().as_raw().to_ne_bytes()].concat());
        reporter.report(&account.event());
        exit(0);
    }
}

impl<R: Reply> Model for ForkPerClient<R> {
    fn serve(&mut self, socket: Socket, tuple: FourTuple, listener: &Socket) -> io::Result<()> {
        // Until a child has handlers of its own, a signal to it would run ours there, and be lost.
        let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let parent = getpid();
        let forked = fork();
        if let Ok(ForkResult::Child) = forked {
            self.be_child(AcceptedClient::new(socket, tuple), listener, parent, &mask);
        }
        let _ = mask.thread_set_mask();
        if let ForkResult::Parent { child } = forked? {
            self.children.insert(child.as_raw(), Some(tuple));
            self.accepted += 1;
        }
        Ok(())
    }

    fn note_ended(&mut self) {
        // In this order: what a child told before its end is there to be read after it.
        self.reap();
        self.listen();
    }

    fn unended(&self) -> usize {
        self.children.len()
    }

    fn finish_all(&mut self) {
        self.signal_all(FINISH);
    }

    fn abort_all(&mut self) {
        self.signal_all(ABORT);
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.heard.as_fd())
    }
}

/// The one client of a child, for its handlers.
static CLIENT: OnceLock<AcceptedClient> = OnceLock::new();

extern "C" fn finish(_: c_int) {
    let errno = Errno::last_raw();
    CLIENT.get().into_iter().for_each(AcceptedClient::finish);
    Errno::set_raw(errno);
}

extern "C" fn abort(_: c_int) {
    let errno = Errno::last_raw();
    CLIENT.get().into_iter().for_each(AcceptedClient::abort);
    Errno::set_raw(errno);
}

#[expect(unsafe_code, reason = "a handler is what a signal interrupts a blocking call by")]
fn catch_signals() {
    let (finish, abort) = (SigHandler::Handler(finish), SigHandler::Handler(abort));
    let others = [Signal::SIGINT, Signal::SIGUSR2].map(|number| (number, SigHandler::SigIgn));
    for (number, handler) in others.into_iter().chain([(FINISH, finish), (ABORT, abort)]) {
        // SAFETY: the handlers read what was set before, change atomics, make calls that signal-safety(7) lists, and
        // leave errno as it was.
        let _ = unsafe { signal(number, handler) };
    }
}

#[expect(unsafe_code, reason = "fork(2) has no safe wrapper")]
fn fork() -> nix::Result<ForkResult> {
    // SAFETY: the child has this thread alone, and meets no lock that another one held: fork(3) of the C library leaves
    // malloc whole, and the child's lines go by a socket and not by the parent's writer.
    unsafe { unistd::fork() }
}

#[expect(unsafe_code, reason = "what the parent registered for its end is none of the child's")]
fn exit(status: c_int) -> ! {
    // SAFETY: _exit(2) ends the process, whatever its state.
    unsafe { libc::_exit(status) }
}

/// Reaps one child: its pid, and its status as wait(2) has it. 0 is that of one that came to its own end.
#[expect(unsafe_code, reason = "waitpid(2) by nix loses a child that a real-time signal ended")]
fn ended_child() -> Option<(i32, c_int)> {
    let mut status = 0;
    // SAFETY: the pointer is to an int that lives until the call has returned.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, WNOHANG) };
    (pid > 0).then_some((pid, status))
}
