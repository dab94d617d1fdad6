//! The gateway as an OAuth client of servers' authorization servers. See `docs/upstream-auth.md`.
//!
//! INVARIANT (no passing through): no server is sent the token a caller came with, and nothing but `presented` knows it.
//! What is sent to a server was given by that server's own authorization server, for that server, to the gateway; it is
//! kept with the name of who gave it, and shown to nobody else.

mod account;
mod callers;
mod clients;
mod consents;
mod enterprise;
mod grants;
mod obtain;
mod people;
mod presented;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError, RwLock, atomic::Ordering},
};

use hyper::{
    HeaderMap, StatusCode,
    header::{AUTHORIZATION, HeaderName, HeaderValue},
};
use identity::{
    ActorKind,
    assertion::{ClientKey, Proving},
    token::Issuer,
};
use pipeline::ports::{Boxed, Caller};
use tokio::sync::Mutex as AsyncMutex;
use upstream::{Credentials, Errand, LinkError, Next};
use wire::mcp::ServerName;

use account::{Account, Held, Subject};
pub(crate) use clients::Own;
use consents::Consents;
use grants::{Grant, Party};
pub(crate) use people::{Asking, Connected};
use presented::Presented;

use crate::{
    ambient::Ambient,
    config::{
        auth::{AuthKind, ClientIdentity, Registration, Whose},
        servers::MeantServer,
    },
    evidence::journal::Journal,
    known::issuers::Guarded,
    outside::oauth::{
        Challenge,
        discovery::{self, Found, Metadata, discover},
        tokens::{DPOP, NoToken, Nonces},
    },
    storage::store::{Store, StoreError},
};

/// How long before its end a token is renewed, in milliseconds.
const EARLY_MS: i64 = 30 * 1000;

/// See the module.
pub(crate) struct Outbound {
    accounts: RwLock<HashMap<ServerName, Arc<Account>>>,
    pub(super) consents: Consents,
    presented: Presented,
    store: Store,
    journal: Journal,
    ambient: Ambient,
    base: String,
    /// Who vouches for callers where a token is exchanged.
    issuer: Issuer,
    /// Identity providers that are trusted here, by name.
    issuers: BTreeSet<String>,
}

impl Outbound {
    pub(crate) fn new(
        base: String,
        (issuer, issuers): (Issuer, BTreeSet<String>),
        store: Store,
        journal: Journal,
        ambient: Ambient,
    ) -> Self {
        Self {
            accounts: RwLock::default(),
            consents: Consents::default(),
            presented: Presented::default(),
            store,
            journal,
            ambient,
            base,
            issuer,
            issuers,
        }
    }

    /// A server is gone for good: what the gateway and its users have for it is destroyed. Questions about it go
    /// first, and its account, so that nothing new comes in meanwhile.
    pub(crate) fn forget(&self, name: &ServerName) -> Result<(), StoreError> {
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        accounts.remove(name);
        drop(accounts);
        self.consents.forget(name);
        grants::remove_all(&self.store, name)?;
        clients::remove(&self.store, name)
    }

    /// Takes a server in.
    pub(crate) fn place(&self, server: &MeantServer) -> Result<(), String> {
        let Some(auth) = &server.auth else { return Ok(()) };
        let Some(target) = server.spec.reach.http() else {
            return Ok(());
        };
        let url = target.url.to_string();
        let name = server.spec.name.clone();
        let account = Account {
            guarded: Guarded::new(auth.network, &auth.authorities)?,
            // A WebSocket begins as a request over HTTP, and is the same resource.
            url: url.replacen("ws", "http", usize::from(url.starts_with("ws"))),
            auth: Arc::clone(auth),
            name: name.clone(),
            found: AsyncMutex::default(),
            challenge: Mutex::default(),
            nonces: Nonces::default(),
            seats: Mutex::default(),
        };
        let is_of_callers = |whose: &Whose| *whose == Whose::Callers;
        match &auth.kind {
            AuthKind::CallersToken { .. } => self.presented.want(),
            AuthKind::Enterprise { whose, provider, .. } if is_of_callers(whose) => {
                self.presented.want();
                self.presented.want_logins(&provider.issuer);
            }
            AuthKind::Enterprise { .. }
            | AuthKind::AuthorizationCode(_)
            | AuthKind::ClientCredentials(_)
            | AuthKind::TokenExchange { .. }
            | AuthKind::Workload { .. } => {}
        }
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        accounts.insert(name, Arc::new(account));
        Ok(())
    }

