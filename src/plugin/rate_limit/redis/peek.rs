//! How counters stand, for whoever only wants to know: nothing is counted, and nobody waits for the answer in line.

use std::time::Instant;

use super::link::Link;
use super::script::{Mode, Question};
use crate::plugin::rate_limit::algorithm::Decision;
use crate::plugin::rate_limit::rule::Asked;

/// What would become of a request at `now`. `None` where the server does not say.
pub async fn peek(link: &Link, asked: &Asked, now: Instant) -> Option<Decision> {
    let leave = link.enter(now)?;
    let counters = asked.counters.iter().map(|c| (asked.rule(c).redis_key(&c.client), c.charge)).collect();
    // Nobody wants to pass, so nothing is taken, and what there is room for is told all the same.
    let question = [Question { counters, wanted: 0, mode: Mode::Ask(0), asking: false }];
    let answer = link.ask(leave, &question, now + link.timeout).await.ok()?.pop()?.ok()?;
    Some(answer.outlook(asked.charges()))
}
