//! TLS towards clients: certificates by name ([`names`]), kept true to their files ([`keeper`]), and who a client is by
//! its own ([`client`]).

pub mod certificate;
pub mod client;
pub mod keeper;
pub mod names;
pub mod terminator;
