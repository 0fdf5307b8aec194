//! Sockets: four-tuple, options, passive and active open, TCP states.

mod four_tuple;
mod open;
mod options;
mod state;

pub use four_tuple::FourTuple;
pub use open::{BoundSocket, bind, local_address};
pub use options::SocketOptions;
pub use state::TcpState;
