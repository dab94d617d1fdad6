//! What the gateway was given to reach servers with. A person's is sealed as theirs and outlives a restart; the gateway's
//! own is got anew.

use std::collections::BTreeSet;

use base64::{Engine, engine::general_purpose::STANDARD};
use identity::{Secret, assertion::ClientKey};
use records::{digest::hex, table::Owner};
use serde::{Deserialize, Serialize};
use wire::mcp::ServerName;

use crate::{
    outside::oauth::tokens::Given,
    storage::store::{Store, StoreError},
};

const GRANTS: &str = "upstream-grants";
const LENDERS: &str = "upstream-lenders";
const ISSUERS: &str = "upstream-issuers";

/// Who a grant is of.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Party {
    /// A user, or an agent that acts for nobody.
    pub(crate) is_user: bool,
    pub(crate) name: String,
    pub(crate) tenant: String,
}

impl Party {
    /// What nobody else has.
    pub(crate) fn key(&self) -> String {
        let kind = if self.is_user { "user" } else { "agent" };
        let (name, tenant) = (&self.name, &self.tenant);
        let key = format!("{kind}/{}:{name}/{}:{tenant}", name.len(), tenant.len());
        hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes()).as_ref())
    }
}

/// A token with all that is needed to use and to renew it.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    /// Who gave it. It is shown to nobody else.
    pub(crate) issuer: String,
    /// What it is for, as the authorization server knows it.
    pub(crate) resource: String,
    pub(crate) access: Secret,
    pub(crate) refresh: Option<Secret>,
    pub(crate) expires_ms: i64,
    /// The scopes that were asked for: what is wanted again with others.
    pub(crate) asked: BTreeSet<String>,
    /// The scopes it has, as far as anybody said.
    pub(crate) scopes: BTreeSet<String>,
    pub(crate) is_bound: bool,
    /// The key it is bound to, as DER.
    pub(crate) key: Option<Vec<u8>>,
}

#[derive(Deserialize, Serialize)]
struct Stored {
    party: Party,
    issuer: String,
    resource: String,
    access: String,
    refresh: Option<String>,
    expires_ms: i64,
    asked: BTreeSet<String>,
    scopes: BTreeSet<String>,
    is_bound: bool,
    key: Option<String>,
}

impl Grant {
    /// What was given now, in place of what was there.
    pub(crate) fn new(
        given: Given,
        before: Option<&Self>,
        place: (&str, &str),
        asked: BTreeSet<String>,
    ) -> Self {
        let (issuer, resource) = place;
        Self {
            issuer: issuer.to_owned(),
            resource: resource.to_owned(),
            access: given.access,
            // Whoever gives no new one lets the old one stand.
            refresh: given
                .refresh
                .or_else(|| before.and_then(|grant| grant.refresh.clone())),
            expires_ms: given.expires_ms,
            scopes: given.scopes.unwrap_or_else(|| asked.clone()),
            asked,
            is_bound: given.is_bound,
            key: None,
        }
    }

    pub(crate) fn bound_to(mut self, key: Option<&ClientKey>) -> Self {
        self.key = key.filter(|_| self.is_bound).map(|key| key.to_der().to_vec());
        self
    }
}

/// Sealed, as its owner's.
pub(crate) fn put(
    store: &Store,
    server: &ServerName,
    party: &Party,
    grant: &Grant,
) -> Result<(), StoreError> {
    let stored = Stored {
        party: party.clone(),
        issuer: grant.issuer.clone(),
        resource: grant.resource.clone(),
        access: grant.access.expose().to_owned(),
        refresh: grant.refresh.as_ref().map(|refresh| refresh.expose().to_owned()),
        expires_ms: grant.expires_ms,
        asked: grant.asked.clone(),
        scopes: grant.scopes.clone(),
        is_bound: grant.is_bound,
        key: grant.key.as_ref().map(|key| STANDARD.encode(key)),
    };
    let text = serde_json::to_vec(&stored).map_err(|error| StoreError::other(error.to_string()))?;
    let owner = Owner::Subject {
        tenant: &party.tenant,
        subject: &party.name,
    };
    store.put_all(owner, GRANTS, &[(place(server, &party.key()), text)])
}

/// What a person has for a server, if it can still be read.
pub(crate) fn get(
    store: &Store,
    server: &ServerName,
    key: &str,
) -> Result<Option<(Party, Grant)>, StoreError> {
    let Some(text) = store.get(GRANTS, &place(server, key))? else {
        return Ok(None);
    };
    let stored: Stored =
        serde_json::from_slice(&text).map_err(|error| StoreError::other(error.to_string()))?;
    let key = stored.key.map(|key| STANDARD.decode(key)).transpose();
    let grant = Grant {
        issuer: stored.issuer,
        resource: stored.resource,
        access: Secret::presented(stored.access),
        refresh: stored.refresh.map(Secret::presented),
        expires_ms: stored.expires_ms,
        asked: stored.asked,
        scopes: stored.scopes,
        is_bound: stored.is_bound,
        key: key.map_err(|error| StoreError::other(error.to_string()))?,
    };
    Ok(Some((stored.party, grant)))
}

pub(crate) fn remove(store: &Store, server: &ServerName, key: &str) -> Result<(), StoreError> {
    match store.get(GRANTS, &place(server, key))? {
        Some(_) => store.delete(GRANTS, &place(server, key)),
        None => Ok(()),
    }
}

/// Destroys all that anybody was given for a server, and what is known of how it was given.
pub(crate) fn remove_all(store: &Store, server: &ServerName) -> Result<(), StoreError> {
    let begins = place(server, "");
    for (key, _) in store.list(GRANTS)? {
        if key.starts_with(&begins) {
            store.delete(GRANTS, &key)?;
        }
    }
    for table in [LENDERS, ISSUERS] {
        store.delete(table, server.as_str())?;
    }
    Ok(())
}

/// Who connected a server last: with their grant the gateway looks at it.
pub(crate) fn lender(store: &Store, server: &ServerName) -> Result<Option<String>, StoreError> {
    let key = store.get(LENDERS, server.as_str())?;
    Ok(key.and_then(|key| String::from_utf8(key).ok()))
}

pub(crate) fn lend(store: &Store, server: &ServerName, party: &Party) -> Result<(), StoreError> {
    store.put(LENDERS, server.as_str(), party.key().as_bytes())
}

/// At which authorization server a name that was given to the gateway was used first.
pub(crate) fn issuer(store: &Store, server: &ServerName) -> Result<Option<String>, StoreError> {
    let issuer = store.get(ISSUERS, server.as_str())?;
    Ok(issuer.and_then(|issuer| String::from_utf8(issuer).ok()))
}

pub(crate) fn bind(store: &Store, server: &ServerName, issuer: &str) -> Result<(), StoreError> {
    store.put(ISSUERS, server.as_str(), issuer.as_bytes())
}

fn place(server: &ServerName, key: &str) -> String {
    format!("{server}/{key}")
}

#[cfg(test)]
mod tests {
    use super::Party;

    #[test]
    fn no_two_parties_have_one_key() {
        let party = |is_user, name: &str, tenant: &str| Party {
            is_user,
            name: name.to_owned(),
            tenant: tenant.to_owned(),
        };
        let keys: std::collections::BTreeSet<_> = [
            party(true, "a", ""),
            party(false, "a", ""),
            party(true, "a", "b"),
            party(true, "a/1:b", ""),
            party(true, "", "a"),
        ]
        .iter()
        .map(Party::key)
        .collect();
        assert_eq!(keys.len(), 5);
    }
}
