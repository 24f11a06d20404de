//! A config, whatever stands in it: it is read without a panic and, if it is good, what is printed of it reads back to the
//! same.

use aegis::config::{parse, print};

/// What a secret is printed as.
const MASK: &str = "********";

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // A device has no end; whoever writes a config could read it anyway.
    if ["/dev", "/proc", "/sys"].iter().any(|place| text.contains(place)) {
        return;
    }
    let variable = |name: &str| match name {
        "SET" => Some("a value".to_owned()),
        "JWT_SECRET" => Some("a-secret-of-thirty-two-bytes-or-more".to_owned()),
        _ => None,
    };
    let Ok(loaded) = parse("fuzz.yaml", text, &variable) else { return };
    let printed = print(&loaded.config).expect("what runs can be printed");
    let again = match parse("printed.yaml", &printed, &variable) {
        Ok(again) => again.config,
        Err(error) => panic!("{error}\n{printed}"),
    };
    if printed.contains(MASK) {
        assert_eq!(print(&again).expect("printed"), printed);
    } else {
        assert_eq!(again, loaded.config, "{printed}");
    }
}
