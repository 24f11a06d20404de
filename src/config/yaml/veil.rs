//! `${…}` is one piece to the parser, whatever stands in it.

use std::borrow::Cow;

/// Where the veiled characters go: the private use area of Unicode, one to one, so positions stay.
const VEIL: u32 = 0xE000;

/// Hides the characters that YAML gives a meaning to, inside `${…}`, from the parser.
pub fn veil(text: &str) -> Cow<'_, str> {
    let veiled = |c: char| (VEIL..VEIL + 128).contains(&(c as u32));
    if !text.contains("${") || text.contains(veiled) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        out.push_str(&rest[..=start]);
        rest = &rest[start + 1..];
        let length = rest.find(['}', '\n']).filter(|end| rest[*end..].starts_with('}')).map_or(0, |end| end + 1);
        out.extend(rest[..length].chars().map(|c| match c {
            c if c.is_ascii_punctuation() || c == ' ' => char::from_u32(VEIL + c as u32).unwrap_or(c),
            c => c,
        }));
        rest = &rest[length..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The text as it was before [`veil`].
pub fn unveil(text: &str) -> String {
    let lift = |c: char| (c as u32).checked_sub(VEIL).filter(|c| *c < 128).and_then(char::from_u32).unwrap_or(c);
    text.chars().map(lift).collect()
}
