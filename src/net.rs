//! Sockets: four-tuple, options, passive and active open, TCP states.

mod four_tuple;
mod named_option;
mod open;
mod options;
mod owner;
mod picked;
mod poll;
mod refused;
mod segments;
pub mod sharing_rule;
mod source;
pub mod spelling;
mod state;
mod tcp_info;
mod wildcard;

pub use four_tuple::FourTuple;
pub use named_option::{NamedOption, OptionValue, Takes};
pub use open::{BoundSocket, bind, connect_unbound, local_address, socket};
pub use options::SocketOptions;
pub use owner::set_owner;
pub use picked::may_be_picked;
pub use poll::{accept_within, connected_within, poll};
pub use refused::refused;
pub use segments::{hide_segments, show_segments};
pub use source::source_address;
pub use state::TcpState;
pub use tcp_info::{accept_queue, state_of};
pub use wildcard::{any_local, wildcard};
