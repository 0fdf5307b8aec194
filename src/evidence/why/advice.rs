//! What unblocks a call: the smallest changes, cheapest first.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process;
use std::time::Duration;

use nix::ifaddrs::getifaddrs;
use nix::unistd::geteuid;

use super::holding::{claim, stage};
use super::rules::{Claim, Newcomer, Overlap, Refusal, Stage, conflict};
use super::step::{Leftover, Set, Step};
use super::{Answer, Because, Goal, Question, Settings, Verdict, newcomer, try_bind};
use crate::evidence::holders::Holder;
use crate::evidence::owners::Process;
use crate::net::{SocketOptions, TcpState};

/// How many ports above the one in question are tried for a free one.
const PORTS: u16 = 200;
/// `TCP_TIMEWAIT_LEN`, which no setting changes.
const TIME_WAIT: Duration = Duration::from_secs(60);
/// The sets of options that let sockets share an address, the smaller ones first.
const SETS: [&[Set]; 3] = [&[Set::ReuseAddress], &[Set::ReusePort], &[Set::ReuseAddress, Set::ReusePort]];

/// The steps that the rules say help, cheapest first; none where it works already.
pub(super) fn steps(question: &Question, answer: &Answer, settings: &Settings) -> Vec<Step> {
    let Verdict::Fails { because, .. } = &answer.verdict else { return Vec::new() };
    let local = question.goal.local();
    match (because, local) {
        (Because::Held, Some(local)) => Held { question, answer, settings, local }.steps(),
        (Because::FourTuple, _) => four_tuple(question, answer, settings),
        (Because::NobodyListens, _) => nobody_listens(question, answer),
        (Because::Privileged(start), Some(local)) => privileged(question, local, *start),
        (Because::NotLocal, Some(local)) => not_local(question, local),
        (Because::V6Only, _) => vec![Step::Set(vec![Set::V6Only(false)])],
        (Because::QueueFull, _) => answer
            .in_the_way
            .iter()
            .map(|found| &found.holder)
            .map(|holder| {
                Step::Elsewhere(format!(
                    "make {holder} accept: {} connections wait for it already",
                    holder.row.receive_queue
                ))
            })
            .collect(),
        (other, _) => elsewhere(other, question, settings).map(Step::Elsewhere).into_iter().collect(),
    }
}

/// Sockets have the address that is asked for.
struct Held<'a> {
    question: &'a Question,
    answer: &'a Answer,
    settings: &'a Settings,
    local: SocketAddr,
}

