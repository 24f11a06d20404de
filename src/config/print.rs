//! What runs, as a config file that means the same: `check --print`.

use serde_yaml::Value;

use super::Config;
use super::compile::answer::OF_ANSWERS;

/// `config` as YAML, its secrets masked.
///
/// # Errors
/// It cannot be written as YAML.
pub fn print(config: &Config) -> Result<String, serde_yaml::Error> {
    let mut root = serde_yaml::to_value(config)?;
    only_of_answers(&mut root);
    keep_dollars(&mut root);
    serde_yaml::to_string(&root)
}

/// Leaves out what is about targets where there are none.
fn only_of_answers(root: &mut Value) {
    let routes = root.get_mut("routes").and_then(Value::as_sequence_mut);
    for route in routes.into_iter().flatten().filter_map(Value::as_mapping_mut) {
        if ["redirect", "respond"].iter().any(|key| route.contains_key(*key)) {
            route.retain(|key, _| key.as_str().is_some_and(|key| OF_ANSWERS.contains(&key)));
        }
    }
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
