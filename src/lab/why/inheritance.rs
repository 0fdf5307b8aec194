//! A listening socket that its maker has left to another process.

use crate::kernel::holders::Holder;
use crate::kernel::inherited::may_be_inherited;
use crate::kernel::owners::{Process, ProcessList};
use crate::net::TcpState;

/// The one process that may have this socket only because the one that made it ended first; none that is started and
/// stopped as a service.
pub(super) fn heir(holder: &Holder) -> Option<&Process> {
    let [process] = &holder.processes[..] else { return None };
    let is_left = process.pid != 1
        && process.supervisor.is_none()
        && holder.row.state == TcpState::Listen
        && may_be_inherited(process.pid, holder.row.inode);
    is_left.then_some(process)
}

pub(super) fn remark(holder: &Holder) -> Option<String> {
    let heir = heir(holder)?;
    Some(format!(
        "{} may have inherited the socket, and not use it: what started it is gone, and its descriptor has no O_CLOEXEC; \
         SOCK_CLOEXEC on a listening socket keeps it from the programs that its process starts",
        ProcessList(std::slice::from_ref(heir))
    ))
}
