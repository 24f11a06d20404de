//! Which key of a cluster is where: by 16,384 slots (Redis cluster specification, "Key distribution model").

use redis::{RedisResult, Value, from_redis_value};

/// How many slots there are.
pub const SLOTS: usize = 16_384;

/// Slots in a row, and the host and port of the primary that has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
    /// The primary's host; empty: the one that said so.
    pub host: String,
    /// And its port.
    pub port: u16,
}

/// The slot of a key: by what is between its first braces, if there is anything.
pub fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    crc16(tag.filter(|tag| !tag.is_empty()).unwrap_or(key).as_bytes()) % SLOTS as u16
}

/// CRC-16/XMODEM, as the specification has it in appendix A: polynomial 0x1021, beginning with 0.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| crc << 1 ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 })
    })
}

/// What a node answers to `CLUSTER SLOTS`.
///
/// # Errors
/// Something else.
pub fn read(answer: Value) -> RedisResult<Vec<Range>> {
    let rows: Vec<Vec<Value>> = from_redis_value(answer)?;
    let range = |row: Vec<Value>| -> RedisResult<Option<Range>> {
        let mut row = row.into_iter();
        let (Some(first), Some(last), Some(primary)) = (row.next(), row.next(), row.next()) else { return Ok(None) };
        let mut primary = from_redis_value::<Vec<Value>>(primary)?.into_iter();
        let (Some(host), Some(port)) = (primary.next(), primary.next()) else { return Ok(None) };
        let host: Option<String> = from_redis_value(host)?;
        Ok(Some(Range {
            first: from_redis_value(first)?,
            last: from_redis_value(last)?,
            // A node that does not know its own name says nothing, or a question mark.
            host: host.filter(|host| host != "?").unwrap_or_default(),
            port: from_redis_value(port)?,
        }))
    };
    rows.into_iter().filter_map(|row| range(row).transpose()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_where_redis_says_they_are() {
        // As `CLUSTER KEYSLOT` answers.
        for (key, expected) in [
            ("123456789", 0x31C3),
            ("foo", 12_182),
            ("somekey", 11_058),
            ("foo{hash_tag}", 2_515),
            ("bar{hash_tag}", 2_515),
            ("{}foo", 9_500),
            ("", 0),
        ] {
            assert_eq!(slot(key), expected, "{key}");
        }
        assert_eq!(slot("aegis:rl:{127.0.0.1}:/users"), slot("127.0.0.1"));
    }

    #[test]
    fn ranges_are_read_and_what_is_none_is_told() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let primary = |host: Value| Value::Array(vec![host, Value::Int(7000), text("id"), Value::Array(vec![])]);
        let row = |host: Value| Value::Array(vec![Value::Int(0), Value::Int(5460), primary(host), primary(text("b"))]);
        let range = |host: &str| Range { first: 0, last: 5460, host: host.into(), port: 7000 };
        let rows = Value::Array(vec![row(text("a")), row(Value::Nil), row(text("?")), Value::Array(vec![])]);
        assert_eq!(read(rows), Ok(vec![range("a"), range(""), range("")]));
        assert_eq!(read(text("nonsense")), Ok(vec![]));
        assert!(read(Value::Array(vec![Value::Array(vec![text("x"), Value::Int(1), primary(text("a"))])])).is_err());
    }
}
