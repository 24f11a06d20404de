//! The script, sent and answered.

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind};

use crate::plugin::rate_limit::fixed_window::{Quota, SCRIPT};

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

/// What it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How many of those may pass.
    pub granted: u32,
    /// How many have passed in this window, with them.
    pub used: u32,
    /// Milliseconds that are left of the window.
    pub left: u64,
}

/// Asks all of `questions` in one round trip. `hash` is the script's.
///
/// # Errors
/// The connection's. Each answer may be an error of the server's, too.
pub async fn ask(
    connection: &mut MultiplexedConnection,
    hash: &str,
    questions: &[Question],
) -> RedisResult<Vec<RedisResult<Answer>>> {
    let mut answers = send(connection, "EVALSHA", hash, questions.iter()).await?;
    // Redis was restarted or its scripts were flushed: EVAL runs the text and remembers it.
    let unknown: Vec<usize> = (0..answers.len()).filter(|at| answers[*at].as_ref().is_err_and(is_no_script)).collect();
    if !unknown.is_empty() {
        let again = send(connection, "EVAL", SCRIPT, unknown.iter().map(|at| &questions[*at])).await?;
        for (at, answer) in unknown.into_iter().zip(again) {
            answers[at] = answer;
        }
    }
    Ok(answers)
}

async fn send(
    connection: &mut MultiplexedConnection,
    command: &str,
    script: &str,
    questions: impl Iterator<Item = &Question>,
) -> RedisResult<Vec<RedisResult<Answer>>> {
    let mut pipeline = Pipeline::new();
    for Question { key, quota, wanted } in questions {
        let question = pipeline.cmd(command).arg(script).arg(1).arg(key);
        question.arg(quota.max.get()).arg(quota.window_millis()).arg(wanted);
    }
    let answers: Vec<RedisResult<(u32, u32, i64)>> = pipeline.ignore_errors().query_async(connection).await?;
    let read = |(granted, used, left)| Answer { granted, used, left: u64::try_from(left).unwrap_or(0) };
    Ok(answers.into_iter().map(|answer| answer.map(read)).collect())
}

fn is_no_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}
