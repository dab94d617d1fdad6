//! What people granted: a family of refresh tokens, of which one is good at a time (OAuth 2.1, section 4.3.1).
//!
//! A refresh token is `GRANT.SECRET`. The grant's name stays and each token of it carries it; the secret changes with
//! each use, and only its digest is kept. Who comes with an earlier secret has stolen it, or was stolen from: the
//! grant ends.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use aws_lc_rs::constant_time;
use identity::{
    DeclaredContext, ResourceId,
    oauth::{read_details, write_details},
    proof::Binding,
    sha256,
    token::LIFETIME_MS_MAX,
};
use records::digest::hex;
use wire::json::{Document, Keys, Node, object};

use super::LoggedIn;
use crate::storage::store::{Exchanged, Store, StoreError, lock_aside};

const TABLE: &str = "grants";
/// How long a grant lasts at most, and how long unused, in days.
pub(crate) const REFRESH_DAYS: i64 = 30;
const IDLE_DAYS: i64 = 14;
const DAY_MS: i64 = 24 * 3600 * 1000;
/// Most grants, and most of one user; the one unused longest ends.
const GRANTS_MAX: usize = 20_000;
const GRANTS_OF_USER_MAX: usize = 200;
/// How long a grant that ended is remembered: until its last access token has expired.
const ENDED_MS: i64 = LIFETIME_MS_MAX + identity::token::SKEW_MS;

/// One grant.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) client: String,
    pub(crate) agent: Option<String>,
    pub(crate) login: LoggedIn,
    pub(crate) resource: ResourceId,
    pub(crate) scopes: Vec<String>,
    pub(crate) context: Option<String>,
    pub(crate) declared: Option<DeclaredContext>,
    /// What a public client has to show with its refresh token.
    pub(crate) binding: Option<Binding>,
    /// The digest of the secret that is good; none where there are no refresh tokens.
    pub(crate) secret: Option<String>,
    pub(crate) born_ms: i64,
    pub(crate) used_ms: i64,
    pub(crate) ended_ms: Option<i64>,
}

impl Record {
    fn is_over(&self, now_ms: i64) -> bool {
        let unused = if self.secret.is_some() {
            IDLE_DAYS * DAY_MS
        } else {
            ENDED_MS
        };
        match self.ended_ms {
            Some(ended_ms) => now_ms > ended_ms + ENDED_MS,
            None => {
                now_ms > self.born_ms + REFRESH_DAYS * DAY_MS + ENDED_MS || now_ms > self.used_ms + unused
            }
        }
    }

    fn is_good(&self, now_ms: i64) -> bool {
        self.ended_ms.is_none() && !self.is_over(now_ms) && now_ms < self.born_ms + REFRESH_DAYS * DAY_MS
    }
}

/// What became of the attempt to use a refresh token.
#[derive(Debug)]
pub(crate) enum Rotated {
    /// It was the one that is good; now another is.
    Good(Box<Record>),
    /// It was good once. The grant has ended now.
    Reused(Box<Record>),
    /// There is no such grant, or none any more.
    Unknown,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Grants {
    store: Store,
    all: Mutex<BTreeMap<String, Arc<Record>>>,
}

impl Grants {
    /// Reads what was granted before.
    pub(crate) fn open(store: Store, now_ms: i64) -> Result<Self, StoreError> {
        let all = Mutex::new(stored(&store, now_ms)?);
        Ok(Self { store, all })
    }

    /// Takes over what other replicas granted and ended.
    pub(crate) fn take_over(&self, now_ms: i64) -> Result<(), StoreError> {
        let mut all = self.lock();
        *all = stored(&self.store, now_ms)?;
        Ok(())
    }

    /// Where there are replicas, another may have used or ended a grant this moment.
    fn renew(&self, all: &mut BTreeMap<String, Arc<Record>>, id: &str) -> Result<(), StoreError> {
        if self.store.server().is_some() {
            match self.store.get(TABLE, id)?.as_deref().and_then(read) {
                Some(record) => all.insert(id.to_owned(), Arc::new(record)),
                None => all.remove(id),
            };
        }
        Ok(())
    }

