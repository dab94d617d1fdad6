//! How much: rates, concurrency, volume, cost and totals, per whom and what.
//!
//! A call either passes all its limits and counts against each, or passes none and counts nowhere. This
//! module must not know a clock: time is an argument, in milliseconds that never go backwards. Whoever wants
//! limits that hold across processes keeps this in the one process that decides.

mod bucket;
mod key;
mod line;
mod rate;
mod store;
mod wait;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use thiserror::Error;

pub use key::{Dimension, Usage};
pub use rate::{Rate, RateError};
pub use wait::{Taken, Waiting};

use bucket::Wait;
use line::Lines;
use store::{Meter, Shard};

/// Locks the meters are spread over.
const SHARDS: usize = 16;
/// When to try again after too many calls at once: nobody knows when one of them ends.
const BUSY_RETRY_MS: u64 = 1_000;
/// How many times as much may come of what is no call, and how much in a minute and at once at least.
const UPKEEP_FACTOR: u64 = 10;
const UPKEEP_MINUTE_MIN: u64 = 120;
const UPKEEP_BURST_MIN: u64 = 60;
/// Meters kept by default.
pub const KEYS_MAX: usize = 100_000;

/// One limit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limit {
    /// Its name, for `@limit("name")`, messages and records.
    pub name: String,
    /// Whether it counts every call, or those whose permit names it.
    pub applies: Applies,
    /// What has a count of its own; all of them together make one key. Empty: everything counts together.
    pub per: Vec<Dimension>,
    /// Calls over time.
    pub rate: Option<Rate>,
    /// Calls that may come at once, one at least; without it as many as the rate has in its period.
    pub burst: Option<u64>,
    /// Calls at the same time.
    pub concurrency: Option<u32>,
    /// Calls of one principal that may wait for such a place; none where it is zero.
    pub queue: usize,
    /// Bytes of arguments and results over time.
    pub bytes: Option<Rate>,
    /// Cost units over time.
    pub cost: Option<Rate>,
    /// Calls in all, for as long as the key is in use; for contexts.
    pub total: Option<u64>,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Applies {
    /// Every call.
    #[default]
    Always,
    /// Calls whose permit names it.
    WhenNamed,
}

/// What was used up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Measure {
    /// Bytes over time.
    Bytes,
    /// Calls at the same time.
    Concurrency,
    /// Cost over time.
    Cost,
    /// Calls over time.
    Rate,
    /// Calls in all.
    Total,
}

/// Why a call may not pass now.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Exceeded {
    /// A limit is used up.
    #[error("the limit `{limit}` on {} is used up", .measure.as_str())]
    UsedUp {
        /// The limit.
        limit: String,
        /// Which part of it.
        measure: Measure,
        /// When it is worth trying again; none if it never is.
        retry_after_ms: Option<u64>,
    },
    /// The permit names a limit nobody has configured. It does not pass unlimited.
    #[error("there is no limit `{0}`; configure it, or take it out of the rule")]
    Unknown(String),
}

/// Counts calls against limits. Shared by all threads.
#[derive(Clone, Debug)]
pub struct Limiter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    limits: Vec<Limit>,
    shards: [Mutex<Shard>; SHARDS],
    /// Locked after shards, never before.
    lines: Mutex<Lines>,
}

/// A call's place among concurrent ones, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
    counted: Vec<Counted>,
}

/// A limit a call counts against, and where.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Counted {
    shard: usize,
    key: Box<str>,
    /// Which of the limits.
    limit: usize,
}

/// Why there is no place, and the key of the line to wait in and how long it may be, where waiting would help.
type NoPlace = (Exceeded, Option<(Box<str>, usize)>);

impl Limiter {
    /// Counts against these limits, whose names differ, with at most about `keys_max` meters.
    #[must_use]
    pub fn new(limits: Vec<Limit>, keys_max: usize) -> Self {
        let per_shard = keys_max.div_ceil(SHARDS);
        let shards = std::array::from_fn(|_| Mutex::new(Shard::new(per_shard)));
        Self {
            shared: Arc::new(Shared {
                limits,
                shards,
                lines: Mutex::default(),
            }),
        }
    }

    /// Takes what a call costs.
    ///
    /// # Errors
    /// The limit with the longest wait, if any is used up; then nothing was counted.
    pub fn take(&self, usage: &Usage<'_>, now_ms: u64) -> Result<Place, Exceeded> {
        self.take_called(usage, now_ms, &[])
            .map_err(|(exceeded, _)| exceeded)
    }

