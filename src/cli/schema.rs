//! `aegis schema`

use std::io::Write;

use super::Exit;
use crate::config::schema::schema;

/// Prints the JSON Schema of the config file.
pub fn run() -> Exit {
    let written = serde_json::to_string_pretty(&schema())
        .map_err(std::io::Error::from)
        .and_then(|text| writeln!(std::io::stdout().lock(), "{text}"));
    match written {
        Ok(()) => Exit::Good,
        Err(error) => {
            eprintln!("aegis: cannot print the schema: {error}");
            Exit::Unable
        }
    }
}
