//! Files of targets: a list as under `targets:`, read again whenever it changes.

use std::collections::HashSet;
use std::num::NonZeroU32;

use super::conceal;
use super::error::{LoadError, Problem, Severity};
use super::file::FileTarget;
use super::located::Located;
use super::units::TargetUrl;
use super::yaml::Value;
use super::{decode, yaml};

/// What such a file holds.
const SHAPE: &str = "a list of targets and nothing else, one a line: - http://10.0.0.1:3001";

/// Reads the targets, with their weights, from the text of a file.
///
/// # Errors
/// Everything that is wrong with it; a list without a target, too.
pub fn parse(file: &str, text: &str) -> Result<Vec<(TargetUrl, NonZeroU32)>, LoadError> {
    let mut problems = Vec::new();
    let invalid = |problem| LoadError::Invalid { file: file.to_owned(), problems: vec![problem] };
    let mut root = yaml::read(text, &mut problems).map_err(invalid)?;
    problems.iter_mut().for_each(|problem| problem.path.clear());
    if let Some(what) = other_than_a_list(&root.value) {
        return Err(invalid(Problem::error(root.at, "", format!("found {what}, expected {SHAPE}"))));
    }
    // It may be another file than was meant.
    conceal::conceal_all_but_urls(&mut root);
    let written: Vec<Located<FileTarget>> = decode::decode(&mut root, &mut problems).unwrap_or_default();
    let (mut targets, mut known) = (Vec::new(), HashSet::new());
    for target in &written {
        match !known.insert(&target.url) {
            true => problems.push(Problem::error(
                target.at,
                format!("[{}]", target.index),
                format!("{} is in the list already; keep one", target.url),
            )),
            false => targets.push((target.url.clone(), target.weight.map_or(NonZeroU32::MIN, |weight| weight.0))),
        }
    }
    if targets.is_empty() && problems.is_empty() {
        problems.push(Problem::error(root.at, "", format!("there is no target, expected {SHAPE}")));
    }
    problems.sort_by_key(|problem| problem.at);
    match problems.iter().any(|problem| problem.severity == Severity::Error) {
        true => Err(LoadError::Invalid { file: file.to_owned(), problems }),
        false => Ok(targets),
    }
}

fn other_than_a_list(value: &Value) -> Option<String> {
    match value {
        value if value.is_null() => Some("nothing".to_owned()),
        Value::Scalar { .. } => Some("a word".to_owned()),
        Value::Mapping(_) => Some("a block of keys".to_owned()),
        Value::Sequence(_) | Value::Pruned => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_urls_and_blocks_is_read() {
        let found = parse("t.yaml", "- http://a:1\n- { url: http://b:2, weight: 3 }\n").expect("valid");
        let shown: Vec<(&str, u32)> = found.iter().map(|(url, weight)| (url.as_str(), weight.get())).collect();
        assert_eq!(shown, [("http://a:1", 1), ("http://b:2", 3)]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, said) in [
            ("- http://a:1\n- ftp://b\n", "t.yaml:2:3: [1]: \"ftp://b\": unknown scheme"),
            ("- http://a:1\n- http://a:1\n", "t.yaml:2:3: [1]: http://a:1 is in the list already; keep one"),
            ("- { url: http://a:1, wieght: 3 }\n", "t.yaml:1:22: [0].wieght: unknown key; did you mean \"weight\"?"),
            ("[]\n", "t.yaml:1:1: there is no target"),
            ("", "t.yaml:1:1: found nothing, expected a list of targets and nothing else, one a line: - http://"),
            ("targets:\n  - http://a:1\n", "t.yaml:1:1: found a block of keys, expected a list of targets"),
            ("http://a:1\n", "t.yaml:1:1: found a word, expected a list of targets"),
            ("- [\n", "t.yaml:2:1: not valid YAML: "),
            ("- dns://a:1\n", "t.yaml:1:3: [0]: \"dns://a:1\": "),
        ] {
            let error = parse("t.yaml", text).expect_err(text).to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }
}
