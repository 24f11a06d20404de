//! What can be written in several shapes: one or a list, a block or a word for on or off.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use crate::config::file::{Block, Connect, OrOff, Positive, PositiveOrOff, Switch};
use crate::config::located::{Located, OneOrMany};
use crate::config::units::Period;

/// Any of these.
pub fn any_of(options: impl IntoIterator<Item = Schema>) -> Schema {
    let options: Vec<Value> = options.into_iter().map(Schema::to_value).collect();
    json_schema!({ "anyOf": options })
}

/// One of these words.
pub fn words(words: &[&str]) -> Schema {
    json_schema!({ "type": "string", "enum": words })
}

/// A block with one of these keys.
pub fn one_key<const N: usize>(keys: [(&str, Schema); N]) -> Schema {
    let keys = keys.into_iter().map(|(key, schema)| (key.to_owned(), schema.to_value()));
    let properties: serde_json::Map<String, Value> = keys.collect();
    json_schema!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "minProperties": 1,
        "maxProperties": 1,
    })
}

/// Stands where it is used, and has no definition of its own.
macro_rules! inlined {
    ($name:expr) => {
        fn inline_schema() -> bool {
            true
        }

        fn schema_name() -> Cow<'static, str> {
            $name.into()
        }
    };
}
pub(super) use inlined;

impl<T: JsonSchema> JsonSchema for Located<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    inlined!(format!("OneOrMany_{}", T::schema_name()));

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<T>();
        any_of([item.clone(), json_schema!({ "type": "array", "items": item })])
    }
}

impl<T: JsonSchema> JsonSchema for OrOff<T> {
    inlined!(format!("{}_or_off", T::schema_name()));

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        any_of([generator.subschema_for::<T>(), words(&["off"])])
    }
}

impl JsonSchema for PositiveOrOff {
    inlined!("Duration_or_off");

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        OrOff::<Period>::json_schema(generator)
    }
}

impl<T: JsonSchema + Block> JsonSchema for Switch<T> {
    inlined!(format!("{}_or_off", T::schema_name()));

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let words = match T::ON {
            Some(_) => json_schema!({ "enum": [true, false, "on", "off"] }),
            None => json_schema!({ "enum": [false, "off"] }),
        };
        any_of([generator.subschema_for::<T>(), words])
    }
}

impl JsonSchema for Connect {
    fn schema_name() -> Cow<'static, str> {
        Positive::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Positive::json_schema(generator)
    }
}
