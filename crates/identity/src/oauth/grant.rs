//! The token endpoint: who may have which token.

use std::{collections::BTreeSet, sync::Arc};

use aws_lc_rs::hmac;
use wire::{
    bounds::CREDENTIAL,
    json::{Document, Keys},
};

use super::{
    Assertions, Client, ClientLookup, Form, OauthError, OauthFault, bearer, client, exchange, read_details,
};
use crate::{
    context::ContextNames,
    jose::KeySet,
    model::Model,
    principal::{Actor, DeclaredContext, Principal},
    proof::Binding,
    resource::ResourceId,
    secret::Secret,
    token::{Grant, Issuer, LIFETIME_MS_MAX, SCOPE, TokenError, Trust},
};

/// A request to the token endpoint.
#[derive(Debug)]
pub struct TokenRequest<'r> {
    /// The body.
    pub form: &'r Form,
    /// The `Authorization` header.
    pub authorization: Option<&'r str>,
    /// What the client proved to have, and its token is to be bound to.
    pub binding: Option<Binding>,
    /// Now, in milliseconds since 1970.
    pub now_ms: i64,
    /// A name for the token that was never used before.
    pub token_id: String,
}

/// Who besides clients has a say in who may have a token.
pub trait Vouchers {
    /// The issuer of this name that is not ours, as far as it is trusted, with its keys.
    fn issuer(&self, name: &str) -> Option<(&Trust, Arc<KeySet>)>;

    /// A caller whose token of ours is good at this resource now.
    ///
    /// # Errors
    /// Why it is not.
    fn caller(&self, token: &Secret, audience: &ResourceId, now_ms: i64) -> Result<Principal, TokenError>;

    /// Whether what a credential proved is worth nothing any more.
    fn is_revoked(&self, principal: &Principal) -> bool;
}

/// The token endpoint.
#[derive(Debug)]
pub struct TokenEndpoint<'e, C, D, V> {
    /// Who mints.
    pub issuer: &'e Issuer,
    /// Who else has a say.
    pub vouchers: &'e V,
    /// Where signed assertions are taken.
    pub assertions: Assertions<'e>,
    /// Who may ask.
    pub clients: &'e C,
    /// The key of secret digests.
    pub secrets: &'e hmac::Key,
    /// What tokens are for; the first is meant when a client does not say.
    pub resources: &'e [ResourceId],
    /// The names of declared contexts.
    pub contexts: &'e ContextNames,
    /// Which declarations a client may make; the error says why not.
    pub may_declare: D,
}

/// A token, and what there is to say of it.
#[derive(Debug)]
pub struct Granted {
    /// What was granted.
    pub grant: Grant,
    /// The JSON body of the answer. It holds the token.
    pub body: Vec<u8>,
}

