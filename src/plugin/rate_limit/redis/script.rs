//! The scripts, sent and answered.

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, Pipeline, RedisError, RedisResult, Script, ServerErrorKind};

use crate::config::LimitAlgorithm;
use crate::plugin::rate_limit::algorithm::{self, Answer, Quota};

/// What a counter is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// The counter's key.
    pub key: String,
    /// What it enforces.
    pub quota: Quota,
    /// How many requests want to pass.
    pub wanted: u32,
}

/// A script for each algorithm.
pub struct Scripts {
    fixed_window: Text,
    sliding_window: Text,
    token_bucket: Text,
}

struct Text {
    text: String,
    hash: String,
}

impl Default for Scripts {
    fn default() -> Self {
        let text = |algorithm| {
            let text = algorithm::script(algorithm);
            Text { hash: Script::new(&text).get_hash().to_owned(), text }
        };
        Scripts {
            fixed_window: text(LimitAlgorithm::FixedWindow),
            sliding_window: text(LimitAlgorithm::SlidingWindow),
            token_bucket: text(LimitAlgorithm::TokenBucket),
        }
    }
}

impl Scripts {
    fn of(&self, algorithm: LimitAlgorithm) -> &Text {
        match algorithm {
            LimitAlgorithm::FixedWindow => &self.fixed_window,
            LimitAlgorithm::SlidingWindow => &self.sliding_window,
            LimitAlgorithm::TokenBucket => &self.token_bucket,
        }
    }

    /// Asks all of `questions` in one round trip.
    ///
    /// # Errors
    /// The connection's. Each answer may be an error of the server's, too.
    pub async fn ask(
        &self,
        connection: &mut MultiplexedConnection,
        questions: &[Question],
    ) -> RedisResult<Vec<RedisResult<Answer>>> {
        let mut answers = self.send(connection, false, questions.iter()).await?;
        // Redis was restarted or its scripts were flushed: EVAL runs the text and remembers it.
        let unknown = |at: &usize| answers[*at].as_ref().is_err_and(is_no_script);
        let unknown: Vec<usize> = (0..answers.len()).filter(unknown).collect();
        if !unknown.is_empty() {
            let again = self.send(connection, true, unknown.iter().map(|at| &questions[*at])).await?;
            for (at, answer) in unknown.into_iter().zip(again) {
                answers[at] = answer;
            }
        }
        Ok(answers)
    }

    /// Sends the scripts' hashes, or their text.
    async fn send(
        &self,
        connection: &mut MultiplexedConnection,
        as_text: bool,
        questions: impl Iterator<Item = &Question>,
    ) -> RedisResult<Vec<RedisResult<Answer>>> {
        let mut pipeline = Pipeline::new();
        for Question { key, quota, wanted } in questions {
            let script = self.of(quota.algorithm);
            match as_text {
                false => pipeline.cmd("EVALSHA").arg(&script.hash),
                true => pipeline.cmd("EVAL").arg(&script.text),
            };
            pipeline.arg(1).arg(key).arg(wanted).arg("");
            pipeline.arg(quota.max.get()).arg(quota.window_millis()).arg(quota.burst.get());
        }
        let answers: Vec<RedisResult<(u32, u32, u64, u64)>> = pipeline.ignore_errors().query_async(connection).await?;
        let read = |(granted, remaining, retry_after, reset)| Answer { granted, remaining, retry_after, reset };
        Ok(answers.into_iter().map(|answer| answer.map(read)).collect())
    }
}

fn is_no_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}
