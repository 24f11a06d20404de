//! docs/configuration.md is what the schema says, in words: each block with its keys.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

/// Notations that need no section, since one line says all.
const PREAMBLE: &str = "\
# The config file

<!-- Written by the tests, from the doc comments of src/config/file: `EXPECT=write cargo test --test it -- reference::`. -->

Every key that a config may have. [README.md](../README.md#config) has the ones that most people need, the pages beside this
one how they work together. `aegis schema` prints the same as [a JSON Schema](aegis.schema.json), by which editors complete
and check a config that begins with

```
# yaml-language-server: $schema=PATH/aegis.schema.json
```

Keys are written as they stand here; unknown ones are refused. A value that is no block and no list may have variables of the
environment in it: `${NAME}`, `${NAME:-default}` where it is unset or empty, `${NAME:?message}` where it has to be set; `$$` is
a dollar sign. Where *one or a list* may stand, a list of one may be written without brackets. A key with nothing after it is
as good as none; a variable that is empty is an empty text, which is none of what may stand in most places. `aegis check` says what of a config is wrong, and what would be right; `aegis check --print` shows it with all
defaults.

";

struct Reference {
    schema: Value,
    /// Where each block is described.
    places: BTreeMap<String, String>,
    page: String,
}

impl Reference {
    fn of(schema: Value) -> Self {
        let mut reference = Reference { schema, places: BTreeMap::new(), page: PREAMBLE.to_owned() };
        let root = reference.schema.clone();
        reference.find(&root, "");
        reference.block("The file", &root, "");
        reference.notations();
        reference
    }

    fn definition(&self, name: &str) -> Value {
        self.schema["$defs"][name].clone()
    }

    /// The blocks that a value can be, with what leads there.
    fn inner(&self, value: &Value, path: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        if let Some(name) = value["$ref"].as_str().and_then(|text| text.strip_prefix("#/$defs/"))
            && self.schema["$defs"][name].get("properties").is_some()
        {
            found.push((name.to_owned(), path.to_owned()));
        }
        for option in value["anyOf"].as_array().into_iter().flatten() {
            found.extend(self.inner(option, path));
        }
        if value["items"].is_object() {
            found.extend(self.inner(&value["items"], &format!("{path}[]")));
        }
        if value["additionalProperties"].is_object() {
            found.extend(self.inner(&value["additionalProperties"], &format!("{path}.NAME")));
        }
        found
    }

    /// Notes the place of every block: in a route where it can be there, and where it is a list there.
    fn find(&mut self, block: &Value, path: &str) {
        let keys = block["properties"].as_object().cloned().unwrap_or_default();
        // Routes first, since `defaults` only repeats them.
        let (routes, others): (Vec<_>, Vec<_>) = keys.iter().partition(|(key, _)| *key == "routes");
        for (key, value) in routes.into_iter().chain(others) {
            let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            for (name, at) in self.inner(value, &at) {
                if !self.places.contains_key(&name) {
                    self.places.insert(name.clone(), at.clone());
                    let inner = self.definition(&name);
                    self.find(&inner, &at);
                }
            }
        }
    }

    fn block(&mut self, title: &str, block: &Value, path: &str) {
        writeln!(self.page, "{} {title}\n", "#".repeat(2 + usize::from(!path.is_empty()))).unwrap();
        if path == "defaults" {
            self.page.push_str("Any of the blocks of [a route](#routes), from `balance` on.\n\n");
            return;
        }
        self.page.push_str("| key | value | default | |\n|---|---|---|---|\n");
        let keys = block["properties"].as_object().cloned().unwrap_or_default();
        let required: Vec<&str> =
            block["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (key, value) in &keys {
            let (does, default) = told(value["description"].as_str().unwrap_or_default());
            let default = if required.contains(&key.as_str()) { "needed".to_owned() } else { default };
            let kind = self.kind(value);
            writeln!(self.page, "| `{key}` | {} | {} | {} |", cell(&kind), cell(&default), cell(&does)).unwrap();
        }
        self.page.push('\n');
        for (key, value) in &keys {
            let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            for (name, at) in self.inner(value, &at) {
                if self.places.get(&name) == Some(&at) {
                    let inner = self.definition(&name);
                    self.block(&format!("`{at}`"), &inner, &at);
                }
            }
        }
    }

    /// What may be written for a value, with links to what says more.
    fn kind(&self, value: &Value) -> String {
        let mut kinds: Vec<String> = Vec::new();
        self.kinds(value, &mut kinds);
        let mut known = std::collections::HashSet::new();
        kinds.retain(|kind| !kind.is_empty() && known.insert(kind.clone()));
        kinds.join(", ")
    }

    fn kinds(&self, value: &Value, kinds: &mut Vec<String>) {
        if let Some(name) = value["$ref"].as_str().and_then(|text| text.strip_prefix("#/$defs/")) {
            let definition = &self.schema["$defs"][name];
            match self.places.get(name) {
                _ if name == "Variable" => {}
                Some(place) => kinds.push(format!("[a block](#{})", anchor(place))),
                None if is_notation(definition) => {
                    kinds.push(format!("[{}](#{})", spoken(name), anchor(&spoken(name))))
                }
                None => self.kinds(definition, kinds),
            }
            return;
        }
        for word in value["enum"].as_array().into_iter().flatten().chain(value.get("const")) {
            // In one of their spellings.
            if !word.is_null()
                && word != "on"
                && !(word == false && value["enum"].as_array().is_some_and(|words| words.contains(&"off".into())))
            {
                kinds.push(format!("`{}`", word.as_str().map_or_else(|| word.to_string(), str::to_owned)));
            }
        }
        for option in value["anyOf"].as_array().into_iter().flatten() {
            self.kinds(option, kinds);
        }
        if value["items"].is_object() {
            kinds.push("a list".to_owned());
        }
        let is = |kind: &str| {
            value["type"] == kind || value["type"].as_array().is_some_and(|all| all.contains(&kind.into()))
        };
        if value.get("enum").is_none() && value.get("const").is_none() {
            match value["properties"].as_object() {
                Some(keys) => kinds.extend(keys.keys().map(|key| format!("`{{ {key}: … }}`"))),
                None if is("object") => kinds.push("values by name".to_owned()),
                None if is("string") => kinds.push("text".to_owned()),
                None if is("boolean") => kinds.push("`true`, `false`".to_owned()),
                None if is("integer") => kinds.push("a whole number".to_owned()),
                None => {}
            }
        }
    }

    fn notations(&mut self) {
        self.page.push_str("## Notations\n\n");
        let definitions = self.schema["$defs"].as_object().cloned().unwrap_or_default();
        for (name, definition) in definitions.iter().filter(|(name, block)| is_notation(block) && *name != "Variable") {
            let does = definition["description"].as_str().unwrap_or_default();
            writeln!(self.page, "### {}\n\n{does}\n", spoken(name)).unwrap();
            let options = definition["anyOf"].as_array().into_iter().flatten();
            for option in options.filter(|option| option.get("const").is_some()) {
                let word = option["const"].as_str().unwrap_or_default();
                writeln!(self.page, "- `{word}`: {}", option["description"].as_str().unwrap_or_default()).unwrap();
            }
            let words =
                definition["anyOf"].as_array().into_iter().flatten().filter_map(|option| option["enum"].as_array());
            let words: Vec<String> =
                words.flatten().filter_map(Value::as_str).map(|word| format!("`{word}`")).collect();
            if !words.is_empty() {
                writeln!(self.page, "{}.", words.join(", ")).unwrap();
            }
            self.page.truncate(self.page.trim_end().len());
            self.page.push_str("\n\n");
        }
        self.page.truncate(self.page.trim_end().len());
        self.page.push('\n');
    }
}

/// Whether it is a value with a form of its own.
fn is_notation(definition: &Value) -> bool {
    definition.get("properties").is_none() && definition["description"].is_string()
}

/// What a key does, and what it is where it is not written.
fn told(description: &str) -> (String, String) {
    match description.split_once("Default: ") {
        Some((does, default)) => (does.trim_end().to_owned(), default.trim_end_matches('.').to_owned()),
        None => (description.to_owned(), String::new()),
    }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// `PositiveDuration` as people say it.
fn spoken(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

/// Where a heading is found, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|char| char.is_alphanumeric() || *char == '-' || *char == ' ');
    kept.flat_map(char::to_lowercase).map(|char| if char == ' ' { '-' } else { char }).collect()
}

fn page() -> String {
    Reference::of(serde_json::from_str(&crate::schema::printed()).unwrap()).page
}

#[test]
fn the_reference_is_what_the_schema_says() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let page = page();
    if std::env::var_os("EXPECT").is_some_and(|value| value == "write") {
        fs::write(&file, &page).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == page, "{} is stale; `EXPECT=write` writes it", file.display());
}

#[test]
fn every_key_of_the_reference_says_what_it_does() {
    let page = page();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    assert!(rows.len() > 180, "{}", rows.len());
    for row in rows {
        let cells: Vec<&str> = row.split(" | ").collect();
        assert!(cells.len() == 4 && !cells[1].is_empty() && cells[3].len() > 8, "{row}");
    }
}

#[test]
fn every_link_of_the_reference_leads_somewhere() {
    let page = page();
    let headings: Vec<String> = page
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| anchor(line.trim_start_matches('#').trim()))
        .collect();
    let mut unique = headings.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), headings.len(), "{headings:?}");
    let links: Vec<&str> = page.split("](#").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() > 150, "{}", links.len());
    for link in links {
        assert!(headings.iter().any(|heading| heading == link), "{link}");
    }
}
