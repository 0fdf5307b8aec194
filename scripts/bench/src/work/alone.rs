//! Work for a server that is started for it, and has ended when it is measured.

use crate::cpus::Watch;
use crate::error::Result;
use crate::metric::Sample;
use crate::peers::Peer;
use crate::rounds::Work;

/// Measures each server by one call, which keeps none.
pub struct Alone {
    measure: fn(Peer) -> Result<Sample>,
    watch: Watch,
}

impl Alone {
    pub fn by(measure: fn(Peer) -> Result<Sample>) -> Result<Self> {
        Ok(Self { measure, watch: Watch::begin()? })
    }
}

impl Work for Alone {
    fn measure(&mut self, peer: Peer) -> Result<Sample> {
        (self.measure)(peer)
    }

    fn others(&mut self) -> Result<f64> {
        self.watch.others(&[])
    }
}
