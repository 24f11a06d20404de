//! `auth.basic:`, and the file that it names.

use std::collections::HashSet;
use std::str::FromStr;

use super::Compiler;
use crate::config::file;
use crate::config::located::Located;
use crate::config::model::Basic;
use crate::config::units::UserId;

/// With a cost below that, passwords are tried at thousands a second.
const LEAST_COST: u32 = 10;
/// With one beyond that, a check takes seconds.
const MOST_COST: u32 = 15;

impl Compiler<'_> {
    pub(super) fn basic(&mut self, written: Option<&file::Basic>) -> Option<Basic> {
        let Located { at, value: name, .. } = &written?.file;
        let text = self.read_text(name);
        // Its name is not repeated: it may be a password.
        let text = text.map_err(|error| format!("cannot read it: {error}; `htpasswd -cB FILE USER` makes one"));
        let (mut users, mut seen, mut wrong) =
            (Vec::new(), HashSet::new(), text.as_ref().err().cloned().into_iter().collect::<Vec<_>>());
        for (nth, line) in text.iter().flat_map(|text| text.lines()).enumerate() {
            match user(line) {
                Ok(Some((user, _, _))) if !seen.insert(user.to_string()) => {
                    wrong.push(format!("{name}:{}: {user} has a line already; remove one", nth + 1));
                }
                Ok(Some((user, hash, cost))) => {
                    if cost < LEAST_COST {
                        let message = format!(
                            "{name}:{}: the cost is {cost}, so passwords can be guessed; write {LEAST_COST} or more, as `htpasswd -B -C {LEAST_COST}` does",
                            nth + 1
                        );
                        self.warn(*at, "auth.basic.file", message);
                    }
                    users.push((user, hash.to_owned()));
                }
                Ok(None) => {}
                Err(message) => wrong.push(format!("{name}:{}: {message}", nth + 1)),
            }
        }
        if users.is_empty() && wrong.is_empty() {
            wrong.push(format!("there is no user in {name}; `htpasswd -B {name} USER` adds one"));
        }
        wrong.into_iter().for_each(|message| self.error(*at, "auth.basic.file", message));
        Some(Basic { file: name.clone(), users })
    }
}

/// User, hash and cost of a line such as `htpasswd -B` makes; `None` where it says nothing.
fn user(line: &str) -> Result<Option<(UserId, &str, u32)>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (user, hash) = line.split_once(':').ok_or("no user with a colon and a hash; `htpasswd -B` makes such lines")?;
    let parts = bcrypt::HashParts::from_str(hash).map_err(|_| "no hash of bcrypt; `htpasswd -B` makes them")?;
    match parts.get_cost() {
        cost if cost > MOST_COST => {
            Err(format!("the cost is {cost}, and every check takes seconds; write {MOST_COST} or less"))
        }
        cost => Ok(Some((user.parse()?, hash, cost))),
    }
}
