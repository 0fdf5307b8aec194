//! The events we print: [`Event`] is the whole output grammar, [`Reporter`] writes it.

mod call;
mod event;
mod heartbeat;
#[cfg(feature = "cli")]
pub(crate) mod lines;
mod load;
mod output;
mod relay;
mod reporter;
mod talk;
mod values;

pub(crate) use call::{CallEvent, Returned, Shown, quoted, visible};
pub use event::Event;
pub(crate) use heartbeat::{HeartbeatEvent, RoundTrips};
pub(crate) use load::{Failures, LoadEvent};
pub(crate) use output::{Output, coloured, say};
pub(crate) use relay::{ClientState, Parting, RelayEvent};
pub use reporter::Reporter;
pub(crate) use talk::{TalkEvent, TestOutcome};
pub use values::{CloseReason, Verbosity};
pub(crate) use values::{RefuseReason, Totals};
