//! The engines behind the road's ports: one file per port.

mod apart;
mod approvals;
mod asking;
mod choosing;
mod clients;
mod closed;
mod contexts;
mod defang;
mod disguise;
mod encoded;
mod entries;
pub(crate) mod flow;
mod halting;
mod identify;
mod inspection;
mod judging;
mod ledger;
mod limits;
mod listening;
mod local;
mod models;
mod posed;
mod purposes;
mod questions;
mod resolve;
mod rewrite;
mod rules;
mod said;
mod spotlight;
mod stretches;
mod task_questions;
mod tasks;
mod terms;
mod told;
mod upstreams;
mod ways;

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use aws_lc_rs::hmac;
use identity::Local;
use inspect::Inspector;
use policy::rules::{Lists, RuleSet, RuleSource};
use upstream::Upstreams;
use wire::json::Document;

pub(crate) use approvals::{Channels, DecideError, Desk, Request, Say, Similar};
pub(crate) use contexts::context_of;
pub(crate) use disguise::Disguise;
pub(crate) use identify::Tokens;
pub(crate) use limits::LimitStore;
pub(crate) use local::{Listeners, SPOKEN, resources, settle};
pub(crate) use models::Models;
pub(crate) use rules::observing;
pub(crate) use terms::Terms;
pub(crate) use told::Told;

use crate::{
    ambient::Ambient,
    config::said::Mode,
    conversations::{
        behind::Behind,
        contexts::{ContextStore, DepositStore},
        cursor::Cursors,
        parked::Parking,
        sessions::Sessions,
        task_desks::TaskDesks,
        task_owners::TaskOwners,
    },
    evidence::{incidents::Incidents, journal::Journal},
    known::people::People,
    operate::halts::Halts,
    outside::{egress::Egress, interceptors::Interceptors, judge::Judge, outbound::Outbound},
    registry::keeper::Keeper,
};

/// All engines, assembled in `assemble.rs`.
#[derive(Debug)]
pub(crate) struct Engines {
    pub(crate) ambient: Ambient,
    pub(crate) mode: Mode,
    pub(crate) people: People,
    pub(crate) tokens: Tokens,
    pub(crate) local: Option<Local>,
    pub(crate) contexts: ContextStore,
    pub(crate) deposits: DepositStore,
    pub(crate) keeper: Arc<Keeper>,
    /// What is stopped.
    pub(crate) halts: Halts,
    pub(crate) incidents: Incidents,
    pub(crate) inspector: Inspector,
    pub(crate) disguise: Disguise,
    /// Who is asked for a second opinion, if anybody is.
    pub(crate) interceptors: Interceptors,
    pub(crate) judge: Option<Judge>,
    pub(crate) models: Models,
    pub(crate) terms: Terms,
    /// What servers were told in the place of pseudonyms.
    pub(crate) told: Told,
    /// What the marks around untrusted content are made with.
    pub(crate) marks_key: hmac::Key,
    pub(crate) rules: RwLock<Arc<RuleSet>>,
    /// What was listed to whom.
    pub(crate) lists: Lists,
    pub(crate) limits: LimitStore,
    pub(crate) desk: Desk,
    pub(crate) channels: Channels,
    pub(crate) journal: Journal,
    pub(crate) upstreams: Arc<Upstreams>,
    pub(crate) sessions: Sessions,
    pub(crate) outbound: Arc<Outbound>,
    pub(crate) parking: Parking,
    pub(crate) cursors: Cursors,
    pub(crate) listeners: Listeners,
    pub(crate) behind: Behind,
    pub(crate) egress: Egress,
    pub(crate) task_owners: TaskOwners,
    pub(crate) task_desks: TaskDesks,
    /// The texts of the rules in force, without what access reviews took away. Held through every change of rules, so that
    /// of two at once neither takes the other back.
    pub(crate) sources: Mutex<Vec<RuleSource>>,
    /// After how many days what agents may do is looked at again.
    pub(crate) review_days: Option<u32>,
    /// The rule of `observe` mode.
    pub(crate) observing: RuleSet,
    /// `{}`: the arguments of a call that has none.
    pub(crate) empty: Document,
}

impl Engines {
    /// The rules in force.
    pub(crate) fn rules(&self) -> Arc<RuleSet> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }
}
