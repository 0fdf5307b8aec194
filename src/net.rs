//! Sockets: four-tuple, options, passive and active open, TCP states.

mod four_tuple;
#[cfg(target_os = "linux")]
mod named_option;
mod open;
mod options;
#[cfg(target_os = "linux")]
mod owner;
#[cfg(target_os = "linux")]
mod picked;
#[cfg(target_os = "linux")]
mod poll;
mod refused;
#[cfg(target_os = "linux")]
mod segments;
pub mod sharing_rule;
mod source;
mod state;
#[cfg(target_os = "linux")]
mod tcp_info;
mod wildcard;

pub use four_tuple::FourTuple;
#[cfg(target_os = "linux")]
pub use named_option::{NamedOption, OptionValue, Takes};
pub use open::{BoundSocket, bind, connect_unbound, local_address, socket};
pub use options::SocketOptions;
#[cfg(target_os = "linux")]
pub use owner::set_owner;
#[cfg(target_os = "linux")]
pub use picked::may_be_picked;
#[cfg(target_os = "linux")]
pub use poll::poll;
pub use refused::refused;
#[cfg(target_os = "linux")]
pub use segments::{hide_segments, show_segments};
pub use source::source_address;
pub use state::TcpState;
#[cfg(target_os = "linux")]
pub use tcp_info::{accept_queue, state_of};
pub use wildcard::{any_local, wildcard};
