//! Socket options by the names that the kernel's headers give them, to be set and read as they are.

use std::fmt;
use std::io;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl};
use socket2::Socket;

use super::DeviceName;
use crate::error::errno_name;

/// A socket option that setsockopt(2) and getsockopt(2) know by this name.
#[derive(Debug)]
pub struct NamedOption {
    /// The kernel's name, such as `SO_REUSEADDR`.
    pub name: &'static str,
    /// What it is set to; `None` where it can only be read.
    pub takes: Option<Takes>,
    set: fn(&Socket, &OptionValue) -> io::Result<()>,
    get: fn(&Socket) -> io::Result<OptionValue>,
}

/// What an option is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// A whole number: 0 and 1, bytes, seconds, as the option has it.
    Number,
    /// `struct linger`: on or off, and seconds.
    Linger,
    /// `struct timeval`.
    Time,
    /// The lowest and the highest port.
    Ports,
    /// The name of an interface.
    Device,
}

/// The value of an option.
///
/// Displays as it is written to set it; an errno by its name, or 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionValue {
    /// A whole number.
    Number(i32),
    /// Whether close(2) waits, and for how many seconds; with none it sends RST.
    Linger(i32, i32),
    /// How long; zero is for ever.
    Time(Duration),
    /// The lowest and the highest port; zero and zero are the sysctl's.
    Ports(u16, u16),
    /// The name of an interface, or none.
    Device(Option<DeviceName>),
    /// What SO_ERROR holds.
    Error(Errno),
}

impl fmt::Display for OptionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Linger(on, seconds) => write!(f, "{on} {seconds}"),
            Self::Time(time) => write!(f, "{}", crate::text::Short(time)),
            Self::Ports(lowest, highest) => write!(f, "{lowest}-{highest}"),
            Self::Device(Some(name)) => write!(f, "{name}"),
            Self::Device(None) => f.write_str("-"),
            Self::Error(Errno::UnknownErrno) => f.write_str("0"),
            Self::Error(errno) => f.write_str(&errno_name(errno)),
        }
    }
}

impl NamedOption {
    /// Every option, those of socket(7) first, then of tcp(7), ip(7), ipv6(7).
    pub const ALL: &'static [Self] = &OPTIONS;

    /// The option that the kernel calls so.
    pub fn find(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|option| option.name == name)
    }

    /// Makes the call setsockopt(2).
    ///
    /// # Errors
    ///
    /// What the kernel answers; `EINVAL` for a value of another kind than the option [takes](Self::takes).
    pub fn set(&self, socket: &Socket, value: &OptionValue) -> io::Result<()> {
        (self.set)(socket, value)
    }

    /// Makes the call getsockopt(2).
    ///
    /// # Errors
    ///
    /// What the kernel answers.
    pub fn get(&self, socket: &Socket) -> io::Result<OptionValue> {
        (self.get)(socket)
    }
}

macro_rules! options {
    ($($level:ident: $($name:ident)+;)+) => {
        #[expect(non_camel_case_types, reason = "the names are the kernel's")]
        mod numbers {
            use super::{getsockopt_impl, libc, setsockopt_impl, sockopt_impl};
            $($(sockopt_impl!($name, Both, libc::$level, libc::$name, i32);)+)+
        }

        const OPTIONS: [NamedOption; OTHERS.len() + [$($(stringify!($name)),+),+].len()] = {
            let [error, linger, receive_timeout, send_timeout, device, ports] = OTHERS;
            [
                $($(NamedOption {
                    name: stringify!($name),
                    takes: Some(Takes::Number),
                    set: |socket, value| {
                        let OptionValue::Number(number) = value else { return other_kind() };
                        Ok(setsockopt(socket, numbers::$name, number)?)
                    },
                    get: |socket| Ok(OptionValue::Number(getsockopt(socket, numbers::$name)?)),
                },)+)+
                error, linger, receive_timeout, send_timeout, device, ports,
            ]
        };
    };
}