    /// Takes what a call costs that has a place kept under some keys. Otherwise why not, and the key of the one
    /// limit a place of which is all that is missing.
    fn take_called(&self, usage: &Usage<'_>, now_ms: u64, called: &[Box<str>]) -> Result<Place, NoPlace> {
        let mut counted = self.shared.counted(usage).map_err(|exceeded| (exceeded, None))?;
        counted.sort();
        let mut held = self.shared.lock(&counted);
        let mut longest: Option<Exceeded> = None;
        let mut busy: Vec<(Box<str>, usize)> = Vec::new();
        let mut spent = false;
        for each in &mut counted {
            let (Some(limit), Some(shard)) = (self.shared.limits.get(each.limit), held.of(each.shard)) else {
                continue;
            };
            let meter = shard.meter(&mut each.key, &limit.name, now_ms);
            // Those who came too late for a meter of their own share one, and have no line.
            let has_line = limit.queue > 0 && key::is_of(&each.key, &limit.name);
            let others_first = has_line && !called.contains(&each.key) && self.shared.has_line(&each.key);
            let kept = if others_first { u32::MAX } else { 0 };
            if let Some((measure, wait)) = limit.obstacle(meter, usage, kept, now_ms) {
                longest = Some(longer(longest, limit, measure, wait));
                if measure == Measure::Concurrency && has_line {
                    busy.push((each.key.clone(), limit.queue));
                } else {
                    spent = true;
                }
            }
        }
        if let Some(exceeded) = longest {
            // One by one: a call that waits for a place keeps no other.
            let waits_for = busy.pop().filter(|_| !spent && busy.is_empty());
            return Err((exceeded, waits_for));
        }
        for each in &counted {
            if let (Some(limit), Some(shard)) = (self.shared.limits.get(each.limit), held.of(each.shard)) {
                let meter = shard.known(&each.key);
                meter
                    .into_iter()
                    .for_each(|meter| limit.count(meter, usage, now_ms));
            }
        }
        drop(held);
        Ok(Place {
            shared: Arc::clone(&self.shared),
            counted,
        })
    }

    /// The names of all limits, so that rules can be checked against them at load.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.shared.limits.iter().map(|limit| limit.name.as_str())
    }

    /// How many meters there are.
    #[must_use]
    pub fn keys(&self) -> usize {
        let shards = self.shared.shards.iter();
        shards.map(|shard| locked(shard).len()).sum()
    }
}

impl Place {
    /// Counts what is known only afterwards, such as the bytes of a result. It may overdraw a limit; the next
    /// call then waits.
    pub fn charge(&self, bytes: u64, cost: u64, now_ms: u64) {
        let mut held = self.shared.lock(&self.counted);
        for each in &self.counted {
            if let (Some(limit), Some(shard)) = (self.shared.limits.get(each.limit), held.of(each.shard))
                && let Some(meter) = shard.known(&each.key)
            {
                limit.spend(meter, bytes, cost, now_ms);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.shared.lock(&self.counted);
        for each in &self.counted {
            if let Some(meter) = held.of(each.shard).and_then(|shard| shard.known(&each.key)) {
                meter.leave();
            }
        }
        drop(held);
        for each in &self.counted {
            if let Some(limit) = self.shared.limits.get(each.limit).filter(|limit| limit.queue > 0) {
                self.shared.call_next(&each.key, limit);
            }
        }
    }
}

impl Shared {
    fn counted(&self, usage: &Usage<'_>) -> Result<Vec<Counted>, Exceeded> {
        let mut missing: BTreeSet<&str> = usage.named.iter().copied().collect();
        let mut counted = Vec::new();
        for (at, limit) in self.limits.iter().enumerate() {
            let named = missing.remove(limit.name.as_str());
            if named || limit.applies == Applies::Always {
                let key = key::key(&limit.name, &limit.per, usage);
                let shard = key::spread(&key, SHARDS);
                counted.push(Counted {
                    shard,
                    key,
                    limit: at,
                });
            }
        }
        match missing.first() {
            Some(name) => Err(Exceeded::Unknown((*name).to_owned())),
            None => Ok(counted),
        }
    }

    /// Locks what is needed, always in the same order, so that two calls never wait for each other. What is counted
    /// is sorted.
    fn lock(&self, counted: &[Counted]) -> Held<'_> {
        let mut held: Vec<(usize, MutexGuard<'_, Shard>)> = Vec::with_capacity(counted.len());
        for each in counted {
            // They are sorted by their shards: one that is held already is the last.
            let is_next = held.last().is_none_or(|(last, _)| *last < each.shard);
            if let Some(shard) = self.shards.get(each.shard).filter(|_| is_next) {
                held.push((each.shard, locked(shard)));
            }
        }
        Held(held)
    }
}

/// Locked shards.
struct Held<'s>(Vec<(usize, MutexGuard<'s, Shard>)>);

impl Held<'_> {
    fn of(&mut self, shard: usize) -> Option<&mut Shard> {
        let mut held = self.0.iter_mut();
        held.find(|(at, _)| *at == shard).map(|(_, shard)| &mut **shard)
    }
}

