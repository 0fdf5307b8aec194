//! The events we print: [`Event`] is the whole output grammar, [`Reporter`] writes it.

mod call;
mod event;
mod heartbeat;
mod load;
mod output;
mod relay;
mod reporter;
mod talk;
mod values;

pub use call::{CallEvent, Returned, Shown, quoted, visible};
pub use event::Event;
pub use heartbeat::{HeartbeatEvent, RoundTrips};
pub use load::{Failures, LoadEvent};
pub use output::{Output, coloured, say};
pub use relay::{ClientState, Parting, RelayEvent};
pub use reporter::Reporter;
pub use talk::{TalkEvent, TestOutcome};
pub use values::{CloseReason, RefuseReason, Totals, Verbosity};
