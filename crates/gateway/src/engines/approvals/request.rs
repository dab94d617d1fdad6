//! One question to people: what would happen, who may agree, and who has.
//!
//! INVARIANT (bound): a request answers for one binding only: the caller, the pinned tool, the canonical
//! arguments and all that goes to the server with them, the labels, where the arguments came from, and the policy. Anything else asks anew.
//!
//! It must not know the store, clocks or the road.

use policy::{Party, Reviewers};
use serde::{Deserialize, Serialize};

use super::similar::Similar;

/// Who asks.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Requester {
    /// [`identity::Principal::key`].
    pub(crate) key: String,
    /// The agent or service that sent the call, unless a user did.
    pub(crate) agent: Option<String>,
    /// The user who sent the call, or for whom the agent did.
    pub(crate) user: Option<String>,
    pub(crate) tenant: Option<String>,
}

/// So many people of that kind.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Demand {
    /// As rules write it: `role:owner`.
    pub(crate) by: String,
    pub(crate) needed: u8,
}

/// Somebody's word.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Word {
    pub(crate) by: String,
    pub(crate) at_ms: i64,
    pub(crate) why: Option<String>,
    /// Agrees to calls like this one, too.
    #[serde(default)]
    pub(crate) similar: Option<Similar>,
}

/// Where an argument came from.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Origin {
    /// None: more arguments than could be told.
    pub(crate) argument: Option<String>,
    pub(crate) server: String,
    pub(crate) tool: String,
    pub(crate) trusted: bool,
}

/// What is asked: everything a person needs to see, and everything the yes is bound to.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Asked {
    /// The call that asked first.
    pub(crate) call: String,
    pub(crate) requester: Requester,
    pub(crate) action: String,
    pub(crate) server: Option<String>,
    /// The full name of what is called: `server__tool`, or a URI.
    pub(crate) tool: String,
    /// Canonical JSON (RFC 8785).
    pub(crate) args: String,
    /// What goes to the server with them: other parameters and `_meta`, as canonical JSON; none is `None`.
    #[serde(default)]
    pub(crate) beside: Option<String>,
    pub(crate) purpose: Option<String>,
    pub(crate) context: String,
    /// The labels of the context, as words.
    pub(crate) labels: Vec<String>,
    pub(crate) sources: Vec<Origin>,
    /// The rules that ask, each with its reason.
    pub(crate) reasons: Vec<String>,
    pub(crate) pin: Option<String>,
    pub(crate) policy: String,
    pub(crate) demands: Vec<Demand>,
    /// The session to tell when it is decided (legacy era).
    #[serde(default)]
    pub(crate) session: Option<String>,
}

/// See the module.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Request {
    pub(crate) id: String,
    pub(crate) binding: String,
    pub(crate) asked: Asked,
    pub(crate) opened_ms: i64,
    pub(crate) expires_ms: i64,
    pub(crate) given: Vec<Word>,
    pub(crate) denied: Option<Word>,
    /// What is left of a yes to similar calls.
    #[serde(default)]
    pub(crate) standing: Option<Standing>,
}

/// What is left of a yes to similar calls.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Standing {
    /// Calls it lets through yet.
    pub(crate) left: u32,
    pub(crate) similar: Similar,
}

impl Origin {
    /// Which argument, in words.
    pub(crate) fn argument(&self) -> &str {
        self.argument.as_deref().unwrap_or("more than can be told")
    }
}

impl Asked {
    /// The digest a yes is bound to. The call and the context's name are not in it: the same question asked
    /// again is the same question.
    pub(crate) fn binding(&self) -> String {
        self.digest(Some(&self.args))
    }

    /// Whether a call is of one kind with this one but for its arguments: the same caller, tool, labels, policy and what
    /// goes beside arguments, and nothing in it came from where nobody trusts and nobody was shown.
    pub(crate) fn frames(&self, other: &Self) -> bool {
        let is_told = |source: &Origin| source.argument.is_some() && self.sources.contains(source);
        let shown = |source: &Origin| source.trusted || is_told(source);
        self.digest(None) == other.digest(None) && other.sources.iter().all(shown)
    }

    fn digest(&self, args: Option<&str>) -> String {
        let bound = serde_json::json!([
            self.requester.key,
            self.action,
            self.server,
            self.tool,
            args,
            self.beside,
            self.purpose,
            self.labels,
            args.map(|_| &self.sources),
            self.pin,
            self.policy,
            self.demands,
        ]);
        policy::registry::Pin::of_bytes(bound.to_string().as_bytes()).to_string()
    }
}

impl Request {
    /// How many people must agree.
    pub(crate) fn needed(&self) -> u64 {
        self.asked
            .demands
            .iter()
            .map(|demand| u64::from(demand.needed))
            .sum()
    }

    /// How many of those have, as far as they may still.
    pub(crate) fn given(&self, person: impl Fn(&str) -> Option<Party>) -> u64 {
        let counted = self.asked.demands.iter().map(|demand| {
            let agreed = self.given.iter().filter(|word| {
                person(&word.by).is_some_and(|party| self.objects_to(&party).is_none() && is(&party, demand))
            });
            u64::try_from(agreed.count())
                .unwrap_or(u64::MAX)
                .min(u64::from(demand.needed))
        });
        counted.sum()
    }

    /// Whether it was asked in the tenant of this person. Who has none is in none, not in all.
    pub(crate) fn concerns(&self, party: &Party) -> bool {
        self.asked.requester.tenant == party.tenant
    }

    /// Why this person may not decide, if so.
    pub(crate) fn objects_to(&self, party: &Party) -> Option<String> {
        let asked = &self.asked;
        if asked.requester.user.as_deref() == Some(party.name.as_str()) {
            return Some(format!(
                "`{}` asked for it, or an agent did on behalf of `{}`; somebody else must decide",
                party.name, party.name
            ));
        }
        if !self.concerns(party) {
            return Some(format!("`{}` belongs to another tenant", party.name));
        }
        if asked.demands.iter().any(|demand| is(party, demand)) {
            return None;
        }
        let wanted: Vec<&str> = asked.demands.iter().map(|demand| demand.by.as_str()).collect();
        Some(format!(
            "`{}` is none of those who may decide: {}",
            party.name,
            wanted.join(", ")
        ))
    }
}

/// Whether a person is of the kind demanded. What cannot be read is nobody.
fn is(party: &Party, demand: &Demand) -> bool {
    Reviewers::parse(&demand.by).is_some_and(|reviewers| reviewers.includes(party))
}