impl Held<'_> {
    fn steps(&self) -> Vec<Step> {
        let set = self.set();
        let restart = if set.is_empty() { self.restart() } else { None };
        set.into_iter()
            .chain(restart)
            .chain(self.wait())
            .chain(self.another_address())
            .chain(self.another_port())
            .chain(self.user())
            .chain(self.stop())
            .chain(self.next_time())
            .collect()
    }

    fn with(&self, sets: &[Set]) -> Newcomer {
        let mut options = self.question.options.clone();
        sets.iter().for_each(|set| set.apply_to(&mut options));
        newcomer(self.local.ip(), &options, self.settings)
    }

    fn in_the_way(&self) -> impl Iterator<Item = &Holder> {
        self.answer.in_the_way.iter().map(|found| &found.holder)
    }

    fn all(&self) -> impl Iterator<Item = &Holder> {
        self.in_the_way().chain(&self.answer.beside)
    }

    /// Options on the new socket alone.
    fn set(&self) -> Vec<Step> {
        let mut found: Vec<&[Set]> = Vec::new();
        let dual_stack =
            self.answer.in_the_way.iter().all(|found| {
                found.conflict.is_some_and(|conflict| conflict.overlap == Overlap::NewIsDualStack)
            });
        let v6_only: &[&[Set]] = if dual_stack { &[&[Set::V6Only(true)]] } else { &[] };
        for sets in SETS.iter().chain(v6_only) {
            let is_more = found.iter().any(|smaller| smaller.iter().all(|set| sets.contains(set)));
            if !is_more && self.is_changed_by(sets) && may_have(&self.with(sets), self.all().map(claim)) {
                found.push(sets);
            }
        }
        found.into_iter().map(|sets| Step::Set(sets.to_vec())).collect()
    }

    /// Whether the new socket lacks all of these.
    fn is_changed_by(&self, sets: &[Set]) -> bool {
        let options = &self.question.options;
        sets.iter().all(|set| match set {
            Set::ReuseAddress => !options.reuse_address,
            Set::ReusePort => !options.reuse_port,
            Set::V6Only(on) => options.v6_only.unwrap_or(self.settings.v6_only) != *on,
        })
    }

    /// Options on both sockets, where the old ones have processes that can be started again.
    fn restart(&self) -> Option<Step> {
        let processes = self.owners()?;
        let dual_stack =
            self.answer.in_the_way.iter().all(|found| {
                found.conflict.is_some_and(|conflict| conflict.overlap == Overlap::OldIsDualStack)
            });
        let sets = if dual_stack { Some(&[Set::V6Only(true)][..]) } else { self.helping_both() }?;
        Some(Step::Restart(processes, sets.to_vec()))
    }

    /// The least options with which both sockets share the address.
    fn helping_both(&self) -> Option<&'static [Set]> {
        let with = |holder: &Holder, sets: &[Set]| {
            let mut claim = claim(holder);
            for set in sets {
                match set {
                    Set::ReuseAddress => claim.sharing.reuse_address = Some(true),
                    Set::ReusePort => claim.sharing.reuse_port = Some(true),
                    Set::V6Only(on) => claim.sharing.v6_only = Some(*on),
                }
            }
            claim
        };
        let others = || self.answer.beside.iter().map(claim);
        SETS.into_iter().find(|sets| {
            let changed = self.in_the_way().map(|holder| with(holder, sets));
            may_have(&self.with(sets), changed.chain(others()))
        })
    }

    fn wait(&self) -> Option<Step> {
        wait(self.in_the_way(), self.settings)
    }

    fn another_address(&self) -> Option<Step> {
        let others = own_addresses(self.local.ip()).into_iter();
        let mut free =
            others.filter(|&ip| is_free(SocketAddr::new(ip, self.local.port()), &self.question.options));
        free.next().map(Step::Address)
    }

    fn another_port(&self) -> Option<Step> {
        free_port(self.local, self.local.port().checked_add(1)?, &self.question.options).map(Step::Port)
    }

    /// SO_REUSEPORT shares among sockets of one user.
    fn user(&self) -> Option<Step> {
        let mut users = self.answer.in_the_way.iter().map(|found| match found.conflict?.refusal {
            Refusal::OtherUser(uid) => Some(uid),
            _ => None,
        });
        let uid = users.next()??;
        let new = Newcomer { uid, ..self.with(&[Set::ReusePort]) };
        may_have(&new, self.all().map(claim)).then_some(Step::User(uid))
    }

    fn stop(&self) -> Option<Step> {
        if self.in_the_way().all(|holder| stage(&holder.row) == Stage::Waiting) {
            return None;
        }
        let Some(processes) = self.owners() else {
            let named =
                if geteuid().is_root() { "it is in another PID namespace" } else { "root sees which it is" };
            return Some(Step::Elsewhere(format!("stop the process that has it: {named}")));
        };
        let left: Vec<Claim> = self.all().filter_map(|holder| after_end(holder, &processes)).collect();
        let leftover = if may_have(&self.with(&[]), left.iter().copied()) {
            Leftover::Nothing
        } else if may_have(&self.with(&[Set::ReuseAddress]), left.iter().copied()) {
            Leftover::ReuseAddress
        } else {
            Leftover::Wait
        };
        Some(Step::Stop(processes, leftover))
    }

    fn next_time(&self) -> Option<Step> {
        let all_wait = self.in_the_way().all(|holder| stage(&holder.row) == Stage::Waiting);
        let sets = all_wait.then(|| self.helping_both())??;
        let shared_already = may_have(&self.with(sets), self.all().map(claim));
        (!shared_already).then(|| Step::NextTime(sets.to_vec()))
    }

    /// The processes that have the sockets in the way; `None` where one may have an owner that is not known.
    fn owners(&self) -> Option<Vec<Process>> {
        let mut processes = BTreeMap::new();
        for holder in self.in_the_way().filter(|holder| holder.row.inode != 0) {
            if holder.processes.is_empty() {
                return None;
            }
            processes.extend(holder.processes.iter().map(|process| (process.pid, process.clone())));
        }
        processes.remove(&process::id());
        (!processes.is_empty()).then(|| processes.into_values().collect())
    }
}

