//! Tokens: got for the gateway or a caller, and renewed for a person.

use std::{collections::BTreeSet, path::Path};

use identity::{Actor, ActorKind, Principal, ResourceId, assertion::ClientKey, token::Grant as Minted};

use super::{
    Account, Held, Outbound, Subject,
    callers::Shown,
    grants::{self, Grant},
    joined, key_of,
};
use crate::{
    config::auth::{AuthKind, ClientIdentity, ClientProof, Indicator},
    outside::oauth::{
        discovery::{Found, Resource, metadata},
        tokens::{NoToken, TokenEndpoint},
    },
};

impl Outbound {
    /// A token for the gateway, or for a caller in exchange for the gateway's word.
    pub(super) async fn obtain(
        &self,
        account: &Account,
        subject: &Subject<'_>,
        held: &mut Held,
        found: &Found,
        scopes: BTreeSet<String>,
    ) -> Result<(), NoToken> {
        let nobody = ClientIdentity {
            id: String::new(),
            proof: ClientProof::None,
        };
        let mut form = vec![];
        let mut until_ms = i64::MAX;
        let vouched;
        let shown;
        let client = match &account.auth.kind {
            AuthKind::AuthorizationCode(_) => {
                return Err(NoToken::Failed("a person has to agree first".to_owned()));
            }
            AuthKind::ClientCredentials(client) => {
                form.push(("grant_type", "client_credentials"));
                client
            }
            AuthKind::Workload { client, assertion } => {
                // Read each time: platforms give a new one every few minutes.
                vouched = read(assertion).await?;
                form.push(("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"));
                form.push(("assertion", vouched.as_str()));
                client.as_ref().unwrap_or(&nobody)
            }
            AuthKind::Enterprise {
                client,
                provider,
                whose,
            } => {
                match self.identity(subject, provider, whose).await? {
                    // Nobody calls: lists are looked at in the gateway's own name there.
                    None => form.push(("grant_type", "client_credentials")),
                    Some(identity) => {
                        until_ms = identity.until_ms;
                        vouched = self
                            .id_jag(account, provider, &identity, found, &joined(&scopes))
                            .await?;
                        form.push(("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"));
                        form.push(("assertion", vouched.as_str()));
                    }
                }
                client
            }
            AuthKind::CallersToken {
                client,
                audience,
                manner,
            } => {
                shown = self.shown(account, subject, *manner, found)?;
                form.extend(shown.form(audience.as_deref()));
                until_ms = shown.until_ms();
                client
            }
            AuthKind::TokenExchange { client, audience } => {
                shown = Shown::Word(self.vouch(subject, &found.server.issuer)?);
                form.extend(shown.form(audience.as_deref()));
                client
            }
        };
        let scope = joined(&scopes);
        let grant = self.ask(account, client, found, form, &scope, None).await?;
        held.grant = Some(Grant {
            asked: scopes,
            expires_ms: grant.expires_ms.min(until_ms),
            ..grant
        });
        Ok(())
    }

    /// The gateway's word for a caller, for one authorization server (RFC 8693). It is another token than the one the
    /// caller came with, and good for nothing here.
    fn vouch(&self, subject: &Subject<'_>, audience: &str) -> Result<String, NoToken> {
        let principal = match subject {
            Subject::Caller(caller) | Subject::Bearer(caller) => Some(&*caller.principal),
            Subject::Gateway | Subject::Lender(_) | Subject::Nobody | Subject::Person(_) => None,
        };
        let user = principal.and_then(Principal::for_user);
        self.word_for(principal, user, audience)
    }

    /// The gateway's word for who acts, for a user or for itself.
    pub(super) fn word_for(
        &self,
        principal: Option<&Principal>,
        user: Option<&str>,
        audience: &str,
    ) -> Result<String, NoToken> {
        let audience = ResourceId::parse(audience)
            .map_err(|_| NoToken::Failed(format!("`{audience}` is no name of an authorization server")))?;
        let gateway = Actor {
            kind: ActorKind::Service,
            name: "sallyport".to_owned(),
        };
        Ok(self.issuer.mint(&Minted {
            actor: principal.map_or(gateway, |principal| principal.actor().clone()),
            for_user: user.map(str::to_owned),
            tenant: principal.and_then(|principal| principal.tenant().map(str::to_owned)),
            model: principal.and_then(|principal| principal.model().cloned()),
            scopes: BTreeSet::new(),
            context: None,
            declared: None,
            audience,
            token_id: self.ambient.name().to_string(),
            issued_ms: self.ambient.now_ms(),
            binding: None,
            lifetime_ms: 60 * 1000,
            asserted: None,
        }))
    }

