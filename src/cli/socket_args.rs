//! The socket options on a command line.

use std::time::Duration;

use clap::{Args, value_parser};

use super::values::{Limit, Switch, keepalive, limit, size, user_timeout, whole_seconds};
use crate::net::SocketOptions;

/// The socket options that a lab wants to vary.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Socket options")]
pub(crate) struct SocketArgs {
    /// SO_REUSEADDR
    #[arg(long, hide_short_help = true, value_enum, default_value_t = Switch::On, hide_possible_values = true, value_name = "on|off")]
    pub reuse_address: Switch,
    /// SO_REUSEPORT
    #[arg(long, hide_short_help = true, value_enum, default_value_t = Switch::On, hide_possible_values = true, value_name = "on|off")]
    pub reuse_port: Switch,
    /// TCP_NODELAY
    #[arg(long, hide_short_help = true, value_enum, default_value_t = Switch::On, hide_possible_values = true, value_name = "on|off")]
    pub nodelay: Switch,
    /// IPV6_V6ONLY [default: as net.ipv6.bindv6only says]
    #[arg(long, hide_short_help = true, value_enum, hide_possible_values = true, value_name = "on|off")]
    pub v6_only: Option<Switch>,
    /// Close a connection that makes no send progress for this long, or none; sets SO_SNDTIMEO
    #[arg(long, hide_short_help = true, default_value = "30s", value_parser = limit, value_name = "DURATION")]
    pub send_timeout: Limit,
    /// SO_RCVBUF, which the kernel doubles [default: the kernel's]
    #[arg(long, hide_short_help = true, value_parser = size, value_name = "SIZE")]
    pub receive_buffer: Option<usize>,
    /// SO_SNDBUF, which the kernel doubles [default: the kernel's]
    #[arg(long, hide_short_help = true, value_parser = size, value_name = "SIZE")]
    pub send_buffer: Option<usize>,
    /// SO_LINGER; 0s: close sends RST [default: off]
    #[arg(long, hide_short_help = true, value_parser = whole_seconds, value_name = "DURATION")]
    pub linger: Option<Duration>,
    /// SO_KEEPALIVE: probe after this idle time, at the same interval [default: off]
    #[arg(long, hide_short_help = true, value_parser = keepalive, value_name = "DURATION")]
    pub keepalive: Option<Duration>,
    /// TCP_USER_TIMEOUT [default: the kernel's]
    #[arg(long, hide_short_help = true, value_parser = user_timeout, value_name = "DURATION")]
    pub user_timeout: Option<Duration>,
    /// TCP_MAXSEG in bytes [default: the route's]
    #[arg(long, hide_short_help = true, value_parser = value_parser!(u32).range(88..=32_767), value_name = "BYTES")]
    pub mss: Option<u32>,
}

impl SocketArgs {
    /// The options to set, with the receive timeout, whose default differs between programs.
    pub(crate) fn options(&self, receive_timeout: Limit) -> SocketOptions {
        SocketOptions {
            reuse_address: self.reuse_address.is_on(),
            reuse_port: self.reuse_port.is_on(),
            v6_only: self.v6_only.map(Switch::is_on),
            no_delay: self.nodelay.is_on(),
            out_of_band_inline: true,
            receive_timeout: receive_timeout.0,
            send_timeout: self.send_timeout.0,
            receive_buffer: self.receive_buffer,
            send_buffer: self.send_buffer,
            linger: self.linger,
            keepalive: self.keepalive,
            user_timeout: self.user_timeout,
            maximum_segment_size: self.mss,
            ..SocketOptions::default()
        }
    }
}
