//! The contexts there are, and what was written into servers, kept in the store: neither a restart nor a
//! reconnect washes labels off. Labels are in the store before anybody sees what brought them; what only helps
//! to trace values is written soon after ([`keep`]).

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use identity::{ActorKind, Principal};
use policy::{
    Context, Labels,
    flow::{Call, Deposits},
};
use wire::{
    bounds::ANSWER,
    json::{Document, Keys, Node, object},
};

use crate::storage::store::{Store, StoreError, lock_aside};

/// An idle context leaves memory after this long; what it has read stays in the store.
const IDLE_MS_MAX: i64 = 60 * 60 * 1000;
/// Most contexts in memory at a time.
const CONTEXTS_MAX: usize = 50_000;
/// The store's tables: labels by context, traces by context, what was written by server.
const LABELS: &str = "context_labels";
const TRACES: &str = "context_traces";
const DEPOSITS: &str = "deposits";
/// How often traces are written, and the most of its time that doing so may take.
const KEEP: Duration = Duration::from_millis(500);
const KEEP_SHARE_MAX: u32 = 20;
/// Traces of one transaction. As many are in memory twice meanwhile.
const TRACES_AT_ONCE: usize = 64;

/// All contexts.
#[derive(Debug)]
pub(crate) struct ContextStore {
    by_id: Mutex<HashMap<String, (Arc<Context>, i64)>>,
    /// Held while labels are written: what is stored is never older than what was stored before.
    writing: Mutex<()>,
    /// The same for traces: a sweep may come while they are written.
    keeping: Mutex<()>,
    store: Store,
}

/// A context that has read something.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) id: String,
    pub(crate) agent: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) labels: Labels,
}

/// What was written into servers.
#[derive(Debug)]
pub(crate) struct DepositStore {
    by_server: Mutex<BTreeMap<String, (Deposits, Changed)>>,
    /// Held while they are written: what is stored is never older than what was stored before.
    keeping: Mutex<()>,
    store: Store,
}

/// Whether something is in the store as it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Changed {
    No,
    Yes,
}

