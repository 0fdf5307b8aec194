//! The situation made again in a scratch network, and the call made there.

use serde::{Deserialize, Serialize};

use super::Goal;
use super::memory::Place;
use super::setup::{BACKLOG, Setup, SocketSetup, connect};
use crate::error::Result;
use crate::net::{self, Device, SocketOptions};
use crate::sandbox::as_user::as_user;
use crate::sandbox::namespace::{self, Sysctl};
use crate::sandbox::scratch;

/// Several probes, each in a network of its own.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Probes {
    /// The settings that decide about addresses and ports.
    pub(super) sysctls: Vec<Sysctl>,
    pub(super) probes: Vec<Probe>,
}

/// The sockets that are there, and the call that is then made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Probe {
    pub(super) sockets: Vec<SocketSetup>,
    pub(super) goal: Goal,
    pub(super) reuse_address: bool,
    pub(super) reuse_port: bool,
    pub(super) v6_only: bool,
    /// What it is bound to by SO_BINDTODEVICE.
    pub(super) device: Option<Device>,
    /// Who makes the call, where it is another.
    pub(super) uid: Option<u32>,
    /// Whether CAP_NET_BIND_SERVICE is given up before.
    pub(super) unprivileged: bool,
    /// The interfaces beside lo.
    pub(super) devices: Vec<Device>,
    /// The addresses beside loopback.
    pub(super) addresses: Vec<Place>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ProbeOutcome {
    Works,
    /// The call that failed and its errno.
    Fails(String, i32),
    /// The situation could not be made.
    NotMade(String),
}

impl scratch::Question for Probes {
    type Answer = Vec<ProbeOutcome>;
    const NAME: &str = "why";

    fn answer(self) -> Result<Vec<ProbeOutcome>> {
        let run = |probe: &Probe| {
            namespace::enter_network(&self.sysctls)?;
            for device in &probe.devices {
                namespace::add_device(device)?;
            }
            for Place { ip, device } in &probe.addresses {
                namespace::add_address(*ip, device.as_ref())?;
            }
            Ok(probe.run().unwrap_or_else(|error| ProbeOutcome::NotMade(error.to_string())))
        };
        self.probes.iter().map(run).collect()
    }
}

impl Probe {
    fn run(&self) -> Result<ProbeOutcome> {
        let mut setup = Setup::build(&self.sockets)?;
        setup.end();
        if self.unprivileged {
            namespace::enter_user_namespace()?;
        }
        Ok(match as_user(self.uid, || self.call())? {
            Ok(()) => ProbeOutcome::Works,
            Err(error) => match error.errno() {
                Some(errno) => ProbeOutcome::Fails(error.call().to_owned(), errno as i32),
                None => ProbeOutcome::NotMade(error.to_string()),
            },
        })
    }

    /// Makes the call.
    fn call(&self) -> Result<()> {
        let options = SocketOptions {
            reuse_address: self.reuse_address,
            reuse_port: self.reuse_port,
            v6_only: Some(self.v6_only),
            device: self.device,
            ..SocketOptions::default()
        };
        match self.goal {
            Goal::Bind(local) => net::bind(local, &options).map(drop),
            Goal::Listen(local) => net::bind(local, &options)?.listen(BACKLOG).map(drop),
            Goal::Connect { local: Some(local), remote } => {
                connect(net::bind(local, &options)?, remote).map(drop)
            }
            Goal::Connect { local: None, remote } => {
                let options = SocketOptions { bind_address_no_port: true, ..options };
                connect(net::bind(net::any_local(remote), &options)?, remote).map(drop)
            }
        }
    }
}
