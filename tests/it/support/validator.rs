//! A validator of JSON Schema that is not ours: Python's `jsonschema`, in a process of its own. A crate would bring features to
//! what the gateway itself is built of, and everything be built twice.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

const SCRIPT: &str = "
import json, sys
from jsonschema import Draft202012Validator
schema = json.loads(sys.stdin.readline())
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema)
for line in sys.stdin:
    errors = validator.iter_errors(json.loads(line))
    print(json.dumps(['/'.join(map(str, error.path)) + ': ' + error.message for error in errors]), flush=True)
";

/// One schema's. Dropped, the process ends.
pub struct Validator {
    child: Child,
    talk: RefCell<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Validator {
    /// For draft 2020-12; a schema that is none is told by the first answer.
    pub fn new(schema: &Value) -> Self {
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/kubernetes-validate");
        let mut child = Command::new("python3")
            .args(["-c", SCRIPT])
            .env("PYTHONPATH", tools)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut say = child.stdin.take().unwrap();
        writeln!(say, "{schema}").unwrap();
        let hear = BufReader::new(child.stdout.take().unwrap());
        let validator = Validator { child, talk: RefCell::new((say, hear)) };
        validator.errors(&json!({}));
        validator
    }

    /// What is wrong with an instance.
    pub fn errors(&self, instance: &Value) -> Vec<String> {
        let (say, hear) = &mut *self.talk.borrow_mut();
        writeln!(say, "{instance}").unwrap();
        let mut line = String::new();
        hear.read_line(&mut line).unwrap();
        serde_json::from_str(&line).expect("jsonschema, which `.ci/need kubernetes-validate` installs")
    }

    pub fn is_valid(&self, instance: &Value) -> bool {
        self.errors(instance).is_empty()
    }
}

impl Drop for Validator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
