//! `fourtuple why`: its answers against the calls really made.

mod advice;
mod agrees;
mod connects;
mod device_situations;
mod devices;
mod doubts;
mod filtered;
mod hands;
mod here;
mod holder;
mod numbers;
mod owners;
mod remarks;
mod rights;
mod scene;
mod several;
mod stand_in;
mod steps;
mod time;
mod traces;
mod usage;