    fn account(&self, server: &ServerName) -> Option<Arc<Account>> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        accounts.get(server).cloned()
    }

    fn subject<'c>(&self, account: &Account, caller: Option<&'c Caller>) -> Result<Subject<'c>, LinkError> {
        Ok(match (&account.auth.kind, caller) {
            (
                AuthKind::ClientCredentials(_)
                | AuthKind::Enterprise {
                    whose: Whose::Gateway(_),
                    ..
                }
                | AuthKind::Workload { .. },
                _,
            )
            | (
                AuthKind::CallersToken { .. } | AuthKind::Enterprise { .. } | AuthKind::TokenExchange { .. },
                None,
            ) => Subject::Gateway,
            (AuthKind::TokenExchange { .. }, Some(caller)) => Subject::Caller(caller),
            (
                AuthKind::CallersToken { .. }
                | AuthKind::Enterprise {
                    whose: Whose::Callers,
                    ..
                },
                Some(caller),
            ) => Subject::Bearer(caller),
            (AuthKind::AuthorizationCode(_), Some(caller)) => Subject::Person(person(caller)),
            (AuthKind::AuthorizationCode(_), None) => {
                let lender = grants::lender(&self.store, &account.name);
                let lender = lender.map_err(|error| LinkError::Unauthorized(error.to_string()))?;
                lender.map_or(Subject::Nobody, Subject::Lender)
            }
        })
    }
}

impl Credentials for Outbound {
    fn headers<'e>(
        &'e self,
        errand: Errand<'e>,
    ) -> Boxed<'e, Result<Vec<(HeaderName, HeaderValue)>, LinkError>> {
        Box::pin(async move {
            let Some(account) = self.account(errand.server) else {
                return Ok(Vec::new());
            };
            let subject = self.subject(&account, errand.caller)?;
            let Some(seat) = account.seat(&subject) else {
                return Ok(Vec::new());
            };
            let mut held = seat.held.lock().await;
            self.load(&account, &subject, &mut held)?;
            self.keep_young(&account, &subject, &mut held).await?;
            match &held.grant {
                Some(grant) => self.proof(&account, grant, errand),
                None => Ok(Vec::new()),
            }
        })
    }

    fn answered<'e>(
        &'e self,
        errand: Errand<'e>,
        sent: &'e [(HeaderName, HeaderValue)],
        status: StatusCode,
        headers: &'e HeaderMap,
    ) -> Boxed<'e, Result<Next, LinkError>> {
        Box::pin(async move {
            let Some(account) = self.account(errand.server) else {
                return Ok(Next::Take);
            };
            let fresh = account.nonces.note(&errand.url.to_string(), headers).is_some();
            let has_proof = !sent.is_empty();
            match status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {}
                _ => {
                    if has_proof && status.is_success() {
                        let subject = self.subject(&account, errand.caller)?;
                        if let Some(seat) = account.seat(&subject) {
                            seat.is_taken.store(true, Ordering::Relaxed);
                        }
                    }
                    return Ok(Next::Take);
                }
            }
            let challenge = Challenge::of(headers);
            if challenge.is_error("use_dpop_nonce") && fresh && has_proof {
                return Ok(Next::Again);
            }
            if status == StatusCode::UNAUTHORIZED {
                return self
                    .refused(&account, errand.caller, token_of(sent), challenge)
                    .await;
            }
            if challenge.is_error("insufficient_scope") {
                return self.step_up(&account, errand.caller, challenge).await;
            }
            Ok(Next::Take)
        })
    }
}

