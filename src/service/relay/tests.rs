//! A relay among clients that do anything in any order, held against the model: 10^6 steps in all.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};

use std::net::SocketAddr;

use super::model::Model;
use super::*;
use crate::error::Result;
use crate::report::CloseReason;
use crate::tapes::make_a_million_steps;

/// The longest line: short, so that back-pressure comes soon.
const LONGEST: usize = 40;

/// A connection as the driver has it: what the client sent and nobody has read, and what the relay asked for.
#[derive(Default)]
struct Link {
    unread: VecDeque<u8>,
    fin: bool,
    ending_told: bool,
    finished_told: bool,
    stuck: bool,
    unsent: bool,
    told: Vec<u8>,
    paused: bool,
    finish: bool,
    close: bool,
    timer: bool,
    /// The relay wants to go on at once.
    again: bool,
}

/// The links of all clients.
#[derive(Default)]
struct Links(BTreeMap<ConnectionId, Link>);

impl Links {
    fn change(&mut self, id: ConnectionId, change: impl FnOnce(&mut Link)) {
        if let Some(link) = self.0.get_mut(&id) {
            change(link);
        }
    }
}

impl Io for Links {
    fn open(&mut self, _: SocketAddr, _: SocketAddr) -> Result<ConnectionId> {
        unreachable!("a relay opens nothing")
    }

    fn send(&mut self, id: ConnectionId, bytes: &[u8]) -> usize {
        let Some(link) = self.0.get_mut(&id) else { return 0 };
        assert!(!link.finish, "said after FIN");
        link.told.extend_from_slice(bytes);
        link.unsent |= link.stuck;
        usize::from(link.unsent)
    }

    fn after(&mut self, id: ConnectionId, timer: Timer, delay: Duration) {
        assert_eq!(timer == MORE, delay.is_zero());
        self.change(id, |link| if delay.is_zero() { link.again = true } else { link.timer = true });
    }

    fn cancel(&mut self, id: ConnectionId, timer: Timer) {
        assert_eq!(timer, ANSWER);
        self.change(id, |link| link.timer = false);
    }

    fn finish(&mut self, id: ConnectionId) {
        self.change(id, |link| link.finish = true);
    }

    fn close(&mut self, id: ConnectionId) {
        self.change(id, |link| link.close = true);
    }

    fn abort(&mut self, _: ConnectionId) {
        unreachable!("a relay aborts nobody")
    }

    fn pause(&mut self, id: ConnectionId) {
        self.change(id, |link| assert!(!std::mem::replace(&mut link.paused, true), "paused twice"));
    }

    fn resume(&mut self, id: ConnectionId) {
        self.change(id, |link| assert!(std::mem::replace(&mut link.paused, false), "resumed twice"));
    }

    fn wake_after(&mut self, _: Duration) {
        unreachable!("a relay has no time of its own")
    }

    fn write(&mut self, _: &[u8]) -> usize {
        unreachable!("a relay has no output")
    }

    fn pause_input(&mut self) {
        unreachable!("a relay has no input")
    }

    fn resume_input(&mut self) {
        unreachable!("a relay has no input")
    }

    fn report(&mut self, _: &Event) {}

    fn open_connections(&self) -> usize {
        self.0.len()
    }

    fn stop(&mut self) {}
}

/// Where a client calls from.
pub(super) fn address(id: ConnectionId) -> SocketAddr {
    ([127, 0, 0, 1], id.number() as u16).into()
}

fn account(id: ConnectionId, reason: CloseReason) -> Closed {
    let tuple = FourTuple { local: ([127, 0, 0, 1], 33016).into(), remote: address(id) };
    Closed { tuple, reason, received: 0, sent: 0, duration: Duration::ZERO }
}

struct World {
    tape: std::vec::IntoIter<u32>,
    /// At the end the relay stops, or everybody goes.
    stops: bool,
    steps: u64,
    arrived: u64,
    messages: u64,
    relay: Relay,
    links: Links,
    model: Model,
}

