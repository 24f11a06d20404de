//! `plugins.compression:`

use super::Compiler;
use crate::config::file::{self, Coding, Switch};
use crate::config::model::Compression;
use crate::config::units::MediaRange;

/// What is text, by its type.
const TEXTUAL: [&str; 8] = [
    "text/*",
    "application/json",
    "application/*+json",
    "application/javascript",
    "application/xml",
    "application/*+xml",
    "application/x-ndjson",
    "image/svg+xml",
];

impl Compiler<'_> {
    /// What the block at `path` has compressed; `None`: nothing.
    pub(super) fn compression(
        &mut self,
        written: Option<&Switch<file::Compression>>,
        path: &str,
    ) -> Option<Compression> {
        let Switch::On(block) = written? else { return None };
        if let Some(types) = block.types.as_ref().filter(|types| types.is_empty())
            && !self.told_of(&format!("{path}.types"))
        {
            self.error(types.at, format!("{path}.types"), "the list is empty; write off, or types such as text/*");
        }
        let textual = || TEXTUAL.iter().filter_map(|text| text.parse().ok()).collect::<Vec<MediaRange>>();
        Some(Compression {
            types: block.types.as_ref().map_or_else(textual, |types| types.0.clone()),
            min_size: block.min_size.map_or(1024, |size| size.0),
            algorithms: self.algorithms_of(block, &format!("{path}.algorithms")),
            level: block.level,
        })
    }

    fn algorithms_of(&mut self, block: &file::Compression, path: &str) -> Vec<Coding> {
        let Some(list) = &block.algorithms else { return Coding::ALL.to_vec() };
        if list.is_empty() && !self.told_of(path) {
            self.error(list.at, path, "the list is empty; write off, or some of zstd, br and gzip");
        }
        let mut codings = Vec::new();
        for coding in list.iter() {
            if codings.contains(&coding.value) {
                let message = format!("{} is there already; write it once", coding.as_str());
                self.error(coding.at, format!("{path}[{}]", coding.index), message);
            }
            codings.push(coding.value);
        }
        codings
    }
}