/// A thread that panicked left a count that is off by one at most, which is no reason to count no more.
fn locked(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Limit {
    /// What holds, beside this limit, for messages that keep a conversation going and are no calls: whoever has used up
    /// the calls can still withdraw one, and nobody can flood. They have no place to wait for and no cost; of bytes they
    /// have as many again, since what answers a server's question is content.
    #[must_use]
    pub fn for_upkeep(&self) -> Self {
        let least = Rate::per_minute(UPKEEP_MINUTE_MIN);
        let rate = self.rate.map(|rate| rate.times(UPKEEP_FACTOR).at_least(least));
        let at_once = self.burst.or(self.rate.map(Rate::amount)).unwrap_or(0);
        Self {
            rate,
            burst: Some(at_once.saturating_mul(UPKEEP_FACTOR).max(UPKEEP_BURST_MIN)),
            concurrency: None,
            queue: 0,
            cost: None,
            total: None,
            ..self.clone()
        }
    }

    /// What stands in the way of a call, and for how long.
    fn obstacle(&self, meter: &Meter, usage: &Usage<'_>, kept: u32, now_ms: u64) -> Option<(Measure, Wait)> {
        if self.total.is_some_and(|total| meter.total >= total) {
            return Some((Measure::Total, Wait::Forever));
        }
        let rates = [
            (Measure::Rate, self.rate, self.burst, 1, &meter.calls),
            (Measure::Bytes, self.bytes, None, usage.bytes, &meter.bytes),
            (Measure::Cost, self.cost, None, usage.cost, &meter.cost),
        ];
        let waits = rates
            .into_iter()
            .filter_map(|(measure, rate, burst, amount, bucket)| {
                let rate = rate?;
                let capacity = burst.unwrap_or(rate.amount()).max(1);
                let wait = bucket.wait(rate, capacity, amount, now_ms)?;
                Some((measure, wait))
            });
        let under_way = meter.in_flight.saturating_add(kept);
        let busy = self.concurrency.is_some_and(|most| under_way >= most);
        let busy = busy.then_some((Measure::Concurrency, Wait::Milliseconds(BUSY_RETRY_MS)));
        // What only time heals comes first: nobody waits in a line for that.
        waits.max_by_key(|(_, wait)| *wait).or(busy)
    }

    fn count(&self, meter: &mut Meter, usage: &Usage<'_>, now_ms: u64) {
        meter.enter(self.total);
        if let Some(rate) = self.rate {
            meter.calls.take(rate, 1, now_ms);
        }
        self.spend(meter, usage.bytes, usage.cost, now_ms);
    }

    fn spend(&self, meter: &mut Meter, bytes: u64, cost: u64, now_ms: u64) {
        for (rate, amount, bucket) in [
            (self.bytes, bytes, &mut meter.bytes),
            (self.cost, cost, &mut meter.cost),
        ] {
            if let Some(rate) = rate {
                bucket.take(rate, amount, now_ms);
            }
        }
    }
}

impl Measure {
    /// The word messages and records use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Concurrency => "calls at the same time",
            Self::Cost => "cost",
            Self::Rate => "calls",
            Self::Total => "calls in all",
        }
    }
}

/// Of two refusals the one that lasts longer.
fn longer(so_far: Option<Exceeded>, limit: &Limit, measure: Measure, wait: Wait) -> Exceeded {
    let retry_after_ms = wait.milliseconds();
    if let Some(Exceeded::UsedUp {
        retry_after_ms: known,
        ..
    }) = &so_far
    {
        let at_least_as_long = match (known, retry_after_ms) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(known), Some(new)) => *known >= new,
        };
        if at_least_as_long && let Some(so_far) = so_far {
            return so_far;
        }
    }
    Exceeded::UsedUp {
        limit: limit.name.clone(),
        measure,
        retry_after_ms,
    }
}

/// Limits for whoever has configured none: a person or an agent at work never meets them, a loop does.
#[must_use]
pub fn defaults() -> Vec<Limit> {
    let limit = |name: &str, per: &[Dimension], per_minute: u64, burst: u64| Limit {
        name: name.to_owned(),
        applies: Applies::Always,
        per: per.to_vec(),
        rate: Some(Rate::per_minute(per_minute)),
        burst: Some(burst),
        concurrency: None,
        queue: 0,
        bytes: None,
        cost: None,
        total: None,
    };
    vec![
        Limit {
            concurrency: Some(256),
            ..limit("default", &[Dimension::Principal], 12_000, 2_000)
        },
        limit(
            "loop",
            &[Dimension::Principal, Dimension::Context, Dimension::Call],
            600,
            300,
        ),
    ]
}

#[cfg(test)]
mod tests;
