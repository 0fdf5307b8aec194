//! What a model does with so many clients, and what memory it takes for them.

use std::time::Duration;

use crate::clients::ask_all;
use crate::cpus::{Cpus, Place, Watch};
use crate::error::{Error, Result};
use crate::load;
use crate::metric::{Metric, Sample};
use crate::peers::Peer;
use crate::rounds::Work;
use crate::server::Server;

/// When no answer comes for so long, the clients that have none are those that wait.
const PATIENCE: Duration = Duration::from_millis(300);

/// So many clients at once, all for a server that has just been started.
pub struct Model<'a> {
    clients: usize,
    cpus: &'a Cpus,
    watch: Watch,
}

impl<'a> Model<'a> {
    pub fn new(clients: usize, cpus: &'a Cpus) -> Result<Self> {
        Ok(Self { clients, cpus, watch: Watch::begin()? })
    }

    /// The arguments of `fourtuple load`. A thread or process for each client is there before the time is measured.
    pub fn load(clients: usize) -> String {
        format!("rr --connections {clients} --size 64B --verify --warm-up 1s --duration 400ms")
    }

    /// What the clients that are served have added to the server's memory, for each of them.
    fn memory(&self, server: &Server) -> Result<f64> {
        let before = server.family_memory()?;
        let (_clients, served) = ask_all(server.address, self.clients, PATIENCE)?;
        let grown = server.family_memory()?.saturating_sub(before);
        match served {
            0 => Err(Error::unable("nobody is served")),
            served => Ok(grown as f64 / served as f64),
        }
    }
}

impl Work for Model<'_> {
    fn measure(&mut self, peer: Peer) -> Result<Sample> {
        let mut server = self.cpus.at(Place::Server, || Server::ready(peer))?;
        let memory = self.memory(&server)?;
        server.wait_until_idle()?;
        let (address, pid) = (server.address, server.pid());
        let sample = self.cpus.at(Place::Load, || load::run(&Self::load(self.clients), address, pid));
        server.check_runs()?;
        // The next one shall not share the processor with children that end.
        server.wait_until_idle()?;
        let mut sample = sample?;
        sample.insert(Metric::MemoryPerClient, memory);
        Ok(sample)
    }

    fn others(&mut self) -> Result<f64> {
        self.watch.others(&[])
    }
}
