//! Aegis, an API gateway on Pingora: JWT authentication, exact rate limits, round-robin over instances
//! behind one circuit breaker each, and a reason for everything it did.

pub mod config;
pub mod downstream;
pub mod plugin;
pub mod refusal;
pub mod routing;
pub mod upstream;
