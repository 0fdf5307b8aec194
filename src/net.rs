//! Sockets: four-tuple, options, passive and active open, TCP states.

mod device;
mod foreign_spelling;
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
pub(crate) mod spelling;
mod state;
mod tcp_info;
mod wildcard;

pub use device::{Device, DeviceName, OnDevice};
pub(crate) use device::{hears, is_link_local, with_zone, zone};
pub use four_tuple::FourTuple;
pub use named_option::{NamedOption, OptionValue, Takes};
pub(crate) use open::local_address;
pub use open::{BoundSocket, bind, connect_unbound, socket};
pub use options::SocketOptions;
pub(crate) use owner::set_owner;
pub(crate) use picked::may_be_picked;
pub use poll::poll;
pub(crate) use poll::{accept_within, connected_within};
pub(crate) use refused::{bind_alone, refusals, refused};
pub(crate) use segments::{hide_segments, show_segments};
pub(crate) use source::source_address;
pub use state::TcpState;
pub(crate) use tcp_info::{accept_queue, state_of, was_connected};
pub(crate) use wildcard::{any_local, wildcard};