impl Outbound {
    /// The token in headers, with its proof where it is bound to a key.
    fn proof(
        &self,
        account: &Account,
        grant: &Grant,
        errand: Errand<'_>,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, LinkError> {
        let scheme = if grant.is_bound { "DPoP" } else { "Bearer" };
        let unusable = |why: &str| LinkError::Unauthorized(why.to_owned());
        let mut value = HeaderValue::try_from(format!("{scheme} {}", grant.access.expose()))
            .map_err(|_| unusable("the token cannot be put into a header"))?;
        value.set_sensitive(true);
        let mut headers = vec![(AUTHORIZATION, value)];
        if grant.is_bound {
            let key =
                key_of(grant).ok_or_else(|| unusable("the token's key is lost; connect the server again"))?;
            let url = errand.url.to_string();
            let proof = key.proof(&Proving {
                method: errand.method.as_str(),
                url: &url,
                token: Some(&grant.access),
                nonce: account.nonces.of(&url).as_deref(),
                id: &self.ambient.name(),
                now_ms: self.ambient.now_ms(),
            });
            let proof = proof.map_err(|why| unusable(&why.to_string()))?;
            let proof = HeaderValue::try_from(proof).map_err(|_| unusable("the proof cannot be sent"))?;
            headers.push((DPOP, proof));
        }
        Ok(headers)
    }

    /// What a person gave before the gateway started.
    fn load(&self, account: &Account, subject: &Subject<'_>, held: &mut Held) -> Result<(), LinkError> {
        let key = match subject {
            Subject::Person(party) => party.key(),
            Subject::Lender(key) => key.clone(),
            Subject::Bearer(_) | Subject::Caller(_) | Subject::Gateway | Subject::Nobody => return Ok(()),
        };
        if !held.is_loaded {
            let kept = grants::get(&self.store, &account.name, &key);
            let kept = kept.map_err(|error| LinkError::Unauthorized(error.to_string()))?;
            held.grant = kept.map(|(_, grant)| grant);
            held.is_loaded = true;
        }
        Ok(())
    }

    /// Renews a token that is about to end.
    async fn keep_young(
        &self,
        account: &Account,
        subject: &Subject<'_>,
        held: &mut Held,
    ) -> Result<(), LinkError> {
        let Some(grant) = held.grant.as_ref() else {
            return Ok(());
        };
        let now_ms = self.ambient.now_ms();
        let early_ms = match subject {
            // Nothing lasts longer than the token it was exchanged for.
            Subject::Bearer(caller)
                if self.presented.until_ms(&caller.principal) == Some(grant.expires_ms) =>
            {
                0
            }
            Subject::Bearer(_)
            | Subject::Caller(_)
            | Subject::Gateway
            | Subject::Lender(_)
            | Subject::Nobody
            | Subject::Person(_) => EARLY_MS,
        };
        if now_ms < grant.expires_ms.saturating_sub(early_ms) {
            return Ok(());
        }
        let is_over = now_ms >= grant.expires_ms;
        let renewed = match subject {
            Subject::Person(_) | Subject::Lender(_) => self.refresh(account, subject, held).await,
            Subject::Bearer(_) | Subject::Caller(_) | Subject::Gateway | Subject::Nobody => {
                let asked = grant.asked.clone();
                let found = account.found.lock().await.clone();
                match found {
                    Some(found) => self.obtain(account, subject, held, &found, asked).await,
                    None => Ok(()),
                }
            }
        };
        match renewed {
            Ok(()) => Ok(()),
            // What is spent is not shown again: the server says what it wants instead.
            Err(why) if why.is_spent() => self.drop_grant(account, subject, held),
            Err(_) if !is_over => Ok(()),
            Err(why) => Err(LinkError::Unauthorized(format!(
                "its authorization server: {why}"
            ))),
        }
    }

