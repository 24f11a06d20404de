//! A `Host`: what it is read as is its own reading, is a name or an address that nobody could read otherwise, and whoever reads it
//! loosely comes to the same.

use aegis::routing::host::of;

pub fn run(data: &[u8]) {
    let Some(host) = of(data) else { return };
    assert_eq!(of(host.as_bytes()).as_deref(), Some(&*host));
    assert!(!host.is_empty() && host.len() <= 253, "{host}");
    let text = std::str::from_utf8(data).expect("no host is anything else");
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => {
            let address: std::net::Ipv6Addr = address.parse().expect("an address");
            let (inside, port) = text[1..].split_once(']').expect("brackets");
            assert_eq!((inside.parse(), is_port(port)), (Ok(address), true), "{text}");
        }
        None => {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
            assert!(host.bytes().all(plain) && host.split('.').all(|label| !label.is_empty()), "{host}");
            // Everything up to the port, but for case and one dot.
            let (name, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            let name = name.to_lowercase();
            assert!(name == *host || name == format!("{host}."), "{text}");
            assert!(is_port(port), "{text}");
        }
    }
    // As the library that targets of ours may use reads it.
    let authority: http::uri::Authority = text.parse().expect("an authority");
    assert!(authority.host().trim_end_matches('.').eq_ignore_ascii_case(text_of_host(text)), "{text}");
}

/// Nothing, or a colon and a number that fits.
fn is_port(text: &str) -> bool {
    let number = text.strip_prefix(':');
    text.is_empty()
        || number.is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok())
}

/// The host as it is written, without the dot at its end.
fn text_of_host(text: &str) -> &str {
    let end = text.rfind(']').map_or_else(|| text.find(':').unwrap_or(text.len()), |bracket| bracket + 1);
    text[..end].trim_end_matches('.')
}
