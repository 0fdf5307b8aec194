//! An experiment's evidence as a page, and its sequence diagram as text.

mod beside;
mod bundle;
mod diagram;
mod index;
mod manifest;
mod page;
mod rows;
mod tables;
mod text;
mod verdict;
mod words;

pub use bundle::{Bundle, Trouble};
pub use index::index;
pub use page::page;
pub use text::text;
