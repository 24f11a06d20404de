//! Metrics as Prometheus reads them: its text format, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
//!
//! Most of what is shown lives elsewhere, in circuits, limits and targets, and is read when it is asked for. The libraries that there are
//! want to own their values, or say them in OpenMetrics, in which counters are named otherwise.

use std::fmt::Write;

use crate::histogram::{BOUNDS, Seen};

/// The media type of what [`Page::finish`] gives.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; its name ends with `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

/// Names of labels and their values.
pub type Labels<'l> = [(&'l str, &'l str)];

/// A page that is being written. Families come one after the other, each whole.
#[derive(Debug, Default)]
pub struct Page(String);

/// A family to which samples are added.
#[derive(Debug)]
pub struct Family<'p> {
    text: &'p mut String,
    name: &'static str,
}

impl Page {
    /// Begins a family; `help` is one line for people.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // A String takes whatever is written.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { text: &mut self.0, name }
    }

    /// A family with one sample that has no labels.
    pub fn one(&mut self, name: &'static str, kind: Kind, help: &str, value: f64) {
        self.family(name, kind, help).sample(&[], value);
    }

    /// The text.
    pub fn finish(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// One value.
    pub fn sample(&mut self, labels: &Labels<'_>, value: f64) {
        self.line("", labels, None, value);
    }

    /// What a histogram has counted.
    pub fn histogram(&mut self, labels: &Labels<'_>, seen: &Seen) {
        for (bound, count) in BOUNDS.iter().zip(seen.within) {
            self.line("_bucket", labels, Some(&bound.to_string()), count as f64);
        }
        self.line("_bucket", labels, Some("+Inf"), seen.count as f64);
        self.line("_sum", labels, None, seen.sum);
        self.line("_count", labels, None, seen.count as f64);
    }

    fn line(&mut self, suffix: &str, labels: &Labels<'_>, bound: Option<&str>, value: f64) {
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        let bound = bound.map(|bound| ("le", bound));
        for (at, (name, value)) in labels.iter().copied().chain(bound).enumerate() {
            self.text.push(if at == 0 { '{' } else { ',' });
            self.text.push_str(name);
            self.text.push_str("=\"");
            value.chars().for_each(|letter| match letter {
                '\\' => self.text.push_str("\\\\"),
                '"' => self.text.push_str("\\\""),
                '\n' => self.text.push_str("\\n"),
                _ => self.text.push(letter),
            });
            self.text.push('"');
        }
        if !labels.is_empty() || bound.is_some() {
            self.text.push('}');
        }
        // A String takes whatever is written.
        let _ = writeln!(self.text, " {value}");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::histogram::Histogram;

    #[test]
    fn a_page_is_families_of_samples() {
        let mut page = Page::default();
        page.one("a_info", Kind::Gauge, "What is a.", 1.0);
        let mut family = page.family("b_total", Kind::Counter, "How many b.");
        family.sample(&[("path", "/\"\\\n"), ("state", "OPEN")], 7.0);
        family.sample(&[("path", "")], 0.5);
        assert_eq!(
            page.finish(),
            "# HELP a_info What is a.\n# TYPE a_info gauge\na_info 1\n# HELP b_total How many b.\n# TYPE b_total counter\n\
             b_total{path=\"/\\\"\\\\\\n\",state=\"OPEN\"} 7\nb_total{path=\"\"} 0.5\n"
        );
    }

    #[test]
    fn a_histogram_has_buckets_that_add_up_a_sum_and_a_count() {
        let histogram = Histogram::default();
        [1, 3, 40_000].map(Duration::from_millis).iter().for_each(|took| histogram.observe(*took));
        let mut page = Page::default();
        page.family("c_seconds", Kind::Histogram, "How long.").histogram(&[("route", "x")], &histogram.seen());
        let text = page.finish();
        for line in [
            "c_seconds_bucket{route=\"x\",le=\"0.00025\"} 0",
            "c_seconds_bucket{route=\"x\",le=\"0.001\"} 1",
            "c_seconds_bucket{route=\"x\",le=\"0.005\"} 2",
            "c_seconds_bucket{route=\"x\",le=\"30\"} 2",
            "c_seconds_bucket{route=\"x\",le=\"+Inf\"} 3",
            "c_seconds_sum{route=\"x\"} 40.004",
            "c_seconds_count{route=\"x\"} 3",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}: {text}");
        }
    }
}
