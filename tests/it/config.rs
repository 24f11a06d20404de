//! Config files and what the check says of them: `tests/config/NAME.yaml` with `NAME.expected` beside it and, where it is
//! good, `NAME.printed` with what runs. A new case is new files; `EXPECT=write` writes all but the first one, to be read
//! before they are kept.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::aegis;

/// The files of the folder whose names end in this, of which there are many.
fn files(extension: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == extension));
    files.sort();
    assert!(files.len() >= 10, "{files:?}");
    files
}

/// What `aegis check` says of a file on standard error and standard output, and how it exits.
fn check(file: &Path, args: &[&str]) -> (String, String, i32) {
    let mut command = aegis(&["check", "-c", file.file_name().unwrap().to_str().unwrap()]);
    command.args(args).current_dir(file.parent().unwrap());
    command.env("SET", "a value").env("EMPTY", "").env("JWT_SECRET", crate::support::SECRET);
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stderr), text(output.stdout), output.status.code().unwrap())
}

/// Holds each text against the file that it should be in.
fn are_as_kept(texts: impl Iterator<Item = (PathBuf, String)>) {
    let mut wrong = Vec::new();
    for (file, got) in texts {
        if std::env::var_os("EXPECT").is_some_and(|value| value == "write") {
            fs::write(&file, &got).unwrap();
        }
        let wanted = fs::read_to_string(&file).unwrap_or_default();
        if got != wanted {
            wrong.push(format!("{}: got\n{got}but wanted\n{wanted}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_gets_what_stands_beside_it() {
    let said = |file: PathBuf| {
        let (stderr, stdout, exit) = check(&file, &[]);
        (file.with_extension("expected"), format!("{stderr}{stdout}exit {exit}\n"))
    };
    are_as_kept(files("yaml").into_iter().map(said));
}

#[test]
fn what_is_printed_of_every_good_file_stands_beside_it() {
    // As on a machine with two cores.
    let here = format!("threads: {}\n", std::thread::available_parallelism().unwrap());
    let printed = |file: PathBuf| {
        let (_, stdout, exit) = check(&file, &["--print"]);
        (exit == 0).then(|| (file.with_extension("printed"), stdout.replacen(&here, "threads: 2\n", 1)))
    };
    are_as_kept(files("yaml").into_iter().filter_map(printed));
}

#[test]
fn what_is_printed_reads_back_to_the_same() {
    for file in files("printed") {
        let printed = fs::read_to_string(&file).unwrap();
        let (stderr, again, _) = check(&file, &["--print"]);
        assert_eq!(again, printed, "{}: {stderr}", file.display());
    }
}
