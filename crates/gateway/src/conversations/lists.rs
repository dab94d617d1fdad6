//! Who hears that lists have changed: those whose own lists did, those who are shown something of a server that says
//! so itself, and nobody else.
//!
//! What a client is shown hangs on its door, on who it is and on the rules. So lists are worked out as they were and
//! as they are, once for each door and caller that listens, and compared. What a caller would be shown only with
//! facts that nobody knows before it asks, counts by what is known of it: its credential, the purposes it may declare,
//! and the labels it has.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use identity::{ActorKind, Principal};
use pipeline::{Endpoint, Entry, Tls, ports::Caller};
use policy::{
    Action, Facts, Labels, Subject, TlsFacts,
    registry::ItemKind,
    rules::{Discovery, RuleSet},
};
use tokio::sync::watch;
use wire::{jsonrpc, mcp::Method};

use crate::{
    config::said::Mode,
    engines::{Engines, context_of, resources},
    listen::{House, stopped},
    registry::view::View,
};

/// What lists are made from.
struct Lists {
    view: Arc<View>,
    rules: Arc<RuleSet>,
}

/// Which lists of somebody's have changed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Changed {
    pub(crate) tools: bool,
    pub(crate) prompts: bool,
    pub(crate) resources: bool,
}

impl Changed {
    /// What is in both.
    pub(crate) fn and(self, wanted: Self) -> Self {
        Self {
            tools: self.tools && wanted.tools,
            prompts: self.prompts && wanted.prompts,
            resources: self.resources && wanted.resources,
        }
    }

    /// The notices that say so.
    pub(crate) fn notices(self) -> impl Iterator<Item = Method> {
        let all = [
            (self.tools, Method::NotificationsToolsListChanged),
            (self.prompts, Method::NotificationsPromptsListChanged),
            (self.resources, Method::NotificationsResourcesListChanged),
        ];
        all.into_iter()
            .filter_map(|(changed, method)| changed.then_some(method))
    }
}

/// Who is shown lists, and where: whoever agrees in all of this is shown the same.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Audience {
    at: Endpoint,
    principal: String,
    scopes: Vec<String>,
    purpose: Option<String>,
    tls: Option<(&'static str, &'static str)>,
}

/// Tells clients of changes until the gateway stops.
pub(crate) async fn keep_telling(house: Arc<House>, mut stop: watch::Receiver<bool>) {
    let engines = &house.engines;
    let mut changed = engines.keeper.changed();
    changed.mark_unchanged();
    let mut before = Lists::now(engines);
    loop {
        tokio::select! {
            () = stopped(&mut stop) => return,
            more = changed.changed() => if more.is_err() { return },
        }
        let now = Lists::now(engines);
        let mut compared = Compared {
            engines,
            before: &before,
            now: &now,
            said: engines.keeper.changed_by_their_word(),
            known: HashMap::new(),
        };
        for session in engines.sessions.all() {
            let changed = compared.of(&session.endpoint, &session.caller(), session.tls.as_ref());
            for method in changed.notices() {
                session.tell(jsonrpc::notification(method, |_| {}));
            }
            // Many sessions are many comparisons, and calls do not wait for them.
            tokio::task::yield_now().await;
        }
        let of_listener = |at: &Endpoint, caller: &Caller, tls: Option<&Tls>| compared.of(at, caller, tls);
        engines.listeners.lists_changed(of_listener).await;
        before = now;
    }
}

impl Lists {
    fn now(engines: &Engines) -> Self {
        Self {
            view: engines.keeper.view(),
            rules: engines.rules(),
        }
    }

    /// What is shown of some entries.
    fn shown(&self, mut entries: Vec<Entry>, mode: Mode, subject: &Subject, facts: &Facts<'_>) -> Vec<Entry> {
        if mode == Mode::Enforce {
            let resources = entries.iter().map(|entry| &*entry.resource);
            let found = self
                .rules
                .could_permit_each(subject, Action::Discover, resources, facts);
            let mut found = found.into_iter();
            entries.retain(|_| found.next() == Some(Discovery::Listed));
        }
        entries
    }
}

