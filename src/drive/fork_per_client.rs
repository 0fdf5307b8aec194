//! A process for each client.

use std::collections::HashSet;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{self, ForkResult, Pid, getpid, getppid};
use socket2::Socket;

use super::blocking::{Front, Model};
use super::connections::Settings;
use super::conversation::{Client, serve};
use super::event_loop::Ended;
use crate::error::Result;
use crate::net::FourTuple;
use crate::report::{Reporter, Totals};
use crate::service::Reply;

/// What the parent says to a child. Both handlers make calls that signal-safety(7) lists.
const FINISH: Signal = Signal::SIGTERM;
const ABORT: Signal = Signal::SIGQUIT;

/// The client of this process, which is a child.
static CLIENT: AtomicPtr<Client> = AtomicPtr::new(ptr::null_mut());

/// Makes a process for each connection; it ends with its client, and with its parent.
pub struct ForkPerClient<R> {
    reply: R,
    settings: Settings,
    reporter: Reporter,
    children: HashSet<Pid>,
    accepted: u64,
}

impl<R: Reply> ForkPerClient<R> {
    /// Serves what `front` accepts until a signal stops it, and sums up the connections; of bytes only the children know.
    ///
    /// # Errors
    ///
    /// `ENOMEM` from `ppoll`.
    pub fn run(front: Front, reply: R) -> Result<(Ended, Totals)> {
        front.signals().wake_for_children()?;
        let (settings, reporter) = (front.settings().clone(), front.reporter().clone());
        let mut model = Self { reply, settings, reporter, children: HashSet::new(), accepted: 0 };
        let ended = front.run(&mut model)?;
        Ok((ended, Totals { accepted: model.accepted, ..Totals::default() }))
    }

    fn tell(&self, signal: Signal) {
        for &child in &self.children {
            // It may have ended by now; until it is reaped nobody else has its number.
            let _ = kill(child, signal);
        }
    }

    /// The whole life of a child.
    fn serve_in_child(&self, parent: Pid, socket: Socket, tuple: FourTuple, listener: &Socket) {
        // Else the port would be taken as long as this client stays.
        let _ = unistd::close(listener.as_raw_fd());
        let reporter = self.reporter.in_child();
        let client = Client::new(socket, tuple);
        obey(&client, parent);
        let account = serve(&client, self.reply.clone(), self.settings.drain, &reporter);
        CLIENT.store(ptr::null_mut(), Ordering::Release);
        drop(client);
        reporter.report(&account.event());
        reporter.flush();
    }
}

impl<R: Reply> Model for ForkPerClient<R> {
    fn serve(&mut self, socket: Socket, tuple: FourTuple, listener: &Socket) -> io::Result<()> {
        let parent = getpid();
        // A signal between fork and the child's handlers would be handled as the parent handles it.
        let before = SigSet::all().thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_SETMASK)?;
        let forked = fork();
        if let Ok(ForkResult::Child) = forked {
            self.serve_in_child(parent, socket, tuple, listener);
            exit_at_once();
        }
        before.thread_set_mask()?;
        if let ForkResult::Parent { child } = forked? {
            self.children.insert(child);
            self.accepted += 1;
        }
        Ok(())
    }

    fn note_ended(&mut self) {
        let gauge = &self.settings.gauge;
        self.children.retain(|&child| {
            let runs = waitpid(child, Some(WaitPidFlag::WNOHANG)) == Ok(WaitStatus::StillAlive);
            if !runs {
                gauge.leave();
            }
            runs
        });
    }

    fn unended(&self) -> usize {
        self.children.len()
    }

    fn finish_all(&mut self) {
        self.tell(FINISH);
    }

    fn abort_all(&mut self) {
        self.tell(ABORT);
    }
}

/// From now on this process, a child, does what its parent says, and ends when the parent ends.
fn obey(client: &Client, parent: Pid) {
    CLIENT.store(ptr::from_ref(client).cast_mut(), Ordering::Release);
    for (signal, handler) in [
        (FINISH, SigHandler::Handler(finish)),
        (ABORT, SigHandler::Handler(abort)),
        // Ctrl-C reaches the whole group, and the parent says what it means.
        (Signal::SIGINT, SigHandler::SigIgn),
        (Signal::SIGUSR2, SigHandler::SigIgn),
        (Signal::SIGCHLD, SigHandler::SigDfl),
    ] {
        handle(signal, handler);
    }
    // It fails for no signal that there is.
    let _ = set_pdeathsig(Signal::SIGKILL);
    if getppid() != parent {
        exit_at_once();
    }
    let _ = SigSet::empty().thread_set_mask();
}

extern "C" fn finish(_: libc::c_int) {
    if let Some(client) = served() {
        client.finish();
    }
}

extern "C" fn abort(_: libc::c_int) {
    if let Some(client) = served() {
        client.abort();
    }
}

#[expect(unsafe_code, reason = "a signal handler is given no argument")]
fn served() -> Option<&'static Client> {
    // SAFETY: null, or what `serve_in_child` owns; it takes it out before it drops it, and handlers run on its thread alone,
    // for the writer of the reporter blocks all signals.
    unsafe { CLIENT.load(Ordering::Acquire).as_ref() }
}

#[expect(unsafe_code, reason = "sigaction(2) has no safe wrapper")]
fn handle(signal: Signal, handler: SigHandler) {
    // Without SA_RESTART: a read that blocks is to return.
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: the handlers only call shutdown(2) and touch atomics, which is async-signal-safe.
    let _ = unsafe { sigaction(signal, &action) };
}

#[expect(unsafe_code, reason = "fork(2) has no safe wrapper")]
fn fork() -> std::result::Result<ForkResult, Errno> {
    // SAFETY: the one other thread writes out events. The child leaves its queue alone and makes one of its own, glibc's
    // allocator is usable after fork(2), and the child never returns into what the parent was doing.
    unsafe { unistd::fork() }
}

#[expect(unsafe_code, reason = "_exit(2) has no safe wrapper")]
fn exit_at_once() -> ! {
    // SAFETY: it ends the process; what atexit(3) has belongs to the parent.
    unsafe { libc::_exit(0) }
}
