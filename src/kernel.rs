//! What the kernel says: its socket table, who has a socket and with which options, settings, routes, memory, time.

pub mod borrow;
pub mod cpu;
pub mod holders;
pub mod inet_diag;
pub mod memory;
pub(crate) mod netlink;
pub mod owners;
pub mod port_range;
pub mod route;
pub mod settings;
pub mod sharing;
pub mod sysctl;
pub mod time_wait;
pub mod users;
pub mod watch;
