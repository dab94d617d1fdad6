//! What people granted, and taking it back.

use std::sync::Arc;

use identity::{
    Principal,
    token::{LIFETIME_MS_MAX, SKEW_MS},
};
use records::ledger::Kind;
use wire::json::{Node, object};

use super::Args;
use crate::{
    failure::Failure,
    known::authorization::Record,
    listen::House,
    storage::store::{Store, StoreError},
};

/// Access tokens that were revoked, with when they expire.
const REVOKED: &str = "revoked-tokens";

/// What a user let in that has not ended.
pub(super) fn grants(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let user = args.needed("user")?;
    let grants = house.authorization.grants.of_user(&user);
    Ok(object(|out| {
        out.array("grants", |list| {
            for grant in &grants {
                list.object(|out| {
                    out.string("name", &grant.id);
                    out.string("client", &grant.client);
                    if let Some(agent) = &grant.agent {
                        out.string("agent", agent);
                    }
                    out.string("resource", grant.resource.as_str());
                    out.integer("since_ms", grant.born_ms);
                    out.integer("used_ms", grant.used_ms);
                });
            }
        });
    }))
}

/// Ends all that a user let in. The next time, every client is asked about again.
pub(super) fn log_out(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let user = args.needed("user")?;
    let failed = |error: StoreError| Failure::other(error.to_string());
    let grants = house.authorization.grants.of_user(&user);
    for grant in &grants {
        end_grant(house, &grant.id, "an administrator logged the user out").map_err(failed)?;
    }
    house.authorization.forget_consents(&user).map_err(failed)?;
    let ended = u64::try_from(grants.len()).unwrap_or(u64::MAX);
    Ok(object(|out| {
        out.string("user", &user);
        out.integer("ended", ended);
    }))
}

/// Ends one thing a user let in.
pub(super) fn withdraw(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let user = args.needed("user")?;
    if let Some(client) = args.text("client") {
        return withdraw_client(house, &user, &client);
    }
    let grant = args.needed("grant")?;
    let record = withdraw_grant(house, &user, &grant, "an administrator withdrew it")?;
    Ok(object(|out| {
        out.string("user", &user);
        out.string("grant", &record.id);
        out.string("client", &record.client);
    }))
}

/// Ends all that a user let a client have.
fn withdraw_client(house: &House, user: &str, client: &str) -> Result<Vec<u8>, Failure> {
    let grants = house.authorization.grants.of_user(user);
    let grants: Vec<_> = grants.iter().filter(|grant| grant.client == client).collect();
    if grants.is_empty() {
        let why = format!("{user} has let no client in that is called so");
        return Err(Failure::configuration(why));
    }
    for grant in &grants {
        withdraw_grant(house, user, &grant.id, "an administrator withdrew it")?;
    }
    let ended = u64::try_from(grants.len()).unwrap_or(u64::MAX);
    Ok(object(|out| {
        out.string("user", user);
        out.string("client", client);
        out.integer("ended", ended);
    }))
}

/// Ends a grant of this very user. What the user agreed to before is forgotten with it: who withdraws something wants to
/// be asked again.
pub(crate) fn withdraw_grant(
    house: &House,
    user: &str,
    grant: &str,
    why: &str,
) -> Result<Arc<Record>, Failure> {
    let failed = |error: StoreError| Failure::other(error.to_string());
    let known = house.authorization.grants.of_user(user);
    let record = known
        .into_iter()
        .find(|record| record.id == grant)
        .ok_or_else(|| Failure::configuration(format!("{user} has let nothing in that is called so")))?;
    end_grant(house, &record.id, why).map_err(failed)?;
    house.authorization.forget_consents(user).map_err(failed)?;
    Ok(record)
}

/// Ends what a person granted: no refresh token of it is good any more, no access token, and no open stream.
pub(crate) fn end_grant(house: &House, grant: &str, why: &str) -> Result<(), StoreError> {
    let engines = &house.engines;
    let now_ms = engines.ambient.now_ms();
    // Before anything is durable: a disk that is full keeps nobody in.
    engines
        .tokens
        .cache
        .revoke_grant(grant, now_ms + LIFETIME_MS_MAX, now_ms);
    end_sessions(house, |principal| {
        principal.login().is_some_and(|login| login.grant == grant)
    });
    let record = house.authorization.grants.get(grant);
    let of = |part: fn(&Record) -> &str| record.as_ref().map_or("", |record| part(record));
    let detail = [
        ("grant", grant.to_owned()),
        ("client", of(|record| &record.client).to_owned()),
        ("user", of(|record| &record.login.user).to_owned()),
        ("why", why.to_owned()),
    ];
    engines.journal.note(Kind::Session, "grant-ended", &detail);
    house.authorization.grants.end(grant, now_ms)
}

/// Ends one access token.
pub(crate) fn end_token(house: &House, principal: &Principal, why: &str) -> Result<(), StoreError> {
    let engines = &house.engines;
    let Some(id) = principal.token_id() else {
        return Ok(());
    };
    let (now_ms, until_ms) = (engines.ambient.now_ms(), principal.expires_ms());
    engines.tokens.cache.revoke(id, until_ms, now_ms);
    end_sessions(house, |other| other.token_id() == Some(id));
    let detail = [
        ("token", id.to_owned()),
        (
            "client",
            principal
                .login()
                .map_or(principal.actor().name.as_str(), |l| &l.client)
                .to_owned(),
        ),
        ("user", principal.for_user().unwrap_or_default().to_owned()),
        ("why", why.to_owned()),
    ];
    engines.journal.note(Kind::Session, "token-revoked", &detail);
    house
        .store
        .put(REVOKED, id, &object(|out| out.integer("until", until_ms)))
}

/// What was revoked before a restart is not believed after it.
pub(crate) fn recall_revoked(house: &House) -> Result<(), StoreError> {
    let (cache, now_ms) = (&house.engines.tokens.cache, house.engines.ambient.now_ms());
    for (grant, until_ms) in house.authorization.grants.ended() {
        cache.revoke_grant(&grant, until_ms, now_ms);
    }
    for (id, until_ms) in revoked(&house.store)? {
        if now_ms > until_ms + SKEW_MS {
            house.store.delete(REVOKED, &id)?;
        } else {
            cache.revoke(&id, until_ms, now_ms);
        }
    }
    Ok(())
}

fn revoked(store: &Store) -> Result<Vec<(String, i64)>, StoreError> {
    let read = |text: Vec<u8>| {
        let document =
            wire::json::Document::parse(text, wire::json::Keys::Exact, &wire::bounds::ANSWER).ok()?;
        document.root().get("until").and_then(Node::as_number)?.as_i64()
    };
    // One that cannot be read is revoked for good.
    let all = store.list(REVOKED)?.into_iter();
    Ok(all
        .map(|(id, text)| (id, read(text).unwrap_or(i64::MAX / 2)))
        .collect())
}

/// Ends the sessions of such callers.
pub(super) fn end_sessions(house: &House, is_theirs: impl Fn(&Principal) -> bool) {
    for session in house.engines.sessions.end_of(is_theirs) {
        house.engines.upstreams.end_session(&session.id);
    }
}
