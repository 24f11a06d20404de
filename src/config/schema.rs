//! The config file as a JSON Schema (draft 2020-12), for editors.
//!
//! It is made of the types that files are read into: their doc comments are what editors show. What a text may be is told by
//! patterns that are never narrower than what is read, but for words, which are offered in their usual spelling alone. It knows
//! nothing of what goes together: that is for `aegis check`.

mod blocks;
mod notations;
mod shapes;
mod transform;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

pub use self::notations::Algorithm;
use super::file::File;

/// Where the description of variables stands.
const VARIABLE: &str = "#/$defs/Variable";

/// The schema, as it is published.
pub fn schema() -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<File>();
    let Value::Object(mut root) = schema.to_value() else { return Value::Null };
    root.insert("title".to_owned(), "The config of Aegis".into());
    root.insert("description".to_owned(), "One file describes a gateway; at least it has `routes`.".into());
    transform::allow_variables(&mut root);
    if let Some(definitions) = root.get_mut("$defs").and_then(Value::as_object_mut) {
        let (name, variable) = ("Variable".to_owned(), Value::Object(variable()));
        definitions.insert(name, variable);
        definitions.sort_keys();
    }
    Value::Object(root)
}

/// Variables may stand in every value that is no block and no list.
fn variable() -> Map<String, Value> {
    let pairs = [
        ("title", "variable"),
        (
            "description",
            "A text with variables of the environment: `${NAME}`, `${NAME:-default}` or `${NAME:?message}`; `$$` is a dollar sign.",
        ),
        ("type", "string"),
        ("pattern", r"\$\{[A-Za-z_][A-Za-z0-9_]*(:[-?][^}]*)?\}|\$\$"),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect()
}
