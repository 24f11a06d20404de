//! The scripts, sent and answered.

use std::num::NonZeroU32;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, Pipeline, RedisError, RedisResult, Script, ServerErrorKind};
use smallvec::SmallVec;

use crate::plugin::rate_limit::algorithm::{Algorithms, Answer, Charge, Quota, Standing, script};

/// What some counters are asked together.
#[derive(Clone, Debug)]
pub struct Question {
    /// The counters' keys, and what a request takes of each.
    pub counters: SmallVec<[(String, Charge); 1]>,
    /// How many requests want to pass.
    pub wanted: u32,
    /// How they are counted.
    pub mode: Mode,
    /// The server is about to get the counters' slot, and is told that we know.
    pub asking: bool,
}

/// How requests are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// If they fit, with so many more for later.
    Ask(u32),
    /// Come what may: it has happened.
    Charge,
}

impl Question {
    /// One that is answered only by who can run scripts and write `key`.
    pub fn trial(key: &str) -> Self {
        let quota = Quota::fixed(NonZeroU32::MIN, Duration::from_secs(1));
        let counters = SmallVec::from_iter([(key.to_owned(), Charge::one(quota))]);
        Question { counters, wanted: 1, mode: Mode::Charge, asking: false }
    }

    fn algorithms(&self) -> Algorithms {
        self.counters.iter().map(|(_, charge)| charge.quota.algorithm).collect()
    }
}

/// A script for each set of algorithms.
pub struct Scripts([Text; Algorithms::SETS]);

struct Text {
    text: String,
    hash: String,
}

impl Default for Scripts {
    fn default() -> Self {
        Scripts(Algorithms::all().map(|set| {
            let text = script(set);
            Text { hash: Script::new(&text).get_hash().to_owned(), text }
        }))
    }
}

impl Scripts {
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
        for question in questions {
            if question.asking {
                pipeline.cmd("ASKING").ignore();
            }
            let script = &self.0[question.algorithms().index()];
            match as_text {
                false => pipeline.cmd("EVALSHA").arg(&script.hash),
                true => pipeline.cmd("EVAL").arg(&script.text),
            };
            pipeline.arg(question.counters.len());
            for (key, _) in &question.counters {
                pipeline.arg(key);
            }
            pipeline.arg(question.wanted);
            match question.mode {
                Mode::Ask(spare) => pipeline.arg(spare),
                Mode::Charge => pipeline.arg(-1),
            };
            pipeline.arg("");
            for (_, Charge { quota, cost, dry_run }) in &question.counters {
                pipeline.arg(quota.algorithm.name()).arg(quota.max.get()).arg(quota.window_millis());
                pipeline.arg(quota.limit()).arg(cost.get()).arg(u8::from(*dry_run));
            }
        }
        let answers: Vec<RedisResult<Vec<u64>>> = pipeline.ignore_errors().query_async(connection).await?;
        Ok(answers.into_iter().map(|answer| answer.and_then(|numbers| read(&numbers))).collect())
    }
}

fn read(numbers: &[u64]) -> RedisResult<Answer> {
    let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let (granted, standings) = match numbers {
        [granted, rest @ ..] if rest.len() % 4 == 0 => (count(*granted), rest.chunks_exact(4)),
        _ => return Err((ErrorKind::UnexpectedReturnType, "the script answered something else").into()),
    };
    let standing = |four: &[u64]| Standing {
        fits: count(four[0]),
        remaining: count(four[1]),
        retry_after: four[2],
        reset: four[3],
    };
    Ok(Answer { granted, standings: standings.map(standing).collect() })
}

fn is_no_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_script_answers_is_an_error() {
        assert_eq!(read(&[2, 3, 1, 0, 60]).map(|answer| answer.granted), Ok(2));
        assert!(read(&[]).is_err() && read(&[1, 2, 3]).is_err());
    }
}
