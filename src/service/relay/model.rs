//! What a relay must tell whom, worked out the slow way: whatever can happen happens, until nothing more can.

use std::collections::BTreeMap;

use super::passing::MESSAGES;
use crate::service::ConnectionId;

/// People, who waits in which order, and the pairs with who may write.
pub(super) struct Model {
    turns: bool,
    longest: usize,
    pub people: BTreeMap<ConnectionId, Person>,
    pub waiting: Vec<ConnectionId>,
    pub rooms: Vec<(ConnectionId, ConnectionId, ConnectionId)>,
    stopped: bool,
}

#[derive(Default)]
pub(super) struct Person {
    name: String,
    named: bool,
    introduced: bool,
    lines: Vec<String>,
    partial: String,
    leaving: bool,
    said_all: bool,
    pub dismissed: bool,
    /// Takes nothing at present; and has been sent something since.
    pub stuck: bool,
    pub blocked: bool,
    /// What it was told since the last look.
    pub told: String,
}

impl Person {
    fn tell(&mut self, words: &str) {
        self.told += words;
        self.told += "\n";
        self.blocked |= self.stuck;
    }

    pub(super) fn kept(&self) -> usize {
        self.lines.iter().map(|line| line.len() + 1).sum::<usize>() + self.partial.len()
    }
}

impl Model {
    pub(super) fn new(turns: bool, longest: usize) -> Self {
        let (people, waiting, rooms) = Default::default();
        Self { turns, longest, people, waiting, rooms, stopped: false }
    }

    fn of(&mut self, id: ConnectionId) -> &mut Person {
        self.people.get_mut(&id).expect("somebody who is here")
    }

    pub(super) fn arrive(&mut self, id: ConnectionId, stuck: bool) {
        self.people.insert(id, Person { name: "client".to_owned(), stuck, ..Person::default() });
        self.waiting.push(id);
        self.of(id).tell("* welcome");
    }

    pub(super) fn hear(&mut self, id: ConnectionId, text: &str) {
        let longest = self.longest;
        let person = self.of(id);
        if person.said_all || person.dismissed {
            return;
        }
        let (mut exit, mut too_long) = (false, false);
        for character in text.chars() {
            match character {
                '\n' if person.partial == "exit" => exit = true,
                '\n' => person.lines.push(std::mem::take(&mut person.partial)),
                _ => person.partial.push(character),
            }
            too_long = person.partial.len() > longest;
            if exit || too_long {
                person.partial.clear();
                break;
            }
        }
        while self.hear_name(id) {}
        if too_long {
            self.of(id).tell(&format!("* a line has at most {longest} bytes: goodbye"));
        }
        match exit || too_long {
            true => self.part(id),
            false => self.go_on(),
        }
    }

    /// It has finished, and not all that it said has been heard.
    pub(super) fn learn_end(&mut self, id: ConnectionId) {
        match self.waiting.contains(&id) {
            true => self.part(id),
            false => self.of(id).leaving = true,
        }
        self.go_on();
    }

    pub(super) fn end(&mut self, id: ConnectionId) {
        let person = self.of(id);
        if !person.said_all && !person.dismissed && !person.partial.is_empty() {
            let last = std::mem::take(&mut person.partial);
            person.lines.extend((last != "exit").then_some(last));
        }
        self.part(id);
    }

    pub(super) fn part(&mut self, id: ConnectionId) {
        if self.waiting.contains(&id) {
            self.waiting.retain(|other| *other != id);
            self.of(id).dismissed = true;
        }
        self.of(id).said_all = true;
        self.go_on();
    }

    pub(super) fn die(&mut self, id: ConnectionId) {
        self.part(id);
        if self.rooms.iter().any(|room| room.0 == id || room.1 == id) {
            self.end_room(id);
        }
        self.people.remove(&id);
        self.go_on();
    }

    /// It has been silent for long enough.
    pub(super) fn time_passes(&mut self, id: ConnectionId) {
        self.introduce(id);
        self.go_on();
    }

    fn introduce(&mut self, id: ConnectionId) {
        self.of(id).introduced = true;
        self.pair();
        if self.waiting.contains(&id) {
            self.of(id).tell("* waiting for a partner");
        }
    }

    pub(super) fn take_all(&mut self, id: ConnectionId) {
        self.of(id).stuck = false;
        self.of(id).blocked = false;
        self.go_on();
    }