    /// Those that ended, with when their last tokens expire: none of them may be believed after a restart.
    pub(crate) fn ended(&self) -> Vec<(String, i64)> {
        let all = self.lock();
        let ended = all
            .values()
            .filter_map(|record| Some((record.id.clone(), record.ended_ms? + ENDED_MS)));
        ended.collect()
    }

    /// Begins one. Gives back those that had to end for it.
    pub(crate) fn begin(&self, record: Record, now_ms: i64) -> Result<Vec<String>, StoreError> {
        let mut all = self.lock();
        let user = &record.login.user;
        let of_user = all
            .values()
            .filter(|other| other.login.user == *user && other.ended_ms.is_none());
        let crowded = if of_user.clone().count() >= GRANTS_OF_USER_MAX {
            of_user
                .min_by_key(|record| record.used_ms)
                .map(|record| record.id.clone())
        } else if all.len() >= GRANTS_MAX {
            all.values()
                .min_by_key(|record| record.used_ms)
                .map(|record| record.id.clone())
        } else {
            None
        };
        let mut ended = Vec::new();
        if let Some(id) = crowded {
            self.end_locked(&mut all, &id, now_ms)?;
            ended.push(id);
        }
        self.put(&mut all, record)?;
        Ok(ended)
    }

    /// Uses a refresh token of a client. `check` may refuse while the token stays good.
    pub(crate) fn rotate<E>(
        &self,
        token: &str,
        client: &str,
        next: &str,
        now_ms: i64,
        check: impl FnOnce(&Record) -> Result<(), E>,
    ) -> Result<Result<Rotated, E>, StoreError> {
        let Some((id, secret)) = token.split_once('.') else {
            return Ok(Ok(Rotated::Unknown));
        };
        let mut all = self.lock();
        self.renew(&mut all, id)?;
        let found = all
            .get(id)
            .filter(|record| record.client == client && record.is_good(now_ms));
        let Some(record) = found.cloned() else {
            return Ok(Ok(Rotated::Unknown));
        };
        let Some(good) = &record.secret else {
            return Ok(Ok(Rotated::Unknown));
        };
        let shown = digest(secret);
        if constant_time::verify_slices_are_equal(shown.as_bytes(), good.as_bytes()).is_err() {
            self.end_locked(&mut all, id, now_ms)?;
            return Ok(Ok(Rotated::Reused(Box::new((*record).clone()))));
        }
        if let Err(refused) = check(&record) {
            return Ok(Err(refused));
        }
        let next = Record {
            secret: Some(digest(next)),
            used_ms: now_ms,
            ..(*record).clone()
        };
        // Of replicas that use it at once, one does.
        let is_same = |found: Option<&[u8]>| {
            let found = found.and_then(read);
            found.is_some_and(|found| found.secret == record.secret && found.ended_ms.is_none())
        };
        match self
            .store
            .exchange(TABLE, &next.id, is_same, Some(&write(&next)))?
        {
            Exchanged::Done => all.insert(next.id.clone(), Arc::new(next.clone())),
            Exchanged::Otherwise => return Err(StoreError::other("another replica used it".to_owned())),
        };
        Ok(Ok(Rotated::Good(Box::new(next))))
    }

    /// The grant a refresh token is of, good or not.
    pub(crate) fn of_token(&self, token: &str) -> Option<Arc<Record>> {
        let (id, _) = token.split_once('.')?;
        self.get(id)
    }

    /// Whether a refresh token is the one that is good.
    pub(crate) fn is_current(&self, token: &str, now_ms: i64) -> Option<Arc<Record>> {
        let (id, secret) = token.split_once('.')?;
        let record = self.get(id).filter(|record| record.is_good(now_ms))?;
        let good = record.secret.as_ref()?;
        constant_time::verify_slices_are_equal(digest(secret).as_bytes(), good.as_bytes()).ok()?;
        Some(record)
    }

    /// One of them.
    pub(crate) fn get(&self, id: &str) -> Option<Arc<Record>> {
        self.lock().get(id).cloned()
    }

    /// Those of a user that have not ended.
    pub(crate) fn of_user(&self, user: &str) -> Vec<Arc<Record>> {
        let all = self.lock();
        let of_user = all
            .values()
            .filter(|record| record.login.user == user && record.ended_ms.is_none());
        of_user.cloned().collect()
    }

