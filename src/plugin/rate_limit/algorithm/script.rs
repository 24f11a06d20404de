//! [`decide`](super::decide()) in Lua, for Redis.

use super::{Algorithm, STEP_BACK, fixed_window, sliding_window, token_bucket};

/// A set of algorithms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Algorithms(u8);

impl Algorithms {
    /// How many sets there are.
    pub const SETS: usize = 1 << Algorithm::ALL.len();

    /// All sets, by their [`index`](Algorithms::index).
    pub fn all() -> [Algorithms; Algorithms::SETS] {
        std::array::from_fn(|set| Algorithms(set as u8))
    }

    /// A number below [`Algorithms::SETS`] that no other set has.
    pub fn index(self) -> usize {
        self.0.into()
    }
}

impl FromIterator<Algorithm> for Algorithms {
    fn from_iter<I: IntoIterator<Item = Algorithm>>(algorithms: I) -> Self {
        Algorithms(algorithms.into_iter().fold(0, |set, algorithm| set | 1 << algorithm as u8))
    }
}

/// The script for counters of `algorithms`.
///
/// `KEYS` are counters. `ARGV` are how many requests want to pass; how many more may be granted for later, or
/// `-1` for units that have been used already and are counted come what may; the time (empty: that of Redis,
/// only tests know better); and for each counter its algorithm, `max`, the window in milliseconds, `burst`,
/// the cost of a request, and 1 for a dry run. The answer is how many pass, and for each counter the members of
/// a [`Standing`](super::Standing). A key dies when its whole quota is there again.
pub fn script(algorithms: Algorithms) -> String {
    let cores = Algorithm::ALL.into_iter().filter(|algorithm| algorithms.0 & 1 << *algorithm as u8 != 0);
    let lua = |algorithm| match algorithm {
        Algorithm::FixedWindow => fixed_window::LUA,
        Algorithm::SlidingWindow => sliding_window::LUA,
        Algorithm::TokenBucket => token_bucket::LUA,
    };
    let cores: String = cores.map(lua).collect();
    format!("{HEAD}local STEP_BACK = {STEP_BACK}\n{cores}{TAIL}")
}

const HEAD: &str = "\
local wanted, spare, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local function divide(a, b)
  return (a - a % b) / b
end
local algorithms = {}
";

const TAIL: &str = "\
local rules, fit = {}, nil
for i, key in ipairs(KEYS) do
  local at = 6 * i - 2
  local rule = {core = algorithms[ARGV[at]], max = tonumber(ARGV[at + 1]), window = tonumber(ARGV[at + 2]),
    burst = tonumber(ARGV[at + 3]), cost = tonumber(ARGV[at + 4])}
  rule.state = rule.core.read(rule, redis.call('GET', key) or '')
  rule.room = math.max(rule.core.room(rule, rule.state), 0)
  rule.fits = divide(rule.room, rule.cost)
  if ARGV[at + 5] ~= '1' then
    fit = math.min(fit or rule.fits, rule.fits)
  end
  rules[i] = rule
end
local granted = math.min(wanted, fit or wanted)
if spare < 0 then
  granted = wanted
elseif granted == wanted and fit then
  granted = granted + math.min(spare, divide(fit - granted, 8))
end
local answer = {granted}
for i, rule in ipairs(rules) do
  local used = granted * rule.cost
  if spare >= 0 then
    used = math.min(granted, rule.fits) * rule.cost
  end
  local value = used > 0 and rule.core.charge(rule, rule.state, used)
  local wait, reset = rule.core.waits(rule, rule.state, rule.cost)
  if value then
    redis.call('SET', KEYS[i], value, 'PX', reset)
  end
  local remaining = math.max(rule.room - used, 0)
  answer[#answer + 1] = rule.fits
  answer[#answer + 1] = remaining
  answer[#answer + 1] = remaining < rule.cost and wait or 0
  answer[#answer + 1] = reset
end
return answer
";
