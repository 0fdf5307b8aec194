//! Requests of `fourtuple load`, to servers that stay.

use std::collections::BTreeMap;

use super::buffers;
use crate::cpus::{Cpus, Place, Watch};
use crate::error::Result;
use crate::load;
use crate::metric::{Metric, Sample};
use crate::peers::Peer;
use crate::rounds::Work;
use crate::server::Server;

/// Which processors serve and which make the load.
#[derive(Clone, Copy, Debug)]
pub enum Arrangement {
    /// The server has one for itself, the load another.
    Apart,
    /// Both share one.
    Together,
    /// As the kernel likes.
    Free,
}

impl Arrangement {
    fn places(self) -> (Place, Place) {
        match self {
            Self::Apart => (Place::Server, Place::Load),
            Self::Together => (Place::Server, Place::Server),
            Self::Free => (Place::Anywhere, Place::Anywhere),
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            Self::Apart => "server and load have a processor each",
            Self::Together => "server and load share one processor",
            Self::Free => "the kernel chooses the processors",
        }
    }
}

/// Servers that have been started so far, and the load they get.
pub struct Exchange<'a> {
    load: &'a str,
    arrangement: Arrangement,
    cpus: &'a Cpus,
    servers: BTreeMap<&'static str, Server>,
    watch: Watch,
}

impl<'a> Exchange<'a> {
    /// `load` are the arguments of `fourtuple load`, without the address.
    pub fn new(load: &'a str, arrangement: Arrangement, cpus: &'a Cpus) -> Result<Self> {
        Ok(Self { load, arrangement, cpus, servers: BTreeMap::new(), watch: Watch::begin()? })
    }
}

impl Exchange<'_> {
    /// A server of which every answer has been compared in a round that does not count. Later only the first of each
    /// connection is: a client that compares all is slower than a server that echoes bulk.
    fn start(&self, peer: Peer) -> Result<Server> {
        let (place, _) = self.arrangement.places();
        let mut server = self.cpus.at(place, || Server::ready(peer))?;
        let verified = if self.load.starts_with("connect") { "" } else { " --verify" };
        self.load(&mut server, &format!("{}{verified}", self.load))?;
        Ok(server)
    }

    fn load(&self, server: &mut Server, arguments: &str) -> Result<Sample> {
        let (_, place) = self.arrangement.places();
        let (address, pid) = (server.address, server.pid());
        let sample = self.cpus.at(place, || load::run(arguments, address, pid));
        server.check_runs()?;
        sample
    }
}

impl Exchange<'_> {
    /// The share of each server's reads in bulk into a buffer at a multiple of 32 bytes, where it can be had: of those
    /// that were measured, after that.
    pub fn aligned_reads(&mut self) -> BTreeMap<&'static str, f64> {
        let mut servers = std::mem::take(&mut self.servers);
        let share = |(&name, server): (&&'static str, &mut Server)| {
            let pid = server.pid();
            // What a server does under strace is no measure of it, and may be too slow for the load.
            let loaded = || {
                let _ = self.load(server, self.load);
                Ok(())
            };
            Some((name, buffers::aligned(pid, loaded).ok()?))
        };
        let shares = servers.iter_mut().filter_map(share).collect();
        self.servers = servers;
        shares
    }
}

impl Work for Exchange<'_> {
    fn measure(&mut self, peer: Peer) -> Result<Sample> {
        let mut server = match self.servers.remove(peer.name) {
            Some(server) => server,
            None => self.start(peer)?,
        };
        let sample = self.load(&mut server, self.load);
        let peak = server.memory("VmHWM");
        self.servers.insert(peer.name, server);
        let mut sample = sample?;
        sample.insert(Metric::PeakMemory, peak? as f64);
        Ok(sample)
    }

    fn others(&mut self) -> Result<f64> {
        let pids: Vec<u32> = self.servers.values().map(Server::pid).collect();
        self.watch.others(&pids)
    }
}
