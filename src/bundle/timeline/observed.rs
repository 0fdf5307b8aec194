//! What programs and the kernel's table said, as it comes into a timeline.

use std::net::SocketAddr;
use std::time::Duration;

use crate::net::TcpState;

/// A transition of one socket as the kernel's table showed it. Times are since the Unix epoch, here and in all of the timeline.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When it was seen, up to one sampling interval after it took place.
    pub time: Duration,
    /// The socket's own address.
    pub local: SocketAddr,
    /// The other end's; of a listening socket the wildcard address and port 0.
    pub remote: SocketAddr,
    /// The state it went to: CLOSED where the socket is gone from the table.
    pub state: TcpState,
    /// Who had it open, name and process number.
    pub processes: Vec<(String, u32)>,
}

/// A program's event that names an address.
#[derive(Clone, Debug)]
pub struct ProgramEvent {
    /// When the program said so.
    pub time: Duration,
    /// The program's name in the experiment.
    pub program: String,
    /// The event's word, such as `listening`.
    pub event: String,
    /// Its own address, where the event has one.
    pub local: Option<SocketAddr>,
    /// The other end's.
    pub remote: Option<SocketAddr>,
    /// The call that the event tells of, where it does.
    pub call: Option<ProgramCall>,
}

/// A socket call of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramCall {
    /// As its man page is named.
    pub name: String,
    /// What it was called on, in the program's words.
    pub subject: String,
    /// What it returned, where that was told.
    pub result: Option<i64>,
    /// The errno's name, or other words where there is none, of a call that failed.
    pub failure: Option<String>,
}
