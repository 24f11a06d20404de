//! `stripPrefix:`, `rewrite:`

use super::{Compiler, at_route};
use crate::config::file;
use crate::config::located::Located;
use crate::routing::rewrite::{Replacement, Rewrite};

impl Compiler<'_> {
    pub(super) fn rewrite(&mut self, written: &Located<file::Route>) -> Option<Rewrite> {
        let strips = written.strip_prefix.as_ref().is_some_and(|strips| strips.value);
        let Some(block) = &written.rewrite else {
            // There is nothing to be taken away from all paths.
            return (strips && written.path.as_str() != "/").then_some(Rewrite::Strip);
        };
        let path = format!("{}.rewrite", at_route(written));
        let is_whole = !self.told_of(&path);
        if strips {
            let message = "there is stripPrefix, too, which is rewrite: { prefix: / }; write one of the two";
            self.error(block.at, &path, message);
        }
        let file::Rewrite { prefix, regex, replacement } = &block.value;
        match (prefix, regex, replacement) {
            (Some(prefix), None, None) => Some(Rewrite::Prefix(prefix.as_str().to_owned())),
            (None, Some(regex), Some(replacement)) => match Replacement::new(replacement, regex) {
                Ok(replacement) => Some(Rewrite::Regex { regex: regex.clone(), replacement }),
                Err(why) => {
                    self.error(
                        replacement.at,
                        format!("{path}.replacement"),
                        format!("\"{}\": {why}", replacement.value),
                    );
                    None
                }
            },
            _ => {
                if is_whole {
                    self.error(block.at, path, "write either prefix, or regex and replacement");
                }
                None
            }
        }
    }
}
