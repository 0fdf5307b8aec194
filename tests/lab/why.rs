//! `fourtuple why`: its answers against the calls really made.

mod advice;
mod agrees;
mod holder;
mod numbers;
mod remarks;
mod scene;
mod steps;
mod time;
mod traces;
mod usage;
