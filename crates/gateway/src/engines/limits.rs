//! How much: the limits in force.

use std::{collections::BTreeMap, time::Duration};

use pipeline::{
    Arrival, Objection, Passed,
    decide::Authorized,
    ports::{Held, Limits, Slot},
    refusal,
};
use policy::{
    Obligation, Resource,
    limits::{self, Applies, Dimension, Exceeded, KEYS_MAX, Limit, Limiter, Place, Rate, Usage, Waiting},
};
use tokio::time::{Instant, timeout_at};
use wire::{
    json::canonical,
    jsonrpc::Message,
    mcp::{Direction, Method},
    model::Tokens,
};

use super::Engines;
use crate::{
    ambient::Ambient,
    config::{Problem, meant::MeantLimit},
};

/// Seconds a call waits for a place among concurrent ones, unless said, and at most.
const WAIT_S: u64 = 10;
const WAIT_MAX_S: u64 = 60;

/// The limits in force.
#[derive(Debug)]
pub(crate) struct LimitStore {
    limiter: Limiter,
    /// Counts what is no call.
    upkeep: Limiter,
    /// Whether any limit counts equal calls, for which their arguments must be compared.
    tells_calls_apart: bool,
    /// How long calls wait for a place, by the limit's name.
    patience: BTreeMap<String, Duration>,
}

