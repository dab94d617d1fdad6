//! Who asks, proven.

use std::{collections::BTreeSet, fmt, net::IpAddr, sync::Arc};

use crate::{model::Model, proof::Binding, secret::sha256, token::ACR_PASSWORD};

/// Room for most keys of principals.
const KEY_BYTES: usize = 64;

/// What kind of caller.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ActorKind {
    /// An AI application with its model.
    Agent,
    /// A program without a model.
    Service,
    /// A person.
    User,
}

/// Who sent the message.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Actor {
    /// What kind of caller.
    pub kind: ActorKind,
    /// Its name.
    pub name: String,
}

impl Actor {
    /// Whether it is the agent or service of that name. Users' names are their own.
    #[must_use]
    pub fn is_client(&self, name: &str) -> bool {
        self.kind != ActorKind::User && self.name == name
    }
}

/// What the caller declared when the credential was issued (RFC 9396, type `sallyport_context`).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DeclaredContext {
    /// Why.
    pub purpose: Option<String>,
    /// For whom or what the agent acts, as the caller names it.
    pub entity: Option<String>,
    /// How far the caller trusts its own input: `trusted` or `untrusted`.
    pub trust: Option<String>,
    /// Classes of data it means to touch.
    pub classes: Vec<String>,
    /// The task, in the caller's words; recorded, and something rules may compare.
    pub task: Option<String>,
}

/// Names one credential without revealing it: the digest of a token, a certificate or a connection.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CredentialId([u8; 32]);

impl CredentialId {
    /// Of what was shown.
    #[must_use]
    pub fn of(credential: &[u8]) -> Self {
        Self(sha256(credential))
    }

    /// The digest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.iter().take(4) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("…")
    }
}

/// A caller whose credential was checked.
///
/// INVARIANT (principal): made by [`Principal::vouch`] alone, which only the checks of this crate can
/// reach. There is no default principal and no way to get one from a failed check (LiteLLM CVE-2026-12773).
#[derive(Clone, Debug, PartialEq)]
pub struct Principal {
    pub(crate) actor: Actor,
    pub(crate) for_user: Option<String>,
    pub(crate) tenant: Option<String>,
    pub(crate) model: Option<Model>,
    pub(crate) scopes: BTreeSet<String>,
    pub(crate) context: Option<String>,
    pub(crate) declared: Option<DeclaredContext>,
    pub(crate) credential: CredentialId,
    pub(crate) token_id: Option<String>,
    pub(crate) issued_ms: i64,
    pub(crate) expires_ms: i64,
    pub(crate) binding: Option<Binding>,
    pub(crate) asserted: Option<Asserted>,
    pub(crate) login: Option<Arc<Login>>,
}

/// How a person let a client in, where one did so by a browser.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Login {
    /// The client that was let in.
    pub client: String,
    /// The name of what was granted: every token that comes of it has it.
    pub grant: String,
    /// When the person logged in, in milliseconds since 1970.
    pub at_ms: i64,
    /// How (RFC 8176): `pwd`, `otp`, `mfa`.
    pub methods: Vec<String>,
    /// How well (`acr`), in our words or in those of the issuer where the person logged in.
    pub acr: String,
}

impl Login {
    /// Whether it took more than a password.
    #[must_use]
    pub fn is_multi_factor(&self) -> bool {
        self.methods.iter().any(|method| method == "mfa")
    }

    /// Whether the person was authenticated so: at that level, or by that method.
    #[must_use]
    pub fn is_by(&self, level: &str) -> bool {
        is_by((&self.acr, &self.methods), level)
    }
}

/// Whether somebody who was authenticated at a level and by some methods was authenticated as `wanted` says: at that
/// level or by that method. Whoever logged in showed as much as a password.
pub(crate) fn is_by((acr, methods): (&str, &[String]), wanted: &str) -> bool {
    wanted == ACR_PASSWORD || wanted == acr || methods.iter().any(|method| method == wanted)
}

/// What an external issuer says of somebody.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Asserted {
    /// The issuer.
    pub issuer: Arc<str>,
    /// The user's roles, in names of ours.
    pub roles: Vec<String>,
    /// The user's groups, in names of ours.
    pub groups: Vec<String>,
    /// On whose word a client acts for the user, if one does.
    pub delegated: Delegated,
}

/// Who decides that a client acts for a user whom another issuer vouches for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Delegated {
    /// That issuer.
    There,
    /// We, when the client exchanged the user's token: it stands while configuration says so.
    Here,
}

impl Principal {
    /// The one place where a principal begins. `grep -rn 'vouch('` lists every origin of trust.
    pub(crate) fn vouch(principal: Self) -> Self {
        principal
    }

    /// Who sent the message.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// For which user, if the actor acts for one.
    #[must_use]
    pub fn for_user(&self) -> Option<&str> {
        self.for_user.as_deref()
    }

    /// The tenant, where there are several.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// The model behind an agent, and on whose word.
    #[must_use]
    pub fn model(&self) -> Option<&Model> {
        self.model.as_ref()
    }

