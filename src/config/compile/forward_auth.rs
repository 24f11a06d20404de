//! `plugins.forwardAuth:`

use std::time::Duration;

use super::Compiler;
use crate::config::file::{self, Switch};
use crate::config::model::ForwardAuth;
use crate::downstream::headers::X_USER_ID;

impl Compiler<'_> {
    /// Whom the block at `path` has asked; `None`: nobody.
    pub(super) fn forward_auth(
        &mut self,
        written: Option<&Switch<file::ForwardAuth>>,
        path: &str,
    ) -> Option<ForwardAuth> {
        let Switch::On(block) = written? else { return None };
        let mut response_headers = Vec::new();
        for name in block.response_headers.iter() {
            match name.eq_ignore_ascii_case(X_USER_ID.as_str()) {
                true => response_headers.push(X_USER_ID.clone()),
                false => {
                    let path = format!("{path}.responseHeaders[{}]", name.index);
                    response_headers.extend(self.header_for(&path, "role", name));
                }
            }
        }
        Some(ForwardAuth {
            url: self.service(block.url.at, &format!("{path}.url"), &block.url.value)?,
            timeout: block.timeout.map_or(Duration::from_secs(2), |timeout| timeout.0.0),
            response_headers,
        })
    }
}