impl ContextStore {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            by_id: Mutex::default(),
            writing: Mutex::default(),
            keeping: Mutex::default(),
            store,
        }
    }

    /// The context of this id, as it was kept; none when there is no room for another.
    pub(crate) fn find(
        &self,
        id: String,
        task: Option<&str>,
        now_ms: i64,
    ) -> Result<Option<Arc<Context>>, StoreError> {
        let known = self.lock().get_mut(&id).map(|(context, used_ms)| {
            *used_ms = now_ms;
            Arc::clone(context)
        });
        if let Some(context) = known {
            // What it has read through another replica counts here, too.
            if self.store.server().is_some()
                && let Some(kept) = self.kept(&id)?
            {
                context.stored(&kept.labels);
            }
            return Ok(Some(context));
        }
        let labels = self.kept(&id)?.map_or_else(Labels::none, |kept| kept.labels);
        let traces = self.store.get(TRACES, &id)?;
        let context = Context::kept(id.clone(), task, labels, traces.as_deref());
        let context = Arc::new(context.map_err(|damaged| StoreError::other(damaged.to_string()))?);
        let mut contexts = self.lock();
        if contexts.len() >= CONTEXTS_MAX {
            // Those that change meanwhile have been used meanwhile.
            contexts.retain(|_, (context, used_ms)| {
                now_ms - *used_ms < IDLE_MS_MAX || Arc::strong_count(context) > 1
            });
        }
        if contexts.len() >= CONTEXTS_MAX {
            return Ok(None);
        }
        // Somebody else may have been quicker.
        let (context, _) = contexts.entry(id).or_insert((context, now_ms));
        Ok(Some(Arc::clone(context)))
    }

    /// Writes the labels a context has now, if they are not in the store.
    pub(crate) fn keep_labels(&self, context: &Context, caller: &Principal) -> Result<(), StoreError> {
        if context.unstored().is_none() {
            return Ok(());
        }
        let _alone = lock_aside(&self.writing);
        // Somebody else may have been quicker.
        let Some(mut labels) = context.unstored() else {
            return Ok(());
        };
        let actor = caller.actor();
        let (agent, user) = match actor.kind {
            ActorKind::User => (None, Some(actor.name.as_str())),
            ActorKind::Agent | ActorKind::Service => (Some(actor.name.as_str()), caller.for_user()),
        };
        if self.store.server().is_some()
            && let Some(kept) = self.kept(context.id())?
        {
            labels = labels.join(&kept.labels);
        }
        self.write(context.id(), agent, user, &labels)?;
        context.stored(&labels);
        Ok(())
    }

    /// Every context that has read something.
    pub(crate) fn all(&self) -> Result<Vec<Kept>, StoreError> {
        let all = self.store.list(LABELS)?;
        all.into_iter().map(|(id, text)| read(id, text)).collect()
    }

    /// One of them.
    pub(crate) fn kept(&self, id: &str) -> Result<Option<Kept>, StoreError> {
        let found = self.store.get(LABELS, id)?;
        found.map(|text| read(id.to_owned(), text)).transpose()
    }

    /// Takes labels off. The caller has recorded who wants it, and why.
    pub(crate) fn declassify(&self, kept: &Kept, to: Labels) -> Result<(), StoreError> {
        let _alone = lock_aside(&self.writing);
        self.write(&kept.id, kept.agent.as_deref(), kept.user.as_deref(), &to)?;
        if let Some((context, _)) = self.lock().get(&kept.id) {
            context.declassify(to);
        }
        Ok(())
    }

    fn write(
        &self,
        id: &str,
        agent: Option<&str>,
        user: Option<&str>,
        labels: &Labels,
    ) -> Result<(), StoreError> {
        let text = object(|out| {
            for (name, party) in [("agent", agent), ("user", user)] {
                if let Some(party) = party {
                    out.string(name, party);
                }
            }
            out.json("labels", &labels.to_stored());
        });
        self.store.put(LABELS, id, &text)
    }

    /// Forgets contexts nobody has used for long; they are found again as they were.
    pub(crate) fn sweep(&self, now_ms: i64) -> Result<(), StoreError> {
        self.keep()?;
        self.lock().retain(|_, (context, used_ms)| {
            now_ms - *used_ms < IDLE_MS_MAX || Arc::strong_count(context) > 1
        });
        Ok(())
    }

    /// Writes the traces that changed.
    fn keep(&self) -> Result<(), StoreError> {
        let _alone = lock_aside(&self.keeping);
        let contexts: Vec<_> = self
            .lock()
            .values()
            .map(|(context, _)| Arc::clone(context))
            .collect();
        let mut kept = Ok(());
        for contexts in contexts.chunks(TRACES_AT_ONCE) {
            let changed = contexts.iter().filter_map(|context| {
                let traces = context.unkept()?;
                Some((context, (context.id().to_owned(), Some(traces))))
            });
            let (contexts, settings): (Vec<_>, Vec<_>) = changed.unzip();
            if let Err(unset) = self.store.set_all(TRACES, &settings) {
                for context in unset.places.iter().filter_map(|place| contexts.get(*place)) {
                    context.not_kept();
                }
                kept = Err(unset.why);
            }
        }
        kept
    }

    /// How many are in memory.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Arc<Context>, i64)>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DepositStore {
    /// What is in the store.
    pub(crate) fn open(store: Store) -> Result<Self, StoreError> {
        let stored = store.list(DEPOSITS)?.into_iter();
        let stored = stored.map(|(key, text)| deposits(&key, &text).map(|deposits| (key, deposits)));
        Ok(Self {
            by_server: Mutex::new(stored.collect::<Result<_, StoreError>>()?),
            keeping: Mutex::default(),
            store,
        })
    }

    /// Takes over what was written through other replicas. Each keeps its own apart.
    pub(crate) fn take_over(&self) -> Result<(), StoreError> {
        for (key, text) in self.store.list(DEPOSITS)? {
            let of = self.store.replica().zip(key.split_once(' '));
            if of.is_some_and(|(own, (_, replica))| own != replica) {
                let deposits = deposits(&key, &text)?;
                self.lock().insert(key, deposits);
            }
        }
        Ok(())
    }

    /// Under what this replica keeps what it wrote into a server. Names of servers have no spaces.
    fn key(&self, server: &str) -> String {
        match self.store.replica() {
            Some(replica) => format!("{server} {replica}"),
            None => server.to_owned(),
        }
    }

    /// Remembers what a context with these labels writes into a server.
    pub(crate) fn add(&self, server: &str, call: &Call<'_>, labels: &Labels) {
        let mut servers = self.lock();
        let (deposits, changed) = servers
            .entry(self.key(server))
            .or_insert((Deposits::default(), Changed::No));
        deposits.add(call, labels);
        *changed = Changed::Yes;
    }

    /// The labels of what was written into a server and comes back in this text.
    pub(crate) fn labels_in(&self, server: &str, text: &str) -> Labels {
        let servers = self.lock();
        let of_server = servers
            .range(server.to_owned()..)
            .take_while(|(key, _)| key.starts_with(server));
        let of_server = of_server.filter(|(key, _)| key.split(' ').next() == Some(server));
        of_server.fold(Labels::none(), |labels, (_, (deposits, _))| {
            labels.join(&deposits.labels_in(text))
        })
    }

    fn keep(&self) -> Result<(), StoreError> {
        let _alone = lock_aside(&self.keeping);
        let changed: Vec<_> = {
            let mut servers = self.lock();
            let changed = servers
                .iter_mut()
                .filter(|(_, (_, changed))| *changed == Changed::Yes);
            let texts = changed.map(|(server, (deposits, changed))| {
                *changed = Changed::No;
                (server.clone(), Some(deposits.to_stored()))
            });
            texts.collect()
        };
        let Err(unset) = self.store.set_all(DEPOSITS, &changed) else {
            return Ok(());
        };
        let mut servers = self.lock();
        for (server, _) in unset.places.iter().filter_map(|place| changed.get(*place)) {
            if let Some((_, changed)) = servers.get_mut(server) {
                *changed = Changed::Yes;
            }
        }
        Err(unset.why)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (Deposits, Changed)>> {
        self.by_server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn deposits(key: &str, text: &[u8]) -> Result<(Deposits, Changed), StoreError> {
    let deposits = Deposits::from_stored(text);
    let deposits = deposits.map_err(|damaged| StoreError::other(format!("{key}: {damaged}")))?;
    Ok((deposits, Changed::No))
}

fn read(id: String, text: Vec<u8>) -> Result<Kept, StoreError> {
    let damaged = || StoreError::other(format!("the stored context `{id}` is damaged"));
    let document = Document::parse(text, Keys::Exact, &ANSWER).map_err(|_| damaged())?;
    let root = document.root();
    let labels = root.get("labels").map(|labels| labels.written().as_bytes());
    let labels = labels
        .and_then(|labels| Labels::from_stored(labels).ok())
        .ok_or_else(damaged)?;
    let party = |name: &str| Some(root.get(name).and_then(Node::as_str)?.into_owned());
    let (agent, user) = (party("agent"), party("user"));
    Ok(Kept {
        id,
        agent,
        user,
        labels,
    })
}

/// Writes traces and deposits once; complains where it cannot.
pub(crate) fn keep(contexts: &ContextStore, deposits: &DepositStore) {
    if let Err(error) = contexts.keep().and_then(|()| deposits.keep()) {
        tracing::error!(%error, "what contexts have read cannot be stored");
    }
}

/// Writes them whenever they changed, and never does only that.
pub(crate) async fn keep_keeping(engines: Arc<crate::engines::Engines>) {
    let mut wait = KEEP;
    loop {
        tokio::time::sleep(wait).await;
        let engines = Arc::clone(&engines);
        let took = tokio::task::spawn_blocking(move || {
            let begun = Instant::now();
            keep(&engines.contexts, &engines.deposits);
            begun.elapsed()
        });
        wait = KEEP.max(took.await.unwrap_or_default() * KEEP_SHARE_MAX);
    }
}
