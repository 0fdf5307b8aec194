//! Who waits, who is with whom, and whose turn it is. No bytes and no sockets.

use std::collections::{BTreeMap, HashMap};

use crate::service::ConnectionId;

/// The waiting room and the rooms of two.
#[derive(Debug)]
pub(super) struct Hall {
    turns: bool,
    arrived: u64,
    opened: u64,
    places: HashMap<ConnectionId, HallPlace>,
    /// By arrival; whether they may be paired yet.
    waiting: BTreeMap<u64, (ConnectionId, bool)>,
    rooms: HashMap<u64, Room>,
}

#[derive(Clone, Copy, Debug)]
enum HallPlace {
    /// The arrival's number.
    Waiting(u64),
    /// The room's number.
    Room(u64),
}

/// Two who talk to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Counts from 1 and is not used again.
    pub number: u64,
    pub members: [ConnectionId; 2],
    /// Whose turn it is, where there are turns.
    pub writer: ConnectionId,
    /// How many messages have passed.
    pub messages: u64,
}

impl Room {
    /// The one that `id` is with.
    pub(super) fn partner_of(&self, id: ConnectionId) -> ConnectionId {
        let [first, second] = self.members;
        if id == first { second } else { first }
    }
}

impl Hall {
    /// An empty one; without `turns` everybody may write at any time.
    pub(super) fn new(turns: bool) -> Self {
        Self {
            turns,
            arrived: 0,
            opened: 0,
            places: HashMap::new(),
            waiting: BTreeMap::new(),
            rooms: HashMap::new(),
        }
    }

    /// How many rooms there are.
    pub(super) fn rooms(&self) -> usize {
        self.rooms.len()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// `id` waits behind all the others, and is not paired before it is ready.
    pub(super) fn arrive(&mut self, id: ConnectionId) {
        self.arrived += 1;
        self.places.insert(id, HallPlace::Waiting(self.arrived));
        self.waiting.insert(self.arrived, (id, false));
    }

    pub(super) fn make_ready(&mut self, id: ConnectionId) {
        if let Some(HallPlace::Waiting(arrival)) = self.places.get(&id)
            && let Some((_, ready)) = self.waiting.get_mut(arrival)
        {
            *ready = true;
        }
    }

    /// Gives the two who have waited longest a room, if both are ready; the first of them writes first.
    pub(super) fn pair(&mut self) -> Option<Room> {
        let mut longest = self.waiting.iter();
        let (Some((&one, &(first, true))), Some((&two, &(second, true)))) = (longest.next(), longest.next())
        else {
            return None;
        };
        self.waiting.remove(&one);
        self.waiting.remove(&two);
        self.opened += 1;
        let members = [first, second];
        let room = Room { number: self.opened, members, writer: first, messages: 0 };
        for id in members {
            self.places.insert(id, HallPlace::Room(room.number));
        }
        self.rooms.insert(room.number, room);
        Some(room)
    }

    pub(super) fn waits(&self, id: ConnectionId) -> bool {
        matches!(self.places.get(&id), Some(HallPlace::Waiting(_)))
    }

    /// The room `id` is in.
    pub(super) fn room(&self, id: ConnectionId) -> Option<&Room> {
        match self.places.get(&id)? {
            HallPlace::Room(number) => self.rooms.get(number),
            HallPlace::Waiting(_) => None,
        }
    }

    /// Whether `id` may send its partner a message now.
    pub(super) fn may_write(&self, id: ConnectionId) -> bool {
        self.room(id).is_some_and(|room| !self.turns || room.writer == id)
    }

    /// So many messages of `id` have passed; if any, the turn has gone with them.
    pub(super) fn passed(&mut self, id: ConnectionId, messages: usize) {
        if let Some(HallPlace::Room(number)) = self.places.get(&id)
            && let Some(room) = self.rooms.get_mut(number)
            && messages > 0
        {
            room.messages += messages as u64;
            room.writer = room.partner_of(id);
        }
    }

    /// `id` is here no longer; the room that ends with it, whose other member is here no longer either.
    pub(super) fn leave(&mut self, id: ConnectionId) -> Option<Room> {
        match self.places.remove(&id)? {
            HallPlace::Waiting(arrival) => {
                self.waiting.remove(&arrival);
                None
            }
            HallPlace::Room(number) => {
                let room = self.rooms.remove(&number)?;
                self.places.remove(&room.partner_of(id));
                Some(room)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> ConnectionId {
        ConnectionId::new(number)
    }

    /// A hall in which so many have arrived, all of them ready, and been paired.
    fn hall(clients: u64) -> Hall {
        let mut hall = Hall::new(true);
        for number in 1..=clients {
            hall.arrive(id(number));
            hall.make_ready(id(number));
            hall.pair();
        }
        hall
    }

    fn partner(hall: &Hall, number: u64) -> Option<ConnectionId> {
        hall.room(id(number)).map(|room| room.partner_of(id(number)))
    }

    #[test]
    fn callers_are_paired_in_order_of_arrival_and_the_odd_one_waits() {
        let hall = hall(5);
        assert_eq!(partner(&hall, 1), Some(id(2)));
        assert_eq!(partner(&hall, 4), Some(id(3)));
        assert!(hall.waits(id(5)));
        assert_eq!((hall.rooms(), hall.waiting()), (2, 1));
    }

    #[test]
    fn nobody_is_paired_before_it_is_ready_nor_out_of_order() {
        let mut hall = Hall::new(true);
        (1..=3).for_each(|number| hall.arrive(id(number)));
        hall.make_ready(id(1));
        hall.make_ready(id(3));
        assert_eq!(hall.pair(), None);
        hall.make_ready(id(2));
        assert_eq!(hall.pair().map(|room| room.members), Some([id(1), id(2)]));
        assert_eq!(hall.pair(), None);
    }

    #[test]
    fn who_leaves_while_waiting_is_forgotten() {
        let mut hall = hall(3);
        assert_eq!(hall.leave(id(3)), None);
        for number in [4, 5] {
            hall.arrive(id(number));
            hall.make_ready(id(number));
        }
        assert_eq!(hall.pair().map(|room| room.members), Some([id(4), id(5)]));
    }

    #[test]
    fn a_message_gives_the_turn_away() {
        let mut hall = hall(2);
        assert!(hall.may_write(id(1)) && !hall.may_write(id(2)));
        hall.passed(id(1), 1);
        assert!(!hall.may_write(id(1)) && hall.may_write(id(2)));
    }

    #[test]
    fn a_room_ends_for_both() {
        let mut hall = hall(2);
        let room = hall.leave(id(2)).unwrap();
        assert_eq!(room.partner_of(id(2)), id(1));
        assert_eq!((hall.rooms(), hall.waiting(), hall.places.len()), (0, 0, 0));
        assert_eq!(hall.leave(id(1)), None);
    }
}
