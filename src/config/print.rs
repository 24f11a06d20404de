//! What runs, as a config file that means the same: `check --print`.

use serde_yaml::Value;

use super::Config;

/// `config` as YAML, its secrets masked.
///
/// # Errors
/// It cannot be written as YAML.
pub fn print(config: &Config) -> Result<String, serde_yaml::Error> {
    let mut root = serde_yaml::to_value(config)?;
    keep_dollars(&mut root);
    serde_yaml::to_string(&root)
}

/// Writes each `$` so that it is one when it is read back. Keys are read as they stand.
fn keep_dollars(value: &mut Value) {
    match value {
        Value::String(text) if text.contains('$') => *text = text.replace('$', "$$"),
        Value::Sequence(items) => items.iter_mut().for_each(keep_dollars),
        Value::Mapping(entries) => entries.values_mut().for_each(keep_dollars),
        _ => {}
    }
}
