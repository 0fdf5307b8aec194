//! Text for people and for programs: one grammar of lines, and bytes from outside made harmless.

mod escape;
mod line;

pub use escape::{Escaped, Harmless};
pub(crate) use line::cut;
pub use line::{Commas, Format, Line, Short};
