//! `plugins.custom:`

use super::Compiler;
use crate::config::error::nearest;
use crate::config::file;
use crate::plugin::custom::{self, Custom, Settings};

impl Compiler<'_> {
    /// The plugins of the block at `path`.
    pub(super) fn custom(&mut self, written: Option<&file::CustomPlugins>, path: &str) -> Vec<Custom> {
        let mut plugins = Vec::new();
        for (name, written) in written.iter().flat_map(|file::CustomPlugins(plugins)| plugins) {
            let settings = Settings(written.value.clone());
            let wrong = match custom::make(name, &settings) {
                Some(Ok(plugin)) => {
                    plugins.push(Custom { name: name.clone(), settings, plugin });
                    continue;
                }
                Some(Err(why)) => why,
                None => match nearest(name, custom::names()) {
                    Some(near) => format!("unknown plugin; did you mean \"{near}\"?"),
                    None => "no plugin of that name is a part of this program; docs/plugins.md says how one is made"
                        .to_owned(),
                },
            };
            self.error(written.at, format!("{path}.{name}"), wrong);
        }
        plugins
    }
}
