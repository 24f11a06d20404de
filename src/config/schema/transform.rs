//! From what a value is to what may be written for it.

use serde_json::{Map, Value, json};

use super::VARIABLE;

/// Keywords that say something about a value without narrowing it.
const ANNOTATIONS: [&str; 4] = ["title", "description", "default", "examples"];
/// Keywords whose values are schemas by name, or one, or a list of them.
const NAMED: [&str; 2] = ["properties", "$defs"];
const SINGLE: [&str; 2] = ["items", "additionalProperties"];

/// Lets a variable take the place of every scalar of `schema` that could not be any text.
pub fn allow_variables(schema: &mut Map<String, Value>) {
    // What is one of several words says so exactly once, but not when a variable may be in place of each.
    if let Some(options) = schema.remove("oneOf") {
        schema.insert("anyOf".to_owned(), options);
    }
    for key in NAMED {
        let named = schema.get_mut(key).and_then(Value::as_object_mut);
        named.into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut).for_each(allow_variables);
    }
    for key in SINGLE {
        schema.get_mut(key).and_then(Value::as_object_mut).into_iter().for_each(allow_variables);
    }
    // Of machines, and no part of the standard.
    schema.remove("format");
    match schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        Some(options) => flatten(options),
        None => scalar(schema),
    }
    annotate(schema);
}

/// What is said of a value comes first, in whole lines, and with the default that it tells.
fn annotate(schema: &mut Map<String, Value>) {
    let mut rest = std::mem::take(schema);
    for key in ANNOTATIONS {
        if let Some(value) = rest.remove(key) {
            schema.insert(key.to_owned(), value);
        }
    }
    if let Some(text) = schema.get("description").and_then(Value::as_str).map(|text| text.replace('\n', " ")) {
        if let Some(default) = default(&text) {
            schema.insert("default".to_owned(), default);
        }
        schema.insert("description".to_owned(), text.into());
    }
    // An empty list or block is what absence is, and says nothing.
    let is_empty = |value: &Value| {
        value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
    };
    if schema.get("default").is_some_and(is_empty) {
        schema.remove("default");
    }
    schema.extend(rest);
}

/// What a description ends with, as in ``Default: `60s`.``, where that is a value and not about one.
fn default(description: &str) -> Option<Value> {
    let (_, told) = description.rsplit_once("Default: `")?;
    let value = told.strip_suffix("`.").filter(|value| !value.contains('`'))?;
    serde_yaml::from_str(value).ok()
}

/// One list of all that is allowed, each once.
fn flatten(options: &mut Vec<Value>) {
    let mut flat: Vec<Value> = Vec::new();
    for mut option in options.drain(..) {
        option.as_object_mut().into_iter().for_each(allow_variables);
        match inner(&mut option) {
            Some(inner) => flat.extend(inner),
            None => flat.push(option),
        }
    }
    let (variable, null) = (json!({ "$ref": VARIABLE }), json!({ "type": "null" }));
    let last = [variable, null].into_iter().filter(|last| flat.contains(last)).collect::<Vec<_>>();
    flat.retain(|option| !last.contains(option));
    for option in flat.into_iter().chain(last) {
        if !options.contains(&option) {
            options.push(option);
        }
    }
}

/// The options of an option; one alone beside variables keeps what is said of it.
fn inner(option: &mut Value) -> Option<Vec<Value>> {
    let fields = option.as_object_mut()?;
    let options = fields.get("anyOf")?.as_array()?.clone();
    match options.as_slice() {
        _ if fields.len() == 1 => Some(options),
        [Value::Object(first), variable] if *variable == json!({ "$ref": VARIABLE }) => {
            fields.remove("anyOf");
            fields.extend(first.clone());
            Some(vec![option.take(), variable.clone()])
        }
        _ => None,
    }
}

/// A scalar that is any text may be a number, too, since it is read as it is written; any other may be a variable.
fn scalar(schema: &mut Map<String, Value>) {
    let kinds: Vec<String> = match schema.get("type") {
        Some(Value::String(kind)) => vec![kind.clone()],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(|kind| kind.as_str().map(str::to_owned)).collect(),
        _ if schema.contains_key("enum") || schema.contains_key("const") => Vec::new(),
        _ => return,
    };
    let is = |kind: &str| kinds.iter().any(|known| known == kind);
    if is("object") || is("array") || kinds == ["null"] {
        return;
    }
    let is_any_text =
        is("string") && !["pattern", "enum", "const", "minLength"].iter().any(|key| schema.contains_key(*key));
    let mut own = Map::new();
    for (key, value) in std::mem::take(schema) {
        let place = if ANNOTATIONS.contains(&key.as_str()) { &mut *schema } else { &mut own };
        place.insert(key, value);
    }
    if is_any_text {
        let null = is("null").then_some("null");
        let kinds: Vec<&str> = ["string", "number", "boolean"].into_iter().chain(null).collect();
        schema.insert("type".to_owned(), kinds.into());
        return;
    }
    let mut options = Vec::new();
    if is("null") {
        let kinds: Vec<Value> = kinds.iter().filter(|kind| *kind != "null").map(|kind| kind.as_str().into()).collect();
        own.insert("type".to_owned(), kinds.into());
        if let Some(words) = own.get_mut("enum").and_then(Value::as_array_mut) {
            words.retain(|word| !word.is_null());
        }
        options.push(json!({ "type": "null" }));
    }
    if let Some([kind]) = own.get("type").and_then(Value::as_array).map(Vec::as_slice) {
        let kind = kind.clone();
        own.insert("type".to_owned(), kind);
    }
    options.insert(0, Value::Object(own));
    options.insert(1, json!({ "$ref": VARIABLE }));
    schema.insert("anyOf".to_owned(), options.into());
}
