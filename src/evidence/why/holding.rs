//! bind(2) and listen(2): whether the address can be had.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use nix::errno::Errno;

use super::rules::{Claim, Conflict, Stage, conflict};
use super::{Answer, Because, InTheWay, Settings, Verdict, newcomer, ports, try_bind, unknown};
use crate::error::Result;
use crate::evidence::holders::Holder;
use crate::evidence::inet_diag::{SocketRow, TimerKind, sockets_on};
use crate::net::{SocketOptions, TcpState};

/// How often the sockets in the way are looked for: they may come and go between two looks.
const ATTEMPTS: usize = 3;

/// Whether bind(2) and then, where it `listens`, listen(2) would succeed.
pub(super) fn answer(
    local: SocketAddr,
    listens: bool,
    options: &SocketOptions,
    settings: &Settings,
) -> Result<Answer> {
    let Some(port) = NonZeroU16::new(local.port()) else { return any_port(local, options, settings) };
    let open = PassiveOpen { local, listens, options, settings };
    let mut answer = open.look(port)?;
    for _ in 1..ATTEMPTS {
        if !matches!(answer.verdict, Verdict::Fails { because: Because::Unexplained, .. }) {
            break;
        }
        answer = open.look(port)?;
    }
    Ok(answer)
}

/// What the calls are made with.
struct PassiveOpen<'a> {
    local: SocketAddr,
    listens: bool,
    options: &'a SocketOptions,
    settings: &'a Settings,
}

impl PassiveOpen<'_> {
    /// Makes the call and looks who has the port.
    fn look(&self, port: NonZeroU16) -> Result<Answer> {
        let bound = try_bind(self.local, self.options)?;
        let mut holders = on_port(port)?;
        unknown::infer(&mut holders, self.settings);
        let (in_the_way, beside) = self.divide(holders, &bound);
        let held = !in_the_way.is_empty();
        let verdict = match bound {
            Ok(_) if held => Verdict::fails("listen", Errno::EADDRINUSE, Because::Held),
            Ok(_) => Verdict::Works,
            Err(Errno::EADDRINUSE) if held => Verdict::fails("bind", Errno::EADDRINUSE, Because::Held),
            Err(errno) => {
                Verdict::fails("bind", errno, refused(errno, self.local, self.options, self.settings))
            }
        };
        Ok(Answer { in_the_way, beside, ..Answer::new(verdict) })
    }

    /// Who is in the way by the rules, and who is not, given what bind(2) said.
    fn divide(
        &self,
        holders: Vec<Holder>,
        bound: &std::result::Result<SocketAddr, Errno>,
    ) -> (Vec<InTheWay>, Vec<Holder>) {
        let new = newcomer(self.local.ip(), self.options, self.settings);
        let counts = |conflict: &Conflict| match bound {
            Err(errno) => *errno == Errno::EADDRINUSE,
            // Sockets of one SO_REUSEPORT group that may bind may listen (`sk_reuseport_match`).
            Ok(_) => self.listens && !self.options.reuse_port && conflict.is_certain(),
        };
        let (mut in_the_way, mut beside) = (Vec::new(), Vec::new());
        for holder in holders {
            match conflict(&new, &claim(&holder)).filter(counts) {
                None => beside.push(holder),
                conflict => in_the_way.push(InTheWay { holder, conflict }),
            }
        }
        if in_the_way.iter().any(InTheWay::is_certain) {
            let doubtful = in_the_way.extract_if(.., |found| found.is_by_guess());
            beside.extend(doubtful.map(|found| found.holder));
        }
        // Where nothing else explains the refusal it is this.
        for found in in_the_way.iter_mut().filter(|found| found.is_by_guess()) {
            found.holder.sharing.v6_only = Some(false);
        }
        (in_the_way, beside)
    }
}

/// Port 0: the kernel looks for a free one.
fn any_port(local: SocketAddr, options: &SocketOptions, settings: &Settings) -> Result<Answer> {
    Ok(Answer::new(match try_bind(local, options)? {
        Ok(_) => Verdict::Works,
        Err(errno @ Errno::EADDRINUSE) => {
            let ports = ports::choices(options, settings).count();
            Verdict::fails("bind", errno, Because::NoPortLeft(ports))
        }
        Err(errno) => Verdict::fails("bind", errno, refused(errno, local, options, settings)),
    }))
}

/// What bind(2) means by another errno than EADDRINUSE, ip(7) and ipv6(7).
fn refused(errno: Errno, local: SocketAddr, options: &SocketOptions, settings: &Settings) -> Because {
    let start = settings.unprivileged_port_start;
    match (errno, local.ip()) {
        (Errno::EACCES, _) if local.port() < start => Because::Privileged(start),
        (Errno::EACCES | Errno::EPERM, _) => Because::Forbidden,
        (Errno::EADDRNOTAVAIL, ip) if is_tentative(ip) => Because::Tentative,
        (Errno::EADDRNOTAVAIL, IpAddr::V6(_)) if settings.ipv6_off => Because::Ipv6Off,
        (Errno::EADDRNOTAVAIL, _) => Because::NotLocal,
        (Errno::EINVAL, IpAddr::V6(ip)) if ip.is_multicast() => Because::NotUnicast,
        (Errno::EINVAL, IpAddr::V6(ip)) if ip.is_unicast_link_local() => Because::NoScope,
        (Errno::EINVAL, IpAddr::V6(ip))
            if ip.to_ipv4_mapped().is_some() && options.v6_only.unwrap_or(settings.v6_only) =>
        {
            Because::V6Only
        }
        _ => Because::Unexplained,
    }
}

/// Whether an interface has the address and may not use it yet, or never: /proc/net/if_inet6.
fn is_tentative(ip: IpAddr) -> bool {
    const TENTATIVE: u8 = 0x40;
    const FAILED: u8 = 0x08;
    let IpAddr::V6(ip) = ip else { return false };
    let wanted = format!("{:032x}", u128::from(ip));
    let table = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).any(|columns| {
        let flags = columns.get(4).and_then(|flags| u8::from_str_radix(flags, 16).ok()).unwrap_or(0);
        columns.first() == Some(&wanted.as_str()) && flags & (TENTATIVE | FAILED) != 0
    })
}

/// The sockets that hold this local port, with what is known of each.
///
/// # Errors
///
/// As [`sockets_on`].
pub fn on_port(port: NonZeroU16) -> Result<Vec<Holder>> {
    let mut rows = sockets_on(port)?;
    rows.retain(|row| !is_request(row));
    Ok(Holder::of(rows))
}

/// A connection request is no socket yet, and holds no address (`struct request_sock`).
fn is_request(row: &SocketRow) -> bool {
    row.state == TcpState::SynReceived && row.inode == 0
}

/// What a socket holds by the rules.
pub fn claim(holder: &Holder) -> Claim {
    Claim {
        ip: holder.row.local.ip(),
        sharing: holder.sharing,
        uid: holder.row.uid,
        stage: stage(&holder.row),
    }
}

/// What counts of a socket's state.
pub fn stage(row: &SocketRow) -> Stage {
    match (row.state, row.timer) {
        (TcpState::Listen, _) => Stage::Listening,
        // FIN-WAIT-2 has this timer where no process has the socket, and is then kept as TIME-WAIT is.
        (_, Some(timer)) if timer.kind == TimerKind::TimeWait => Stage::Waiting,
        _ => Stage::Open,
    }
}
