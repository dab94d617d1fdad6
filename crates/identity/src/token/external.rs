//! Tokens of issuers that are not ours: what is believed of them, and how they are read.
//!
//! An external issuer names its own users, groups and roles, and knows nothing of ours. So its names get a prefix,
//! or count only where configuration says what they stand for: no issuer can make somebody of another.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use wire::json::{Kind, Node, Pointer};

use super::{
    SCOPE, TokenError,
    claims::{acting_for_nobody_else, bound_to, is_for, one_text, optional, text, texts, times},
};
use crate::{
    jose::{Compact, KeySet},
    model::{Model, ModelSource},
    principal::{Actor, ActorKind, Asserted, CredentialId, Delegated, Principal},
    resource::ResourceId,
    secret::Secret,
};

/// Claims of which each may name the client; all that are there must agree.
const CLIENT_CLAIMS: [&str; 4] = ["client_id", "azp", "cid", "appid"];
/// Claims that only ID tokens have.
const ID_TOKEN_CLAIMS: [&str; 3] = ["at_hash", "c_hash", "nonce"];

/// See the module.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The issuer identifier, letter by letter. Where each tenant has its own, `{tenantid}` stands for the tenant.
    pub issuer: Arc<str>,
    /// What it calls itself besides.
    pub also: Vec<String>,
    /// The tenants that are believed, where the issuer has a name for each.
    pub tenants: Vec<String>,
    /// The `typ` of its access tokens: `at+jwt` (RFC 9068) or `jwt`.
    pub typ: String,
    /// What its tokens have in `aud` where the provider cannot put the endpoint's own identifier there.
    pub audience: Option<String>,
    /// Which of its scopes stands for [`SCOPE`].
    pub scope: String,
    /// The longest life of a token that is believed, in milliseconds.
    pub lifetime_ms_max: i64,
    /// Its clients, and who they are here.
    pub clients: BTreeMap<String, Actor>,
    /// Who a client is that is not among them.
    pub others: Others,
    /// What stands before every name it gives.
    pub prefix: String,
    /// The claim that names the user.
    pub user: ClaimPath,
    /// Where roles are, and what they stand for.
    pub roles: Names,
    /// The same for groups.
    pub groups: Names,
    /// The claim that names the tenant.
    pub tenant: Option<ClaimPath>,
    /// The claims that say which model a client is, where the issuer is believed in that.
    pub model: Option<ModelClaims>,
    /// Its workloads, by `sub`, and who they are here: each has tokens of ours for a token of its own.
    pub workloads: BTreeMap<String, Actor>,
    /// Whether it says which client may act for which of its users.
    pub delegates: Delegates,
}

/// Whether an issuer says which client may act for which of its users (ID-JAG).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Delegates {
    /// It does: its assertions are grounds for tokens of ours.
    Believed,
    /// Its assertions are refused.
    Refused,
}

/// Who a client is that configuration does not name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Others {
    /// Nobody: its tokens are refused.
    Nobody,
    /// The user it was given the token by.
    TheirUser,
}

/// Where a claim is: its name, or a JSON pointer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClaimPath(String);

impl ClaimPath {
    /// Of this name, or at this pointer if it begins with `/`. None for a pointer that is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fine = !text.starts_with('/') || Pointer::parse(text).is_some();
        (fine && !text.is_empty()).then(|| Self(text.to_owned()))
    }

    fn find<'d>(&self, claims: Node<'d>) -> Option<Node<'d>> {
        match Pointer::parse(&self.0).filter(|_| self.0.starts_with('/')) {
            Some(pointer) => pointer.find(claims),
            None => claims.get(&self.0),
        }
    }
}

/// Where the model behind a client is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ModelClaims {
    /// Its name.
    pub name: ClaimPath,
    /// Its version.
    pub version: Option<ClaimPath>,
}

/// Names in a claim, and what they stand for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Names {
    /// Where they are.
    pub claim: ClaimPath,
    /// What each stands for; others count for nothing. Without it, each stands for itself behind the prefix.
    pub map: Option<BTreeMap<String, String>>,
}

impl Trust {
    /// Checks a token with the issuer's keys and gives the principal it proves.
    ///
    /// # Errors
    /// When anything about the token is not exactly as it must be.
    pub fn verify(
        &self,
        token: &Secret,
        keys: &KeySet,
        audience: &ResourceId,
        now_ms: i64,
    ) -> Result<Principal, TokenError> {
        let claims = Compact::parse(token.expose(), &self.typ)?.verify(keys)?;
        let claims = claims.root();
        self.is_mine(claims)?;
        if !is_for(claims, self.audience.as_deref().unwrap_or(audience.as_str())) {
            return Err(TokenError::Audience);
        }
        let (issued_ms, expires_ms) = times(claims, now_ms, self.lifetime_ms_max)?;
        if let Some(claim) = ID_TOKEN_CLAIMS
            .into_iter()
            .find(|name| claims.get(name).is_some())
        {
            return Err(TokenError::Claim(claim));
        }
        let client = client(claims)?;
        acting_for_nobody_else(claims, &client)?;
        let user = self.user(claims, &client)?;
        let (actor, for_user) = self.actor(&client, user)?;
        Ok(Principal::vouch(Principal {
            for_user,
            tenant: self.tenant(claims)?,
            model: match actor.kind {
                ActorKind::Agent => self.model(claims)?,
                ActorKind::Service | ActorKind::User => None,
            },
            actor,
            scopes: self.scopes(claims)?,
            context: None,
            declared: None,
            credential: CredentialId::of(token.expose().as_bytes()),
            token_id: optional(claims, "jti")?,
            // By our clock: who is cut off now is, also where the issuer's clock is ahead.
            issued_ms: issued_ms.min(now_ms),
            expires_ms,
            binding: bound_to(claims)?,
            asserted: Some(self.asserted(claims)?),
            login: None,
        }))
    }