    /// Renews a person's token. What was given in its place is kept before it is used.
    pub(super) async fn refresh(
        &self,
        account: &Account,
        subject: &Subject<'_>,
        held: &mut Held,
    ) -> Result<(), NoToken> {
        let spent = || NoToken::Refused {
            error: "invalid_grant".to_owned(),
            why: "there is nothing to renew it with".to_owned(),
        };
        let grant = held.grant.clone().ok_or_else(spent)?;
        let refresh = grant.refresh.clone().ok_or_else(spent)?;
        let AuthKind::AuthorizationCode(registration) = &account.auth.kind else {
            return Err(spent());
        };
        let server = metadata(&account.guarded, &grant.issuer)
            .await
            .map_err(NoToken::Failed)?;
        let client = self
            .client(account, registration, &server)
            .await
            .map_err(NoToken::Failed)?;
        let found = Found {
            resource: Resource {
                id: grant.resource.clone(),
                issuers: Vec::new(),
                scopes: Vec::new(),
                takes_dpop: grant.is_bound,
            },
            server,
        };
        let form = vec![
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh.expose()),
        ];
        let given = self.ask(account, &client, &found, form, "", Some(&grant)).await?;
        let grant = Grant {
            asked: grant.asked,
            scopes: if given.scopes.is_empty() {
                grant.scopes
            } else {
                given.scopes.clone()
            },
            ..given
        };
        let key = match subject {
            Subject::Person(party) => party.key(),
            Subject::Lender(key) => key.clone(),
            Subject::Bearer(_) | Subject::Caller(_) | Subject::Gateway | Subject::Nobody => {
                return Err(spent());
            }
        };
        let kept = grants::get(&self.store, &account.name, &key).and_then(|kept| match kept {
            Some((party, _)) => grants::put(&self.store, &account.name, &party, &grant),
            None => Ok(()),
        });
        kept.map_err(|error| NoToken::Failed(error.to_string()))?;
        held.grant = Some(grant);
        Ok(())
    }

    /// Asks an authorization server for a token.
    pub(super) async fn ask(
        &self,
        account: &Account,
        client: &ClientIdentity,
        found: &Found,
        mut form: Vec<(&str, &str)>,
        scope: &str,
        before: Option<&Grant>,
    ) -> Result<Grant, NoToken> {
        if account.auth.indicator == Indicator::Send {
            form.push(("resource", &found.resource.id));
        }
        if !scope.is_empty() {
            form.push(("scope", scope));
        }
        let key = match before.and_then(key_of) {
            Some(key) => Some(key),
            None if found.is_bound() => {
                Some(ClientKey::generate().map_err(|why| NoToken::Failed(why.to_string()))?)
            }
            None => None,
        };
        let endpoint = TokenEndpoint {
            guarded: &account.guarded,
            server: &found.server,
            client,
            key: key.as_ref(),
            nonces: &account.nonces,
            ambient: &self.ambient,
        };
        let given = endpoint.ask(&form).await?;
        let asked = scope.split_ascii_whitespace().map(str::to_owned).collect();
        let place = (found.server.issuer.as_str(), found.resource.id.as_str());
        self.note(
            &account.name,
            "upstream-token",
            &[
                ("issuer", found.server.issuer.clone()),
                ("scope", scope.to_owned()),
            ],
        );
        Ok(Grant::new(given, before, place, asked).bound_to(key.as_ref()))
    }
}

/// Somebody else's word, as it stands in its file now.
pub(super) async fn read(file: &Path) -> Result<String, NoToken> {
    let text = tokio::fs::read_to_string(file).await;
    let text = text.map_err(|error| NoToken::Failed(format!("{}: {error}", file.display())))?;
    Ok(text.trim().to_owned())
}