    pub(super) fn stop(&mut self) {
        self.stopped = true;
        self.people.values_mut().for_each(|person| person.leaving = true);
        self.go_on();
        for person in self.people.values_mut().filter(|person| !person.dismissed) {
            person.tell("* the server will disconnect");
            person.dismissed = true;
        }
        self.waiting.clear();
        self.rooms.clear();
    }

    fn pair(&mut self) {
        while let [first, second, ..] = self.waiting[..]
            && self.of(first).introduced
            && self.of(second).introduced
        {
            self.waiting.drain(..2);
            self.rooms.push((first, second, first));
            for (id, partner, status) in [(first, second, "WRITE"), (second, first, "READ")] {
                let name = self.of(partner).name.clone();
                self.of(id).tell(&format!("* connected to {name} ({})", super::tests::address(partner)));
                if self.turns {
                    self.of(id).tell(&format!("* status {status}"));
                }
            }
        }
    }

    /// Whatever can happen happens.
    fn go_on(&mut self) {
        self.pair();
        let ids: Vec<ConnectionId> = self.people.keys().copied().collect();
        while ids.iter().any(|&id| self.hear_name(id)) || (0..self.rooms.len()).any(|index| self.pass(index))
        {
        }
    }

    fn hear_name(&mut self, id: ConnectionId) -> bool {
        let person = self.of(id);
        if person.named || person.blocked || person.dismissed {
            return false;
        }
        if person.lines.is_empty() {
            let maybe = person.partial.starts_with("/name ") || "/name ".starts_with(&person.partial);
            let spoken = !maybe && !person.introduced;
            if spoken {
                self.introduce(id);
            }
            return spoken;
        }
        match person.lines[0].strip_prefix("/name ").map(str::to_owned) {
            None => person.named = true,
            Some(name) if name.contains(' ') => {
                person.lines.remove(0);
                person.tell("* a name has 1 to 32 letters, digits, '-', '_' or '.'");
            }
            Some(name) => {
                person.lines.remove(0);
                person.named = true;
                let before = std::mem::replace(&mut person.name, name.clone());
                if let Some(partner) = self.partner(id) {
                    self.of(partner).tell(&format!("* {before} is now {name}"));
                }
            }
        }
        if self.of(id).named && !self.of(id).introduced {
            self.introduce(id);
        }
        true
    }

    fn partner(&self, id: ConnectionId) -> Option<ConnectionId> {
        let other = |&(one, two, _): &_| if one == id { Some(two) } else { Some(one).filter(|_| two == id) };
        self.rooms.iter().find_map(other)
    }

    /// Whether anything happened in that room: a few messages pass, then both are told.
    fn pass(&mut self, index: usize) -> bool {
        let mut told = Vec::new();
        while told.len() < MESSAGES && self.pass_one(index, &mut told) {}
        for (id, words) in told.iter().flatten() {
            self.of(*id).tell(words);
        }
        !told.is_empty() || self.end_if_over(index)
    }

    fn pass_one(&mut self, index: usize, told: &mut Vec<Vec<(ConnectionId, String)>>) -> bool {
        let (one, two, writer) = self.rooms[index];
        for (from, to) in [(one, two), (two, one)] {
            let leaving = self.of(from).leaving || self.of(from).said_all;
            let heard = !self.of(to).leaving && !self.of(to).said_all && (!self.turns || writer == from);
            let held_up = self.of(to).blocked && !self.stopped;
            if (leaving || heard) && !held_up && self.of(from).named && !self.of(from).lines.is_empty() {
                let person = self.of(from);
                let mut words = vec![(to, format!("{}: {}", person.name, person.lines.remove(0)))];
                if self.turns && !leaving {
                    words.push((to, "* status WRITE".to_owned()));
                    words.push((from, "* status READ".to_owned()));
                }
                self.rooms[index].2 = to;
                told.push(words);
                return true;
            }
        }
        false
    }

    fn end_if_over(&mut self, index: usize) -> bool {
        let (one, two, _) = self.rooms[index];
        let leaver = [one, two].into_iter().find(|&id| self.of(id).said_all && self.of(id).kept() == 0);
        leaver.map(|leaver| self.end_room(leaver)).is_some()
    }

    fn end_room(&mut self, leaver: ConnectionId) {
        let partner = self.partner(leaver).expect("a partner");
        self.rooms.retain(|&(one, two, _)| one != leaver && two != leaver);
        let name = self.of(leaver).name.clone();
        self.of(partner).tell(&format!("* {name} has left"));
        self.of(partner).dismissed = true;
        self.of(leaver).dismissed = true;
    }
}