    /// The server does not take the request without a token, or not with this one.
    async fn refused(
        &self,
        account: &Arc<Account>,
        caller: Option<&Caller>,
        sent: Option<&str>,
        challenge: Challenge,
    ) -> Result<Next, LinkError> {
        *account.challenge.lock().unwrap_or_else(PoisonError::into_inner) = challenge.clone();
        let subject = self.subject(account, caller)?;
        let Some(seat) = account.seat(&subject) else {
            return Err(account.unconnected());
        };
        let mut held = seat.held.lock().await;
        self.load(account, &subject, &mut held)?;
        let now = held.grant.as_ref().map(|grant| grant.access.expose());
        if now.is_some() && now != sent {
            // Somebody else got another one meanwhile.
            return Ok(Next::Again);
        }
        let was_taken = seat.is_taken.swap(false, Ordering::Relaxed);
        let found = self.find(account, &challenge).await?;
        if held
            .grant
            .as_ref()
            .is_some_and(|grant| grant.issuer != found.server.issuer)
        {
            let why = "its authorization server is another one now";
            self.note(
                &account.name,
                "upstream-token-dropped",
                &[("why", why.to_owned())],
            );
            self.drop_grant(account, &subject, &mut held)?;
        } else if held.grant.is_some() && !was_taken {
            self.drop_grant(account, &subject, &mut held)?;
            return Err(LinkError::Unauthorized(format!(
                "it does not take a token that `{}` gave for it a moment ago; `sallyport oauth doctor {}` says more",
                found.server.issuer, account.url
            )));
        }
        match &subject {
            Subject::Gateway | Subject::Bearer(_) | Subject::Caller(_) => {
                let scopes = account.scopes(&challenge, &found);
                let obtained = self.obtain(account, &subject, &mut held, &found, scopes).await;
                obtained.map_err(|why| account.no_token(&found, &why))?;
                Ok(Next::Again)
            }
            Subject::Nobody | Subject::Lender(_) | Subject::Person(_) => {
                if held.grant.as_ref().is_some_and(|grant| grant.refresh.is_some()) {
                    match self.refresh(account, &subject, &mut held).await {
                        Ok(()) => return Ok(Next::Again),
                        Err(why @ NoToken::Failed(_)) => return Err(account.no_token(&found, &why)),
                        Err(NoToken::Refused { .. }) => {}
                    }
                }
                self.drop_grant(account, &subject, &mut held)?;
                let Subject::Person(party) = subject else {
                    return Err(account.unconnected());
                };
                let scopes = account.scopes(&challenge, &found);
                drop(held);
                Err(self.consent(account, (party, asker(caller)), found, scopes).await)
            }
        }
    }

    /// The token is good, and not for this: one with more scopes is asked for, once.
    async fn step_up(
        &self,
        account: &Arc<Account>,
        caller: Option<&Caller>,
        challenge: Challenge,
    ) -> Result<Next, LinkError> {
        let subject = self.subject(account, caller)?;
        let Some(seat) = account.seat(&subject) else {
            return Err(account.unconnected());
        };
        let mut held = seat.held.lock().await;
        self.load(account, &subject, &mut held)?;
        let Some(grant) = &held.grant else {
            return Ok(Next::Take);
        };
        let wanted: BTreeSet<String> = challenge.scopes().map(str::to_owned).collect();
        let named = || wanted.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        if account.auth.is_tied_by_scope() || wanted.is_subset(&grant.asked) {
            return Err(LinkError::Unauthorized(format!(
                "it wants the scope `{}`, which did not help or is not its to name; whoever runs `{}` has to allow it, and \
                 then `sallyport server connect {}`",
                discovery::shown(&named()),
                grant.issuer,
                account.name
            )));
        }
        let scopes: BTreeSet<String> = grant.asked.union(&wanted).cloned().collect();
        let found = self.find(account, &challenge).await?;
        match subject {
            Subject::Gateway | Subject::Bearer(_) | Subject::Caller(_) => {
                let obtained = self.obtain(account, &subject, &mut held, &found, scopes).await;
                obtained.map_err(|why| account.no_token(&found, &why))?;
                Ok(Next::Again)
            }
            Subject::Person(party) => {
                drop(held);
                Err(self.consent(account, (party, asker(caller)), found, scopes).await)
            }
            Subject::Lender(_) | Subject::Nobody => Err(account.unconnected()),
        }
    }

