//! An experiment's evidence as a page, and its sequence diagram as text.

mod beside;
mod bundle;
mod diagram;
mod html;
mod index;
mod rows;
mod tables;
mod text;
mod words;

pub use bundle::{Bundle, Trouble};
pub use html::page;
pub use index::index;
pub use text::text;