impl<C, D, V> TokenEndpoint<'_, C, D, V>
where
    C: ClientLookup,
    D: Fn(&Client, &DeclaredContext) -> Result<(), String>,
    V: Vouchers,
{
    /// Answers a request.
    ///
    /// # Errors
    /// An OAuth error, ready to be sent.
    pub fn answer(&self, request: TokenRequest<'_>) -> Result<Granted, OauthError> {
        match request.form.get("grant_type") {
            Some("client_credentials") => {
                let client = self.client(&request)?;
                self.for_client(client, request)
            }
            Some(exchange::GRANT) => self.exchange(request),
            Some(bearer::GRANT) => self.bearer(request),
            Some(_) => Err(OauthError::new(
                OauthFault::UnsupportedGrantType,
                "the metadata lists the grants there are",
            )),
            None => Err(OauthError::new(
                OauthFault::InvalidRequest,
                "`grant_type` is missing",
            )),
        }
    }

    /// The client, proven.
    pub(super) fn client(&self, request: &TokenRequest<'_>) -> Result<Client, OauthError> {
        let shown = (request.form, request.authorization);
        let now_ms = request.now_ms;
        let client = client::authenticate(self.clients, self.secrets, self.assertions, shown, now_ms)?;
        self.with_declared_model(client, request)
    }

    /// The client with the model it declares here, if it declares one.
    pub(super) fn with_declared_model(
        &self,
        client: Client,
        request: &TokenRequest<'_>,
    ) -> Result<Client, OauthError> {
        let Some(declaration) = request.form.get("model_declaration") else {
            return Ok(client);
        };
        let declared = Model::declared(declaration, &client, self.assertions.audiences, request.now_ms)
            .and_then(|declared| declared.beside(client.model.as_ref()));
        let model = declared.map_err(|error| {
            let why = format!("the declaration of the model: {error}");
            OauthError::new(OauthFault::InvalidRequest, why)
        })?;
        Ok(Client {
            model: Some(model),
            ..client
        })
    }

    /// A token for a client that asks for itself.
    pub(super) fn for_client(
        &self,
        client: Client,
        request: TokenRequest<'_>,
    ) -> Result<Granted, OauthError> {
        let audience = self.audience(request.form.get("resource"))?;
        let scopes = scopes(&client, request.form.get("scope"))?;
        let declared = self.declared(&client, request.form.get("authorization_details"))?;
        let for_user = acts_for(&client, declared.as_ref())?;
        let grant = Grant {
            actor: Actor {
                kind: client.kind,
                name: client.id,
            },
            for_user,
            tenant: client.tenant,
            model: client.model,
            scopes,
            context: None,
            declared,
            audience,
            token_id: request.token_id,
            binding: request.binding,
            issued_ms: request.now_ms,
            lifetime_ms: LIFETIME_MS_MAX,
            asserted: None,
        };
        Ok(self.granted(grant))
    }

    /// Mints it.
    pub(super) fn granted(&self, grant: Grant) -> Granted {
        let grant = grant.in_declared_context(self.contexts);
        Granted {
            body: token_response(&grant, &self.issuer.mint(&grant), Besides::default()),
            grant,
        }
    }

    pub(super) fn audience(&self, resource: Option<&str>) -> Result<ResourceId, OauthError> {
        let invalid = || OauthError::new(OauthFault::InvalidTarget, "`resource` is none of this gateway");
        let Some(resource) = resource else {
            return self.resources.first().cloned().ok_or_else(invalid);
        };
        let asked = ResourceId::parse(resource).map_err(|_| invalid())?;
        self.resources
            .iter()
            .find(|known| **known == asked)
            .cloned()
            .ok_or_else(invalid)
    }

    pub(super) fn declared(
        &self,
        client: &Client,
        details: Option<&str>,
    ) -> Result<Option<DeclaredContext>, OauthError> {
        let Some(details) = details else { return Ok(None) };
        let refuse = |why: String| OauthError::new(OauthFault::InvalidAuthorizationDetails, why);
        let document = Document::parse(details.as_bytes().to_vec(), Keys::Folded, &CREDENTIAL)
            .map_err(|error| refuse(error.to_string()))?;
        let declared = read_details(document.root()).map_err(|error| refuse(error.to_string()))?;
        if let Some(declared) = &declared {
            (self.may_declare)(client, declared).map_err(refuse)?;
        }
        Ok(declared)
    }
}

/// The scopes asked for, or all the client may have; never more, and never none.
pub(super) fn scopes(client: &Client, asked: Option<&str>) -> Result<BTreeSet<String>, OauthError> {
    let may: BTreeSet<String> = client
        .scopes
        .iter()
        .cloned()
        .chain(std::iter::once(SCOPE.to_owned()))
        .collect();
    let Some(asked) = asked else { return Ok(may) };
    let asked: BTreeSet<String> = asked
        .split(' ')
        .filter(|s| !s.is_empty())
        .map(str::to_owned)
        .collect();
    if asked.is_empty() || !asked.is_subset(&may) {
        return Err(OauthError::new(
            OauthFault::InvalidScope,
            "the client may not have that scope",
        ));
    }
    Ok(asked)
}

/// For whom the agent acts: whom it names, or the only one it can act for.
fn acts_for(client: &Client, declared: Option<&DeclaredContext>) -> Result<Option<String>, OauthError> {
    let named = declared.and_then(|declared| declared.entity.as_deref());
    let Some(user) = named.and_then(|entity| entity.strip_prefix("user:")) else {
        let only = if client.acts_for.len() == 1 {
            client.acts_for.first()
        } else {
            None
        };
        return Ok(only.cloned());
    };
    if client.acts_for.iter().any(|may| may == user) {
        return Ok(Some(user.to_owned()));
    }
    let why = "the client may not act for that user";
    Err(OauthError::new(OauthFault::InvalidAuthorizationDetails, why))
}

/// What an answer of the token endpoint says besides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Besides<'t> {
    /// A token to get the next with.
    pub refresh_token: Option<&'t str>,
    /// The kind of the token, as an exchange has to say it.
    pub issued_type: Option<&'t str>,
}

/// The JSON body of an answer with a token.
#[must_use]
pub fn token_response(grant: &Grant, token: &str, besides: Besides<'_>) -> Vec<u8> {
    let scopes: Vec<&str> = grant.scopes.iter().map(String::as_str).collect();
    wire::json::object(|out| {
        out.string("access_token", token);
        if let Some(issued) = besides.issued_type {
            out.string("issued_token_type", issued);
        }
        let is_bound = matches!(grant.binding, Some(Binding::Key(_)));
        out.string("token_type", if is_bound { "DPoP" } else { "Bearer" });
        out.integer("expires_in", grant.lifetime_ms.min(LIFETIME_MS_MAX) / 1000);
        out.string("scope", &scopes.join(" "));
        if let Some(refresh_token) = besides.refresh_token {
            out.string("refresh_token", refresh_token);
        }
        if let Some(declared) = &grant.declared {
            out.array("authorization_details", |details| {
                super::write_details(declared, details)
            });
        }
    })
}
