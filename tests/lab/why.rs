//! `fourtuple why`: its answers against the calls really made.

mod advice;
mod agrees;
mod device_situations;
mod devices;
mod here;
mod holder;
mod numbers;
mod remarks;
mod scene;
mod steps;
mod time;
mod traces;
mod usage;
