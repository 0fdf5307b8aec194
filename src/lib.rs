//! A lab for TCP connections: sockets opened exactly as told, and what the kernel says about them.
//!
//! The crate is built in floors, and `use` only ever points down (`scripts/check-floors`):
//!
//! | floor | what it knows |
//! |---|---|
//! | `bin/*` | parse, choose, run, exit status |
//! | [`cli`] | shared arguments, errors to exit status |
//! | [`lab`] | the instruments: a question in, an answer out |
//! | [`drive`], [`bundle`] | who waits and moves bytes; evidence on disk |
//! | [`service`], [`sandbox`] | what to do with a connection; a network of one's own |
//! | [`kernel`], [`wire`], `terminal` | what the kernel says; what passed; keys and screen |
//! | [`net`] | TCP: four-tuple, states, options, the sharing rule, the one way to open a socket |
//! | [`report`], [`text`], [`error`] | the events we print; one grammar and its escaping; the failure we return |
//! | `buffer` | bytes that the kernel copies in bulk |

#[cfg(not(target_os = "linux"))]
compile_error!("fourtuple is about Linux: it asks that kernel over netlink, and says what it answers");

mod buffer;
pub mod bundle;
pub mod cli;
pub mod drive;
pub mod error;
pub mod kernel;
pub mod lab;
pub mod net;
pub mod report;
pub mod sandbox;
pub mod service;
mod terminal;
pub mod text;
pub mod wire;
