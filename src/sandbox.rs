//! A network of one's own: namespaces, what is run or asked in one, as whom, and under which parent.

pub mod as_user;
pub mod namespace;
pub mod parent;
pub mod scratch;
