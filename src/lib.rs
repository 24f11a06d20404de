//! Aegis, an API gateway on Pingora: JWT authentication, exact rate limits, round-robin over instances
//! behind one circuit breaker each, and a reason for everything it did.
//!
//! The life of a request: [`intake`] makes it fit to be decided upon, [`admission`] decides, [`forward`]
//! sends it, [`respond`] answers where the gateway answers itself, [`observe`] remembers. [`gateway`] is
//! the table of contents.

/// What [`plugin::Plugin`] is written with.
pub use async_trait::async_trait;
/// The types of requests and answers.
pub use http;

pub mod admin;
pub mod admission;
pub mod allocator;
pub mod breaker;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connection;
pub mod contents;
pub mod context;
pub mod crowd;
pub mod downstream;
pub mod drain;
pub mod embed;
pub mod endpoint;
pub mod explain;
pub mod failure;
pub mod forward;
pub mod gateway;
pub mod gathered;
pub mod histogram;
pub mod intake;
pub mod moment;
pub mod observe;
pub mod outbound;
mod outer;
pub mod plugin;
pub mod problem;
pub mod ratio;
pub mod refusal;
pub mod reload;
pub mod respond;
pub mod rng;
pub mod routing;
pub mod server;
pub mod shared;
#[cfg(test)]
mod simulation;
pub mod snapshot;
pub mod stamp;
pub mod tls;
pub mod trace;
pub mod trail;
pub mod upstream;
