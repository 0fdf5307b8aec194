//! A socket without a kernel: it takes what it likes, and tells by edges what EPOLLET would tell.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use nix::errno::Errno;
use socket2::Socket;

use super::super::clock::Time;
use crate::drive::connection::Readiness;
use crate::drive::stream::Stream;
use crate::report::CloseReason;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Open {
    SynSent,
    Done,
}

/// The kernel's side of a connection, its remote side, and what the service has asked for so far.
#[derive(Debug)]
pub(super) struct Kernel {
    pub tuple: (SocketAddr, SocketAddr),
    pub now: Rc<Cell<Time>>,
    pub open: Open,
    // What arrives.
    pub arrived: u64,
    pub read: u64,
    /// The urgent byte: a read stops before it, and the next begins with it.
    pub mark: Option<u64>,
    pub fin: bool,
    pub fin_read: bool,
    // What leaves.
    pub taken: u64,
    pub acknowledged: u64,
    pub room: u64,
    /// The most that one write takes.
    pub bite: u64,
    pub shut: bool,
    pub last_taken: Time,
    // What goes wrong.
    pub error: Option<Errno>,
    pub dead: bool,
    pub interrupts: u32,
    /// The first thing that ends the connection: an error that a call returned, or an abort.
    pub failed: Option<CloseReason>,
    // What epoll knows and has told.
    pub woken: bool,
    refused: bool,
    may_read: bool,
    told_more: bool,
    may_write: bool,
    // What the service has asked for.
    pub offered: u64,
    pub paused: bool,
    pub finish_asked: bool,
    pub close_asked: bool,
    pub reset_on_close: bool,
    pub closed: bool,
}

impl Kernel {
    pub(super) fn new(tuple: (SocketAddr, SocketAddr), now: Rc<Cell<Time>>, open: Open) -> Self {
        Self {
            tuple,
            now,
            open,
            arrived: 0,
            read: 0,
            mark: None,
            fin: false,
            fin_read: false,
            taken: 0,
            acknowledged: 0,
            room: 1,
            bite: u64::MAX,
            shut: false,
            last_taken: Time::default(),
            error: None,
            dead: false,
            interrupts: 0,
            failed: None,
            woken: false,
            refused: false,
            may_read: false,
            told_more: false,
            may_write: true,
            offered: 0,
            paused: false,
            finish_asked: false,
            close_asked: false,
            reset_on_close: false,
            closed: false,
        }
    }

    pub(super) fn unread(&self) -> u64 {
        self.arrived - self.read
    }

    pub(super) fn space(&self) -> u64 {
        self.room.saturating_sub(self.taken - self.acknowledged)
    }

    pub(super) fn unsent(&self) -> u64 {
        self.offered - self.taken
    }

    pub(super) fn has_something_to_read(&self) -> bool {
        self.unread() > 0 || self.fin || self.dead
    }

    // The remote side.

    pub(super) fn arrive(&mut self, bytes: u64, urgent: bool) {
        if !self.fin && !self.dead && self.open == Open::Done && bytes > 0 {
            self.arrived += bytes;
            if urgent {
                self.mark = Some(self.arrived - 1);
            }
            self.woken = true;
        }
    }

    pub(super) fn remote_finish(&mut self) {
        if !self.fin && !self.dead && self.open == Open::Done {
            self.fin = true;
            self.woken = true;
        }
    }

    /// RST, or the end of the kernel's patience.
    pub(super) fn die(&mut self, errno: Errno) {
        if !self.dead {
            // tcp_reset() says EPIPE in CLOSE-WAIT.
            let reset_after_fin = self.fin && errno == Errno::ECONNRESET;
            self.error = Some(if reset_after_fin { Errno::EPIPE } else { errno });
            (self.dead, self.open, self.woken) = (true, Open::Done, true);
        }
    }

    /// Takes all that is unsent, and finishes too.
    pub(super) fn oblige(&mut self) {
        if self.open == Open::SynSent {
            (self.open, self.woken) = (Open::Done, true);
        }
        (self.bite, self.interrupts) = (u64::MAX, 0);
        self.set_room(u64::MAX / 4);
        self.remote_finish();
    }

    pub(super) fn acknowledge(&mut self, bytes: u64) {
        self.acknowledged = self.taken.min(self.acknowledged + bytes);
        self.wake_writer();
    }

    pub(super) fn set_room(&mut self, room: u64) {
        self.room = room;
        self.wake_writer();
    }

    /// sk_stream_write_space(): nobody is woken who was not refused, nor before a third is free.
    fn wake_writer(&mut self) {
        if self.refused && self.is_writable() {
            (self.refused, self.woken) = (false, true);
        }
    }

    pub(super) fn is_writable(&self) -> bool {
        self.space() > 0 && 3 * self.space() >= self.room
    }

    /// What epoll_wait(2) tells of a socket on its ready list: the levels as they are now.
    pub(super) fn event(&mut self) -> Readiness {
        self.woken = false;
        if self.open == Open::SynSent {
            return Readiness::default();
        }
        let writable = self.dead || self.shut || self.is_writable();
        self.refused |= !writable;
        let more = self.fin || self.dead || self.mark.is_some();
        let readable = self.has_something_to_read() || more;
        self.may_read |= readable;
        self.told_more |= more;
        self.may_write |= writable;
        Readiness { readable, more, ending: self.fin || self.dead, writable, errored: self.error.is_some() }
    }

