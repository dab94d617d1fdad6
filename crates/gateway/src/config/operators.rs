//! Who decides about servers, and how many of them have to.

use std::collections::BTreeSet;

use policy::{Party, Reviewers};
use serde::Deserialize;

use super::{
    Problem,
    said::{Approve, SaidRegistry},
};

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct MeantOperators {
    /// How many have to say so; at least one.
    pub(crate) needed: usize,
    /// Who they are. None is any user.
    by: Option<Reviewers>,
}

impl MeantOperators {
    /// Whether a user is one of them. Otherwise who is.
    pub(crate) fn admit(&self, party: &Party) -> Result<(), String> {
        match &self.by {
            Some(by) if !by.includes(party) => Err(format!("`{}` is no operator; {by} is", party.name)),
            Some(_) | None => Ok(()),
        }
    }
}

pub(super) fn mean(
    said: &SaidRegistry,
    approve: Option<&Approve>,
    note: &mut impl FnMut(Result<(), Problem>),
) -> MeantOperators {
    let by = said.operators.as_deref().and_then(|text| {
        let by = Reviewers::parse(text);
        if by.is_none() {
            let what = format!("`{text}` is nobody");
            let remedy = "write it as `role:NAME`, `group:NAME` or `user:NAME`";
            note(Err(Problem::new("registry.operators", what, remedy)));
        }
        by
    });
    let needed = usize::from(said.approve.unwrap_or(1));
    if needed == 0 {
        let remedy = "write 1, 2 or more";
        note(Err(Problem::new(
            "registry.approve",
            "somebody has to decide",
            remedy,
        )));
    }
    if needed > 1 && matches!(approve, Some(Approve::All)) {
        let what = "`approve: all` approves servers without anybody";
        note(Err(Problem::new(
            "registry.approve",
            what,
            "leave `approve` out, or this",
        )));
    }
    MeantOperators {
        needed: needed.max(1),
        by,
    }
}

/// Who may use the console: users by name, or everybody with a role as `role:NAME`.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidConsole {
    /// Who may change things.
    #[serde(default)]
    pub(crate) operators: BTreeSet<String>,
    /// Who may look.
    #[serde(default)]
    pub(crate) auditors: BTreeSet<String>,
}
