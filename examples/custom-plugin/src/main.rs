//! A gateway that serves whoever sends a key that is in a file.

use std::collections::HashMap;
use std::sync::Arc;

use aegis::embed::Program;
use aegis::http::HeaderValue;
use aegis::plugin::{Plugin, Request};
use aegis::refusal::Refusal;

#[derive(serde::Deserialize)]
struct Settings {
    file: String,
}

/// Users by their keys: a line of the file each, `KEY USER`.
struct PartnerKeys(HashMap<String, HeaderValue>);

#[aegis::async_trait]
impl Plugin for PartnerKeys {
    fn name(&self) -> &'static str {
        "partnerKeys"
    }

    async fn on_request(&self, request: &mut Request<'_>) -> Result<(), Refusal> {
        let key = request.headers.get("x-partner-key").and_then(|key| key.to_str().ok());
        let user = key.and_then(|key| self.0.get(key));
        request.notes.user_id = user.cloned();
        user.map(drop).ok_or(Refusal::custom(401, "partner_unknown", "Send the key of a partner in X-Partner-Key."))
    }
}

fn main() -> std::process::ExitCode {
    let read = |file: &str| std::fs::read_to_string(file).map_err(|error| format!("cannot read {file}: {error}"));
    let program = Program::default().plugin("partnerKeys", move |settings| {
        let lines = read(&settings.read::<Settings>()?.file)?;
        let pairs = lines.lines().filter_map(|line| line.split_once(' '));
        let users = pairs.filter_map(|(key, user)| Some((key.to_owned(), user.parse().ok()?)));
        Ok(Arc::new(PartnerKeys(users.collect())))
    });
    program.main()
}
