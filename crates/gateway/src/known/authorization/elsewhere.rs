//! Logging in at an external identity provider (OpenID Connect, code flow): where the person is sent, and what is
//! believed of the answer. To clients the provider does not exist; they see this gateway's issuer alone.
//!
//! INVARIANT (one flow): PKCE, `state` and `nonce` are made for one departure and travel sealed, bound to one browser.
//! Each provider has a redirect URI of its own, so the answer of one is none of another, even where it does not say
//! whose it is (RFC 9700, section 4.4).

use std::sync::Arc;

use identity::{
    Asserted, Delegated, Secret,
    jose::KeySet,
    oauth::{Anew, Form, Wanted, pkce_challenge},
    sha256,
    token::{ACR_MFA, ACR_PASSWORD, Expected},
};
use records::digest::hex;
use tokio::sync::Mutex;
use wire::json::{Node, ObjectWriter};

use super::{LoggedIn, answers::NotAsked};
use crate::{
    ambient::Ambient,
    config::{auth::ClientIdentity, issuers::MeantIssuer, login::MeantLoginAt},
    known::issuers::{Network, Provider, Providers},
    outside::oauth::{
        discovery::{Metadata, shown},
        leads_people_well,
        tokens::{NoToken, Nonces, TokenEndpoint},
    },
};

/// How long metadata is believed, and how long it is not asked for again when it could not be had, in milliseconds.
const FRESH_MS: i64 = 5 * 60 * 1000;
const FAILED_MS: i64 = 5 * 1000;

/// The providers people can log in at.
#[derive(Debug, Default)]
pub(crate) struct Elsewhere(Vec<Door>);

/// One of them.
#[derive(Debug)]
pub(crate) struct Door {
    at: MeantLoginAt,
    provider: Arc<Provider>,
    network: Network,
    known: Mutex<Option<Known>>,
}

/// What a provider said of itself, or why it did not, and until when that counts.
#[derive(Debug)]
struct Known {
    found: Result<Arc<Metadata>, String>,
    until_ms: i64,
}

/// What one departure is known by when the person comes back.
#[derive(Clone, Debug)]
pub(crate) struct Departure {
    pub(crate) verifier: String,
    pub(crate) nonce: String,
}

/// What a provider says of somebody who logged in there.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Vouched {
    pub(crate) issuer: String,
    pub(crate) tenant: Option<String>,
    pub(crate) roles: Vec<String>,
    pub(crate) groups: Vec<String>,
    /// When the person came back from there.
    pub(crate) came_ms: i64,
}

/// Somebody who came back.
#[derive(Debug)]
pub(crate) struct Came {
    pub(crate) login: LoggedIn,
    /// What the provider said it by, and until when that counts.
    pub(crate) id_token: Secret,
    pub(crate) until_ms: i64,
}

/// Why somebody who went out did not come in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum NotLet {
    /// The provider says no.
    Denied(String),
    /// It cannot be asked, or does not answer as it should.
    Down(String),
    /// It is not asked: the answer came before, or too many came.
    NotAsked(NotAsked),
    /// What it says does not hold.
    Untrue(String),
    /// It does not say that the person logged in as it takes here.
    Unmet(String),
}

impl std::fmt::Display for NotLet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotAsked(why) => f.write_str(why.as_str()),
            Self::Denied(why) | Self::Down(why) | Self::Unmet(why) | Self::Untrue(why) => f.write_str(why),
        }
    }
}

impl Elsewhere {
    /// Those of the configuration.
    pub(crate) fn of(meant: &[MeantIssuer], providers: &Providers) -> Self {
        let door = |meant: &MeantIssuer| {
            Some(Door {
                at: meant.login.clone()?,
                provider: Arc::clone(providers.find(&meant.trust.issuer)?),
                network: meant.network,
                known: Mutex::default(),
            })
        };
        Self(meant.iter().filter_map(door).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, as people read them: the name in addresses, and the label.
    pub(crate) fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|door| (door.at.name.as_str(), door.at.label.as_str()))
    }

    /// The one of this name.
    pub(crate) fn door(&self, name: &str) -> Option<&Door> {
        self.0.iter().find(|door| door.at.name == name)
    }

    /// The issuers clients get their tokens from themselves.
    pub(crate) fn not_behind<'e>(&'e self, providers: &'e Providers) -> impl Iterator<Item = String> + 'e {
        let issuers = providers.all().iter().map(|provider| &provider.trust().issuer);
        issuers
            .filter(|issuer| self.of_issuer(issuer).is_none())
            .map(|issuer| issuer.to_string())
    }

    fn of_issuer(&self, issuer: &str) -> Option<&Door> {
        self.0
            .iter()
            .find(|door| *door.provider.trust().issuer == *issuer)
    }

    /// Whether what somebody logged in with then is what it takes now, and not too long ago.
    pub(super) fn stands(&self, login: &LoggedIn, vouched: &Vouched, now_ms: i64) -> bool {
        let door = self.of_issuer(&vouched.issuer);
        door.is_some_and(|door| {
            door.fingerprint() == login.with && now_ms < vouched.came_ms + door.at.lasts_ms
        })
    }
}

