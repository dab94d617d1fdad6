//! What is worth a look: how much of what is too much, and what it stops.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::Problem;
use crate::evidence::incidents::{MeantIncidents, Sign, Thresholds};

/// What is worth a look; 0 where it never is.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidIncidents {
    /// Seconds in which the following are counted; 300 unless said.
    pub(crate) window: Option<u32>,
    /// Refusals of an agent; 20 unless said.
    pub(crate) probing: Option<u32>,
    /// Refusals of calls whose arguments came from untrusted sources; 3 unless said.
    pub(crate) flow: Option<u32>,
    /// Refusals by limits; 50 unless said.
    pub(crate) loops: Option<u32>,
    /// Tools an agent with a past never used before; 5 unless said.
    pub(crate) novelty: Option<u32>,
    /// Calls that are five times as many as ever, and at least so many; 200 unless said.
    pub(crate) volume: Option<u32>,
    /// Tools that nothing honest calls: `server__tool`.
    #[serde(default)]
    pub(crate) decoys: Vec<String>,
    /// The kinds that stop the agent (`tampering`: the server) that set them off. None unless said.
    #[serde(default)]
    pub(crate) contain: Vec<String>,
}

/// What is worth a look. A kind nobody knows would contain nothing.
pub(super) fn mean(said: &SaidIncidents, note: &mut impl FnMut(Result<(), Problem>)) -> MeantIncidents {
    let otherwise = Thresholds::default();
    let mut contain = BTreeSet::new();
    for (n, word) in said.contain.iter().enumerate() {
        match Sign::parse(word) {
            Some(sign) => {
                contain.insert(sign);
            }
            None => {
                let known = Sign::ALL.map(Sign::as_str).join(", ");
                note(Err(Problem::new(
                    format!("incidents.contain[{n}]"),
                    format!("there is no kind of incident `{word}`"),
                    format!("use one of: {known}"),
                )));
            }
        }
    }
    if said.window == Some(0) {
        let remedy = "write the seconds in which it is counted, or leave it out";
        note(Err(Problem::new(
            "incidents.window",
            "nothing happens in no time",
            remedy,
        )));
    }
    MeantIncidents {
        thresholds: Thresholds {
            window_ms: said.window.map_or(otherwise.window_ms, |s| i64::from(s) * 1000),
            flow: said.flow.unwrap_or(otherwise.flow),
            loops: said.loops.unwrap_or(otherwise.loops),
            novelty: said.novelty.unwrap_or(otherwise.novelty),
            probing: said.probing.unwrap_or(otherwise.probing),
            volume: said.volume.unwrap_or(otherwise.volume),
            decoys: said.decoys.iter().cloned().collect(),
        },
        contain,
    }
}
