//! How much: the limits in force.

use pipeline::{
    Objection, Passed,
    decide::Authorized,
    ports::{Held, Limits, Slot},
    refusal,
};
use policy::{
    Obligation, Resource,
    limits::{Applies, Dimension, Exceeded, KEYS_MAX, Limit, Limiter, Place, Rate, Usage},
};
use wire::json::canonical;

use super::Engines;
use crate::{
    ambient::Ambient,
    config::{Problem, meant::MeantLimit},
};

/// The limits in force.
#[derive(Debug)]
pub(crate) struct LimitStore {
    limiter: Limiter,
    /// Whether any limit counts equal calls, for which their arguments must be compared.
    tells_calls_apart: bool,
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
            limits = built_in();
        }
        let tells_calls_apart = limits.iter().any(|limit| limit.per.contains(&Dimension::Call));
        Ok(Self {
            limiter: Limiter::new(limits, KEYS_MAX),
            tells_calls_apart,
        })
    }
}

/// Limits for whoever has configured none: a person or an agent at work never meets them, a loop does.
fn built_in() -> Vec<Limit> {
    let limit = |name: &str, per: &[Dimension], per_minute: u64, burst: u64| Limit {
        name: name.to_owned(),
        applies: Applies::Always,
        per: per.to_vec(),
        rate: Some(Rate::per_minute(per_minute)),
        burst: Some(burst),
        concurrency: None,
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
        bytes: rate("bytes", &said.bytes)?,
        cost: rate("cost", &said.cost)?,
        total: said.total,
    })
}

/// A call's place, and the clock that says when its answer came.
#[derive(Debug)]
struct Taken {
    place: Place,
    ambient: Ambient,
}

impl Held for Taken {
    fn charge(&self, bytes: u64) {
        let now_ms = u64::try_from(self.ambient.now_ms()).unwrap_or(0);
        self.place.charge(bytes, 0, now_ms);
    }
}

/// What a call costs: what the operator says of the tool. Keeping a conversation going costs nothing.
fn cost(resource: &Resource) -> u64 {
    match resource {
        Resource::Prompt(facts) | Resource::Resource { facts, .. } | Resource::Tool(facts) => facts.cost,
        Resource::Gateway | Resource::Server(_) => 0,
    }
}

impl Limits for Engines {
    fn take(&self, call: &Passed<Authorized>) -> Result<Slot, Objection> {
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
        let now_ms = u64::try_from(arrival.received_ms).unwrap_or(0);
        match self.limits.limiter.take(&usage, now_ms) {
            Ok(place) => Ok(Slot(Box::new(Taken {
                place,
                ambient: self.ambient.clone(),
            }))),
            Err(exceeded) => {
                let why = exceeded.to_string();
                let retry_after_ms = match exceeded {
                    Exceeded::UsedUp { retry_after_ms, .. } => retry_after_ms,
                    Exceeded::Unknown(_) => None,
                };
                Err(Objection {
                    retry_after_ms,
                    ..Objection::new(&refusal::OVER_LIMIT, why)
                })
            }
        }
    }
}