/// Whether a socket may have the address beside these, as far as is known.
fn may_have(new: &Newcomer, mut claims: impl Iterator<Item = Claim>) -> bool {
    claims.all(|claim| conflict(new, &claim).is_none_or(|conflict| !conflict.is_certain()))
}

/// What a socket holds after these processes have ended.
fn after_end(holder: &Holder, processes: &[Process]) -> Option<Claim> {
    let claim = claim(holder);
    let stays = holder.processes.iter().any(|process| !processes.contains(process));
    if stays || claim.stage == Stage::Waiting {
        return Some(claim);
    }
    match holder.row.state {
        // RFC 9293 §3.6: who closes first keeps TIME-WAIT.
        TcpState::Established | TcpState::FinWait1 | TcpState::FinWait2 | TcpState::Closing
            if !holder.processes.is_empty() =>
        {
            Some(Claim { stage: Stage::Waiting, ..claim })
        }
        _ => None,
    }
}

/// Until all of these are gone, where the kernel forgets each by itself.
///
/// Its timers are late by up to an eighth of what they were set to (kernel/time/timer.c).
fn wait<'a>(holders: impl Iterator<Item = &'a Holder>, settings: &Settings) -> Option<Step> {
    let times = |holder: &Holder| {
        let timer = holder.row.timer.filter(|_| stage(&holder.row) == Stage::Waiting)?;
        let whole = if holder.row.state == TcpState::FinWait2 { settings.fin_timeout } else { TIME_WAIT };
        Some((timer.remaining, timer.remaining + whole / 8))
    };
    let (time, latest) = holders.map(times).reduce(|one, other| {
        let ((time, latest), (other, later)) = (one?, other?);
        Some((time.max(other), latest.max(later)))
    })??;
    Some(Step::Wait(time, latest))
}

/// Addresses of this host, of the same family as `ip`, that could be bound instead of it.
pub(super) fn own_addresses(ip: IpAddr) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    if ip.to_canonical().is_loopback() {
        // All of 127/8 is loopback.
        found.extend((2..5).map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))));
    }
    for interface in getifaddrs().into_iter().flatten() {
        let Some(address) = interface.address else { continue };
        found.extend(address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip())));
        found.extend(address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())));
    }
    let link_local = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    found.retain(|other| *other != ip && other.is_ipv4() == ip.is_ipv4() && !link_local(other));
    // What others reach comes first, unless only this host is to.
    found.sort_by_key(|other| other.is_loopback() != ip.is_loopback());
    found
}

/// Whether bind(2) succeeds there now, and so listen(2).
fn is_free(local: SocketAddr, options: &SocketOptions) -> bool {
    try_bind(local, options).is_ok_and(|outcome| outcome.is_ok())
}

fn free_port(local: SocketAddr, from: u16, options: &SocketOptions) -> Option<u16> {
    (from..=from.saturating_add(PORTS)).find(|&port| is_free(SocketAddr::new(local.ip(), port), options))
}

fn four_tuple(question: &Question, answer: &Answer, settings: &Settings) -> Vec<Step> {
    let holders = || answer.in_the_way.iter().map(|found| &found.holder);
    let Some(local) = question.goal.local() else { return Vec::new() };
    let address = own_addresses(local.ip()).into_iter().find(|&ip| {
        !local.ip().is_unspecified() && is_free(SocketAddr::new(ip, local.port()), &question.options)
    });
    let mut processes: Vec<Process> = holders().flat_map(|holder| holder.processes.clone()).collect();
    processes.retain(|process| process.pid != process::id());
    let stop = (!processes.is_empty()).then_some(Step::Stop(processes, Leftover::Nothing));
    wait(holders(), settings)
        .into_iter()
        .chain(address.map(Step::Address))
        .chain([Step::Port(0)])
        .chain(stop)
        .collect()
}

