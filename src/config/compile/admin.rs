//! `admin:`

use std::net::{Ipv4Addr, SocketAddr};

use super::{Compiler, start};
use crate::config::file;
use crate::config::model::Admin;
use crate::config::units::Secret;

/// A token that is shorter can be guessed.
const LEAST_BYTES: usize = 16;

impl Compiler<'_> {
    pub(super) fn admin(&mut self, written: Option<&file::Admin>, listens: &[SocketAddr]) -> Option<Admin> {
        let written = written?;
        let listen = written.listen.as_ref().map_or((Ipv4Addr::LOCALHOST, 8001).into(), |listen| listen.0);
        let token = self.admin_token(written);
        let at = written.listen.as_ref().map_or_else(start, |listen| listen.at);
        if written.token_file.is_none() && !listen.ip().is_loopback() {
            let message = format!(
                "whoever reaches {listen} could switch off targets; write tokenFile beside it, or listen on 127.0.0.1"
            );
            self.error(at, "admin.listen", message);
        }
        if listen.port() != 0 && listens.contains(&listen) {
            self.error(at, "admin.listen", format!("{listen} is where requests come; choose another port"));
        }
        Some(Admin { listen, token_file: written.token_file.as_ref().map(|file| file.value.clone()), token })
    }

    fn admin_token(&mut self, written: &file::Admin) -> Option<Secret> {
        let file = written.token_file.as_ref()?;
        let wrong = match std::fs::read_to_string(&file.value) {
            Ok(text) if text.trim().len() >= LEAST_BYTES => return Some(Secret::new(text.trim())),
            Ok(text) => format!(
                "the token in {} has {} bytes and can be guessed; write at least {LEAST_BYTES}, `openssl rand -hex 24` makes a good one",
                file.value,
                text.trim().len()
            ),
            Err(error) => format!("cannot read {}: {error}; write the name of a file with the token", file.value),
        };
        self.error(file.at, "admin.tokenFile", wrong);
        None
    }
}