impl World {
    fn new(tape: Vec<u32>) -> Self {
        let mut tape = tape.into_iter();
        let mut draw = |below| tape.next().unwrap_or(0) % below;
        let (turns, stops) = (draw(3) > 0, draw(2) > 0);
        let plan = RelayPlan { turns, max_line: LONGEST, patience: Duration::from_secs(5) };
        Self {
            tape,
            stops,
            steps: 0,
            arrived: 0,
            messages: 0,
            relay: Relay::new(plan),
            links: Links::default(),
            model: Model::new(turns, LONGEST),
        }
    }

    fn draw(&mut self, below: usize) -> usize {
        self.tape.next().unwrap_or(0) as usize % below
    }

    fn step(&mut self) {
        self.steps += 1;
        let count = self.links.0.len();
        let nth = self.draw(count + 1);
        let Some(id) = self.links.0.keys().copied().nth(nth) else {
            return if count < 8 {
                self.arrive()
            };
        };
        match self.draw(32) {
            0..8 => self.say(id),
            8..20 => {
                let most = self.draw(64) + 1;
                self.deliver(id, most);
            }
            20 => self.links.change(id, |link| link.fin = true),
            21 | 22 => self.learn_end(id),
            23 if self.draw(4) == 0 => self.die(id, CloseReason::Reset),
            24 | 25 => {
                self.links.change(id, |link| link.stuck = true);
                self.model.people.get_mut(&id).unwrap().stuck = true;
            }
            26 | 27 => self.take_all(id),
            28 if self.draw(4) == 0 => self.fire(id),
            _ => self.close(id),
        }
    }

    fn arrive(&mut self) {
        self.arrived += 1;
        let (id, stuck) = (ConnectionId::new(self.arrived), self.draw(8) == 0);
        self.links.0.insert(id, Link { stuck, ..Link::default() });
        self.model.arrive(id, stuck);
        self.relay.opened(&mut self.links, id, account(id, CloseReason::Fin).tuple);
    }

    fn say(&mut self, id: ConnectionId) {
        self.messages += 1;
        let mut words = match self.draw(24) {
            0 => "exit\n".to_owned(),
            1..4 => format!("/name n{}\n", self.messages),
            4 => "/name a b\n".to_owned(),
            5 => "\n".to_owned(),
            6 => "x".repeat(LONGEST - 2 + self.draw(4)) + "\n",
            _ => format!("{}\n", self.messages),
        };
        words.truncate(words.len() - usize::from(self.draw(8) == 0));
        let sent = |link: &mut Link| {
            if !link.fin && link.unread.len() < 1000 {
                link.unread.extend(words.bytes());
            }
        };
        self.links.change(id, sent);
    }

    /// The driver reads so many bytes at most, if it may.
    fn deliver(&mut self, id: ConnectionId, most: usize) {
        let Some(link) = self.links.0.get_mut(&id).filter(|link| !link.paused && !link.finished_told) else {
            return;
        };
        let bytes: Vec<u8> = link.unread.drain(..most.min(link.unread.len())).collect();
        if !bytes.is_empty() {
            self.model.hear(id, std::str::from_utf8(&bytes).unwrap());
            self.relay.received(&mut self.links, id, &bytes);
        } else if link.fin {
            link.finished_told = true;
            self.model.end(id);
            self.relay.finished(&mut self.links, id);
        }
    }

    fn learn_end(&mut self, id: ConnectionId) {
        let link = self.links.0.get_mut(&id).unwrap();
        if link.fin && !link.finished_told && !std::mem::replace(&mut link.ending_told, true) {
            self.model.learn_end(id);
            self.relay.ending(&mut self.links, id);
        }
    }

    fn take_all(&mut self, id: ConnectionId) {
        let link = self.links.0.get_mut(&id).unwrap();
        link.stuck = false;
        let drained = std::mem::replace(&mut link.unsent, false);
        self.model.take_all(id);
        if drained {
            self.relay.drained(&mut self.links, id);
        }
    }