    /// Whether the credential carries a scope.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.contains(scope)
    }

    /// The scopes the credential carries.
    #[must_use]
    pub fn scopes(&self) -> &BTreeSet<String> {
        &self.scopes
    }

    /// The context the credential is bound to, if it names one.
    #[must_use]
    pub fn context(&self) -> Option<&str> {
        self.context.as_deref()
    }

    /// What was declared when the credential was issued.
    #[must_use]
    pub fn declared(&self) -> Option<&DeclaredContext> {
        self.declared.as_ref()
    }

    /// Which credential proved it.
    #[must_use]
    pub fn credential(&self) -> CredentialId {
        self.credential
    }

    /// The `jti` of the token, if a token proved it.
    #[must_use]
    pub fn token_id(&self) -> Option<&str> {
        self.token_id.as_deref()
    }

    /// When the credential was issued, in milliseconds since 1970.
    #[must_use]
    pub fn issued_ms(&self) -> i64 {
        self.issued_ms
    }

    /// When the credential ends, in milliseconds since 1970.
    #[must_use]
    pub fn expires_ms(&self) -> i64 {
        self.expires_ms
    }

    /// What has to be shown with the credential, if it is bound to something.
    #[must_use]
    pub fn binding(&self) -> Option<&Binding> {
        self.binding.as_ref()
    }

    /// What an external issuer said, if one vouches for the caller.
    #[must_use]
    pub fn asserted(&self) -> Option<&Asserted> {
        self.asserted.as_ref()
    }

    /// How a person let the client in, if one did.
    #[must_use]
    pub fn login(&self) -> Option<&Login> {
        self.login.as_deref()
    }

    /// What a session, a task or a stream is bound to: the same actor, with the same model, for the same user in the
    /// same tenant. A new token of the same caller keeps it; nobody else has it.
    #[must_use]
    pub fn key(&self) -> String {
        let mut key = self.holder();
        if let Some(model) = &self.model {
            push_part(&mut key, Some(&model.name));
            push_part(&mut key, model.version.as_deref());
        }
        key
    }

    /// Who takes part of what there is for all: the same actor for the same user in the same tenant, whichever model it
    /// names. It may name as many as it likes, and has no more for it.
    #[must_use]
    pub fn holder(&self) -> String {
        holder(&self.actor, self.for_user(), self.tenant())
    }
}

/// An actor for a user in a tenant, as one text; see [`Principal::holder`].
#[must_use]
pub fn holder(actor: &Actor, for_user: Option<&str>, tenant: Option<&str>) -> String {
    let kind = match actor.kind {
        ActorKind::Agent => "agent",
        ActorKind::Service => "service",
        ActorKind::User => "user",
    };
    // In one go, since each call asks for it several times.
    let mut key = String::with_capacity(KEY_BYTES);
    key.push_str(kind);
    push_part(&mut key, Some(&actor.name));
    push_part(&mut key, for_user);
    push_part(&mut key, tenant);
    key
}

/// Appends a part of a key. Lengths keep the parts apart, so no name can be spelled to look like two.
pub(crate) fn push_part(key: &mut String, text: Option<&str>) {
    match text {
        Some(text) => {
            key.push('/');
            push_number(key, text.len());
            key.push(':');
            key.push_str(text);
        }
        None => key.push_str("/-"),
    }
}

/// Appends a number in decimal digits, without a text of its own.
fn push_number(to: &mut String, number: usize) {
    if number >= 10 {
        push_number(to, number / 10);
    }
    let digit = u32::try_from(number % 10).ok();
    to.extend(digit.and_then(|digit| char::from_digit(digit, 10)));
}

/// Somebody on this very machine, whom the operator decided to believe.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LocalPeer {
    /// The parent process over its own pipe: `sallyport wrap`, `sallyport serve --stdio`.
    Pipe,
    /// A TCP peer. Accepted only from a loopback address.
    Tcp(IpAddr),
    /// A Unix socket peer with the user id the kernel gives for it.
    Unix {
        /// The peer's user id.
        uid: u32,
        /// Ours.
        own_uid: u32,
    },
}

/// Admits callers without a credential, where configuration says so and the caller is on this machine.
///
/// There is no such thing for any other address; [`Local::admit`] refuses it whatever configuration says.
#[derive(Clone, Debug)]
pub struct Local {
    user: String,
}

impl Local {
    /// Local callers count as this user.
    #[must_use]
    pub fn as_user(user: String) -> Self {
        Self { user }
    }

    /// Admits a local peer; nobody else.
    #[must_use]
    pub fn admit(&self, peer: &LocalPeer, now_ms: i64) -> Option<Principal> {
        let local = match peer {
            LocalPeer::Pipe => true,
            LocalPeer::Tcp(address) => address.is_loopback(),
            LocalPeer::Unix { uid, own_uid } => uid == own_uid,
        };
        local.then(|| {
            Principal::vouch(Principal {
                actor: Actor {
                    kind: ActorKind::User,
                    name: self.user.clone(),
                },
                for_user: None,
                tenant: None,
                model: None,
                scopes: BTreeSet::from([crate::token::SCOPE.to_owned()]),
                context: None,
                declared: None,
                credential: CredentialId::of(format!("local:{}", self.user).as_bytes()),
                token_id: None,
                issued_ms: now_ms,
                expires_ms: i64::MAX,
                binding: None,
                asserted: None,
                login: None,
            })
        })
    }
}
