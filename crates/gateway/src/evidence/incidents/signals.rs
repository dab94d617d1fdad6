//! Signals: what an agent does that is worth a look, by counting alone. No model, no clock, no I/O: the same calls at
//! the same times give the same signals.
//!
//! It must not stop anything. Each agent is compared with fixed numbers and with its own past, and never with
//! other agents: a busy neighbour makes nobody suspicious.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Most agents whose past is kept; beyond it, the one heard of least lately is forgotten.
const AGENTS_MAX: usize = 10_000;
/// Most tools of an agent's past.
const TOOLS_MAX: usize = 2_048;
/// A past is one after so many windows with calls in them.
const WINDOWS_MIN: u32 = 3;
/// And after so many calls, for what is new to be news.
const CALLS_MIN: u64 = 200;
/// So many times more calls than ever in a window is a surge.
const SURGE: u64 = 5;

/// The kinds of signals.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sign {
    /// A tool that nothing honest calls was called.
    Decoy,
    /// Calls whose arguments came from untrusted sources were refused.
    Flow,
    /// Limits were run into over and over.
    Loop,
    /// Tools were used that never were before.
    Novelty,
    /// One refusal after the other.
    Probing,
    /// A server's definition changed or was held back.
    Tampering,
    /// Far more calls than ever.
    Volume,
}

impl Sign {
    pub(crate) const ALL: [Self; 7] = [
        Self::Decoy,
        Self::Flow,
        Self::Loop,
        Self::Novelty,
        Self::Probing,
        Self::Tampering,
        Self::Volume,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Decoy => "decoy",
            Self::Flow => "flow",
            Self::Loop => "loop",
            Self::Novelty => "novelty",
            Self::Probing => "probing",
            Self::Tampering => "tampering",
            Self::Volume => "volume",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sign| sign.as_str() == word)
    }
}

/// How much is too much, in one window; nothing is where it is 0.
#[derive(Clone, Debug)]
pub(crate) struct Thresholds {
    pub(crate) window_ms: i64,
    pub(crate) flow: u32,
    pub(crate) loops: u32,
    pub(crate) novelty: u32,
    pub(crate) probing: u32,
    /// Fewer calls than these are no surge.
    pub(crate) volume: u32,
    /// Tools nothing honest calls, as callers name them: `server__tool`.
    pub(crate) decoys: BTreeSet<String>,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            window_ms: 300_000,
            flow: 3,
            loops: 50,
            novelty: 5,
            probing: 20,
            volume: 200,
            decoys: BTreeSet::new(),
        }
    }
}

/// One call that has ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen<'c> {
    pub(crate) agent: &'c str,
    /// `server__tool`, or what the caller called it.
    pub(crate) tool: Option<&'c str>,
    /// The refusal's code; none when the call passed.
    pub(crate) code: Option<&'c str>,
    /// Whether arguments came from sources that are not trusted.
    pub(crate) untrusted: bool,
    pub(crate) now_ms: i64,
}

/// The past of every agent.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    thresholds: Thresholds,
    pasts: BTreeMap<String, Past>,
    /// Whose past is another than was stored last: changed, or forgotten.
    changed: BTreeSet<String>,
}

/// What is known of one agent.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Past {
    window: Window,
    /// Windows before this one in which there were calls.
    windows: u32,
    /// The most calls of one of them; an old record fades.
    most: u64,
    calls: u64,
    tools: BTreeSet<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Window {
    began_ms: i64,
    calls: u64,
    flow: u32,
    over_limit: u32,
    refused: u32,
    new_tools: u32,
    /// Said already: each signal is given once in a window.
    given: BTreeSet<Sign>,
}

impl Signals {
    pub(crate) fn new(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            ..Self::default()
        }
    }

    /// What is known of an agent from before.
    pub(super) fn remember(&mut self, agent: String, past: Past) {
        if self.pasts.len() < AGENTS_MAX {
            self.pasts.insert(agent, past);
        }
    }

    /// Whose past changed since this was asked last.
    pub(super) fn changed(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.changed)
    }

    /// What is known of an agent; none where it is forgotten.
    pub(super) fn past(&self, agent: &str) -> Option<Past> {
        self.pasts.get(agent).cloned()
    }

    /// It could not be stored, and is to be stored the next time.
    pub(super) fn not_stored(&mut self, agent: String) {
        self.changed.insert(agent);
    }

    /// Takes a call in; gives the signals it sets off, each with what was seen.
    pub(crate) fn take(&mut self, seen: &Seen<'_>) -> Vec<(Sign, String)> {
        if !self.pasts.contains_key(seen.agent) && self.pasts.len() >= AGENTS_MAX {
            let oldest = self.pasts.iter().min_by_key(|(_, past)| past.window.began_ms);
            if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                self.pasts.remove(&name);
                self.changed.insert(name);
            }
        }
        let past = self.pasts.entry(seen.agent.to_owned()).or_default();
        if !self.changed.contains(seen.agent) {
            self.changed.insert(seen.agent.to_owned());
        }
        past.turn(seen.now_ms, self.thresholds.window_ms);
        past.count(seen);
        past.signs(seen, &self.thresholds)
    }
}