impl Door {
    /// Where the person comes back to.
    fn callback(&self, base: &str) -> String {
        format!("{base}/oauth/login/{}/callback", self.at.name)
    }

    /// Of what decides whom a log-in there is of.
    fn fingerprint(&self) -> String {
        let trust = self.provider.trust();
        let parts = [&*trust.issuer, &trust.prefix, &self.at.client.id];
        let lengths = parts.map(|part| format!("{}:{part}", part.len()));
        hex(&sha256(lengths.concat().as_bytes()))
    }

    /// Where to send the person.
    pub(crate) async fn leave(
        &self,
        base: &str,
        ambient: &Ambient,
        (departure, state): (&Departure, &str),
        wanted: &Wanted,
    ) -> Result<String, String> {
        let metadata = self.metadata(ambient).await?;
        let endpoint = metadata.authorization.as_deref().unwrap_or_default();
        leads_people_well(endpoint, self.network)
            .map_err(|why| format!("{}: its `authorization_endpoint` {why}", metadata.issuer))?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.at.client.id)
            .append_pair("redirect_uri", &self.callback(base))
            .append_pair("scope", &self.at.scope)
            .append_pair("state", state)
            .append_pair("nonce", &departure.nonce)
            .append_pair("code_challenge", &pkce_challenge(&departure.verifier))
            .append_pair("code_challenge_method", "S256");
        let levels = self.levels(wanted);
        if !levels.is_empty() {
            query.append_pair("acr_values", &levels.join(" "));
        }
        if let Some(max_age_s) = wanted.max_age_s {
            query.append_pair("max_age", &max_age_s.to_string());
        }
        if wanted.login == Anew::Yes {
            query.append_pair("prompt", "login");
        }
        let joint = if endpoint.contains('?') { '&' } else { '?' };
        Ok(format!("{endpoint}{joint}{}", query.finish()))
    }

    /// The levels that are wanted, in the provider's words.
    fn levels<'w>(&'w self, wanted: &'w Wanted) -> Vec<&'w str> {
        let theirs = |level: &'w String| match level.as_str() {
            ACR_PASSWORD => Vec::new(),
            ACR_MFA => self.at.mfa.iter().map(String::as_str).collect(),
            other => vec![other],
        };
        wanted.levels.iter().flat_map(theirs).collect()
    }

    /// What came back, to who it is.
    pub(crate) async fn come_back(
        &self,
        base: &str,
        ambient: &Ambient,
        (answer, departure, wanted): (&Form, &Departure, &Wanted),
        once: impl FnOnce() -> Result<(), NotAsked> + Send,
        dropped: impl Fn(&str) + Send + 'static,
    ) -> Result<Came, NotLet> {
        let metadata = self.metadata(ambient).await.map_err(NotLet::Down)?;
        self.speaks_for(answer.get("iss"), &metadata)
            .map_err(NotLet::Untrue)?;
        if let Some(error) = answer.get("error") {
            let why = answer.get("error_description").unwrap_or_default();
            return Err(NotLet::Denied(format!("{} {}", shown(error), shown(why))));
        }
        let untrue = |why: &str| NotLet::Untrue(why.to_owned());
        let code = answer
            .get("code")
            .ok_or_else(|| untrue("the answer has no `code`"))?;
        once().map_err(NotLet::NotAsked)?;
        let (id_token, access) = self.exchange((base, code), ambient, departure, &metadata).await?;
        let now_ms = ambient.now_ms();
        let keys: Arc<KeySet> = self
            .provider
            .keys(id_token.expose(), now_ms, dropped)
            .await
            .map_err(NotLet::Down)?;
        let expected = Expected {
            client: &self.at.client.id,
            nonce: &departure.nonce,
            access_token: access.expose(),
            max_age_s: wanted.max_age_s,
        };
        let person = self
            .provider
            .trust()
            .id_token(id_token.expose(), &keys, expected, now_ms)
            .map_err(|error| NotLet::Untrue(format!("its ID token: {error}")))?;
        let mut methods = person.methods;
        if self.at.is_mfa(person.acr.as_deref()) && !methods.iter().any(|method| method == "mfa") {
            methods.push("mfa".to_owned());
        }
        let usual = if methods.iter().any(|method| method == "mfa") {
            ACR_MFA
        } else {
            ACR_PASSWORD
        };
        let acr = person.acr.unwrap_or_else(|| usual.to_owned());
        if !wanted.is_met_by(&acr, &methods) {
            return Err(NotLet::Unmet(format!(
                "`{}` was wanted, and the provider says `{}`",
                wanted.levels.join(" "),
                shown(&acr)
            )));
        }
        let login = LoggedIn {
            user: person.user,
            methods,
            acr,
            at_ms: person.at_ms,
            with: self.fingerprint(),
            elsewhere: Some(Vouched {
                issuer: person.asserted.issuer.to_string(),
                tenant: person.tenant,
                roles: person.asserted.roles,
                groups: person.asserted.groups,
                came_ms: now_ms,
            }),
        };
        Ok(Came {
            login,
            id_token,
            until_ms: person.expires_ms,
        })
    }

    /// RFC 9207 section 2.4: by a name of its own, and needed where it was promised.
    fn speaks_for(&self, named: Option<&str>, metadata: &Metadata) -> Result<(), String> {
        match named {
            Some(named) if self.provider.trust().answers_to(named) => Ok(()),
            Some(named) => Err(format!(
                "the answer is of `{}`, and `{}` was asked",
                shown(named),
                metadata.issuer
            )),
            None if metadata.says_issuer => Err("the answer does not say whose it is (`iss`)".to_owned()),
            None => Ok(()),
        }
    }

    /// The ID token and the access token for a code. Of the second only the digest is looked at.
    async fn exchange(
        &self,
        (base, code): (&str, &str),
        ambient: &Ambient,
        departure: &Departure,
        metadata: &Metadata,
    ) -> Result<(Secret, Secret), NotLet> {
        let callback = self.callback(base);
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", callback.as_str()),
            ("code_verifier", departure.verifier.as_str()),
        ];
        let client: &ClientIdentity = &self.at.client;
        let endpoint = TokenEndpoint {
            guarded: self.provider.guarded(),
            server: metadata,
            client,
            key: None,
            nonces: &Nonces::default(),
            ambient,
        };
        let given = endpoint.ask(&form).await.map_err(|why| match why {
            NoToken::Refused { .. } => NotLet::Untrue(why.to_string()),
            NoToken::Failed(why) => NotLet::Down(why),
        })?;
        let id_token = given.id_token.ok_or_else(|| {
            let why = "it gives no ID token; is this client one for OpenID Connect there?";
            NotLet::Untrue(why.to_owned())
        })?;
        Ok((id_token, given.access))
    }

    /// What the provider says of itself.
    async fn metadata(&self, ambient: &Ambient) -> Result<Arc<Metadata>, String> {
        // Held while it is fetched: of many who come at once, one asks.
        let mut known = self.known.lock().await;
        let now_ms = ambient.now_ms();
        if let Some(known) = known.as_ref().filter(|known| now_ms < known.until_ms) {
            return known.found.clone();
        }
        let found = self.provider.metadata().await;
        let found = found.map(Arc::new);
        let fresh_ms = if found.is_ok() { FRESH_MS } else { FAILED_MS };
        *known = Some(Known {
            found: found.clone(),
            until_ms: ambient.now_ms() + fresh_ms,
        });
        found
    }
}

