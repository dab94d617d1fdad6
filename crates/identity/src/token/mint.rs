//! Minting: the embedded issuer.

use std::collections::BTreeSet;

use wire::json::{ObjectWriter, Writer};

use super::{ASSERTED_MEMBER, DELEGATED_HERE, DELEGATED_MEMBER, LIFETIME_MS_MAX, OWN_CLAIM, TYP};
use crate::{
    context::ContextNames,
    jose::{KeySet, PublicKey, SigningKey, sign},
    model::Model,
    oauth::write_details,
    principal::{Actor, ActorKind, Asserted, DeclaredContext, Delegated, Login, holder},
    proof::Binding,
    resource::ResourceId,
};

/// What a token is to say.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Who will use it.
    pub actor: Actor,
    /// For which user.
    pub for_user: Option<String>,
    /// In which tenant.
    pub tenant: Option<String>,
    /// The actor's model.
    pub model: Option<Model>,
    /// What for, in scopes.
    pub scopes: BTreeSet<String>,
    /// The context it is bound to.
    pub context: Option<String>,
    /// What was declared.
    pub declared: Option<DeclaredContext>,
    /// Where it may be used: there and nowhere else.
    pub audience: ResourceId,
    /// A name never used before.
    pub token_id: String,
    /// When, in milliseconds since 1970.
    pub issued_ms: i64,
    /// What it is bound to.
    pub binding: Option<Binding>,
    /// For how long; cut to [`LIFETIME_MS_MAX`].
    pub lifetime_ms: i64,
    /// What an issuer that is not ours said of the user, if one vouched for her.
    pub asserted: Option<Asserted>,
}

impl Grant {
    /// In the context it [declares](ContextNames::of), or in one that this token opens, unless it is in one already or declares
    /// nothing.
    #[must_use]
    pub fn in_declared_context(self, names: &ContextNames) -> Self {
        let opened = || {
            let declared = self.declared.as_ref()?;
            let holder = holder(&self.actor, self.for_user.as_deref(), self.tenant.as_deref());
            Some(
                names
                    .of(&holder, declared)
                    .unwrap_or_else(|| self.token_id.clone()),
            )
        };
        Self {
            context: self.context.clone().or_else(opened),
            ..self
        }
    }
}

/// An issuer of access tokens.
#[derive(Debug)]
pub struct Issuer {
    id: String,
    key: SigningKey,
    earlier: Vec<PublicKey>,
}

impl Issuer {
    /// An issuer that signs with this key; tokens signed with earlier keys stay good until they expire.
    #[must_use]
    pub fn new(id: String, key: SigningKey, earlier: Vec<PublicKey>) -> Self {
        Self { id, key, earlier }
    }

    /// The issuer identifier, an URL; compared letter by letter.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The keys to verify with.
    #[must_use]
    pub fn keys(&self) -> KeySet {
        KeySet::of(
            std::iter::once(self.key.public())
                .chain(self.earlier.iter().cloned())
                .collect(),
        )
    }

    /// The key set as published at `/.well-known/jwks.json`.
    #[must_use]
    pub fn jwks(&self) -> Vec<u8> {
        wire::json::object(|out| out.array("keys", |keys| keys.object(|key| self.key.write_jwk(key))))
    }

    /// Mints a token.
    #[must_use]
    pub fn mint(&self, grant: &Grant) -> String {
        let mut writer = Writer::with_capacity(512);
        writer.object(|out| self.claims(grant, out));
        sign(&self.key, TYP, &writer.into_bytes())
    }

    /// Mints a token of a client that a person let in.
    #[must_use]
    pub fn mint_for_login(&self, grant: &Grant, login: &Login) -> String {
        let mut writer = Writer::with_capacity(512);
        writer.object(|out| {
            let is_user = grant.actor.kind == ActorKind::User;
            let client = if is_user { &login.client } else { &grant.actor.name };
            self.claims_for(client, grant, out, |own| {
                own.string("client", &login.client);
                own.string("grant", &login.grant);
            });
            out.integer("auth_time", login.at_ms.div_euclid(1000));
            out.array("amr", |list| {
                login.methods.iter().for_each(|method| list.string(method))
            });
            out.string("acr", &login.acr);
        });
        sign(&self.key, TYP, &writer.into_bytes())
    }

    fn claims(&self, grant: &Grant, out: &mut ObjectWriter<'_>) {
        self.claims_for(&grant.actor.name, grant, out, |_| {});
    }

    /// The claims of a token that a client got which is called so.
    fn claims_for(
        &self,
        client: &str,
        grant: &Grant,
        out: &mut ObjectWriter<'_>,
        more: impl FnOnce(&mut ObjectWriter<'_>),
    ) {
        let lifetime_ms = grant.lifetime_ms.clamp(0, LIFETIME_MS_MAX);
        out.string("iss", &self.id);
        out.string("aud", grant.audience.as_str());
        out.string("client_id", client);
        // RFC 8693 section 4.1: the subject is on whose behalf, `act` is who acts.
        match &grant.for_user {
            Some(user) => {
                out.string("sub", user);
                out.object("act", |act| act.string("sub", &grant.actor.name));
            }
            None => out.string("sub", &grant.actor.name),
        }
        out.integer("iat", grant.issued_ms.div_euclid(1000));
        out.integer("exp", (grant.issued_ms + lifetime_ms).div_euclid(1000));
        out.string("jti", &grant.token_id);
        let scopes: Vec<&str> = grant.scopes.iter().map(String::as_str).collect();
        out.string("scope", &scopes.join(" "));
        if let Some(context) = &grant.context {
            out.string("ctx", context);
        }
        if let Some(declared) = &grant.declared {
            out.array("authorization_details", |details| {
                write_details(declared, details)
            });
        }
        if let Some(binding) = &grant.binding {
            out.object("cnf", |cnf| match binding {
                Binding::Certificate(digest) => cnf.string("x5t#S256", digest),
                Binding::Key(thumbprint) => cnf.string("jkt", thumbprint),
            });
        }
        out.object(OWN_CLAIM, |own| {
            own.string("kind", kind_name(grant.actor.kind));
            if let Some(model) = &grant.model {
                model.write(own);
            }
            if let Some(tenant) = &grant.tenant {
                own.string("tenant", tenant);
            }
            if let Some(asserted) = &grant.asserted {
                own.object(ASSERTED_MEMBER, |said| {
                    said.string("iss", &asserted.issuer);
                    if asserted.delegated == Delegated::Here {
                        said.string(DELEGATED_MEMBER, DELEGATED_HERE);
                    }
                    for (name, list) in [("roles", &asserted.roles), ("groups", &asserted.groups)] {
                        said.array(name, |out| list.iter().for_each(|text| out.string(text)));
                    }
                });
            }
            more(own);
        });
    }
}

pub(super) fn kind_name(kind: ActorKind) -> &'static str {
    match kind {
        ActorKind::Agent => "agent",
        ActorKind::Service => "service",
        ActorKind::User => "user",
    }
}
