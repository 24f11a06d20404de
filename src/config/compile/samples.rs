//! Secrets that come with the gateway, which everybody knows.

use crate::config::units::Secret;

/// Those of `.env.example` and of `deploy/kubernetes`.
const SAMPLES: [&str; 3] =
    ["your_secret_key_here_at_least_32_bytes", "sample-admin-token-change-me", "sample-read-token-change-me"];
/// What is said of one.
pub const KNOWN: &str = "this is a sample that everybody knows; `openssl rand -base64 48` makes one that nobody does";

/// Whether it is one of them.
pub fn is_known(secret: &Secret) -> bool {
    SAMPLES.contains(&secret.reveal())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn they_are_those_that_come_with_the_gateway() {
        let file = |name: &str| std::fs::read_to_string(name).expect(name);
        let (env, manifest) = (file(".env.example"), file("deploy/kubernetes/secrets.yaml"));
        let in_env = env.lines().filter_map(|line| line.strip_prefix("JWT_SECRET="));
        let in_manifest =
            manifest.lines().filter_map(|line| line.trim().split_once("-token: ").map(|(_, value)| value));
        let found: BTreeSet<&str> = in_env.chain(in_manifest).collect();
        assert_eq!(found, BTreeSet::from(SAMPLES));
        for sample in SAMPLES {
            assert!(is_known(&Secret::new(sample)), "{sample}");
        }
        let compose = file("docker-compose.yml");
        assert!(compose.contains(SAMPLES[0]) && manifest.contains(SAMPLES[0]));
        assert!(!is_known(&Secret::new("your_secret_key_here_at_least_32_byte")));
    }
}
