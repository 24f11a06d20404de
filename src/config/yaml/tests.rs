use super::*;

fn tree(text: &str) -> Node {
    let mut problems = Vec::new();
    let node = read(text, &mut problems).expect("valid YAML");
    assert_eq!(problems, []);
    node
}

fn entry<'a>(node: &'a Node, key: &str) -> &'a Entry {
    let Value::Mapping(entries) = &node.value else { panic!("no mapping: {node:?}") };
    entries.iter().find(|entry| entry.key == key).expect("the key")
}

#[test]
fn keys_and_values_know_where_they_stand() {
    let root = tree("routes:\n  - path: /users\n    targets: [ 'http://a:1' ]\n");
    let routes = entry(&root, "routes");
    assert_eq!(routes.key_at, Position { line: 1, column: 1 });
    let Value::Sequence(items) = &routes.value.value else { panic!() };
    let path = entry(&items[0], "path");
    assert_eq!((path.key_at.line, path.key_at.column), (2, 5));
    assert_eq!((path.value.at.line, path.value.at.column), (2, 11));
    assert_eq!(path.value.value, Value::Scalar { text: "/users".into(), plain: true });
    let Value::Sequence(targets) = &entry(&items[0], "targets").value.value else { panic!() };
    assert_eq!(targets[0].value, Value::Scalar { text: "http://a:1".into(), plain: false });
    assert_eq!((targets[0].at.line, targets[0].at.column), (3, 16));
}

#[test]
fn a_repeated_key_is_found_where_it_repeats() {
    let mut problems = Vec::new();
    read("a: 1\nb: 2\na: 3\n", &mut problems).expect("readable");
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].at, Position { line: 3, column: 1 });
}

#[test]
fn broken_text_says_where() {
    for text in ["a: [1, 2", "a: b: c: d", "a: 'half", "a: 1\n---\nb: 2\n", "? [a]\n: 1\n"] {
        let problem = read(text, &mut Vec::new()).expect_err(text);
        assert!(problem.at.line >= 1, "{text}: {problem}");
    }
}

/// Each of these is as deep as may be, and is in the one after it.
#[test]
fn aliases_do_not_nest_deeper_than_brackets() {
    let deep = |inside: &str| format!("{}{inside}{}", "[".repeat(40), "]".repeat(40));
    let one = format!("a: &a {}\n", deep("x"));
    assert!(read(&one, &mut Vec::new()).is_ok());
    assert!(read(&format!("{one}b: [[*a]]\n"), &mut Vec::new()).is_ok());
    let problem = read(&format!("{one}b: &b {}\n", deep("*a")), &mut Vec::new()).expect_err("too deep");
    assert!(problem.message.contains("deeper than 64"), "{problem}");
}

#[test]
fn characters_of_nobody_stay_what_they_are() {
    let root = tree("a: \"\\uE041\"\n");
    assert_eq!(entry(&root, "a").value.value, Value::Scalar { text: "\u{E041}".into(), plain: false });
}

#[test]
fn a_variable_is_one_piece_wherever_it_stands() {
    let root = tree("redis: { url: ${REDIS_URL:-}, secret: ${A:?say: so, or [not]} }\nb: x ${C} # ${D}\n");
    let redis = &entry(&root, "redis").value;
    let plain = |text: &str| Value::Scalar { text: text.into(), plain: true };
    assert_eq!(entry(redis, "url").value.value, plain("${REDIS_URL:-}"));
    assert_eq!(entry(redis, "secret").value.value, plain("${A:?say: so, or [not]}"));
    assert_eq!(entry(redis, "secret").value.at, Position { line: 1, column: 39 });
    assert_eq!(entry(&root, "b").value.value, plain("x ${C}"));
}

#[test]
fn aliases_are_copied_but_never_without_bound() {
    let root = tree("x: &x [1, 2]\ny: *x\n");
    assert_eq!(entry(&root, "x").value.value, entry(&root, "y").value.value);
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let previous = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb += &format!("a{level}: &a{level} [{previous}]\n");
    }
    let problem = read(&bomb, &mut Vec::new()).expect_err("a bomb");
    assert!(problem.message.contains("1000000"), "{problem}");
    let deep = "[".repeat(100_000);
    assert!(read(&deep, &mut Vec::new()).is_err());
}
