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

pub use call::{Call, Returned, Shown, quoted, visible};
pub use event::Event;
pub use heartbeat::{Heartbeat, RoundTrips};
pub use load::{Failures, Load};
pub use output::{Output, coloured, say};
pub use relay::{ClientState, Parting, Relay};
pub use reporter::Reporter;
pub use talk::{Talk, TestOutcome};
pub use values::{CloseReason, Refusal, Totals, Verbosity};
