//! Which route a request takes: its path and host made plain ([`path`], [`host`]), then looked up ([`table`]) by what routes
//! take ([`matcher`]); and the path that its target sees ([`rewrite`]), or what it
//! is answered without one ([`answer`]).

pub mod answer;
pub mod elsewhere;
pub mod fields;
pub mod host;
pub mod matcher;
pub mod methods;
pub mod path;
mod paths;
pub mod pattern;
pub mod rewrite;
pub mod table;
