//! Tokens for one server: from its challenge to the token, by a person's browser, on another device, or as the client
//! itself; renewed, and asked for once by however many processes want one.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use hyper::{
    HeaderMap, StatusCode,
    header::{AUTHORIZATION, HeaderName, HeaderValue},
};
use identity::{
    Secret,
    assertion::{ClientKey, Proving},
};
use wire::{
    bounds::CREDENTIAL,
    json::{Document, Keys, Node},
};

use super::{
    super::output::remark,
    browser::{self, Back},
    kept::{Place, Session, Token},
};
use crate::{
    ambient::Ambient,
    config::auth::{ClientIdentity, ClientProof, Pkce},
    failure::Failure,
    known::issuers::Guarded,
    outside::oauth::{
        Challenge, Sending, device,
        discovery::{Found, Metadata, Resource, discover, metadata, origin},
        fit, speaks_for,
        tokens::{DPOP, Given, NoToken, Nonces, TokenEndpoint},
    },
};

/// How long before its end a token is renewed, in milliseconds.
const EARLY_MS: i64 = 30 * 1000;
/// How much longer than a person may take another process is waited for.
const GRACE: Duration = Duration::from_secs(30);
/// How a token is come by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// A person, in a browser of this machine.
    Browser,
    /// A person, on another device.
    Device,
    /// Nobody: the client proves to be itself.
    Client,
}

/// How tokens name what they are for.
#[derive(Clone, Debug)]
pub(super) enum Indicated {
    /// As the server calls itself.
    Server,
    /// Like this.
    Named(String),
    /// Not at all.
    Nothing,
}

/// What the server is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shown {
    AccessToken,
    /// What says who logged in: some servers read that.
    IdToken,
}

/// What flags say.
pub(super) struct Settings {
    pub(super) url: String,
    /// None: a browser where there is one, another device where there is none.
    pub(super) way: Option<Way>,
    pub(super) client: Option<ClientIdentity>,
    /// The only authorization server that client is shown to, where flags name one.
    pub(super) issuer: Option<String>,
    pub(super) document: Option<String>,
    pub(super) token_endpoint: Option<String>,
    pub(super) about: Option<Arc<Document>>,
    pub(super) indicated: Indicated,
    pub(super) shown: Shown,
    pub(super) pkce: Pkce,
    pub(super) parameters: Vec<(String, String)>,
    /// `authorization_details` with the declared context.
    pub(super) details: Option<String>,
    pub(super) back: Back,
    pub(super) patience: Duration,
    pub(super) silent: bool,
}

/// See the module.
pub(super) struct Login {
    pub(super) settings: Settings,
    pub(super) guarded: Guarded,
    ambient: Ambient,
    nonces: Nonces,
    place: Place,
    /// Held while a token is asked for.
    asking: tokio::sync::Mutex<()>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    is_loaded: bool,
    session: Session,
    /// What is declared goes with the token.
    declares: bool,
}

/// What to do with an answer.
pub(super) enum Next {
    /// Send the request once more: there is another token, or a nonce.
    Again,
    Take,
}

