//! The same for people.

use std::fmt::{self, Write};

use serde_json::Value;

use super::past::{Attempt, Explanation};
use super::preview::{Outcome, Preview};
use super::{PluginVerdict, RouteName, SkippedTarget};
use crate::observe::access_log::escaped;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Explanation { method, status, reason, duration_ms, gateway_ms, .. } = self;
        writeln!(f, "[{method}] {} → {status} {reason}", escaped(&self.path))?;
        writeln!(f, "request   {}, {}, config {}", escaped(&self.request_id), self.at, self.config)?;
        writeln!(f, "time      {duration_ms} ms, {gateway_ms} ms of it in the gateway")?;
        client(f, &self.client, Some(&self.peer))?;
        route(f, self.route.as_ref())?;
        plugins(f, &self.plugins)?;
        for number in 0..=self.attempts.len() {
            skipped(f, self.skipped.iter().filter(|skipped| skipped.after_attempts == number))?;
            if let Some(attempt) = self.attempts.get(number) {
                writeln!(f, "attempt {} {attempt}", number + 1)?;
            }
        }
        if let Some(path) = &self.forwarded_path {
            writeln!(f, "path      {} to the target", escaped(path))?;
        }
        Ok(())
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.target)?;
        if let Some(address) = &self.address {
            write!(f, " ({address})")?;
        }
        if self.probe {
            f.write_str(", the probe of its circuit")?;
        }
        match (self.connected_after_ms, self.reused) {
            (Some(after), Some(reused)) => {
                write!(f, ", {} connection after {after} ms", if reused { "kept" } else { "new" })?;
            }
            _ => f.write_str(", no connection")?,
        }
        if let Some(status) = self.status {
            write!(f, ", answered {status}")?;
        }
        write!(f, ": {} after {} ms", self.outcome, self.took_ms)?;
        self.cause.iter().try_for_each(|cause| write!(f, ", {}", printable(cause)))
    }
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "[{}] {} → {}", escaped(&self.method), escaped(&self.path), self.outcome)?;
        client(f, &self.client, None)?;
        if self.outcome != Outcome::Own {
            route(f, self.route.as_ref())?;
        }
        for skipped in &self.skipped_routes {
            writeln!(f, "          not {}: {}", named(&skipped.route), skipped.why)?;
        }
        plugins(f, &self.plugins)?;
        skipped(f, self.skipped.iter())?;
        if let Outcome::Forwarded { target, path, group } = &self.outcome {
            let group = group.as_ref().map_or_else(String::new, |group| format!(", group {group}"));
            writeln!(f, "target    {target}{}{group}", escaped(path))?;
        }
        Ok(())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Forwarded { target, .. } => write!(f, "forwarded to {target}"),
            Outcome::Refused { status, code, why } => write!(f, "{status} {code}: {}", printable(why)),
            Outcome::Answered { status: Some(status) } => write!(f, "answered {status} by the route"),
            Outcome::Answered { status: None } => f.write_str("redirected by the route"),
            Outcome::Own => f.write_str("answered by the gateway itself"),
        }
    }
}

fn client(f: &mut fmt::Formatter<'_>, client: &str, peer: Option<&str>) -> fmt::Result {
    match peer.filter(|peer| *peer != client) {
        Some(peer) => writeln!(f, "client    {client}, through {peer}"),
        None => writeln!(f, "client    {client}"),
    }
}

fn route(f: &mut fmt::Formatter<'_>, route: Option<&RouteName>) -> fmt::Result {
    match route {
        Some(route) => writeln!(f, "route     {}", named(route)),
        None => writeln!(f, "route     none"),
    }
}

fn named(RouteName { name, path }: &RouteName) -> String {
    if name == path { name.clone() } else { format!("{name} ({path})") }
}

fn plugins(f: &mut fmt::Formatter<'_>, plugins: &[PluginVerdict]) -> fmt::Result {
    for PluginVerdict { plugin, passed, code, why, took_ms, went_by, .. } in plugins {
        let said = match (passed, code) {
            (false, Some(code)) => format!("refused, {code}: {}", printable(why.as_deref().unwrap_or_default())),
            _ => "passed".to_owned(),
        };
        writeln!(f, "plugin    {plugin} {said} ({took_ms} ms)")?;
        let mut lines = String::new();
        tell(&mut lines, went_by)?;
        f.write_str(&lines)?;
    }
    Ok(())
}

/// What a plugin went by: a line of what is said of all, and one for each object of a list.
fn tell(lines: &mut String, went_by: &Value) -> fmt::Result {
    let Value::Object(members) = went_by else { return Ok(()) };
    let (lists, words): (Vec<_>, Vec<_>) =
        members.iter().partition(|(_, value)| value.as_array().is_some_and(|list| list.iter().any(Value::is_object)));
    if !words.is_empty() {
        let words: Vec<String> = words.iter().map(|(name, value)| format!("{name} {}", plain(value))).collect();
        writeln!(lines, "          {}", words.join(", "))?;
    }
    for item in lists.iter().flat_map(|(_, list)| list.as_array().into_iter().flatten()) {
        tell(lines, item)?;
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn skipped<'s>(f: &mut fmt::Formatter<'_>, mut skipped: impl Iterator<Item = &'s SkippedTarget>) -> fmt::Result {
    skipped.try_for_each(|skipped| writeln!(f, "skipped   {}: {} ({})", skipped.target, skipped.detail, skipped.why))
}

/// Text that cannot steer a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}
