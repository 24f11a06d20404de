//! Plugins that are not built in: known to this program by name, before it reads its config.

use std::fmt;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Plugin, Request};
use crate::refusal::Refusal;

static KNOWN: OnceLock<Vec<Kind>> = OnceLock::new();

/// What makes a plugin of what its block in the config says.
pub type Make = dyn Fn(&Settings) -> Result<Arc<dyn Plugin>, String> + Send + Sync;

/// Plugins of one name.
pub struct Kind {
    /// Their key under `plugins.custom`.
    pub name: &'static str,
    /// What makes them.
    pub make: Box<Make>,
}

/// What a config says of a plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings(pub Value);

impl Settings {
    /// As a type of the plugin's own.
    ///
    /// # Errors
    /// It is none; for people.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        T::deserialize(&self.0).map_err(|error| error.to_string())
    }
}

/// Makes these known. Those of the first call are.
pub fn make_known(kinds: Vec<Kind>) {
    // Whoever comes second runs a second program in one process.
    let _ = KNOWN.set(kinds);
}

/// The names of those that are known.
pub fn names() -> impl Iterator<Item = &'static str> {
    KNOWN.get().into_iter().flatten().map(|kind| kind.name)
}

/// The plugin of that name with these settings; `None` if none is known by it.
///
/// # Errors
/// The settings are no good; in the plugin's own words.
pub fn make(name: &str, settings: &Settings) -> Option<Result<Arc<dyn Plugin>, String>> {
    let kind = KNOWN.get()?.iter().find(|kind| kind.name == name)?;
    Some((kind.make)(settings))
}

/// One of a route.
#[derive(Clone)]
pub struct Custom {
    /// Its key under `plugins.custom`.
    pub name: String,
    /// What the config says of it.
    pub settings: Settings,
    /// It.
    pub plugin: Arc<dyn Plugin>,
}

/// Two with the same settings do the same.
impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.settings) == (&other.name, &other.settings)
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Custom").field("name", &self.name).finish_non_exhaustive()
    }
}

#[async_trait]
impl Plugin for Custom {
    fn name(&self) -> &'static str {
        self.plugin.name()
    }

    async fn on_request(&self, request: &mut Request<'_>) -> Result<(), Refusal> {
        self.plugin.on_request(request).await
    }

    async fn preview(&self, request: &mut Request<'_>) -> Result<(), Refusal> {
        self.plugin.preview(request).await
    }
}
