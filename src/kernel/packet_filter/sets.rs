//! The sets that rules name, read when the first one is met.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use super::element_set::ElementSet;
use super::rule::{FilterTable, TableFamily};

/// How a set is read: of which family, in which table, by which name.
type ReadSet = Box<dyn Fn(TableFamily, &str, &str) -> io::Result<ElementSet>>;

/// A set by its family, table and name, and what it holds if it could be read.
type KnownSets = BTreeMap<(TableFamily, String, String), Option<Rc<ElementSet>>>;

/// The sets of nf_tables' tables.
pub(crate) struct Sets {
    read: ReadSet,
    known: RefCell<KnownSets>,
}

impl Sets {
    pub(super) fn new(read: impl Fn(TableFamily, &str, &str) -> io::Result<ElementSet> + 'static) -> Self {
        Self { read: Box::new(read), known: RefCell::default() }
    }

    /// The set of this name; `None` where it cannot be read.
    pub(super) fn get(&self, table: &FilterTable, name: &str) -> Option<Rc<ElementSet>> {
        let key = (table.family, table.name.clone(), name.to_owned());
        let mut known = self.known.borrow_mut();
        let set = known
            .entry(key)
            .or_insert_with(|| (self.read)(table.family, &table.name, name).ok().map(Rc::new));
        set.clone()
    }
}