    fn interrupted(&mut self) -> io::Result<()> {
        if self.interrupts > 0 {
            self.interrupts -= 1;
            return Err(Errno::EINTR.into());
        }
        Ok(())
    }

    fn tell_error(&mut self, call: &'static str) -> Option<Errno> {
        let errno = self.error.take()?;
        self.fail(match errno {
            Errno::ECONNRESET | Errno::EPIPE => CloseReason::Reset,
            errno => CloseReason::Failed(call, errno),
        });
        Some(errno)
    }

    pub(super) fn fail(&mut self, reason: CloseReason) {
        self.failed.get_or_insert(reason);
    }

    fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        assert!(self.open == Open::Done, "recv in SYN-SENT");
        assert!(!self.paused, "recv while paused");
        assert!(!self.fin_read, "recv after the end");
        assert!(self.failed.is_none() && !self.close_asked, "recv after all is over");
        assert!(self.may_read, "recv without an edge");
        self.interrupted()?;
        let until_mark = self.mark.filter(|mark| *mark > self.read).map_or(u64::MAX, |mark| mark - self.read);
        let length = self.unread().min(until_mark).min(buffer.len() as u64);
        if length > 0 {
            buffer[..length as usize].copy_from_slice(pattern(self.read, length));
            self.read += length;
            self.mark = self.mark.filter(|mark| *mark >= self.read);
            self.may_read = self.told_more || length == buffer.len() as u64;
            return Ok(length as usize);
        }
        if !self.fin
            && let Some(errno) = self.tell_error("recv")
        {
            return Err(errno.into());
        }
        if self.fin || self.dead {
            self.fin_read = true;
            return Ok(0);
        }
        (self.may_read, self.told_more) = (false, false);
        Err(Errno::EAGAIN.into())
    }

    fn transmit(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(self.open == Open::Done, "send in SYN-SENT");
        assert!(!bytes.is_empty(), "send of nothing");
        assert!(!self.shut, "send after FIN");
        assert!(self.failed.is_none(), "send after all is over");
        assert!(self.may_write, "send without an edge");
        self.interrupted()?;
        if let Some(errno) = self.tell_error("send") {
            return Err(errno.into());
        }
        if self.dead {
            self.fail(CloseReason::Reset);
            return Err(Errno::EPIPE.into());
        }
        let length = self.space().min(self.bite).min(LONGEST).min(bytes.len() as u64);
        if length == 0 {
            (self.refused, self.may_write) = (true, false);
            return Err(Errno::EAGAIN.into());
        }
        assert!(length <= self.unsent(), "{length} bytes that nobody sent");
        let right = bytes[..length as usize] == *pattern(self.taken, length);
        assert!(right, "other bytes than were sent, from byte {} on", self.taken);
        self.taken += length;
        self.last_taken = self.now.get();
        Ok(length as usize)
    }

    fn shutdown(&mut self) -> io::Result<()> {
        assert!(self.finish_asked, "FIN that nobody asked for");
        assert!(!self.shut, "FIN twice");
        assert_eq!(self.unsent(), 0, "FIN before the last byte");
        if self.dead {
            return Err(Errno::ENOTCONN.into());
        }
        self.shut = true;
        Ok(())
    }
}

/// The most that a read or a write moves.
const LONGEST: u64 = 1024 * 1024;

/// What every stream carries: bytes that tell their place.
pub(super) fn pattern(from: u64, length: u64) -> &'static [u8] {
    // Prime, so that no power of two that a buffer may have is a period of it.
    const PERIOD: u64 = 65_537;
    static BYTES: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
        let byte = |place: u64| (((place % PERIOD).wrapping_mul(0x9e37_79b9_7f4a_7c15)) >> 56) as u8;
        (0..PERIOD + LONGEST).map(byte).collect()
    });
    let from = (from % PERIOD) as usize;
    &BYTES[from..from + length as usize]
}

#[derive(Debug)]
pub(super) struct Fake(pub Rc<RefCell<Kernel>>);

impl Stream for Fake {
    fn watched(_: Socket) -> Self {
        unreachable!("the model opens its connections itself")
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().recv(buffer)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().transmit(bytes)
    }

    fn local(&self) -> io::Result<SocketAddr> {
        Ok(self.0.borrow().tuple.0)
    }

    fn remote(&self) -> io::Result<SocketAddr> {
        let kernel = self.0.borrow();
        match kernel.open == Open::Done && !kernel.dead {
            true => Ok(kernel.tuple.1),
            false => Err(Errno::ENOTCONN.into()),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.borrow_mut().shutdown()
    }

    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        Ok(self.0.borrow_mut().tell_error("recv").map(io::Error::from))
    }

    fn reset_on_close(&mut self) {
        self.0.borrow_mut().reset_on_close = true;
    }
}

impl Source for Fake {
    fn register(&mut self, _: &Registry, _: Token, interests: Interest) -> io::Result<()> {
        assert!(interests.is_readable() && interests.is_writable() && interests.is_priority());
        self.0.borrow_mut().woken = true;
        Ok(())
    }

    fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        unreachable!("with EPOLLET once is enough")
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        unreachable!("close(2) leaves epoll by itself")
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.0.borrow_mut().closed = true;
    }
}