    /// Ends one. Durable when it returns.
    pub(crate) fn end(&self, id: &str, now_ms: i64) -> Result<(), StoreError> {
        self.end_locked(&mut self.lock(), id, now_ms)
    }

    fn end_locked(
        &self,
        all: &mut BTreeMap<String, Arc<Record>>,
        id: &str,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let Some(record) = all.get(id).filter(|record| record.ended_ms.is_none()) else {
            return Ok(());
        };
        let ended = Record {
            ended_ms: Some(now_ms),
            ..(**record).clone()
        };
        self.put(all, ended)
    }

    fn put(&self, all: &mut BTreeMap<String, Arc<Record>>, record: Record) -> Result<(), StoreError> {
        self.store.put(TABLE, &record.id, &write(&record))?;
        all.insert(record.id.clone(), Arc::new(record));
        Ok(())
    }

    /// Forgets those that are over.
    pub(crate) fn sweep(&self, now_ms: i64) -> Result<(), StoreError> {
        let mut all = self.lock();
        let over: Vec<String> = all
            .values()
            .filter(|record| record.is_over(now_ms))
            .map(|record| record.id.clone())
            .collect();
        for id in over {
            self.store.delete(TABLE, &id)?;
            all.remove(&id);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Record>>> {
        lock_aside(&self.all)
    }
}

fn stored(store: &Store, now_ms: i64) -> Result<BTreeMap<String, Arc<Record>>, StoreError> {
    let mut all = BTreeMap::new();
    for (id, text) in store.list(TABLE)? {
        match read(&text).filter(|record| record.id == id && !record.is_over(now_ms)) {
            Some(record) => {
                all.insert(id, Arc::new(record));
            }
            None => store.delete(TABLE, &id)?,
        }
    }
    Ok(all)
}

/// The digest a secret of 256 bits is known by.
pub(crate) fn digest(secret: &str) -> String {
    hex(&sha256(secret.as_bytes()))
}

fn write(record: &Record) -> Vec<u8> {
    object(|out| {
        out.string("id", &record.id);
        out.string("client", &record.client);
        if let Some(agent) = &record.agent {
            out.string("agent", agent);
        }
        out.object("login", |out| record.login.write(out));
        out.string("resource", record.resource.as_str());
        out.array("scopes", |list| {
            record.scopes.iter().for_each(|scope| list.string(scope))
        });
        if let Some(context) = &record.context {
            out.string("context", context);
        }
        if let Some(declared) = &record.declared {
            out.array("declared", |details| write_details(declared, details));
        }
        match &record.binding {
            Some(Binding::Certificate(digest)) => out.string("certificate", digest),
            Some(Binding::Key(thumbprint)) => out.string("key", thumbprint),
            None => {}
        }
        if let Some(secret) = &record.secret {
            out.string("secret", secret);
        }
        out.integer("born", record.born_ms);
        out.integer("used", record.used_ms);
        if let Some(ended_ms) = record.ended_ms {
            out.integer("ended", ended_ms);
        }
    })
}

fn read(text: &[u8]) -> Option<Record> {
    let document = Document::parse(text.to_vec(), Keys::Exact, &wire::bounds::ANSWER).ok()?;
    let root = document.root();
    let text = |name: &str| Some(root.get(name)?.as_str()?.into_owned());
    let number = |name: &str| root.get(name).and_then(Node::as_number)?.as_i64();
    let declared = match root.get("declared") {
        Some(details) => read_details(details).ok()?,
        None => None,
    };
    let certificate = text("certificate").map(|digest| Binding::Certificate(Arc::from(digest)));
    let key = text("key").map(|thumbprint| Binding::Key(Arc::from(thumbprint)));
    let scopes = root
        .get("scopes")?
        .elements()
        .map(|scope| Some(scope.as_str()?.into_owned()));
    Some(Record {
        id: text("id")?,
        client: text("client")?,
        agent: text("agent"),
        login: LoggedIn::read(root.get("login")?)?,
        resource: ResourceId::parse(&text("resource")?).ok()?,
        scopes: scopes.collect::<Option<_>>()?,
        context: text("context"),
        declared,
        binding: certificate.or(key),
        secret: text("secret"),
        born_ms: number("born")?,
        used_ms: number("used")?,
        ended_ms: number("ended"),
    })
}
