//! A lab for TCP connections: sockets opened exactly as told, and what the kernel says about them.
//!
//! The crate is built in floors, and `use` only ever points down (`scripts/check-floors`):
//!
//! | floor | what it knows |
//! |---|---|
//! | `bin/*` | parse, choose, run, exit status |
//! | [`cli`] | shared arguments, errors to exit status |
//! | [`drive`] | who waits and moves bytes: the event loop |
//! | [`service`], [`evidence`] | what to do with a connection; what the kernel says |
//! | [`net`] | sockets: four-tuple, options, passive and active open, TCP states |
//! | [`report`], [`error`] | the events we print; the failure we return |
//! | `buffer` | bytes that the kernel copies in bulk |

mod buffer;
pub mod cli;
pub mod drive;
pub mod error;
pub mod evidence;
pub mod net;
pub mod report;
pub mod service;
