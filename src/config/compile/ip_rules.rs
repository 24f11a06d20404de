//! `plugins.ipAllow:` and `plugins.ipDeny:`

use ipnet::IpNet;

use super::Compiler;
use crate::config::file::Networks;
use crate::plugin::ip_rules::as_ipv4;

impl Compiler<'_> {
    /// The networks of the list at `path`; none if it is `off` or not there.
    pub(super) fn networks(&mut self, written: Option<&Networks>, path: &str) -> Vec<IpNet> {
        let Some(list) = written else { return Vec::new() };
        if list.is_empty() && !self.told_of(path) {
            self.error(list.at, path, "the list is empty; write off, or networks such as 10.0.0.0/8");
        }
        let mut networks = Vec::new();
        for item in list.iter() {
            let path = format!("{path}[{}]", item.index);
            match item.0 {
                None if list.len() > 1 => self.error(item.at, path, "off stands alone; remove it, or all the others"),
                None => {}
                Some(network) => {
                    let plain = network.0.trunc();
                    if plain != network.0 {
                        let message = format!("{} means all of {plain}; write that", network.0);
                        self.warn(item.at, path, message);
                    }
                    networks.push(as_ipv4(plain));
                }
            }
        }
        networks
    }
}