    /// The model it attests; where it is to attest one, it has to.
    fn model(&self, claims: Node<'_>) -> Result<Option<Model>, TokenError> {
        let Some(places) = &self.model else {
            return Ok(None);
        };
        let name = one_text(places.name.find(claims), "model")?;
        let version = places.version.as_ref();
        let version = version.map(|place| one_text(place.find(claims), "model_version"));
        let model = Model::new(name, version.transpose()?, ModelSource::Attested);
        model.map(Some).ok_or(TokenError::Claim("model"))
    }

    fn tenant(&self, claims: Node<'_>) -> Result<Option<String>, TokenError> {
        let tenant = self.tenant.as_ref();
        tenant
            .map(|path| Ok(self.prefixed(&one_text(path.find(claims), "tenant")?)))
            .transpose()
    }

    fn asserted(&self, claims: Node<'_>) -> Result<Asserted, TokenError> {
        Ok(Asserted {
            delegated: Delegated::There,
            issuer: Arc::clone(&self.issuer),
            roles: self.names(&self.roles, claims, "roles")?,
            groups: self.names(&self.groups, claims, "groups")?,
        })
    }

    /// The user's name here; none if the client asked for itself.
    fn user(&self, claims: Node<'_>, client: &str) -> Result<Option<String>, TokenError> {
        let subject = text(claims, "sub")?;
        if subject == client {
            return Ok(None);
        }
        // An address that nobody checked is whatever somebody typed.
        let is_checked = claims
            .get("email_verified")
            .and_then(Node::as_bool)
            .unwrap_or_default();
        if matches!(self.user.0.as_str(), "email" | "/email") && !is_checked {
            return Err(TokenError::Claim("email_verified"));
        }
        let name = one_text(self.user.find(claims), "user")?;
        Ok(Some(self.prefixed(&name)))
    }

    fn actor(&self, client: &str, user: Option<String>) -> Result<(Actor, Option<String>), TokenError> {
        match (self.clients.get(client), self.others, user) {
            (Some(actor), _, user) => Ok((actor.clone(), user)),
            (None, Others::TheirUser, Some(name)) => {
                let kind = ActorKind::User;
                Ok((Actor { kind, name }, None))
            }
            (None, Others::TheirUser | Others::Nobody, _) => Err(TokenError::Client),
        }
    }

    fn scopes(&self, claims: Node<'_>) -> Result<BTreeSet<String>, TokenError> {
        let counts = |scope: String| match scope == self.scope {
            true => Some(SCOPE.to_owned()),
            // Theirs does not become ours by having its name.
            false if scope == SCOPE => None,
            false => Some(scope),
        };
        Ok(scopes_said(claims)?.into_iter().filter_map(counts).collect())
    }

    fn names(&self, names: &Names, claims: Node<'_>, what: &'static str) -> Result<Vec<String>, TokenError> {
        let Some(found) = names.claim.find(claims) else {
            // Entra ID: there are too many to say. Whom a rule forbids something would come by without them.
            let left_out = claims
                .get("_claim_names")
                .is_some_and(|left| names.claim.find(left).is_some());
            return if left_out {
                Err(TokenError::Claim(what))
            } else {
                Ok(Vec::new())
            };
        };
        let found = match found.kind() {
            Kind::Array => texts(Some(found), what)?,
            Kind::Bool | Kind::Null | Kind::Number | Kind::Object | Kind::String => {
                vec![one_text(Some(found), what)?]
            }
        };
        let ours = found.into_iter().filter_map(|name| match &names.map {
            Some(map) => map.get(&name).cloned(),
            None => Some(self.prefixed(&name)),
        });
        Ok(ours.collect())
    }

    fn prefixed(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// `scope` is text (RFC 9068), `scp` text or a list, by provider.
fn scopes_said(claims: Node<'_>) -> Result<Vec<String>, TokenError> {
    let words = |text: &str| {
        text.split(' ')
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    match (claims.get("scope"), claims.get("scp")) {
        (Some(_), Some(_)) => Err(TokenError::Claim("scp")),
        (Some(scope), None) => Ok(words(&scope.as_str().ok_or(TokenError::Claim("scope"))?)),
        (None, Some(scp)) if scp.kind() == Kind::Array => texts(Some(scp), "scp"),
        (None, Some(scp)) => Ok(words(&scp.as_str().ok_or(TokenError::Claim("scp"))?)),
        (None, None) => Ok(Vec::new()),
    }
}

fn client(claims: Node<'_>) -> Result<String, TokenError> {
    let mut client = None;
    for name in CLIENT_CLAIMS {
        let Some(found) = optional(claims, name)? else {
            continue;
        };
        if client.as_ref().is_some_and(|client| *client != found) {
            return Err(TokenError::Claim(name));
        }
        client = Some(found);
    }
    client.ok_or(TokenError::Claim("client_id"))
}

mod assertions;
mod login;

pub use login::{Elsewhere, Expected};

#[cfg(test)]
mod tests;
