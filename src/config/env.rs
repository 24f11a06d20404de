//! `${VAR}`, `${VAR:-default}` and `${VAR:?message}` in the values of a config.
//!
//! The expansion happens in scalar values of the tree, after the YAML was parsed: whatever a variable
//! holds stays one scalar and can never add a key or a list item. `$$` is a dollar sign.

use super::error::Problem;
use super::yaml::{Node, Value, is_null};

/// Where variables come from: the process's environment, or a test's own.
pub type Lookup<'l> = &'l dyn Fn(&str) -> Option<String>;

/// Expands every scalar below `node` in place; what is wrong is added to `problems`.
pub fn expand(node: &mut Node, path: &str, lookup: Lookup<'_>, problems: &mut Vec<Problem>) {
    match &mut node.value {
        Value::Scalar { text, plain } if text.contains('$') => match expand_text(text, lookup) {
            Ok((expanded, shown)) => {
                // A variable that is empty is an empty text: whoever writes `ipAllow: ${ALLOWED}` does not mean everybody.
                *plain &= !is_null(&expanded);
                node.is_filled = shown.is_some();
                node.shown = shown.map(Into::into);
                *text = expanded;
            }
            Err(message) => {
                problems.push(Problem::error(node.at, path, message));
                node.value = Value::Pruned;
            }
        },
        Value::Sequence(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                expand(item, &format!("{path}[{index}]"), lookup, problems);
            }
        }
        Value::Mapping(entries) => {
            for entry in &mut *entries {
                let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                expand(&mut entry.value, &path, lookup, problems);
            }
            node.is_filled = entries.iter().any(|entry| entry.value.is_filled);
        }
        Value::Scalar { .. } | Value::Pruned => {}
    }
}

/// The text with the values of its variables, and with their names, if it has any.
fn expand_text(text: &str, lookup: Lookup<'_>) -> Result<(String, Option<String>), String> {
    let (mut expanded, mut shown) = (String::with_capacity(text.len()), String::with_capacity(text.len()));
    let mut has_variable = false;
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        let (before, after) = (&rest[..dollar], &rest[dollar + 1..]);
        let (value, name, after) = if let Some(after) = after.strip_prefix('$') {
            ("$".to_owned(), "$".to_owned(), after)
        } else if let Some(after) = after.strip_prefix('{') {
            let end = after.find('}').ok_or("\"${\" without its \"}\"; write $$ for a dollar sign")?;
            let (name, value) = expand_one(&after[..end], lookup)?;
            has_variable = true;
            (value, format!("${{{name}}}"), &after[end + 1..])
        } else {
            return Err("a lone \"$\"; write ${NAME} for a variable or $$ for a dollar sign".into());
        };
        [before, &value].iter().for_each(|piece| expanded.push_str(piece));
        [before, &name].iter().for_each(|piece| shown.push_str(piece));
        rest = after;
    }
    expanded.push_str(rest);
    shown.push_str(rest);
    Ok((expanded, has_variable.then_some(shown)))
}

/// Name and value of what stands between `${` and `}`. As in the shell's `:-` and `:?`, an empty variable
/// counts as unset. What is no name may be a part of a password, and is not repeated.
fn expand_one<'t>(inside: &'t str, lookup: Lookup<'_>) -> Result<(&'t str, String), String> {
    let (name, fallback) = match inside.find(':') {
        Some(colon) => (&inside[..colon], Some(&inside[colon..])),
        None => (inside, None),
    };
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        return Err(
            "\"${…}\" names no variable; write ${NAME}, ${NAME:-default} or ${NAME:?message}, and $$ for a dollar sign"
                .to_owned(),
        );
    }
    let value = lookup(name);
    let value = match fallback {
        None => value.ok_or_else(|| {
            format!("the environment variable {name} is not set; set it, or write ${{{name}:-default}}")
        }),
        Some(rest) => {
            let filled = value.filter(|value| !value.is_empty());
            if let Some(default) = rest.strip_prefix(":-") {
                Ok(filled.unwrap_or_else(|| default.to_owned()))
            } else if let Some(message) = rest.strip_prefix(":?") {
                filled.ok_or_else(|| format!("the environment variable {name} is not set: {message}"))
            } else {
                Err(format!("\"${{{name}:…}}\": after the name comes :- and a default, or :? and a message"))
            }
        }
    };
    Ok((name, value?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "PORT" => Some("9000".into()),
            "EMPTY" => Some(String::new()),
            "EVIL" => Some("x\nadmin: true # [".into()),
            _ => None,
        }
    }

    #[test]
    fn every_form_expands_as_documented() {
        for (text, expected, shown) in [
            ("0.0.0.0:${PORT}", "0.0.0.0:9000", Some("0.0.0.0:${PORT}")),
            ("${PORT:-8000}${NOPE:-8000}${EMPTY:-1}", "900080001", Some("${PORT}${NOPE}${EMPTY}")),
            ("${EMPTY}|${NOPE:-}", "|", Some("${EMPTY}|${NOPE}")),
            ("a$$b$${PORT}", "a$b${PORT}", None),
            ("${PORT:?needed}$$", "9000$", Some("${PORT}$")),
        ] {
            let found = expand_text(text, &lookup).expect(text);
            assert_eq!((found.0.as_str(), found.1.as_deref()), (expected, shown), "{text}");
        }
    }

    #[test]
    fn every_mistake_says_what_would_be_right() {
        for (text, part) in [
            ("${NOPE}", "NOPE is not set"),
            ("${NOPE:?set it to the port}", "set it to the port"),
            ("${EMPTY:?no}", "EMPTY is not set: no"),
            ("${PORT", "without its"),
            ("cost: 5$", "$$"),
            ("$PORT", "${NAME}"),
            ("${}", "names no variable"),
            ("${A B}", "names no variable"),
            ("${PORT:8000}", ":-"),
        ] {
            let message = expand_text(text, &lookup).expect_err(text);
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    /// It was nothing, as if it had not been written: with `ipAllow`, everybody was served.
    #[test]
    fn a_variable_that_is_empty_is_a_text() {
        let mut problems = Vec::new();
        let mut root = yaml::read("a: ${EMPTY}\n", &mut problems).expect("valid");
        expand(&mut root, "", &lookup, &mut problems);
        let Value::Mapping(entries) = &root.value else { panic!() };
        assert!(problems.is_empty() && !entries[0].value.value.is_null());
    }

    #[test]
    fn a_variable_cannot_inject_structure() {
        let mut problems = Vec::new();
        let mut root = yaml::read("a: ${EVIL}\n", &mut problems).expect("valid");
        expand(&mut root, "", &lookup, &mut problems);
        assert_eq!(problems, []);
        let Value::Mapping(entries) = &root.value else { panic!() };
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].value.value, Value::Scalar { text: "x\nadmin: true # [".into(), plain: true });
    }
}
