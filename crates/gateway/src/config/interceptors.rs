//! Which servers of interceptors are asked for a second opinion, and what no answer of theirs counts for.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::Deserialize;
use wire::mcp::ServerName;

use super::{
    Problem,
    judge::{self, Otherwise},
    servers::MeantServer,
};

/// Most servers of interceptors: calls wait for one after the other.
const SERVERS_MAX: usize = 4;

/// Interceptors (SEP-2624) that rules may ask (`@judge`), on a server under `mcpServers`.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidInterceptors {
    /// Which of its validators have to be there and are asked. All that it lists unless said.
    #[serde(default)]
    pub(crate) validators: BTreeSet<String>,
    /// Seconds that all of them together may take; 5 unless said.
    pub(crate) timeout: Option<u64>,
    /// What it counts for when one does not answer, or says neither yes nor no: `refuse` (the default) or `ignore`.
    pub(crate) otherwise: Option<String>,
}

/// See [`SaidInterceptors`].
#[derive(Clone, Debug)]
pub(crate) struct MeantInterceptors {
    pub(crate) server: ServerName,
    pub(crate) validators: BTreeSet<String>,
    pub(crate) wait: Duration,
    pub(crate) otherwise: Otherwise,
}

pub(super) fn mean(
    said: &BTreeMap<String, SaidInterceptors>,
    servers: &[MeantServer],
    note: &mut impl FnMut(Result<(), Problem>),
) -> Vec<MeantInterceptors> {
    if said.len() > SERVERS_MAX {
        let what = format!("calls cannot wait for {} servers", said.len());
        let remedy = format!("name {SERVERS_MAX} at most");
        note(Err(Problem::new("interceptors", what, remedy)));
    }
    let one = |(name, said): (&String, &SaidInterceptors)| {
        let at = format!("interceptors.{name}");
        let known = servers.iter().find(|server| server.spec.name.as_str() == name);
        let Some(known) = known else {
            let what = format!("there is no server `{}` in use", name.escape_debug());
            return Err(Problem::new(
                at,
                what,
                "add it under `mcpServers`, or correct the name",
            ));
        };
        Ok(MeantInterceptors {
            server: known.spec.name.clone(),
            validators: said.validators.clone(),
            wait: judge::wait(&at, said.timeout)?,
            otherwise: judge::otherwise(&at, said.otherwise.as_deref())?,
        })
    };
    let mut meant = Vec::new();
    for entry in said {
        match one(entry) {
            Ok(one) => meant.push(one),
            Err(problem) => note(Err(problem)),
        }
    }
    meant
}