impl Departure {
    /// One that nobody can guess.
    pub(crate) fn new(ambient: &Ambient) -> Self {
        Self {
            verifier: ambient.secret(),
            nonce: ambient.secret(),
        }
    }

    /// Writes it.
    pub(crate) fn write(&self, out: &mut ObjectWriter<'_>) {
        out.string("verifier", &self.verifier);
        out.string("nonce", &self.nonce);
    }

    /// Reads what [`Self::write`] wrote.
    pub(crate) fn read(node: Node<'_>) -> Option<Self> {
        let text = |name: &str| Some(node.get(name)?.as_str()?.into_owned());
        Some(Self {
            verifier: text("verifier")?,
            nonce: text("nonce")?,
        })
    }
}

impl Vouched {
    /// What tokens say of it.
    pub(crate) fn asserted(&self) -> Asserted {
        Asserted {
            issuer: Arc::from(self.issuer.as_str()),
            roles: self.roles.clone(),
            groups: self.groups.clone(),
            delegated: Delegated::Here,
        }
    }

    /// Writes it.
    pub(super) fn write(&self, out: &mut ObjectWriter<'_>) {
        out.string("issuer", &self.issuer);
        if let Some(tenant) = &self.tenant {
            out.string("tenant", tenant);
        }
        for (name, list) in [("roles", &self.roles), ("groups", &self.groups)] {
            out.array(name, |out| list.iter().for_each(|text| out.string(text)));
        }
        out.integer("came", self.came_ms);
    }

    /// Reads what [`Self::write`] wrote.
    pub(super) fn read(node: Node<'_>) -> Option<Self> {
        let list = |name: &str| {
            let elements = node.get(name)?.elements();
            elements
                .map(|one| Some(one.as_str()?.into_owned()))
                .collect::<Option<Vec<_>>>()
        };
        Some(Self {
            issuer: node.get("issuer")?.as_str()?.into_owned(),
            tenant: match node.get("tenant") {
                None => None,
                Some(tenant) => Some(tenant.as_str()?.into_owned()),
            },
            roles: list("roles")?,
            groups: list("groups")?,
            came_ms: node.get("came").and_then(Node::as_number)?.as_i64()?,
        })
    }
}