impl Past {
    /// Begins a new window where the last is over.
    fn turn(&mut self, now_ms: i64, window_ms: i64) {
        // A window that began in the future ends at once: the clock was set back, and a past outlives restarts.
        let age_ms = now_ms.saturating_sub(self.window.began_ms);
        if age_ms < window_ms && age_ms > -window_ms {
            return;
        }
        if self.window.calls > 0 {
            self.windows = self.windows.saturating_add(1);
            self.most = self.window.calls.max(self.most - self.most / 10);
        }
        self.window = Window {
            began_ms: now_ms,
            ..Window::default()
        };
    }

    fn count(&mut self, seen: &Seen<'_>) {
        let window = &mut self.window;
        window.calls += 1;
        match seen.code {
            Some("over-limit") => window.over_limit += 1,
            Some(code) if is_a_no(code) => {
                window.refused += 1;
                window.flow += u32::from(seen.untrusted);
            }
            Some(_) => {}
            None => {
                if let Some(tool) = seen.tool
                    && !self.tools.contains(tool)
                    && self.tools.len() < TOOLS_MAX
                {
                    // The past of a newcomer is learnt, and is no news.
                    window.new_tools += u32::from(self.calls >= CALLS_MIN);
                    self.tools.insert(tool.to_owned());
                }
            }
        }
        self.calls += 1;
    }

    fn signs(&mut self, seen: &Seen<'_>, thresholds: &Thresholds) -> Vec<(Sign, String)> {
        let window = &mut self.window;
        let minutes = thresholds.window_ms / 60_000;
        let reached = |count: u32, least: u32| least > 0 && count >= least;
        let surge = thresholds.volume > 0
            && self.windows >= WINDOWS_MIN
            && window.calls >= u64::from(thresholds.volume)
            && window.calls > self.most.saturating_mul(SURGE);
        let found = [
            (Sign::Probing, reached(window.refused, thresholds.probing)),
            (Sign::Flow, reached(window.flow, thresholds.flow)),
            (Sign::Loop, reached(window.over_limit, thresholds.loops)),
            (Sign::Novelty, reached(window.new_tools, thresholds.novelty)),
            (Sign::Volume, surge),
        ];
        let mut signs = Vec::new();
        for (sign, reached) in found {
            // Nearly no call reaches anything, so nothing is put into words before.
            if reached && window.given.insert(sign) {
                signs.push((sign, window.what(sign, minutes, (self.calls, self.most))));
            }
        }
        // Each call of a decoy counts.
        if let Some(tool) = seen.tool.filter(|tool| thresholds.decoys.contains(*tool)) {
            signs.push((
                Sign::Decoy,
                format!("`{tool}` was called, which nothing honest does"),
            ));
        }
        signs
    }
}

impl Window {
    /// What was seen, in words; with the calls of all windows, and the most of one before.
    fn what(&self, sign: Sign, minutes: i64, (calls, most): (u64, u64)) -> String {
        match sign {
            Sign::Probing => format!("{} refusals within {minutes} min", self.refused),
            Sign::Flow => format!("{} refusals of what came from untrusted sources", self.flow),
            Sign::Loop => format!(
                "ran into its limits {} times within {minutes} min",
                self.over_limit
            ),
            Sign::Novelty => format!("{} tools it never used in {calls} calls", self.new_tools),
            Sign::Volume => format!("{} calls within {minutes} min, {most} at most before", self.calls),
            // These are not counted in windows.
            Sign::Decoy | Sign::Tampering => String::new(),
        }
    }
}

/// Whether a refusal says that somebody tried what they may not, or what is not there.
fn is_a_no(code: &str) -> bool {
    [
        "arguments-invalid",
        "endpoint-unknown",
        "not-granted",
        "not-permitted",
        "purpose-refused",
        "rule-failed",
        "scope-missing",
        "target-held",
        "target-unknown",
    ]
    .contains(&code)
}

#[cfg(test)]
mod tests;
