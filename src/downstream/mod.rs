//! What comes from the client's side, made fit to be relied upon: who it is ([`client_ip`]), what its
//! request is called ([`request_id`]), which of its header fields nobody else may set ([`headers`]), and
//! which are not to be sent on ([`hop_by_hop`]). By which door it came in is in [`entrance`]. What the connection knows of it is in [`link`], how long
//! it may wait in [`patience`]; how the answer
//! to it is changed, in [`answer`].

pub mod answer;
pub mod client_ip;
pub mod entrance;
pub mod framing;
pub mod headers;
pub mod hop_by_hop;
pub mod http2;
pub mod link;
pub mod pace;
pub mod patience;
pub mod pause;
pub mod request_id;