impl LimitStore {
    /// The configured limits. Where none is configured, those nobody honest notices: what is written
    /// replaces them all.
    pub(crate) fn new(configured: &[MeantLimit]) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut limits = Vec::new();
        for limit in configured {
            match read(limit) {
                Ok(limit) => limits.push(limit),
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        if configured.is_empty() {
            limits = policy::limits::defaults();
        }
        let tells_calls_apart = limits.iter().any(|limit| limit.per.contains(&Dimension::Call));
        let seconds = |limit: &MeantLimit| Duration::from_secs(limit.wait.unwrap_or(WAIT_S).min(WAIT_MAX_S));
        let patience = configured
            .iter()
            .map(|limit| (limit.name.clone(), seconds(limit)));
        Ok(Self {
            patience: patience.collect(),
            upkeep: Limiter::new(limits.iter().map(Limit::for_upkeep).collect(), KEYS_MAX),
            limiter: Limiter::new(limits, KEYS_MAX),
            tells_calls_apart,
        })
    }
}

fn read(said: &MeantLimit) -> Result<Limit, Problem> {
    let at = format!("limits.{}", said.name);
    let rate = |name: &str, text: &Option<String>| {
        let parsed = text.as_deref().map(Rate::parse).transpose();
        parsed
            .map_err(|error| Problem::new(format!("{at}.{name}"), error.to_string(), "write it as `600/min`"))
    };
    let per: Result<Vec<_>, _> = said
        .per
        .iter()
        .map(|word| {
            Dimension::parse(word).ok_or_else(|| {
                let known: Vec<_> = Dimension::ALL
                    .iter()
                    .map(|dimension| dimension.as_str())
                    .collect();
                let remedy = format!("use one of: {}", known.join(", "));
                Problem::new(
                    format!("{at}.per"),
                    format!("nothing is counted per `{word}`"),
                    remedy,
                )
            })
        })
        .collect();
    Ok(Limit {
        name: said.name.clone(),
        applies: if said.named {
            Applies::WhenNamed
        } else {
            Applies::Always
        },
        per: if said.per.is_empty() {
            vec![Dimension::Principal]
        } else {
            per?
        },
        rate: rate("rate", &said.rate)?,
        burst: said.burst.map(u64::from),
        concurrency: said.concurrency,
        queue: queue(&at, said)?,
        bytes: rate("bytes", &said.bytes)?,
        cost: rate("cost", &said.cost)?,
        total: said.total,
    })
}

/// How many of each principal wait. There is nothing to wait for where calls at the same time are not counted.
fn queue(at: &str, said: &MeantLimit) -> Result<usize, Problem> {
    let queue = said.queue.or(said.wait.map(|_| 0));
    if queue.is_some() && said.concurrency.is_none() {
        let what = "calls wait for a place among calls at the same time, and those are not limited";
        return Err(Problem::new(format!("{at}.queue"), what, "add `concurrency`"));
    }
    Ok(usize::try_from(queue.unwrap_or(0)).unwrap_or(usize::MAX))
}

/// A call's place, and the clock that says when its answer came.
#[derive(Debug)]
struct Taken {
    place: Place,
    /// What a thousand tokens of a model cost.
    token_cost: u64,
    ambient: Ambient,
}

impl Held for Taken {
    fn charge(&self, bytes: u64, tokens: Option<Tokens>) {
        let now_ms = steady_ms(&self.ambient);
        let tokens = tokens.map_or(0, |tokens| tokens.input.saturating_add(tokens.output));
        // The first thousand was taken before the call.
        let more = tokens.div_ceil(1000).saturating_sub(1);
        self.place
            .charge(bytes, more.saturating_mul(self.token_cost), now_ms);
    }
}

/// When it is, for limits. The clock that people set would refuse everybody, once it is set back, until it has caught up.
fn steady_ms(ambient: &Ambient) -> u64 {
    u64::try_from(ambient.steady_ms()).unwrap_or(0)
}

/// What a client sends to keep its conversation going, and which is no call: handshakes, its answers to what it was asked,
/// what it withdraws or tells. It must get through where calls do not.
fn is_upkeep(arrival: &Arrival) -> bool {
    let of_client = arrival.direction == Direction::ToServer;
    of_client
        && match &arrival.message {
            Message::Notification(_) | Message::Response(_) => true,
            Message::Request(_) => matches!(
                arrival.message.method(),
                Some(Method::Initialize | Method::Ping | Method::ServerDiscover)
            ),
        }
}

/// What a call costs: what the operator says of the tool. Keeping a conversation going costs nothing.
fn cost(resource: &Resource) -> u64 {
    match resource {
        Resource::Model(facts)
        | Resource::Prompt(facts)
        | Resource::Resource { facts, .. }
        | Resource::Tool(facts) => facts.cost,
        Resource::Gateway | Resource::Server(_) => 0,
    }
}

impl Limits for Engines {
    async fn take(&self, call: &Passed<Authorized>) -> Result<Slot, Objection> {
        let arrival = call.arrival();
        let named: Vec<&str> = call
            .permit()
            .obligations()
            .iter()
            .filter_map(|obligation| {
                if let Obligation::Limit(name) = obligation {
                    Some(name.as_str())
                } else {
                    None
                }
            })
            .collect();
        let params = arrival.message.params();
        let arguments = match params {
            Some(params) if self.limits.tells_calls_apart => {
                policy::registry::Pin::of_bytes(&canonical(params)).to_string()
            }
            Some(_) | None => String::new(),
        };
        let bytes = arrival.message.document().text().len();
        let usage = Usage {
            subject: &call.caller().subject,
            resource: call.resolution().resource(),
            purpose: call.purpose().map(|purpose| &**purpose),
            context: Some(call.context().id()),
            arguments: &arguments,
            bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
            cost: cost(call.resolution().resource()),
            named: &named,
        };
        let place = if is_upkeep(arrival) {
            let taken = self.limits.upkeep.take(&usage, steady_ms(&self.ambient));
            taken.map_err(objection)?
        } else {
            self.limits.place(&usage, &self.ambient).await?
        };
        Ok(Slot(Box::new(Taken {
            place,
            token_cost: call.resolution().model().map_or(0, |model| model.cost),
            ambient: self.ambient.clone(),
        })))
    }
}

impl LimitStore {
    /// A place, at once or when it is this call's turn.
    async fn place(&self, usage: &Usage<'_>, ambient: &Ambient) -> Result<Place, Objection> {
        let began = Instant::now();
        let mut waited: Option<Waiting> = None;
        loop {
            let taken = self
                .limiter
                .take_or_wait(usage, waited.take(), steady_ms(ambient));
            let mut waiting = match taken.map_err(objection)? {
                limits::Taken::Now(place) => return Ok(place),
                limits::Taken::After(waiting) => waiting,
            };
            let patience = self.patience(waiting.exceeded());
            if timeout_at(began + patience, waiting.called()).await.is_err() {
                return Err(objection(waiting.exceeded().clone()));
            }
            waited = Some(waiting);
        }
    }

    fn patience(&self, exceeded: &Exceeded) -> Duration {
        let known = match exceeded {
            Exceeded::UsedUp { limit, .. } => self.patience.get(limit),
            Exceeded::Unknown(_) => None,
        };
        known.copied().unwrap_or_default()
    }
}

fn objection(exceeded: Exceeded) -> Objection {
    let why = exceeded.to_string();
    let retry_after_ms = match exceeded {
        Exceeded::UsedUp { retry_after_ms, .. } => retry_after_ms,
        Exceeded::Unknown(_) => None,
    };
    Objection {
        retry_after_ms,
        ..Objection::new(&refusal::OVER_LIMIT, why)
    }
}

#[cfg(test)]
mod tests;
