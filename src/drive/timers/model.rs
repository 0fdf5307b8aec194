//! The heap as connections use it, held against a sorted list: 10^6 operations in all.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{FEW, Time, Timers};

/// How long an owner may do nothing.
const LIMIT: Duration = Duration::from_millis(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Moves with every touch, and its entry does not: whoever pops it asks the owner.
    Idle,
    /// Asked for anew each time: only the entry of the latest due time counts.
    Asked,
}

type Key = (u32, Kind);

#[derive(Clone, Copy, Debug)]
enum Op {
    Born,
    Touch(u16),
    Rest(u16),
    Ask(u16, u16),
    Cancel(u16),
    Die(u16),
    Pass(u16),
    Sweep,
}

/// One strategy and a match: `prop_oneof` over a million operations takes most of the test's time.
fn op() -> impl Strategy<Value = Op> {
    (0..10_000u16, any::<u16>(), 1..60_000u16).prop_map(|(kind, owner, delay)| match kind {
        // Seldom, so that the heap must see to its size by itself.
        0..2 => Op::Sweep,
        _ => match kind % 30 {
            0..4 => Op::Born,
            4..10 => Op::Touch(owner),
            10 => Op::Rest(owner),
            11..22 => Op::Ask(owner, delay),
            22..24 => Op::Cancel(owner),
            24..28 => Op::Die(owner),
            _ => Op::Pass(delay / 1_000),
        },
    })
}

#[derive(Debug, Default)]
struct Owner {
    idle: Option<Time>,
    armed: bool,
    asked: Option<Time>,
}

/// Owners and their timers twice: in the heap, and in a list in which nothing is lazy.
struct Both {
    now: Time,
    owners: BTreeMap<u32, Owner>,
    next: u32,
    heap: Timers<Key>,
    list: BTreeSet<(Time, Key)>,
    /// The most entries that can ever have held at once.
    most: usize,
}

impl Both {
    fn new() -> Self {
        let (owners, list) = (BTreeMap::new(), BTreeSet::new());
        Self { now: Time::default(), owners, next: 0, heap: Timers::new(), list, most: 0 }
    }

    fn chosen(&self, number: u16) -> Option<u32> {
        let from = u32::from(number) % self.next.max(1);
        self.owners.range(from..).next().map(|(id, _)| *id)
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Born => self.born(),
            Op::Pass(microseconds) => self.pass(Duration::from_micros(microseconds.into())),
            Op::Sweep => {
                let owners = &self.owners;
                self.heap.sweep(|due, key| holds(owners, due, key));
            }
            Op::Touch(owner) => self.on(owner, |both, id| both.set_idle(id, Some(both.now.after(LIMIT)))),
            Op::Rest(owner) => self.on(owner, |both, id| both.set_idle(id, None)),
            Op::Ask(owner, delay) => self.on(owner, |both, id| {
                both.set_asked(id, Some(both.now.after(Duration::from_micros(delay.into()))));
            }),
            Op::Cancel(owner) => self.on(owner, |both, id| both.set_asked(id, None)),
            Op::Die(owner) => self.on(owner, |both, id| {
                both.set_idle(id, None);
                both.set_asked(id, None);
                both.owners.remove(&id);
            }),
        }
    }

    fn on(&mut self, number: u16, act: impl Fn(&mut Self, u32)) {
        if let Some(id) = self.chosen(number) {
            act(self, id);
        }
    }

    fn born(&mut self) {
        let id = self.next;
        self.next += 1;
        self.owners.insert(id, Owner::default());
        self.set_idle(id, Some(self.now.after(LIMIT)));
    }

    fn set_idle(&mut self, id: u32, due: Option<Time>) {
        let owner = self.owners.get_mut(&id).unwrap();
        if let Some(before) = std::mem::replace(&mut owner.idle, due) {
            self.list.remove(&(before, (id, Kind::Idle)));
        }
        if let Some(due) = due {
            self.list.insert((due, (id, Kind::Idle)));
            if !std::mem::replace(&mut owner.armed, true) {
                self.push(due, (id, Kind::Idle));
            }
        }
    }

    fn set_asked(&mut self, id: u32, due: Option<Time>) {
        let before = std::mem::replace(&mut self.owners.get_mut(&id).unwrap().asked, due);
        if let Some(before) = before {
            self.list.remove(&(before, (id, Kind::Asked)));
        }
        if let Some(due) = due {
            self.list.insert((due, (id, Kind::Asked)));
            if before != Some(due) {
                self.push(due, (id, Kind::Asked));
            }
        }
    }

    fn push(&mut self, due: Time, key: Key) {
        let owners = &self.owners;
        self.heap.push(due, key, |due, key| holds(owners, due, key));
        self.most = self.most.max(2 * self.owners.len());
        let bound = FEW.max(2 * self.most) + 1;
        assert!(self.heap.heap.len() <= bound, "{} entries, {bound} at most", self.heap.heap.len());
    }

    /// Time goes on, and whatever is due fires: exactly that, and each once.
    fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
        let later = self.list.split_off(&(self.now.after(Duration::from_micros(1)), (0, Kind::Idle)));
        let expected = std::mem::replace(&mut self.list, later);
        let mut fired = Vec::new();
        while let Some((due, key)) = self.heap.pop_due(self.now) {
            assert!(due <= self.now, "{key:?} is early");
            fired.extend(self.believe(due, key));
        }
        fired.sort_unstable();
        assert!(fired.iter().eq(&expected), "fired {fired:?}, due were {expected:?}");
        assert!(self.heap.earliest().is_none_or(|due| due > self.now));
    }

    /// What an entry means, if its owner still stands by it.
    fn believe(&mut self, due: Time, key @ (id, kind): Key) -> Option<(Time, Key)> {
        let owner = self.owners.get_mut(&id)?;
        if kind == Kind::Asked {
            return owner.asked.take_if(|asked| *asked == due).map(|due| (due, key));
        }
        owner.armed = false;
        if let Some(due) = owner.idle.take_if(|due| *due <= self.now) {
            return Some((due, key));
        }
        if let Some(due) = owner.idle {
            owner.armed = true;
            self.push(due, key);
        }
        None
    }
}

fn holds(owners: &BTreeMap<u32, Owner>, due: Time, (id, kind): &Key) -> bool {
    owners.get(id).is_some_and(|owner| *kind == Kind::Idle || owner.asked == Some(due))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_million_operations_fire_what_a_sorted_list_would(ops in vec(op(), 20_000)) {
        let mut both = Both::new();
        for op in ops {
            both.apply(op);
        }
        both.pass(Duration::from_secs(1));
        prop_assert!(both.list.is_empty());
    }
}
