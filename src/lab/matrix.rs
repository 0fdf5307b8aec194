//! Which pairs of TCP sockets may share a port, measured: every cell is made, in a network of its own, and the kernel
//! says what it thinks of it.

mod calls;
mod cell;
mod file;
mod named;
mod outcome;
mod pair;
mod rule;
mod states;
mod trial;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::kernel::sysctl::setting;
use crate::net::{self, SocketOptions};
use crate::sandbox::namespace::{PINNED, Sysctl};
use crate::sandbox::scratch::{self, Question};

pub(crate) use calls::MadeCall;
pub use cell::{Cell, Options, State, User};
pub use outcome::{Failing, Missing, Outcome};
pub use pair::{BindAddress, Pair};
pub use rule::expected;
pub(crate) use rule::expected_by;

/// What else decides which sockets may share a port.
const RELEVANT: [&str; 3] =
    ["net.ipv4.ip_autobind_reuse", "net.ipv4.ip_nonlocal_bind", "net.ipv6.bindv6only"];

/// The first port that is bound; each cell has two of its own, so nothing that one leaves is in another's way.
const PORT: u16 = 3000;

/// Cells and what came of them, and what they were measured on.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matrix {
    /// The kernel's release.
    pub kernel: String,
    /// The settings of the network they were measured in, those that this kernel has.
    pub sysctls: BTreeMap<String, String>,
    /// Each cell with its outcome.
    pub cells: Vec<(Cell, Outcome)>,
}

/// One cell's calls, one by one.
#[derive(Debug, Serialize, Deserialize)]
pub struct Proof {
    /// What came of it.
    pub outcome: Outcome,
    /// The calls, in their order.
    pub steps: Vec<MadeCall>,
    /// The kernel's release.
    pub kernel: String,
}

/// Measures `cells` in a network of its own with the pinned sysctls, and then these.
///
/// # Errors
///
/// As [`scratch::ask`]; `ETIMEDOUT` where a first socket does not come into its state.
pub fn measure(cells: Vec<Cell>, sysctls: &[Sysctl]) -> Result<Matrix> {
    scratch::ask(&MeasureMatrix { cells }, sysctls)
}

/// Measures one cell, and tells how.
///
/// # Errors
///
/// As [`measure`].
pub fn prove(cell: Cell, sysctls: &[Sysctl]) -> Result<Proof> {
    scratch::ask(&ProveCell { cell }, sysctls)
}

#[derive(Serialize, Deserialize)]
pub(super) struct MeasureMatrix {
    cells: Vec<Cell>,
}

impl Question for MeasureMatrix {
    type Answer = Matrix;
    const NAME: &str = "bind-matrix";

    fn answer(self) -> Result<Matrix> {
        let ipv6 = has_ipv6();
        let cells = self.cells.into_iter().zip((PORT..).step_by(2));
        let measured = cells.map(|(cell, port)| Ok((cell, outcome(cell, port, ipv6, &mut Vec::new())?)));
        Ok(Matrix { cells: measured.collect::<Result<_>>()?, kernel: kernel(), sysctls: sysctls() })
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct ProveCell {
    cell: Cell,
}

impl Question for ProveCell {
    type Answer = Proof;
    const NAME: &str = "bind-proof";

    fn answer(self) -> Result<Proof> {
        let mut steps = Vec::new();
        let outcome = outcome(self.cell, PORT, has_ipv6(), &mut steps)?;
        Ok(Proof { outcome, steps, kernel: kernel() })
    }
}

fn outcome(cell: Cell, port: u16, ipv6: bool, steps: &mut Vec<MadeCall>) -> Result<Outcome> {
    if cell.pair.has_ipv6() && !ipv6 {
        return Ok(Outcome::NotMeasured(Missing::Ipv6));
    }
    calls::Trial { cell, port, steps }.outcome()
}

fn has_ipv6() -> bool {
    let loopback = std::net::SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 0));
    net::bind(loopback, &SocketOptions::default()).is_ok()
}

fn kernel() -> String {
    setting("kernel.osrelease").unwrap_or_default()
}

fn sysctls() -> BTreeMap<String, String> {
    let keys = PINNED.iter().map(|(key, _)| *key).chain(RELEVANT);
    keys.filter_map(|key| Some((key.to_owned(), setting(key)?))).collect()
}
