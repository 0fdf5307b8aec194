//! Socket options, and the one place that applies them.

use std::net::SocketAddr;
use std::time::Duration;

use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl};
use socket2::{Socket, TcpKeepalive};

use super::Device;
use crate::error::{Error, Result};

/// The options set on a socket before bind(2). An accepted socket inherits them all from its listener.
///
/// ```
/// // No option is set but these.
/// let options = fourtuple::SocketOptions { reuse_address: true, no_delay: true, ..Default::default() };
/// let listening = fourtuple::bind(([127, 0, 0, 1], 0).into(), &options)?.listen(128)?;
/// assert!(listening.reuse_address().unwrap() && !listening.reuse_port().unwrap());
/// # Ok::<(), fourtuple::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct SocketOptions {
    /// SO_REUSEADDR, socket(7).
    pub reuse_address: bool,
    /// SO_REUSEPORT, socket(7).
    pub reuse_port: bool,
    /// IPV6_V6ONLY, ipv6(7); not set: what `net.ipv6.bindv6only` says.
    pub v6_only: Option<bool>,
    /// TCP_NODELAY, tcp(7).
    pub no_delay: bool,
    /// SO_OOBINLINE, socket(7): urgent data stays in its place in the stream.
    pub out_of_band_inline: bool,
    /// SO_RCVTIMEO, socket(7). The kernel heeds it on blocking calls alone.
    pub receive_timeout: Option<Duration>,
    /// SO_SNDTIMEO, socket(7). The kernel heeds it on blocking calls alone.
    pub send_timeout: Option<Duration>,
    /// SO_RCVBUF in bytes, socket(7). The kernel doubles it.
    pub receive_buffer: Option<usize>,
    /// SO_SNDBUF in bytes, socket(7). The kernel doubles it.
    pub send_buffer: Option<usize>,
    /// SO_LINGER in whole seconds, socket(7); zero makes close(2) send RST.
    pub linger: Option<Duration>,
    /// SO_KEEPALIVE with TCP_KEEPIDLE and TCP_KEEPINTVL in whole seconds, tcp(7).
    pub keepalive: Option<Duration>,
    /// TCP_USER_TIMEOUT in milliseconds, tcp(7).
    pub user_timeout: Option<Duration>,
    /// TCP_MAXSEG in bytes, tcp(7).
    pub maximum_segment_size: Option<u32>,
    /// IP_BIND_ADDRESS_NO_PORT, ip(7): with port 0, connect(2) and not bind(2) picks the port.
    pub bind_address_no_port: bool,
    /// IP_LOCAL_PORT_RANGE, ip(7): the lowest and the highest port that the kernel may pick.
    pub local_port_range: Option<(u16, u16)>,
    /// SO_BINDTODEVICE, socket(7): the interface that alone is sent and received by.
    pub device: Option<Device>,
}

impl SocketOptions {
    /// Sets the options on `socket`, which `address` will name in an error.
    ///
    /// # Errors
    ///
    /// `EINVAL` and `EDOM` for values out of the kernel's range; `ENOPROTOOPT` where it lacks the option; `ENODEV` for an
    /// interface that is no more.
    pub(super) fn apply(&self, socket: &Socket, address: SocketAddr) -> Result<()> {
        let checked = |name: &'static str, outcome: std::io::Result<()>| {
            outcome.map_err(|error| Error::new("setsockopt", format_args!("{name} for {address}"), error))
        };
        checked("SO_REUSEADDR", socket.set_reuse_address(self.reuse_address))?;
        checked("SO_REUSEPORT", socket.set_reuse_port(self.reuse_port))?;
        checked("TCP_NODELAY", socket.set_tcp_nodelay(self.no_delay))?;
        checked("SO_OOBINLINE", socket.set_out_of_band_inline(self.out_of_band_inline))?;
        checked("SO_RCVTIMEO", socket.set_read_timeout(self.receive_timeout))?;
        checked("SO_SNDTIMEO", socket.set_write_timeout(self.send_timeout))?;
        if let Some(only) = self.v6_only.filter(|_| address.is_ipv6()) {
            checked("IPV6_V6ONLY", socket.set_only_v6(only))?;
        }
        if let Some(bytes) = self.receive_buffer {
            checked("SO_RCVBUF", socket.set_recv_buffer_size(bytes))?;
        }
        if let Some(bytes) = self.send_buffer {
            checked("SO_SNDBUF", socket.set_send_buffer_size(bytes))?;
        }
        if self.linger.is_some() {
            checked("SO_LINGER", socket.set_linger(self.linger))?;
        }
        if let Some(idle) = self.keepalive {
            let keepalive = TcpKeepalive::new().with_time(idle).with_interval(idle);
            checked("SO_KEEPALIVE", socket.set_tcp_keepalive(&keepalive))?;
        }
        self.apply_linux(socket, &checked)
    }

    fn apply_linux(
        &self,
        socket: &Socket,
        checked: &impl Fn(&'static str, std::io::Result<()>) -> Result<()>,
    ) -> Result<()> {
        use nix::sys::socket::{setsockopt, sockopt};

        if self.user_timeout.is_some() {
            checked("TCP_USER_TIMEOUT", socket.set_tcp_user_timeout(self.user_timeout))?;
        }
        if let Some(bytes) = self.maximum_segment_size {
            checked("TCP_MAXSEG", socket.set_tcp_mss(bytes))?;
        }
        if self.bind_address_no_port {
            let outcome = setsockopt(socket, sockopt::IpBindAddressNoPort, &true);
            checked("IP_BIND_ADDRESS_NO_PORT", outcome.map_err(Into::into))?;
        }
        if let Some((lowest, highest)) = self.local_port_range {
            let range = u32::from(highest) << 16 | u32::from(lowest);
            let outcome = setsockopt(socket, IpLocalPortRange, &range);
            checked("IP_LOCAL_PORT_RANGE", outcome.map_err(Into::into))?;
        }
        if let Some(device) = &self.device {
            checked("SO_BINDTODEVICE", socket.bind_device(Some(device.name.as_bytes())))?;
        }
        Ok(())
    }
}

/// From linux/in.h, since Linux 6.3.
const IP_LOCAL_PORT_RANGE: i32 = 51;

sockopt_impl!(
    /// The lowest port in the low 16 bits, the highest in the high ones (linux/in.h).
    IpLocalPortRange,
    Both,
    libc::IPPROTO_IP,
    IP_LOCAL_PORT_RANGE,
    u32
);
