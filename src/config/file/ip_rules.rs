//! `plugins.ipAllow:` and `plugins.ipDeny:`

use super::words::{Network, OrOff};
use crate::config::located::{Located, OneOrMany};

/// Networks such as `10.0.0.0/8` and addresses, one or a list; or `off` in their place.
pub type Networks = Located<OneOrMany<Located<OrOff<Network>>>>;