impl Login {
    pub(super) fn new(settings: Settings, guarded: Guarded, place: Place) -> Self {
        Self {
            settings,
            guarded,
            ambient: Ambient::system(),
            nonces: Nonces::default(),
            place,
            asking: tokio::sync::Mutex::default(),
            held: Mutex::default(),
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn token(&self) -> Option<Token> {
        self.held().session.token.clone()
    }

    /// Whether the token says what was declared.
    pub(super) fn declares(&self) -> bool {
        self.held().declares
    }

    /// What goes with a request, if there is a token; it is renewed before it ends.
    pub(super) async fn proof(
        &self,
        method: &str,
        url: &str,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
        self.load().await?;
        let mut token = self.token();
        if let Some(old) = token
            .as_ref()
            .filter(|old| self.ambient.now_ms() >= old.expires_ms - EARLY_MS)
        {
            let over = self.ambient.now_ms() >= old.expires_ms;
            let renewed = self.renew(old).await;
            // What is over is not shown; the server says what it wants instead.
            token = self.token().filter(|_| renewed.is_ok() || !over);
        }
        let Some(token) = token else { return Ok(Vec::new()) };
        let unusable = |_| Failure::unreachable("the token cannot be put into a header");
        let scheme = if token.is_bound { "DPoP" } else { "Bearer" };
        let mut value = HeaderValue::try_from(format!("{scheme} {}", token.access)).map_err(unusable)?;
        value.set_sensitive(true);
        let mut headers = vec![(AUTHORIZATION, value)];
        if let Some(key) = key_of(&token) {
            let proof = key.proof(&Proving {
                method,
                url,
                token: Some(&Secret::presented(token.access)),
                nonce: self.nonces.of(url).as_deref(),
                id: &self.ambient.name(),
                now_ms: self.ambient.now_ms(),
            });
            let proof = proof.map_err(|why| Failure::other(why.to_string()))?;
            headers.push((DPOP, HeaderValue::try_from(proof).map_err(unusable)?));
        }
        Ok(headers)
    }

    /// What an answer means for the token that was sent.
    pub(super) async fn answered(
        &self,
        url: &str,
        sent: &[(HeaderName, HeaderValue)],
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Result<Next, Failure> {
        let fresh = self.nonces.note(url, headers).is_some();
        if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Ok(Next::Take);
        }
        let challenge = Challenge::of(headers);
        if challenge.is_error("use_dpop_nonce") && fresh && !sent.is_empty() {
            return Ok(Next::Again);
        }
        let sent = sent.iter().find(|(name, _)| *name == AUTHORIZATION);
        let sent = sent.and_then(|(_, value)| Some(value.to_str().ok()?.split_once(' ')?.1.to_owned()));
        let more: BTreeSet<String> = challenge.scopes().map(str::to_owned).collect();
        if status == StatusCode::FORBIDDEN {
            let asked = self.token().map(|token| token.asked).unwrap_or_default();
            if !challenge.is_error("insufficient_scope") || more.is_subset(&asked) {
                return Ok(Next::Take);
            }
        }
        let is_step = status == StatusCode::FORBIDDEN;
        self.obtain(&challenge, sent.as_deref(), is_step).await?;
        Ok(Next::Again)
    }

    /// What an earlier process left.
    async fn load(&self) -> Result<(), Failure> {
        if self.held().is_loaded {
            return Ok(());
        }
        let kept = self.place.read().await?.unwrap_or_default();
        let mut held = self.held();
        if !held.is_loaded {
            held.is_loaded = true;
            held.session = kept;
        }
        Ok(())
    }

    /// Takes what another process got meanwhile. Whether it is another token than that one, and good.
    async fn take_over(&self, than: Option<&str>) -> Result<bool, Failure> {
        let Some(kept) = self.place.read().await? else {
            return Ok(false);
        };
        let now_ms = self.ambient.now_ms();
        let token = kept.token.as_ref();
        let is_new =
            token.is_some_and(|token| Some(token.access.as_str()) != than && now_ms < token.expires_ms);
        self.held().session = kept;
        Ok(is_new)
    }

    /// Renews before the end, if it can be done.
    async fn renew(&self, old: &Token) -> Result<(), Failure> {
        let _alone = self.asking.lock().await;
        if self.token().is_some_and(|token| token.access != old.access) {
            return Ok(());
        }
        let _turn = self.place.turn(self.settings.patience + GRACE).await?;
        if self.take_over(Some(&old.access)).await? {
            return Ok(());
        }
        let session = self.held().session.clone();
        let server = match &self.settings.token_endpoint {
            Some(_) => self.explicit().server,
            None => metadata(&self.guarded, &session.issuer)
                .await
                .map_err(Failure::unreachable)?,
        };
        let found = Found {
            resource: Resource::unsaid(&self.settings.url),
            server,
        };
        match self.refresh(&found, &session).await? {
            Some(token) => {
                self.keep(Session {
                    token: Some(token),
                    ..session
                })
                .await
            }
            None => Err(Failure::refused("there is nothing to renew the token with")),
        }
    }

    /// Another token than the one that was refused.
    async fn obtain(&self, challenge: &Challenge, sent: Option<&str>, is_step: bool) -> Result<(), Failure> {
        let _alone = self.asking.lock().await;
        let now = self.token().map(|token| token.access);
        if now.is_some() && now.as_deref() != sent {
            return Ok(());
        }
        let _turn = self.place.turn(self.settings.patience + GRACE).await?;
        if self.take_over(sent).await? {
            return Ok(());
        }
        let found = match &self.settings.token_endpoint {
            Some(_) => self.explicit(),
            None => discover(&self.guarded, &self.settings.url, challenge, None)
                .await
                .map_err(|why| Failure::unreachable(format!("the server wants a token: {why}")))?,
        };
        let mut session = self.held().session.clone();
        if session.issuer != found.server.issuer {
            // Nothing of the one is shown to the other.
            session = Session {
                issuer: found.server.issuer.clone(),
                ..Session::default()
            };
        }
        if !is_step && let Some(token) = self.refresh(&found, &session).await? {
            return self
                .keep(Session {
                    token: Some(token),
                    ..session
                })
                .await;
        }
        let before = session.token.take().map(|token| token.asked).filter(|_| is_step);
        let scopes = self.scopes(&found, challenge, before.unwrap_or_default());
        let way = self.way(&found);
        let done = match way {
            Way::Browser => self.by_browser(&found, &mut session, &scopes).await,
            Way::Device => self.by_device(&found, &mut session, &scopes).await,
            Way::Client => self.by_itself(&found, &scopes).await,
        };
        let token = match done {
            Ok(token) => token,
            Err(failure) => {
                // A name that is known no longer is not shown again.
                self.keep(session).await?;
                return Err(failure);
            }
        };
        self.held().declares = found.server.takes_context;
        session.token = Some(token);
        self.keep(session).await
    }

    async fn keep(&self, session: Session) -> Result<(), Failure> {
        self.place.write(&session).await?;
        self.held().session = session;
        Ok(())
    }

    /// What is known of an authorization server of which flags name the token endpoint.
    fn explicit(&self) -> Found {
        let token = self.settings.token_endpoint.clone().unwrap_or_default();
        let said = self.settings.about.as_ref();
        let method = said.and_then(|said| {
            said.root()
                .get("token_endpoint_auth_method")?
                .as_str()
                .map(String::from)
        });
        Found {
            resource: Resource::unsaid(&self.settings.url),
            server: Metadata {
                issuer: origin(&token),
                token: Some(token),
                methods: method.map(|method| vec![method]),
                ..Metadata::default()
            },
        }
    }

    fn way(&self, found: &Found) -> Way {
        match self.settings.way {
            Some(way) => way,
            None if !browser::has_screen() && found.server.device.is_some() => Way::Device,
            None => Way::Browser,
        }
    }

    fn scopes(&self, found: &Found, challenge: &Challenge, mut scopes: BTreeSet<String>) -> BTreeSet<String> {
        scopes.extend(challenge.scopes().map(str::to_owned));
        let said = self
            .settings
            .about
            .as_ref()
            .and_then(|said| said.root().get("scope")?.as_str());
        if let Some(said) = said {
            scopes.extend(said.split_ascii_whitespace().map(str::to_owned));
        }
        if scopes.is_empty() {
            scopes.extend(found.resource.scopes.iter().cloned());
        }
        scopes
    }

    /// The same for what a person agrees to, who is not to be asked again soon.
    fn lasting(&self, found: &Found, scopes: &BTreeSet<String>) -> BTreeSet<String> {
        let mut scopes = scopes.clone();
        if found.server.scopes.iter().any(|scope| scope == "offline_access") {
            scopes.insert("offline_access".to_owned());
        }
        scopes
    }

    /// What a request for a token names.
    fn resource<'f>(&'f self, found: &'f Found) -> Option<&'f str> {
        match &self.settings.indicated {
            Indicated::Named(name) => Some(name),
            // Where its token endpoint is named, nobody said that it knows the parameter.
            Indicated::Server if self.settings.token_endpoint.is_none() => Some(&found.resource.id),
            Indicated::Server | Indicated::Nothing => None,
        }
    }

    fn besides<'f>(&'f self, found: &'f Found) -> Vec<(&'f str, &'f str)> {
        let mut besides = Vec::new();
        besides.extend(self.resource(found).map(|resource| ("resource", resource)));
        let details = self
            .settings
            .details
            .as_deref()
            .filter(|_| found.server.takes_context);
        besides.extend(details.map(|details| ("authorization_details", details)));
        besides
    }

    fn endpoint<'t>(
        &'t self,
        found: &'t Found,
        client: &'t ClientIdentity,
        key: Option<&'t ClientKey>,
    ) -> TokenEndpoint<'t> {
        TokenEndpoint {
            guarded: &self.guarded,
            server: &found.server,
            client,
            key,
            nonces: &self.nonces,
            ambient: &self.ambient,
        }
    }

    /// A new token for the refresh token. None where there is none, or it is spent.
    async fn refresh(&self, found: &Found, session: &Session) -> Result<Option<Token>, Failure> {
        let Some(old) = &session.token else {
            return Ok(None);
        };
        let (Some(refresh), Some(client)) = (&old.refresh, self.known(session)) else {
            return Ok(None);
        };
        let key = key_of(old);
        let mut form = vec![
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh.as_str()),
        ];
        form.extend(self.resource(found).map(|resource| ("resource", resource)));
        match self.endpoint(found, &client, key.as_ref()).ask(&form).await {
            Ok(given) => {
                // Who gives no ID token with it is asked anew.
                let kept = self.token_of(given, old.asked.clone(), key.as_ref(), Some(refresh));
                Ok(kept.ok())
            }
            Err(NoToken::Refused { .. }) => Ok(None),
            Err(NoToken::Failed(why)) => Err(Failure::unreachable(why)),
        }
    }

    async fn by_browser(
        &self,
        found: &Found,
        session: &mut Session,
        scopes: &BTreeSet<String>,
    ) -> Result<Token, Failure> {
        fit(&found.server, self.settings.pkce).map_err(Failure::refused)?;
        let listening = self.settings.back.listen(self.place.number()).await?;
        let client = self.client(found, session, Some(&listening.url)).await?;
        let key = bound(found)?;
        let scopes = self.lasting(found, scopes);
        let (state, verifier) = (self.ambient.secret(), Secret::presented(self.ambient.secret()));
        let sending = Sending {
            client: &client.id,
            redirect: &listening.url,
            state: &state,
            verifier: &verifier,
            scopes: &joined(&scopes),
            resource: self.resource(found),
        };
        let mut parameters = self.settings.parameters.clone();
        if let Some(details) = self
            .settings
            .details
            .clone()
            .filter(|_| found.server.takes_context)
        {
            parameters.push(("authorization_details".to_owned(), details));
        }
        let url = sending.url(&found.server, &parameters);
        let url = url.ok_or_else(|| Failure::refused("no person can log in there"))?;
        self.tell(&format!("log in at\n{url}"));
        browser::open(&url);
        let answer = tokio::time::timeout(self.settings.patience, listening.answer(&state)).await;
        let answer = answer.map_err(|_| {
            let seconds = self.settings.patience.as_secs();
            Failure::refused(format!(
                "nobody logged in within {seconds} seconds; --auth-timeout gives more, --device-code another device"
            ))
        })??;
        let asked = async {
            speaks_for(answer.form.get("iss"), &found.server)?;
            if let Some(error) = answer.form.get("error") {
                let why = answer.form.get("error_description").unwrap_or_default();
                let (error, why) = (
                    crate::outside::oauth::discovery::shown(error),
                    crate::outside::oauth::discovery::shown(why),
                );
                return Err(format!("the authorization server says: {error} {why}"));
            }
            let code = answer.form.get("code").ok_or("the answer has no `code`")?;
            let mut form = vec![
                ("grant_type", "authorization_code"),
                ("code", code),
                ("redirect_uri", listening.url.as_str()),
                ("code_verifier", verifier.expose()),
            ];
            form.extend(self.resource(found).map(|resource| ("resource", resource)));
            let given = self.endpoint(found, &client, key.as_ref()).ask(&form).await;
            given.map_err(|why| self.forget(session, &why))
        };
        let given = asked.await;
        answer
            .tell(given.as_ref().map(|_| ()).map_err(Clone::clone))
            .await;
        let given = given.map_err(|why| Failure::refused(format!("{}: {why}", found.server.issuer)))?;
        self.token_of(given, scopes, key.as_ref(), None)
    }

    async fn by_device(
        &self,
        found: &Found,
        session: &mut Session,
        scopes: &BTreeSet<String>,
    ) -> Result<Token, Failure> {
        let client = self.client(found, session, None).await?;
        let key = bound(found)?;
        let scopes = self.lasting(found, scopes);
        let scope = joined(&scopes);
        let endpoint = self.endpoint(found, &client, key.as_ref());
        let mut form = self.besides(found);
        if !scope.is_empty() {
            form.push(("scope", &scope));
        }
        let issuer = &found.server.issuer;
        let waiting = device::begin(&endpoint, &form).await;
        let waiting =
            waiting.map_err(|why| Failure::refused(format!("{issuer}: {}", self.forget(session, &why))))?;
        let whole = waiting
            .whole
            .as_ref()
            .map(|url| format!(" (or open {url})"))
            .unwrap_or_default();
        self.tell(&format!(
            "on any device, open {} and enter {}{whole}",
            waiting.at, waiting.user_code
        ));
        let more: Vec<_> = self
            .resource(found)
            .map(|resource| ("resource", resource))
            .into_iter()
            .collect();
        let given = waiting.wait(&endpoint, &more).await;
        let given = given.map_err(|why| Failure::refused(format!("{issuer}: {why}")))?;
        self.token_of(given, scopes, key.as_ref(), None)
    }

    async fn by_itself(&self, found: &Found, scopes: &BTreeSet<String>) -> Result<Token, Failure> {
        let said = self.said(&found.server)?;
        let client = said.filter(|client| !matches!(client.proof, ClientProof::None));
        let client = client.ok_or_else(|| {
            Failure::configuration(
                "nothing proves the client; give SALLYPORT_CLIENT_ID and SALLYPORT_CLIENT_SECRET, or \
                 --static-oauth-client-info with a `client_secret`",
            )
        })?;
        let (key, scope) = (bound(found)?, joined(scopes));
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(self.besides(found));
        if !scope.is_empty() {
            form.push(("scope", &scope));
        }
        let given = self.endpoint(found, client, key.as_ref()).ask(&form).await;
        let given = given.map_err(|why| Failure::refused(format!("{}: {why}", found.server.issuer)))?;
        Ok(token(given, scopes.clone(), key.as_ref(), None))
    }

    /// What is kept of what was given: what the server is to be shown.
    fn token_of(
        &self,
        given: Given,
        asked: BTreeSet<String>,
        key: Option<&ClientKey>,
        before: Option<&String>,
    ) -> Result<Token, Failure> {
        if self.settings.shown == Shown::AccessToken {
            return Ok(token(given, asked, key, before));
        }
        let id_token = given.id_token.clone().ok_or_else(|| {
            Failure::refused(
                "--use-id-token: the authorization server gave no ID token; ask for one with \
                 --static-oauth-client-metadata '{\"scope\": \"openid\"}'",
            )
        })?;
        let expires_ms = claimed_end_ms(id_token.expose()).unwrap_or(given.expires_ms);
        let given = Given {
            access: id_token,
            expires_ms,
            // It is bound to nothing, whatever the access token is.
            is_bound: false,
            ..given
        };
        Ok(token(given, asked, None, before))
    }

    /// Tells the person who started this.
    fn tell(&self, text: &str) {
        if !self.settings.silent {
            remark(text);
        }
    }
}

