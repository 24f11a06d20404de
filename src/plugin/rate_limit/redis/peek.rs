//! How counters stand, for whoever only wants to know: nothing is counted, and nobody waits for the answer in line.

use std::time::Instant;

use redis::{RedisError, RedisResult};

use super::link::Link;
use super::script::{Mode, Question};
use crate::plugin::rate_limit::algorithm::{Answer, Decision};
use crate::plugin::rate_limit::rule::Asked;

/// What would become of a request at `now`. `None` where the server does not say.
pub async fn peek(link: &Link, asked: &Asked, now: Instant) -> Option<Decision> {
    let leave = link.enter(now)?;
    let counters = asked.counters.iter().map(|c| (asked.rule(c).redis_key(&c.client), c.charge)).collect();
    // Nobody wants to pass, so nothing is taken, and what there is room for is told all the same.
    let question = [Question { counters, wanted: 0, mode: Mode::Ask(0), asking: false }];
    let mut handle = (*leave.connection).clone();
    let answers = tokio::time::timeout(link.timeout, link.scripts.ask(&mut handle, &question)).await;
    let answers: RedisResult<Vec<RedisResult<Answer>>> =
        answers.unwrap_or_else(|_| Err(RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut))));
    link.report(leave, &answers, Instant::now());
    Some(answers.ok()?.pop()?.ok()?.outlook(asked.charges()))
}
