//! The other network namespaces of this host: what is a puzzle here may be plain there.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;

use nix::errno::Errno;

use super::claim::on_port;
use super::network_namespace::other_namespaces;
use super::{Answer, Doubt, Goal, PlannedCall, Reason, Verdict, sight};
use crate::kernel::holders::Holder;
use crate::net::{self, SocketOptions, TcpState};

/// How many namespaces are looked into at most.
const MOST: usize = 64;

impl Answer {
    /// Looks into the other network namespaces of this host where this one does not have the whole answer.
    ///
    /// A namespace is seen only with CAP_SYS_PTRACE for a process that is in it, and entered only with CAP_SYS_ADMIN. What
    /// was not looked into is said where that leaves the answer open.
    pub fn look_elsewhere(&mut self, question: &PlannedCall) {
        let reason = match &self.verdict {
            Verdict::Works if self.is_half => return,
            Verdict::MayFail { doubt: Doubt::Filtered, .. } => return,
            Verdict::Works | Verdict::MayFail { .. } => None,
            Verdict::Fails { reason, .. } => Some(reason),
        };
        let open = matches!(reason, Some(Reason::NobodyListens | Reason::NotLocal | Reason::Unexplained));
        let port = match question.goal {
            Goal::Bind(local) | Goal::Listen(local) if open || reason.is_none() => local.port(),
            Goal::Connect { remote, .. } if open => remote.port(),
            _ => return,
        };
        let wanted = question.goal.local().filter(|_| reason == Some(&Reason::NotLocal));
        let (namespaces, sight) = other_namespaces();
        let count = namespaces.len();
        let mut denied = 0;
        for namespace in namespaces.into_iter().take(MOST) {
            let (holders, has_address) = match namespace.visit(|| seen(port, wanted.map(|local| local.ip())))
            {
                Ok(seen) => seen,
                Err(error) => {
                    // Any other errno is that of a namespace which is gone, or of a file that is none.
                    denied += usize::from(error.errno() == Some(Errno::EPERM));
                    continue;
                }
            };
            if has_address {
                let ip = wanted.map_or(IpAddr::from([0; 4]), |local| local.ip());
                self.remarks.push(format!(
                    "{ip} is an address of {namespace}: `{} …` runs a program there",
                    namespace.command()
                ));
            }
            self.elsewhere.extend(holders.into_iter().map(|holder| (namespace.named_by(&holder), holder)));
        }
        if open && self.elsewhere.is_empty() {
            self.remarks.extend(sight::namespaces(&sight, denied));
            let passed_over = (count > MOST)
                .then(|| format!("of {count} other network namespaces {MOST} were looked into"));
            self.remarks.extend(passed_over);
        }
    }
}

/// Who has the port where this thread is, and whether the address is one of that network.
fn seen(port: u16, ip: Option<IpAddr>) -> (Vec<Holder>, bool) {
    let mut holders = NonZeroU16::new(port).and_then(|port| on_port(port).ok()).unwrap_or_default();
    holders.retain(|holder| matches!(holder.row.state, TcpState::Listen | TcpState::BoundInactive));
    let refused = |ip| net::refused(SocketAddr::new(ip, 0), &SocketOptions::default(), 0);
    (holders, ip.is_some_and(|ip| refused(ip).is_ok_and(|errno| errno.is_none())))
}