fn token(given: Given, asked: BTreeSet<String>, key: Option<&ClientKey>, before: Option<&String>) -> Token {
    Token {
        access: given.access.expose().to_owned(),
        // Whoever gives no new one lets the old one stand.
        refresh: given
            .refresh
            .map(|refresh| refresh.expose().to_owned())
            .or_else(|| before.cloned()),
        expires_ms: given.expires_ms,
        asked,
        is_bound: given.is_bound,
        key: key
            .filter(|_| given.is_bound)
            .map(|key| STANDARD.encode(key.to_der())),
    }
}

fn key_of(token: &Token) -> Option<ClientKey> {
    let key = STANDARD.decode(token.key.as_ref()?).ok()?;
    ClientKey::from_der(key).ok()
}

/// When a token says that it ends, in milliseconds; whoever is shown it checks that, and all else.
fn claimed_end_ms(token: &str) -> Option<i64> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims = Document::parse(claims, Keys::Exact, &CREDENTIAL).ok()?;
    let seconds = claims.root().get("exp").and_then(Node::as_number)?.as_i64()?;
    seconds.checked_mul(1000)
}

/// A key for the token, where it is to be bound to one.
fn bound(found: &Found) -> Result<Option<ClientKey>, Failure> {
    let key = found.is_bound().then(ClientKey::generate).transpose();
    key.map_err(|why| Failure::other(why.to_string()))
}

fn joined(scopes: &BTreeSet<String>) -> String {
    scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}
