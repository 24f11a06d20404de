//! `admin:`

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Compiler;
use crate::config::file::{self, OrOff};
use crate::config::located::Located;
use crate::config::model::Admin;
use crate::config::units::{Count, Secret};

/// A token that is shorter can be guessed.
const LEAST_BYTES: usize = 16;
/// Of so many requests is remembered what became of them, if nothing is said.
const EXPLAINED: u32 = 4_096;
/// A request takes about 1 KiB.
const MOST_EXPLAINED: u32 = 100_000;

impl Compiler<'_> {
    pub(super) fn admin(&mut self, written: Option<&Located<file::Admin>>, listens: &[SocketAddr]) -> Option<Admin> {
        let written = written?;
        let listen = written.listen.as_ref().map_or((Ipv4Addr::LOCALHOST, 8001).into(), |listen| listen.0);
        let token = self.admin_token(written);
        let at = written.listen.as_ref().map_or(written.at, |listen| listen.at);
        if written.token_file.is_none() && !listen.ip().is_loopback() {
            let message = format!(
                "whoever reaches {listen} could switch off targets; write tokenFile beside it, or listen on 127.0.0.1"
            );
            self.error(at, "admin.listen", message);
        }
        if let Some(other) = listens.iter().find(|other| collide(**other, listen)) {
            let message = format!("{listen} is not free, since requests come to {other}; choose another port");
            self.error(at, "admin.listen", message);
        }
        let token_file = written.token_file.as_ref().map(|file| file.value.clone());
        Some(Admin { listen, token_file, token, explain: self.explain(written.explain.as_ref()) })
    }

    fn explain(&mut self, written: Option<&Located<OrOff<Count>>>) -> Option<u32> {
        let Some(written) = written else { return Some(EXPLAINED) };
        let count = written.value.0?.0.get();
        if count > MOST_EXPLAINED {
            let message =
                format!("{count} requests would take more than 100 MB; write at most {MOST_EXPLAINED}, or off");
            self.error(written.at, "admin.explain", message);
        }
        Some(count)
    }

    fn admin_token(&mut self, written: &file::Admin) -> Option<Secret> {
        let file = written.token_file.as_ref()?;
        let wrong = match self.read_text(&file.value) {
            Ok(text) if text.trim().len() >= LEAST_BYTES => return Some(Secret::new(text.trim())),
            Ok(text) => format!(
                "the token in {} has {} bytes and can be guessed; write at least {LEAST_BYTES}, `openssl rand -hex 24` makes a good one",
                file.value,
                text.trim().len()
            ),
            // Its name is not repeated: it may be the token itself.
            Err(error) => format!("cannot read it: {error}; write the name of a file with the token"),
        };
        self.error(file.at, "admin.tokenFile", wrong);
        None
    }
}

/// Whether only one of them can be listened on. Port 0 is any free one, and `[::]` takes IPv4, too.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |all: IpAddr, one: IpAddr| all == one || all.is_unspecified() && (all.is_ipv6() || one.is_ipv4());
    let (here, there) = (a.ip().to_canonical(), b.ip().to_canonical());
    a.port() == b.port() && a.port() != 0 && (covers(here, there) || covers(there, here))
}

#[cfg(test)]
mod tests {
    #[test]
    fn addresses_collide_where_one_is_all_of_them() {
        let collide = |a: &str, b: &str| super::collide(a.parse().expect(a), b.parse().expect(b));
        for (a, b) in [
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("127.0.0.1:1", "[::]:1"),
            ("[::]:1", "[::1]:1"),
            ("[::ffff:127.0.0.1]:1", "127.0.0.1:1"),
        ] {
            assert!(collide(a, b) && collide(b, a), "{a} {b}");
        }
        for (a, b) in [
            ("127.0.0.1:1", "127.0.0.1:2"),
            ("127.0.0.1:1", "127.0.0.2:1"),
            ("0.0.0.0:0", "127.0.0.1:0"),
            ("0.0.0.0:1", "[::1]:1"),
        ] {
            assert!(!collide(a, b) && !collide(b, a), "{a} {b}");
        }
    }
}
