//! `fourtuple why`: its answers against the calls really made.

mod advice;
mod agrees;
mod hands;
mod holder;
mod owners;
mod remarks;
mod rights;
mod scene;
mod steps;
mod time;
mod traces;
mod usage;
