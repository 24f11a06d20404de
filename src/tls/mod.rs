//! TLS towards clients: certificates by name ([`names`]), what a handshake goes by ([`terminator`]), and who a client is by its
//! own certificate ([`client`]).

pub mod certificate;
pub mod client;
pub mod names;
pub mod terminator;