    fn fire(&mut self, id: ConnectionId) {
        let link = self.links.0.get_mut(&id).unwrap();
        if std::mem::replace(&mut link.timer, false) {
            if !link.finish {
                self.model.time_passes(id);
            }
            self.relay.timer(&mut self.links, id, ANSWER);
        }
    }

    /// Ends what is over, as the driver does.
    fn close(&mut self, id: ConnectionId) {
        let link = &self.links.0[&id];
        if !link.unsent && (link.close || link.finish && link.finished_told) {
            self.die(id, CloseReason::Fin);
        }
    }

    fn die(&mut self, id: ConnectionId, reason: CloseReason) {
        self.links.0.remove(&id);
        self.model.die(id);
        self.relay.closed(&mut self.links, id, account(id, reason));
    }

    /// The relay goes on where it wants to, before anything else happens.
    fn go_on(&mut self) {
        while let Some((&id, link)) = self.links.0.iter_mut().find(|(_, link)| link.again) {
            link.again = false;
            self.relay.timer(&mut self.links, id, MORE);
        }
    }

    /// Everybody has been told what the model says, and the relay keeps what the model keeps.
    fn check(&mut self) {
        self.go_on();
        for (id, link) in &mut self.links.0 {
            let person = self.model.people.get_mut(id).unwrap();
            let (told, expected) = (std::mem::take(&mut link.told), std::mem::take(&mut person.told));
            assert!(told == expected.as_bytes(), "{id:?} {:?}\n{expected:?}", String::from_utf8_lossy(&told));
            assert_eq!(link.finish, person.dismissed, "{id:?} has been said goodbye to");
            let full = !person.dismissed && person.kept() > LONGEST;
            assert!(link.paused == full || link.finished_told, "{id:?} with {} bytes kept", person.kept());
        }
        assert_eq!(self.relay.clients.len(), self.model.people.len());
        assert_eq!(self.relay.hall.rooms(), self.model.rooms.len());
        assert_eq!(self.relay.hall.waiting(), self.model.waiting.len());
    }

    /// Everybody takes what comes, says what is left, and goes; or the relay stops.
    fn wind_down(&mut self) {
        let ids: Vec<ConnectionId> = self.links.0.keys().copied().collect();
        if self.stops {
            self.model.stop();
            self.relay.signal(&mut self.links, Signal::Goodbye);
            // As the driver does then.
            let dismissed: Vec<bool> = self.links.0.values().map(|link| link.finish).collect();
            self.links.0.values_mut().for_each(|link| (link.finish, link.paused) = (true, false));
            self.check();
            // From now on it is the driver that waits for them.
            let timers = self.links.0.values().zip(dismissed).filter(|(link, before)| link.timer && !before);
            assert_eq!(timers.count(), 0, "some wait for an introduction");
        } else {
            for &id in &ids {
                self.take_all(id);
                self.go_on();
                self.links.change(id, |link| link.fin = true);
                self.learn_end(id);
                self.check();
            }
            // Less than a kibibyte is unread of each, and one of a pair may wait for the other.
            for &id in ids.iter().cycle().take(ids.len() * 100) {
                self.deliver(id, 32);
                self.go_on();
            }
            self.check();
            assert_eq!((self.relay.hall.rooms(), self.relay.hall.waiting()), (0, 0), "somebody has not gone");
        }
        ids.into_iter().for_each(|id| self.die(id, CloseReason::Fin));
        self.check();
        assert_eq!(self.relay.clients.len(), 0);
    }
}

#[test]
#[cfg_attr(miri, ignore = "a million steps")]
fn a_million_steps_tell_everybody_what_a_simple_model_says() {
    let messages = Cell::new(0);
    make_a_million_steps(4_000, |tape| {
        let mut world = World::new(tape);
        while !world.tape.as_slice().is_empty() {
            world.step();
            world.check();
        }
        world.wind_down();
        messages.set(messages.get() + world.messages);
        world.steps
    });
    println!("{} messages", messages.get());
}
