//! Evidence on disk: what an experiment left, put together, read again, and shown as a page.

pub mod page;
pub(crate) mod schema;
pub mod timeline;
pub(crate) mod write;