/// Lists of before and of now.
struct Compared<'c> {
    engines: &'c Engines,
    before: &'c Lists,
    now: &'c Lists,
    /// Servers that say they changed.
    said: BTreeSet<String>,
    /// With who they were when they were shown their lists last: sessions of one caller may differ.
    known: HashMap<Audience, (Arc<Subject>, Changed)>,
}

impl Compared<'_> {
    /// Which lists of a caller's at a door have changed.
    fn of(&mut self, at: &Endpoint, caller: &Caller, tls: Option<&Tls>) -> Changed {
        let principal = &caller.principal;
        let audience = Audience {
            at: at.clone(),
            principal: principal.key(),
            scopes: principal.scopes().iter().cloned().collect(),
            purpose: purpose_of(principal).map(str::to_owned),
            tls: tls.map(|tls| (tls.version, tls.group)),
        };
        if let Some((subject, changed)) = self.known.get(&audience)
            && *subject == caller.subject
        {
            return *changed;
        }
        let changed = self.compare(&audience, caller).unwrap_or_default();
        self.known
            .insert(audience, (Arc::clone(&caller.subject), changed));
        changed
    }

    /// None for who is not known here any more.
    fn compare(&self, audience: &Audience, caller: &Caller) -> Option<Changed> {
        let engines = self.engines;
        let principal = &caller.principal;
        let subject_now = engines.people.subject(principal)?;
        let now_ms = engines.ambient.now_ms();
        let task = principal.declared().and_then(|declared| declared.task.as_deref());
        let context = engines.contexts.find(context_of(principal), task, now_ms);
        let labels = context
            .ok()
            .flatten()
            .map_or_else(Labels::none, |context| context.labels());
        let mut changed = Changed::default();
        for purpose in self.purposes(principal) {
            let facts = Facts {
                args: None,
                purpose: purpose.as_deref(),
                task,
                labels: &labels,
                findings: Default::default(),
                sources: &[],
                scopes: principal.scopes(),
                tls: audience.tls.map(|(version, group)| TlsFacts { version, group }),
                now_ms,
            };
            let differ = |entries: &dyn Fn(&View) -> Vec<Entry>| {
                let of =
                    |lists: &Lists, subject| lists.shown(entries(&lists.view), engines.mode, subject, &facts);
                let (before, now) = (of(self.before, &caller.subject), of(self.now, &subject_now));
                let says_so = |entry: &Entry| {
                    let facts = entry.resource.facts();
                    facts.is_some_and(|facts| self.said.contains(&facts.server))
                };
                let texts = |entries: Vec<Entry>| entries.into_iter().map(|entry| entry.shown);
                now.iter().any(says_so) || !texts(before).eq(texts(now))
            };
            let at = &audience.at;
            changed.tools |= differ(&|view| view.entries(ItemKind::Tool, at));
            changed.prompts |= differ(&|view| view.entries(ItemKind::Prompt, at));
            changed.resources |= differ(&|view| resources(view, at, "uri"));
            changed.resources |= differ(&|view| resources(view, at, "uriTemplate"));
        }
        Some(changed)
    }

    /// The purposes a caller may come with: its credential's, or none and each that it may declare.
    fn purposes(&self, principal: &Principal) -> Vec<Option<String>> {
        if let Some(purpose) = purpose_of(principal) {
            return vec![Some(purpose.to_owned())];
        }
        let actor = principal.actor();
        let person = match actor.kind {
            ActorKind::User => self.engines.people.user(&actor.name),
            ActorKind::Agent | ActorKind::Service => self.engines.people.client(&actor.name),
        };
        let declared = person.iter().flat_map(|person| person.purposes.iter().cloned());
        std::iter::once(None).chain(declared.map(Some)).collect()
    }
}

fn purpose_of(principal: &Principal) -> Option<&str> {
    principal
        .declared()
        .and_then(|declared| declared.purpose.as_deref())
}
