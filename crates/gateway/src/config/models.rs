//! Models that callers may use: where they are, what they are called there, and what rules know of them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use identity::Secret;
use policy::{Resource, Sink, ToolFacts, Trust};
use rustls::pki_types::CertificateDer;
use serde::Deserialize;
use wire::{bounds::NAME_BYTES_MAX, model::Api};

use super::{
    Problem, judge,
    reference::Lookup,
    said::{SaidLabels, SaidTrust},
    servers,
};
use crate::{known::issuers::Network, tls};

/// How long an answer is waited for, in seconds, unless said, and at most.
const WAIT_S: u64 = 600;
const WAIT_S_MAX: u64 = 3600;

/// A model. Nobody may use it unless a rule permits `Action::"generate"` on `Model::"NAME"`.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidModel {
    /// Where its API begins, version and all: `https://api.openai.com/v1`; on this machine `http`, too.
    pub(crate) url: String,
    /// `openai` (chat completions and responses) or `anthropic` (messages).
    pub(crate) api: SaidApi,
    /// What it is called there; its name here unless said.
    pub(crate) model: Option<String>,
    /// The key shown there: `env:NAME` or `file:PATH`. None unless said.
    pub(crate) key: Option<String>,
    /// `trusted` (the default): what it says is the caller's own word; `untrusted`: a stranger's, as a server's is.
    pub(crate) trust: Option<SaidTrust>,
    /// `egress` (the default): what it is told leaves the house; `read` where it does not.
    pub(crate) sink: Option<String>,
    /// What its answers are like.
    pub(crate) labels: Option<SaidLabels>,
    /// Whose it is. Everybody's unless said.
    pub(crate) tenant: Option<String>,
    /// What a thousand tokens count against limits on cost, and what a call counts at least; 1 unless said.
    pub(crate) cost: Option<u32>,
    /// Seconds an answer is waited for; 600 unless said.
    pub(crate) timeout: Option<u64>,
    /// `private` where the host is in a network of one's own.
    pub(crate) network: Option<String>,
    /// A PEM file of the authorities believed for it instead of the public ones.
    pub(crate) ca: Option<String>,
}

/// Whose words a model's API speaks.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum SaidApi {
    /// Messages.
    Anthropic,
    /// Chat completions and responses.
    Openai,
}

/// See [`SaidModel`].
#[derive(Clone)]
pub(crate) struct MeantModel {
    pub(crate) api: SaidApi,
    pub(crate) authorities: Vec<CertificateDer<'static>>,
    pub(crate) key: Option<Secret>,
    /// What it is called there.
    pub(crate) model: String,
    pub(crate) network: Network,
    pub(crate) resource: Arc<Resource>,
    /// Without a slash at its end.
    pub(crate) url: String,
    pub(crate) wait: Duration,
}

impl std::fmt::Debug for MeantModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MeantModel")
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

impl SaidApi {
    /// Whether it can be asked so.
    pub(crate) fn speaks(self, api: Api) -> bool {
        match self {
            Self::Anthropic => api.is_anthropics(),
            Self::Openai => !api.is_anthropics(),
        }
    }
}

pub(super) fn mean(
    said: &BTreeMap<String, SaidModel>,
    lookup: &Lookup<'_>,
    note: &mut impl FnMut(Result<(), Problem>),
) -> Vec<MeantModel> {
    let mut models = Vec::new();
    for (name, said) in said {
        match model(name, said, lookup) {
            Ok(model) => models.push(model),
            Err(problem) => note(Err(problem)),
        }
    }
    models
}

fn model(name: &str, said: &SaidModel, lookup: &Lookup<'_>) -> Result<MeantModel, Problem> {
    let at = format!("models.{name}");
    let is_fit =
        !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.chars().all(|c| c.is_ascii_graphic());
    if !is_fit {
        let what = "a model's name is short and has no spaces";
        return Err(Problem::new(&at, what, "rename the model"));
    }
    let remedy = "write https://HOST/v1; http only where it runs on this machine";
    let network = judge::network(&at, &said.url, said.network.as_deref(), remedy)?;
    if said.url.contains(['?', '#']) {
        let what = "behind a query there is no room for an endpoint";
        return Err(Problem::new(format!("{at}.url"), what, remedy));
    }
    let sink = match said.sink.as_deref() {
        None => Sink::Egress,
        Some(word) => Sink::parse(word).ok_or_else(|| {
            let known = Sink::ALL.map(Sink::as_str).join(", ");
            let what = format!("`{}` is no sink", word.escape_debug());
            Problem::new(format!("{at}.sink"), what, format!("use one of: {known}"))
        })?,
    };
    let trust = match said.trust {
        Some(SaidTrust::Untrusted) => Trust::Untrusted,
        Some(SaidTrust::Trusted) | None => Trust::Trusted,
    };
    let authorities = match &said.ca {
        None => Vec::new(),
        Some(path) => tls::authorities(&lookup.path(path))
            .map_err(|what| Problem::new(format!("{at}.ca"), what, "correct the path, or the file"))?,
    };
    let key = match said.key.as_deref() {
        None => None,
        Some(reference) => {
            let at = format!("{at}.key");
            let said = Secret::presented(lookup.secret(&at, reference)?);
            let key = Secret::presented(said.expose().trim().to_owned());
            if key.expose().is_empty() || !key.expose().chars().all(|c| c.is_ascii_graphic()) {
                let remedy = "store the key alone, on one line";
                return Err(Problem::new(
                    at,
                    "no key can be empty, or have spaces in it",
                    remedy,
                ));
            }
            Some(key)
        }
    };
    Ok(MeantModel {
        api: said.api,
        authorities,
        key,
        model: said.model.clone().unwrap_or_else(|| name.to_owned()),
        network,
        resource: Arc::new(Resource::Model(ToolFacts {
            server: String::new(),
            name: name.to_owned(),
            sink,
            trust,
            labels: servers::labels(&at, said.labels.as_ref())?,
            tenant: said.tenant.clone(),
            cost: said.cost.map_or(1, u64::from),
            arguments: None,
        })),
        url: said.url.trim_end_matches('/').to_owned(),
        wait: Duration::from_secs(said.timeout.unwrap_or(WAIT_S).clamp(1, WAIT_S_MAX)),
    })
}
