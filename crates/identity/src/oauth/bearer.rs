//! Signed assertions as grants (RFC 7523 section 2.1): an identity provider says that a client acts for one of its users
//! (ID-JAG), or a platform says that a workload is who it is (JWT-SVID, Kubernetes service account).

use super::{
    Client, ClientLookup, Form, Granted, OauthError, OauthFault, TokenEndpoint, TokenRequest, Vouchers,
    grant::scopes,
};
use crate::{
    jose::{claimed_issuer, claimed_subject},
    principal::{Actor, DeclaredContext},
    resource::ResourceId,
    token::{Grant, LIFETIME_MS_MAX, TokenError},
};

pub(super) const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

impl<C, D, V> TokenEndpoint<'_, C, D, V>
where
    C: ClientLookup,
    D: Fn(&Client, &DeclaredContext) -> Result<(), String>,
    V: Vouchers,
{
    pub(super) fn bearer(&self, request: TokenRequest<'_>) -> Result<Granted, OauthError> {
        let proves = request.authorization.is_some()
            || request.form.get("client_secret").is_some()
            || request.form.get("client_assertion").is_some();
        // A client that proves who it is brings an assertion about a user; one that does not, about itself.
        if proves {
            let client = self.client(&request)?;
            self.delegated(client, request)
        } else {
            self.workload(request)
        }
    }

    fn delegated(&self, client: Client, request: TokenRequest<'_>) -> Result<Granted, OauthError> {
        let assertion = assertion(&request)?;
        let issuer = whose(assertion).unwrap_or_default();
        let (trust, keys) = self.vouchers.issuer(&issuer).ok_or_else(stranger)?;
        let said = trust.delegation(assertion, &keys, self.issuer.id(), request.now_ms);
        let said = said.map_err(|error| invalid(&error))?;
        let refuse = |why: &str| Err(OauthError::new(OauthFault::InvalidGrant, why));
        if said.client != client.id {
            return refuse("the assertion is for another client");
        }
        if said.binding.is_some() && said.binding != request.binding {
            return refuse("the assertion is bound to what was not shown");
        }
        if let (Some(client), Some(user)) = (&client.tenant, &said.tenant)
            && client != user
        {
            return refuse("the user is of another tenant than the client");
        }
        let audience = match (&said.resource, request.form.get("resource")) {
            (Some(said), asked) => {
                let said = self.audience(Some(said))?;
                let asked = asked.map(|asked| self.audience(Some(asked))).transpose()?;
                let within = |asked: &ResourceId| *asked == said || asked.is_below(&said);
                match asked {
                    None => said,
                    Some(asked) if within(&asked) => asked,
                    Some(_) => {
                        let why = "the assertion is not for that resource";
                        return Err(OauthError::new(OauthFault::InvalidTarget, why));
                    }
                }
            }
            (None, asked) => self.audience(asked)?,
        };
        let mut scopes = scopes(&client, request.form.get("scope"))?;
        if let Some(said) = &said.scopes {
            scopes.retain(|scope| said.contains(scope));
        }
        if scopes.is_empty() {
            let why = "the assertion has not that scope";
            return Err(OauthError::new(OauthFault::InvalidScope, why));
        }
        let declared = self.declared(&client, request.form.get("authorization_details"))?;
        // Last: a request that is refused for another reason may be made again.
        let used = self.assertions.used.take(said.single, request.now_ms);
        used.map_err(|why| OauthError::new(OauthFault::InvalidGrant, format!("the assertion: {why}")))?;
        let grant = Grant {
            actor: Actor {
                kind: client.kind,
                name: client.id,
            },
            for_user: Some(said.user),
            tenant: said.tenant.or(client.tenant),
            model: client.model,
            scopes,
            context: None,
            declared,
            audience,
            token_id: request.token_id,
            binding: request.binding,
            issued_ms: request.now_ms,
            lifetime_ms: LIFETIME_MS_MAX,
            asserted: Some(said.asserted),
        };
        Ok(self.granted(grant))
    }

    fn workload(&self, request: TokenRequest<'_>) -> Result<Granted, OauthError> {
        let assertion = assertion(&request)?;
        let issuer = whose(assertion).unwrap_or_default();
        let (trust, keys) = self.vouchers.issuer(&issuer).ok_or_else(stranger)?;
        let who = trust.workload(assertion, &keys, self.assertions.audiences, request.now_ms);
        let (who, model) = who.map_err(|error| invalid(&error))?;
        let client = self
            .clients
            .client(&who.name)
            .filter(|client| client.kind == who.kind);
        let client = client.ok_or_else(|| invalid(&TokenError::Client))?;
        if request
            .form
            .get("client_id")
            .is_some_and(|named| named != client.id)
        {
            return Err(invalid(&TokenError::Client));
        }
        // The platform's word stands over the agent's own, and none goes against the operator's.
        let attested = model.map(|model| match &client.model {
            Some(known) if !known.fits(&model) => Err(invalid(&TokenError::Model)),
            Some(_) | None => Ok(model),
        });
        let client = Client {
            model: attested.transpose()?.or(client.model),
            ..client
        };
        let client = self.with_declared_model(client, &request)?;
        self.for_client(client, request)
    }
}

fn assertion<'r>(request: &TokenRequest<'r>) -> Result<&'r str, OauthError> {
    let missing = || OauthError::new(OauthFault::InvalidRequest, "`assertion` is missing");
    request.form.get("assertion").ok_or_else(missing)
}

/// The word of another issuer that a request brings: who it says that is, and the token. A claim until it is checked; it
/// tells whose keys are needed.
#[must_use]
pub fn brought(form: &Form) -> Option<(String, &str)> {
    let token = form.get("assertion").or_else(|| form.get("subject_token"))?;
    Some((whose(token)?, token))
}

/// Who it says it is by. A JWT-SVID need not say: the trust domain of whom it is about stands for its issuer.
fn whose(token: &str) -> Option<String> {
    claimed_issuer(token).or_else(|| claimed_subject(token).and_then(trust_domain))
}

/// The trust domain of a SPIFFE ID.
fn trust_domain(subject: String) -> Option<String> {
    let rest = subject.strip_prefix("spiffe://")?;
    let (domain, _) = rest.split_once('/')?;
    Some(format!("spiffe://{domain}"))
}

fn stranger() -> OauthError {
    OauthError::new(
        OauthFault::InvalidGrant,
        "the assertion is of no issuer that is trusted here",
    )
}

fn invalid(error: &TokenError) -> OauthError {
    OauthError::new(OauthFault::InvalidGrant, format!("the assertion: {error}"))
}
