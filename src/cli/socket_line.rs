//! What a line says of a socket, in the words of every command.

use crate::kernel::inet_diag::{SocketRow, SocketTimer};
use crate::net::sharing_rule::Sharing;
use crate::net::{OnDevice, is_link_local};
use crate::text::{Format, Line};

/// A JSON line of this event that begins with a socket's state and addresses.
pub(crate) fn socket_line(event: &str, row: &SocketRow) -> Line {
    let mut line = Line::new(Format::Json, event);
    // An address has its zone, and no other has the interface of its socket in it.
    let local = OnDevice(row.local, row.device.filter(|_| is_link_local(row.local)));
    line.field("state", row.state).field("local", local).field("remote", row.remote_end());
    line.field_if_any("device", row.device);
    line
}

/// Adds the timer that runs.
pub(crate) fn say_timer(line: &mut Line, timer: &SocketTimer) {
    line.field("timer", timer.kind.name()).duration("timer-remaining", timer.remaining);
}

/// Adds whose the socket is.
pub(crate) fn say_owner(line: &mut Line, row: &SocketRow) {
    line.number("uid", row.uid.into()).number("inode", row.inode.into());
}

/// Adds the options by which it shares its address.
pub(crate) fn say_sharing(line: &mut Line, sharing: &Sharing) {
    line.optional("reuse-address", sharing.reuse_address).optional("reuse-port", sharing.reuse_port);
}
