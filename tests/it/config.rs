//! Config files and what the check says of them: `tests/config/NAME.yaml` with `NAME.expected` beside it. A
//! new case is two new files; `EXPECT=write` writes the second one, to be read before it is kept.

use std::fs;
use std::path::PathBuf;

use crate::support::aegis;

#[test]
fn every_file_gets_what_stands_beside_it() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "yaml"));
    files.sort();
    assert!(files.len() >= 10, "{files:?}");
    let mut wrong = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let mut command = aegis(&["check", "-c", name]);
        command.current_dir(&folder).env("SET", "a value").env("EMPTY", "").env("JWT_SECRET", crate::support::SECRET);
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let got = format!("{}{}exit {}\n", text(&output.stderr), text(&output.stdout), output.status.code().unwrap());
        let expected = file.with_extension("expected");
        if std::env::var_os("EXPECT").is_some_and(|value| value == "write") {
            fs::write(&expected, &got).unwrap();
        }
        let wanted = fs::read_to_string(&expected).unwrap_or_default();
        if got != wanted {
            wrong.push(format!("{name}: got\n{got}but wanted\n{wanted}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