fn nobody_listens(question: &Question, answer: &Answer) -> Vec<Step> {
    let Goal::Connect { local, remote } = question.goal else { return Vec::new() };
    let reached = answer.beside.iter().map(|holder| reached_at(holder.row.local));
    let mut others = reached.filter(|other| local.is_none_or(|local| local.is_ipv4() == other.is_ipv4()));
    let (port, ip) = (remote.port(), remote.ip());
    let listen = Step::Elsewhere(format!("nothing listens on {remote}: `listener {port} {ip}` does"));
    others.next().map(Step::Remote).into_iter().chain([listen]).collect()
}

/// Where a listener is reached from this host; one that has the wildcard address and is not reached at IPv4 has IPv6.
fn reached_at(listener: SocketAddr) -> SocketAddr {
    match listener.ip() {
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, listener.port()).into(),
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, listener.port()).into(),
        _ => listener,
    }
}

fn privileged(question: &Question, local: SocketAddr, start: u16) -> Vec<Step> {
    // 80 and 443 have well-known doubles above.
    let from = local.port().saturating_add(8000).max(start);
    let port = free_port(local, from, &question.options).map(Step::Port);
    let right = format!(
        "CAP_NET_BIND_SERVICE: `sudo setcap cap_net_bind_service=+ep PROGRAM`; or as root; or \
         `sudo sysctl net.ipv4.ip_unprivileged_port_start={}`",
        local.port()
    );
    port.into_iter().chain([Step::Elsewhere(right)]).collect()
}

fn not_local(question: &Question, local: SocketAddr) -> Vec<Step> {
    let free = |ip: &IpAddr| is_free(SocketAddr::new(*ip, local.port()), &question.options);
    let address = own_addresses(local.ip()).into_iter().find(free);
    let wildcard: IpAddr = match local.ip() {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let (family, prefix) = if local.is_ipv4() { ("ipv4", 32) } else { ("ipv6", 128) };
    let words = format!(
        "give the address to this host: `sudo ip addr add {}/{prefix} dev lo`; or bind it without: `sudo sysctl \
         net.{family}.ip_nonlocal_bind=1`, or IP_FREEBIND on the new socket",
        local.ip()
    );
    address
        .into_iter()
        .chain(Some(wildcard).filter(free))
        .map(Step::Address)
        .chain([Step::Elsewhere(words)])
        .collect()
}

/// What to do where no change of the socket helps.
fn elsewhere(because: &Because, question: &Question, settings: &Settings) -> Option<String> {
    let remote = match question.goal {
        Goal::Connect { remote, .. } => Some(remote.ip()),
        _ => None,
    };
    match (because, remote) {
        (Because::NoRoute, Some(ip)) => {
            Some(format!("`ip route get {ip}` and `ip -br addr` show what is up and where it leads"))
        }
        (Because::FromLoopback, _) => {
            Some("bind the wildcard address, or one of `ip -br addr`: loopback reaches loopback alone".to_owned())
        }
        (Because::NoScope, Some(ip)) => Some(format!("name the interface: [{ip}%eth0], as `ip -br addr` has it")),
        (Because::NoPortLeft(_), _) => {
            let (lowest, highest) = (settings.port_range.start(), settings.port_range.end());
            Some(format!(
                "a wider range: `sudo sysctl net.ipv4.ip_local_port_range='1024 65535'`, now {lowest}-{highest}; or \
                 name a port"
            ))
        }
        (Because::Tentative, _) => Some(
            "wait for the end of duplicate address detection, a second or two; `ip -6 addr` shows dadfailed where \
             another host has the address"
                .to_owned(),
        ),
        _ => None,
    }
}
