//! What the kernel says: its socket table, who has a socket and with which options, settings, routes, memory, time.

pub(crate) mod borrow;
pub mod cpu;
pub(crate) mod device;
pub mod holders;
pub mod inet_diag;
pub(crate) mod ipv6;
pub(crate) mod memory;
pub(crate) mod netlink;
pub(crate) mod owners;
pub mod port_range;
pub(crate) mod route;
pub(crate) mod settings;
pub(crate) mod sharing;
pub(crate) mod sysctl;
pub mod time_wait;
pub(crate) mod users;
pub mod watch;
