//! Every question that an instrument asks in a scratch network.

use super::{matrix, ports, why};
use crate::sandbox::scratch::{Known, known};

/// What a program that starts with [`attend`](crate::sandbox::scratch::attend) answers.
pub const ALL: &[Known] = &[
    known::<matrix::MeasureMatrix>(),
    known::<matrix::ProveCell>(),
    known::<ports::Measure>(),
    known::<why::Probes>(),
];
