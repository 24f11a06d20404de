//! The services that requests are forwarded to: which peer gets the next one (`balance`), whether it
//! may have it ([`crate::breaker`]), where it is ([`discovery`]), how it is connected to ([`peer`]), and what became of it ([`attempt`]).

pub mod addresses;
pub mod attempt;
pub mod balance;
pub mod concurrency;
pub mod criteria;
pub mod discovery;
pub mod ewma;
pub mod hash;
pub mod head;
pub mod health;
pub mod idle;
pub mod keepalive;
pub mod mirror;
pub mod peer;
pub mod pool;
pub mod quantiles;
pub mod record;
pub mod registry;
pub mod retry;
pub mod roster;
pub mod split;
pub mod target;
pub mod tried;
pub mod upgrade;