    /// Finds out anew who gives tokens for a server. A name that was given to the gateway by one is told no other.
    async fn find(&self, account: &Account, challenge: &Challenge) -> Result<Found, LinkError> {
        let unauthorized = |why: String| LinkError::Unauthorized(format!("it wants a token: {why}"));
        let mut held = account.found.lock().await;
        let wanted = account.auth.issuer.as_deref();
        let found = discover(&account.guarded, &account.url, challenge, wanted).await;
        let found = found.map_err(unauthorized)?;
        let issuer = &found.server.issuer;
        if wanted.is_none() && account.has_given_name() {
            let failed = |error: crate::storage::store::StoreError| unauthorized(error.to_string());
            match grants::issuer(&self.store, &account.name).map_err(failed)? {
                None => grants::bind(&self.store, &account.name, issuer).map_err(failed)?,
                Some(bound) if bound == *issuer => {}
                Some(bound) => {
                    return Err(unauthorized(format!(
                        "its authorization server was `{bound}` and is `{issuer}` now, where the gateway's name is \
                         another; if that is as it should be, write `issuer: \"{issuer}\"` and that name under \
                         `mcpServers.{}.auth`",
                        account.name
                    )));
                }
            }
        }
        *held = Some(found.clone());
        Ok(found)
    }

    async fn client(
        &self,
        account: &Account,
        registration: &Registration,
        server: &Metadata,
    ) -> Result<ClientIdentity, String> {
        let own = Own { base: &self.base };
        let place = (&self.store, &account.name);
        clients::identity(registration, &own, server, place, &account.guarded).await
    }

    fn drop_grant(&self, account: &Account, subject: &Subject<'_>, held: &mut Held) -> Result<(), LinkError> {
        held.grant = None;
        let key = match subject {
            Subject::Person(party) => party.key(),
            Subject::Lender(key) => key.clone(),
            Subject::Bearer(_) | Subject::Caller(_) | Subject::Gateway | Subject::Nobody => return Ok(()),
        };
        grants::remove(&self.store, &account.name, &key)
            .map_err(|error| LinkError::Unauthorized(error.to_string()))
    }

    fn note(&self, server: &ServerName, what: &str, detail: &[(&str, String)]) {
        let mut all = vec![("server", server.to_string())];
        all.extend(detail.iter().cloned());
        self.journal.note(records::ledger::Kind::Session, what, &all);
    }
}

/// The person a caller acts for; an agent that acts for nobody counts as itself.
fn person(caller: &Caller) -> Party {
    let principal = &caller.principal;
    let actor = principal.actor();
    let user = principal.for_user();
    Party {
        is_user: user.is_some() || actor.kind == ActorKind::User,
        name: user.unwrap_or(&actor.name).to_owned(),
        tenant: principal.tenant().unwrap_or_default().to_owned(),
    }
}

fn asker(caller: Option<&Caller>) -> String {
    caller.map_or_else(
        || "the operator".to_owned(),
        |caller| caller.principal.actor().name.clone(),
    )
}

/// The token that was sent.
fn token_of(sent: &[(HeaderName, HeaderValue)]) -> Option<&str> {
    let (_, value) = sent.iter().find(|(name, _)| *name == AUTHORIZATION)?;
    value.to_str().ok()?.split_once(' ').map(|(_, token)| token)
}

fn key_of(grant: &Grant) -> Option<ClientKey> {
    ClientKey::from_der(grant.key.clone()?).ok()
}

fn joined(scopes: &BTreeSet<String>) -> String {
    scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outbound")
    }
}
