//! Text for people and for programs: one grammar of lines, and bytes from outside made harmless.

mod escape;
mod few;
mod line;
mod setting;

pub use escape::Escaped;
pub(crate) use escape::Harmless;
pub(crate) use few::few;
pub(crate) use line::cut;
pub(crate) use line::{Commas, Short};
pub use line::{Format, Line};
pub(crate) use setting::{Setting, spell_settings};
