//! A lab for TCP connections: sockets opened exactly as told, and what the kernel says about them.
//!
//! ```
//! use fourtuple::{SocketOptions, bind};
//!
//! // Opened exactly as told: no option is set that is not named.
//! let options = SocketOptions { reuse_port: true, ..SocketOptions::default() };
//! let one = bind("127.0.0.1:0".parse().unwrap(), &options)?;
//! let other = bind(one.local(), &options)?;
//! assert_eq!(one.local(), other.local());
//! # Ok::<(), fourtuple::Error>(())
//! ```
//!
//! # What to begin with
//!
//! - [`bind`], [`SocketOptions`], [`BoundSocket`]: open a socket exactly as told.
//! - [`sockets`], [`connection`], [`Holder`], [`Watch`]: what the kernel says of them, and who has one.
//! - [`why`]: why a call would fail, who is in the way, what helps.
//! - [`EventLoop`], [`Service`], [`Io`]: who waits, and what to do with a connection.
//! - [`Capture`], [`Segment`]: what passed on the wire.
//! - [`attend`], [`ask`], [`Question`]: a question answered in a network of its own.
//! - [`lab::matrix`], [`lab::ports`]: who may share an address, and how many connections there can be, measured.
//!
//! A program that uses the crate is not changed by it: signals are caught only where an [`EventLoop`] is asked for them,
//! and nothing is started but by a program that [attends](attend).
//!
//! # How it is built
//!
//! The crate is built in floors, and `use` only ever points down (`scripts/check-floors`):
//!
//! | floor | what it knows |
//! |---|---|
//! | `commands` | parse, choose, run, exit status |
//! | `cli` | shared arguments, errors to exit status |
//! | [`lab`] | the instruments: a question in, an answer out |
//! | `drive`, [`bundle`] | who waits and moves bytes; evidence on disk |
//! | `service`, `sandbox` | what to do with a connection; a network of one's own |
//! | [`kernel`], [`wire`], `terminal` | what the kernel says; what passed; keys and screen |
//! | [`net`] | TCP: four-tuple, states, options, the sharing rule, the one way to open a socket |
//! | `report`, [`text`], `error` | the events we print; one grammar and its escaping; the failure we return |
//! | `buffer`, `ready` | bytes that the kernel copies in bulk; waiting for a descriptor |

#![deny(unreachable_pub)]
// Without our programs, what only they call is dead.
#![cfg_attr(not(feature = "cli"), allow(dead_code, unused_imports))]

#[cfg(not(target_os = "linux"))]
compile_error!("fourtuple is about Linux: it asks that kernel over netlink, and says what it answers");

mod buffer;
#[cfg(feature = "cli")]
pub mod bundle;
#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "cli")]
#[doc(hidden)]
#[allow(rustdoc::broken_intra_doc_links, reason = "`--help` shows these comments: [::1]:3000 is an address")]
pub mod commands;
mod drive;
mod error;
pub mod kernel;
pub mod lab;
pub mod net;
mod ready;
mod report;
mod sandbox;
mod service;
#[cfg(test)]
mod tapes;
mod terminal;
pub mod text;
pub mod wire;

pub use drive::{Ended, EventLoop, LoopSettings};
pub use error::{Error, Result};
pub use kernel::holders::Holder;
pub use kernel::inet_diag::{SocketRow, connection, sockets};
pub use kernel::watch::Watch;
pub use lab::why::{Answer, Goal, PlannedCall, Verdict, why};
pub use net::{BoundSocket, FourTuple, SocketOptions, TcpState, bind};
pub use report::{CloseReason, Event, Reporter, Verbosity};
pub use sandbox::scratch::{Known, Question, ask, attend, known};
pub use service::{Closed, ConnectionId, Input, Io, Service, Signal, Timer};
pub use text::Format;
pub use wire::capture::Capture;
pub use wire::segment::Segment;
