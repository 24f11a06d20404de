//! Which route a request takes: its path made plain ([`path`]), then looked up ([`table`]).

pub mod path;
pub mod table;
