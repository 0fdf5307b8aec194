//! A network of one's own: namespaces, what is run or asked in one, as whom, and under which parent.

pub(crate) mod as_user;
pub(crate) mod namespace;
pub(crate) mod parent;
pub(crate) mod scratch;
