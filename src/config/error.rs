//! What is wrong with a config file, where, and what would be right.

use std::fmt;

/// A place in the file, both counted from 1; columns are characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

/// Whether the gateway can run in spite of a [`Problem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but somebody should look.
    Warning,
}

/// One finding. Displays as `LINE:COL: where: what; what would be right`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Error or warning.
    pub severity: Severity,
    /// Where in the file.
    pub at: Position,
    /// The path of keys that leads there, such as `routes[2].plugins.rateLimit.max`; empty for the
    /// whole file.
    pub path: String,
    /// What is wrong and, after a semicolon, what would be right.
    pub message: String,
}

impl Problem {
    /// A finding that keeps the gateway from starting.
    pub fn error(at: Position, path: impl Into<String>, message: impl Into<String>) -> Self {
        Problem { severity: Severity::Error, at, path: path.into(), message: message.into() }
    }

    /// A finding that does not.
    pub fn warning(at: Position, path: impl Into<String>, message: impl Into<String>) -> Self {
        Problem { severity: Severity::Warning, ..Problem::error(at, path, message) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.at.line, self.at.column)?;
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Why a config file gave no config.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read, or is no text.
    #[error("{file}: cannot read the config: {reason}")]
    Unreadable {
        /// The file's name as it was given.
        file: String,
        /// The system's reason, or where it is not UTF-8 text.
        reason: String,
    },
    /// It was read, and is no YAML as a whole (half-written, two documents) or says things that cannot be run.
    #[error("{}", list(file, problems))]
    Invalid {
        /// The file's name as it was given.
        file: String,
        /// Everything found, errors and warnings, in the order of the file.
        problems: Vec<Problem>,
    },
}

/// The findings, one line each, as `FILE:LINE:COL: …`.
pub fn list(file: &str, problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(|problem| format!("{file}:{problem}")).collect();
    lines.join("\n")
}

/// The candidate that a mistyped word most likely meant, if one is near enough to suggest.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let score = |candidate: &str| {
        let (word, candidate) = (word.to_lowercase(), candidate.to_lowercase());
        // Snake and kebab case are the usual slips for a camelCase key.
        let (word, candidate) = (word.replace(['_', '-'], ""), candidate.replace(['_', '-'], ""));
        strsim::jaro_winkler(&word, &candidate)
    };
    candidates
        .into_iter()
        .map(|candidate| (score(candidate), candidate))
        .filter(|(score, _)| *score >= 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_typos_and_other_cases_but_no_strangers() {
        let keys = ["path", "targets", "plugins", "rateLimit", "stripPrefix"];
        for (typed, meant) in [
            ("taregts", Some("targets")),
            ("rate_limit", Some("rateLimit")),
            ("ratelimit", Some("rateLimit")),
            ("strip-prefix", Some("stripPrefix")),
            ("pluginss", Some("plugins")),
            ("zebra", None),
        ] {
            assert_eq!(nearest(typed, keys), meant, "{typed}");
        }
    }

    #[test]
    fn a_problem_reads_where_what_and_the_way_out() {
        let at = Position { line: 3, column: 7 };
        let problem = Problem::error(at, "routes[0].taregts", "unknown key; did you mean \"targets\"?");
        assert_eq!(problem.to_string(), "3:7: routes[0].taregts: unknown key; did you mean \"targets\"?");
        let warning = Problem::warning(at, "", "weak");
        assert_eq!(warning.to_string(), "3:7: warning: weak");
    }
}