options! {
    SOL_SOCKET: SO_REUSEADDR SO_REUSEPORT SO_KEEPALIVE SO_OOBINLINE SO_SNDBUF SO_RCVBUF SO_RCVLOWAT SO_ACCEPTCONN;
    IPPROTO_TCP: TCP_NODELAY TCP_CORK TCP_QUICKACK TCP_DEFER_ACCEPT TCP_KEEPIDLE TCP_KEEPINTVL TCP_KEEPCNT
        TCP_SYNCNT TCP_LINGER2 TCP_MAXSEG TCP_USER_TIMEOUT TCP_WINDOW_CLAMP TCP_NOTSENT_LOWAT;
    IPPROTO_IP: IP_BIND_ADDRESS_NO_PORT IP_FREEBIND IP_TOS IP_TTL;
    IPPROTO_IPV6: IPV6_V6ONLY;
}

const OTHERS: [NamedOption; 6] = [
    NamedOption {
        name: "SO_ERROR",
        takes: None,
        set: |_, _| other_kind(),
        get: |socket| Ok(OptionValue::Error(Errno::from_raw(getsockopt(socket, sockopt::SocketError)?))),
    },
    NamedOption { name: "SO_LINGER", takes: Some(Takes::Linger), set: set_linger, get: get_linger },
    NamedOption {
        name: "SO_RCVTIMEO",
        takes: Some(Takes::Time),
        set: |socket, value| Ok(setsockopt(socket, sockopt::ReceiveTimeout, &timeval(value)?)?),
        get: |socket| Ok(time(getsockopt(socket, sockopt::ReceiveTimeout)?)),
    },
    NamedOption {
        name: "SO_SNDTIMEO",
        takes: Some(Takes::Time),
        set: |socket, value| Ok(setsockopt(socket, sockopt::SendTimeout, &timeval(value)?)?),
        get: |socket| Ok(time(getsockopt(socket, sockopt::SendTimeout)?)),
    },
    NamedOption { name: "SO_BINDTODEVICE", takes: Some(Takes::Device), set: set_device, get: get_device },
    NamedOption { name: "IP_LOCAL_PORT_RANGE", takes: Some(Takes::Ports), set: set_ports, get: get_ports },
];

/// A value that the parser of the option's name would not have let through.
fn other_kind() -> io::Result<()> {
    Err(Errno::EINVAL.into())
}

fn set_linger(socket: &Socket, value: &OptionValue) -> io::Result<()> {
    let OptionValue::Linger(l_onoff, l_linger) = *value else { return other_kind() };
    Ok(setsockopt(socket, sockopt::Linger, &libc::linger { l_onoff, l_linger })?)
}

fn get_linger(socket: &Socket) -> io::Result<OptionValue> {
    let linger = getsockopt(socket, sockopt::Linger)?;
    Ok(OptionValue::Linger(linger.l_onoff, linger.l_linger))
}

fn timeval(value: &OptionValue) -> io::Result<TimeVal> {
    let OptionValue::Time(time) = value else { return Err(Errno::EINVAL.into()) };
    let microseconds = i64::try_from(time.as_micros()).map_err(|_| Errno::EDOM)?;
    Ok(TimeVal::microseconds(microseconds))
}

fn time(value: TimeVal) -> OptionValue {
    OptionValue::Time(Duration::from_micros(value.num_microseconds().unsigned_abs()))
}

fn set_device(socket: &Socket, value: &OptionValue) -> io::Result<()> {
    let OptionValue::Device(name) = value else { return other_kind() };
    socket.bind_device(name.as_ref().map(DeviceName::as_bytes))
}

fn get_device(socket: &Socket) -> io::Result<OptionValue> {
    let name = socket.device()?;
    Ok(OptionValue::Device(name.and_then(|name| DeviceName::new(&name))))
}

fn set_ports(socket: &Socket, value: &OptionValue) -> io::Result<()> {
    let OptionValue::Ports(lowest, highest) = *value else { return other_kind() };
    let range = u32::from(highest) << 16 | u32::from(lowest);
    Ok(setsockopt(socket, super::options::IpLocalPortRange, &range)?)
}

fn get_ports(socket: &Socket) -> io::Result<OptionValue> {
    let [lowest, highest] = {
        let range = getsockopt(socket, super::options::IpLocalPortRange)?;
        [range as u16, (range >> 16) as u16]
    };
    Ok(OptionValue::Ports(lowest, highest))
}
