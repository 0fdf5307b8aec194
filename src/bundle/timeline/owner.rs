//! Who has each end of a connection.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::connection::{ConnectionHistory, Owner};
use super::observed::{ProgramEvent, Sample};

/// Fills in the owners of all connections.
pub(super) fn find(connections: &mut [ConnectionHistory], events: &[ProgramEvent], samples: &[Sample]) {
    let said = events.iter().filter(|event| event.call.as_ref().is_none_or(|call| call.failure.is_none()));
    let said =
        said.filter_map(|event| Some((event.local?, event.remote?, Owner::Program(event.program.clone()))));
    let seen = samples.iter().flat_map(|sample| {
        let processes = sample.processes.iter();
        processes.map(|(name, pid)| (sample.local, sample.remote, Owner::Process(name.clone(), *pid)))
    });
    let mut known: HashMap<(SocketAddr, SocketAddr), Vec<Owner>> = HashMap::new();
    for (local, remote, owner) in said.chain(seen) {
        let owners = known.entry((local, remote)).or_default();
        if !owners.contains(&owner) {
            owners.push(owner);
        }
    }
    for connection in connections {
        let [one, other] = connection.ends;
        let of = |local, remote| known.get(&(local, remote)).cloned().unwrap_or_default();
        connection.owners = [of(one, other), of(other, one)];
    }
}
