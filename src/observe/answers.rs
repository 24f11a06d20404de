//! How often each method was answered by each status.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Method;
use parking_lot::Mutex;

/// The methods that there are (RFC 9110, PATCH of RFC 5789); any other is `OTHER`, so that nobody can make up series.
pub const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "OTHER"];
/// Statuses that are counted without a lock.
const COMMON: [u16; 22] =
    [101, 200, 201, 202, 204, 206, 301, 302, 304, 307, 308, 400, 401, 403, 404, 405, 409, 429, 499, 500, 502, 503];

/// Counts for many threads.
#[derive(Debug, Default)]
pub struct Answers {
    common: [[AtomicU64; COMMON.len()]; METHODS.len()],
    /// By the place of the method in [`METHODS`].
    others: Mutex<BTreeMap<(usize, u16), u64>>,
}

impl Answers {
    /// One more was answered.
    pub fn count(&self, method: &Method, status: u16) {
        let method = place(method);
        let common = COMMON.iter().position(|common| *common == status);
        match common.and_then(|at| self.common.get(method)?.get(at)) {
            Some(count) => _ = count.fetch_add(1, Ordering::Relaxed),
            None => *self.others.lock().entry((method, status)).or_default() += 1,
        }
    }

    /// Tells method, status and how often, of all that there were.
    pub fn each(&self, mut tell: impl FnMut(&'static str, u16, u64)) {
        for (method, counts) in METHODS.iter().zip(&self.common) {
            for (status, count) in COMMON.iter().zip(counts) {
                match count.load(Ordering::Relaxed) {
                    0 => {}
                    count => tell(method, *status, count),
                }
            }
        }
        for ((method, status), count) in self.others.lock().iter() {
            METHODS.get(*method).into_iter().for_each(|method| tell(method, *status, *count));
        }
    }

    /// The same, as a list.
    pub fn seen(&self) -> Vec<(&'static str, u16, u64)> {
        let mut seen = Vec::new();
        self.each(|method, status, count| seen.push((method, status, count)));
        seen
    }
}

fn place(method: &Method) -> usize {
    let name = method.as_str();
    METHODS.iter().position(|known| *known == name).unwrap_or(METHODS.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_and_status_is_counted_by_itself_and_made_up_methods_together() {
        let answers = Answers::default();
        let own = |name: &str| Method::from_bytes(name.as_bytes()).expect("a method");
        for (method, status) in
            [("GET", 200), ("GET", 200), ("GET", 418), ("POST", 200), ("BREW", 405), ("STIR", 405), ("GET", 418)]
        {
            answers.count(&own(method), status);
        }
        let seen = answers.seen();
        assert_eq!(seen, [("GET", 200, 2), ("POST", 200, 1), ("OTHER", 405, 2), ("GET", 418, 2)]);
    }
}
