//! The interfaces that a situation takes where it is made again, and which address each of them has.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::Goal;
use super::memory::Place;
use super::probe::Probe;
use crate::kernel::device;
use crate::kernel::route::{arrival, route};
use crate::net::{Device, is_link_local};

/// lo, which every network has, with this number.
const LO: u32 = 1;

impl Probe {
    /// Gives the probe what a network has none of by itself: the addresses of its sockets, of its call and `others`, and
    /// the interfaces that the sockets are bound to.
    ///
    /// Where no socket is bound to one, all addresses are lo's. Else each is its own interface's, for by that one a
    /// connection to it arrives; an address that is not this host's is on the interface of the socket that uses it.
    pub(super) fn furnish(&mut self, others: &[SocketAddr]) {
        let own = |address: SocketAddr, on: Option<Device>| (address, device::of_zone(address).or(on));
        let of_sockets = self.sockets.iter().flat_map(|planned| {
            // Who stands for another host is where the call looks for it.
            let on = if planned.is_far_away { self.device } else { planned.device };
            [Some(own(planned.local, on)), planned.remote.map(|remote| own(remote, on))].into_iter().flatten()
        });
        let of_call = others.iter().map(|&address| own(address, self.device));
        let mut uses: Vec<(SocketAddr, Option<Device>)> = of_sockets.chain(of_call).collect();
        uses.sort_by_key(|(_, on)| on.is_none());
        // An interface may be named that lacks the address.
        let named = self.zones().chain(self.device);
        let bound: BTreeSet<Device> = uses.iter().filter_map(|(_, on)| *on).chain(named).collect();
        self.addresses = places(&uses, !bound.is_empty());
        let owners = self.addresses.iter().filter_map(|place| place.device);
        let devices: BTreeSet<Device> = bound.into_iter().chain(owners).collect();
        self.devices = devices.into_iter().filter(|device| device.index != LO).collect();
    }

    /// The interfaces that the addresses of the call name.
    fn zones(&self) -> impl Iterator<Item = Device> + use<> {
        let remote = match self.goal {
            Goal::Connect { remote, .. } => Some(remote),
            Goal::Bind(_) | Goal::Listen(_) => None,
        };
        self.goal.local().into_iter().chain(remote).filter_map(device::of_zone)
    }
}

/// Where each address is to be; loopback and the wildcard addresses are there already.
fn places(uses: &[(SocketAddr, Option<Device>)], is_bound: bool) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for &(address, on) in uses {
        let ip = address.ip().to_canonical();
        let is_there = |place: &Place| place.ip == ip && (!is_link_local(address) || place.device == on);
        if ip.is_loopback() || ip.is_unspecified() || places.iter().any(is_there) {
            continue;
        }
        let device = match (is_bound, is_link_local(address)) {
            (false, _) => None,
            (true, true) => on,
            (true, false) => owner(ip).or(on),
        };
        places.push(Place { ip, device });
    }
    places
}

/// The interface of this host that has the address.
fn owner(ip: IpAddr) -> Option<Device> {
    let address = SocketAddr::new(ip, 0);
    let is_local = route(address, None, None).is_ok_and(|route| route.local);
    is_local.then(|| arrival(address, None, None)).flatten()
}
