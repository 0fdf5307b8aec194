//! What the kernel says: its socket table, who has a socket and with which options, settings, routes, memory, time.

pub(crate) mod borrow;
pub mod cpu;
pub(crate) mod device;
pub mod holders;
pub mod inet_diag;
pub(crate) mod inherited;
pub(crate) mod ipv6;
pub(crate) mod memory;
pub(crate) mod netlink;
pub(crate) mod open_files;
pub(crate) mod owners;
pub mod packet_filter;
pub mod port_range;
pub(crate) mod rights;
pub(crate) mod route;
pub(crate) mod settings;
pub(crate) mod sharing;
pub(crate) mod socket_unit;
pub(crate) mod supervisor;
pub(crate) mod sysctl;
pub(crate) mod table;
pub mod time_wait;
pub(crate) mod users;
pub mod watch;
