//! The names that a config leads to, of which only whoever looks them up can say that they are there.

use super::error::Position;

/// One name, and where the config has it first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Where it stands.
    pub at: Position,
    /// The path of keys that leads there.
    pub path: String,
    /// The name.
    pub name: String,
    /// How it is looked up.
    pub way: Way,
    /// It is not to be shown, since it comes from the environment or stands among secrets.
    pub is_hidden: bool,
}

impl Named {
    /// What it is called.
    pub fn shown(&self) -> String {
        if self.is_hidden { format!("a host of {}", self.path) } else { self.name.clone() }
    }
}

/// How a name is looked up while the gateway runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// Its addresses, as `resolve` says.
    Addresses,
    /// Its SRV records, as `resolve` says.
    Services,
    /// Its addresses, as the system does.
    System,
}
