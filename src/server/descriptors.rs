//! File descriptors: one for each connection, to clients and to targets, and a few for files.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Connections that are kept for the next request, whatever the limit is.
const LEAST: u64 = 32;
/// More idle ones than this, over all targets, are not worth their memory.
const MOST: u64 = 8_192;

/// Lets the process have as many as it may have at all: shells and service managers begin with a low limit for programs that
/// cannot go beyond 1,024, and trust that others ask for more. Gives how many that is.
pub fn raise() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 0 };
    if soft < hard {
        // Some systems let it be no more than what they say elsewhere: then it stays.
        if let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
            log::debug!("the limit of file descriptors stays at {soft}, not {hard}: {error}");
            return soft;
        }
    }
    hard
}

/// How many connections to targets are kept of either kind (`forward::exchange` has its own) while they wait for the next request, where
/// there may be `descriptors`: together a quarter, since clients need as many as they come with.
pub fn kept(descriptors: u64) -> usize {
    (descriptors / 8).clamp(LEAST, MOST) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_is_for_targets_within_reason() {
        let limits = [0, 256, 1_024, 20_000, 1 << 20, u64::MAX];
        assert_eq!(limits.map(kept), [32, 32, 128, 2_500, 8_192, 8_192]);
    }
}
