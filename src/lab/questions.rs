//! Every question that an instrument asks in a scratch network.

use super::{matrix, ports, why};
use crate::sandbox::scratch::{Known, known};

/// What a program answers that begins with [`attend`](crate::attend) of these; the instruments ask nothing else.
pub const QUESTIONS: &[Known] = &[
    known::<matrix::MeasureMatrix>(),
    known::<matrix::ProveCell>(),
    known::<ports::Measure>(),
    known::<why::Probes>(),
];
