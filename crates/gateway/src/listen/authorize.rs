//! `/oauth/authorize`: a client sends a person here, who logs in, sees who wants what, and says yes or no. Who comes for a
//! device without a browser enters its code at `/oauth/device` first (RFC 8628).
//!
//! Nothing is kept until somebody has logged in: the transaction travels in the form, sealed and bound to a cookie of
//! this browser. Everybody logs in each time, so there is no session a page of another origin could ride on. An error
//! is sent to a client only when the client and its address are known; everything else is a page (RFC 9700, 4.11).

use std::{net::IpAddr, sync::Arc};

use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, COOKIE, HeaderValue, LOCATION, SET_COOKIE},
};
use identity::{
    Secret,
    oauth::{
        Anew, AuthorizationRequest, Form, KnownBy, Leave, OauthError, OauthFault, RedirectUri,
        RegisteredClient, Wanted, Way,
    },
};
use records::ledger::Kind;
use wire::json::{Document, Keys, Node, object};

use super::{
    House,
    authorize_pages::{self as pages, Asks},
    body::{self, Body},
    gate::one,
    head::Peer,
    oauth::resources,
    page,
};
use crate::known::{
    authorization::{Issue, LoggedIn, NotLoggedIn, TRANSACTION_MS, consent_key, login::Attempt},
    people::Letting,
};

/// The largest form read, in bytes. The sealed transaction is in it.
const FORM_BYTES_MAX: usize = 32 * 1024;
/// The cookie that binds a transaction to a browser. Where there is TLS, no other host and no plain page can set it.
const COOKIE_TLS: &str = "__Host-sallyport";
const COOKIE_PLAIN: &str = "sallyport";

/// Where a device's code is entered.
pub(super) const DEVICE: &str = "/oauth/device";

/// One visit of a browser.
pub(super) struct Visit<'h> {
    pub(super) house: &'h Arc<House>,
    pub(super) from: IpAddr,
    /// What its cookie says, or will say.
    pub(super) browser: String,
}

/// A transaction as it travels.
pub(super) struct Transaction {
    pub(super) id: String,
    pub(super) request: AuthorizationRequest,
    pub(super) login: Option<LoggedIn>,
}

/// Answers a browser.
pub(super) async fn answer(house: &Arc<House>, peer: &Peer, request: Request<Incoming>) -> Response<Body> {
    if house.authorization.offer().is_none() {
        return body::empty(StatusCode::NOT_FOUND);
    }
    let (visit, is_known) = Visit::of(house, peer, request.headers());
    let is_device = request.uri().path() == DEVICE;
    let response = match *request.method() {
        Method::GET => {
            let query = request.uri().query().unwrap_or_default().to_owned();
            if is_device {
                visit.ask_for_code(query.as_bytes())
            } else {
                visit.begin(query.as_bytes()).await
            }
        }
        Method::POST => match form(request).await {
            Ok(form) if is_device => visit.enter(form.get("user_code").unwrap_or_default()).await,
            Ok(form) => visit.go_on(&form, is_known).await,
            Err(why) => pages::stopped(&why),
        },
        _ => body::empty(StatusCode::METHOD_NOT_ALLOWED),
    };
    visit.with_cookie(response, is_known)
}

impl<'h> Visit<'h> {
    /// A visit of this browser, and whether it was here before.
    pub(super) fn of(house: &'h Arc<House>, peer: &Peer, headers: &HeaderMap) -> (Self, bool) {
        let known = cookie(house, headers);
        let is_known = known.is_some();
        let visit = Self {
            house,
            from: peer.address.ip(),
            browser: known.unwrap_or_else(|| house.engines.ambient.secret()),
        };
        (visit, is_known)
    }

    /// The answer, with a cookie for a browser that has none.
    pub(super) fn with_cookie(&self, mut response: Response<Body>, is_known: bool) -> Response<Body> {
        if !is_known && let Ok(cookie) = HeaderValue::try_from(self.cookie()) {
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
        response
    }
}

impl Visit<'_> {
    /// A client asks.
    async fn begin(&self, query: &[u8]) -> Response<Body> {
        let form = match Form::parse(query) {
            Ok(form) => form,
            Err(error) => return self.stop("", &error.description),
        };
        let Some(id) = form.get("client_id") else {
            return self.stop("", "the program did not say who it is (`client_id`)");
        };
        let client = match self
            .house
            .authorization
            .client(id, self.from, &self.house.engines.ambient)
            .await
        {
            Ok(client) => client,
            Err(why) => return self.stop(id, &why),
        };
        let Some(redirect) = form.get("redirect_uri").and_then(|uri| client.redirect(uri)) else {
            return self.stop(
                id,
                "the program wants you sent back to an address that is not its own (`redirect_uri`)",
            );
        };
        let state = form.get("state").filter(|state| state.len() <= 2048);
        let read = AuthorizationRequest::read(&form, &client, redirect.clone(), &resources(self.house));
        match read {
            Ok(request) => {
                let transaction = Transaction {
                    id: self.house.engines.ambient.name().to_string(),
                    request,
                    login: None,
                };
                self.ask_to_log_in(&transaction, &client, None)
            }
            Err(error) => {
                self.note("authorization-refused", &client.id, "", &error.to_string());
                self.fail(&client, (&redirect, state), &error)
            }
        }
    }

    /// A person comes for a device. Its code may be in the link already; it is shown, and has to be compared.
    fn ask_for_code(&self, query: &[u8]) -> Response<Body> {
        let form = Form::parse(query).ok();
        let code = form.as_ref().and_then(|form| form.get("user_code"));
        pages::enter_code(code.unwrap_or_default(), None)
    }

    /// A code is entered.
    async fn enter(&self, typed: &str) -> Response<Body> {
        let (house, now_ms) = (self.house, self.house.engines.ambient.now_ms());
        let found = match house.authorization.devices.look(typed, self.from, now_ms) {
            Ok(found) => found,
            Err(seconds) => {
                self.note("device-refused", "", "", "too many wrong codes");
                let why = format!("There were too many wrong codes. Try again in {seconds} seconds.");
                return pages::enter_code(typed, Some((StatusCode::TOO_MANY_REQUESTS, &why)));
            }
        };
        let Some((code, leave)) = found else {
            self.note("device-refused", "", "", "no device has this code");
            let why = "No device waits with this code. It may be too old: then the program shows a new one.";
            return pages::enter_code(typed, Some((StatusCode::BAD_REQUEST, why)));
        };
        let id = leave.client.clone();
        let client = match house
            .authorization
            .client(&id, self.from, &house.engines.ambient)
            .await
        {
            Ok(client) => client,
            Err(why) => return self.stop(&id, &why),
        };
        let transaction = Transaction {
            id: house.engines.ambient.name().to_string(),
            request: AuthorizationRequest {
                leave,
                wanted: Wanted::default(),
                way: Way::Device { code },
            },
            login: None,
        };
        self.ask_to_log_in(&transaction, &client, None)
    }

    /// Tells a client that its request cannot be. A device hears of it when its code is over.
    pub(super) fn fail_request(
        &self,
        client: &RegisteredClient,
        request: &AuthorizationRequest,
        error: &OauthError,
    ) -> Response<Body> {
        match &request.way {
            Way::Browser { redirect, state, .. } => self.fail(client, (redirect, state.as_deref()), error),
            Way::Device { .. } => pages::stopped(&error.description),
        }
    }

    /// Tells a client that it cannot be.
    fn fail(
        &self,
        client: &RegisteredClient,
        (redirect, state): (&RedirectUri, Option<&str>),
        error: &OauthError,
    ) -> Response<Body> {
        let location = self.failure(redirect, state, error);
        // Whoever chose the address themselves must not have browsers sent there without a person's doing.
        match client.known_by {
            KnownBy::Operator => sent(&location),
            KnownBy::Document | KnownBy::Itself => pages::broken(error, redirect, &location),
        }
    }

    /// A person answers.
    async fn go_on(&self, form: &Form, has_cookie: bool) -> Response<Body> {
        let transaction = form
            .get("t")
            .filter(|_| has_cookie)
            .and_then(|sealed| self.open(sealed));
        let Some(transaction) = transaction else {
            let why = "this page is too old, or was opened in another browser; go back to the program and begin again";
            return self.stop("", why);
        };
        let id = &transaction.request.leave.client;
        let client = match self
            .house
            .authorization
            .client(id, self.from, &self.house.engines.ambient)
            .await
        {
            Ok(client) => client,
            Err(why) => return self.stop(id, &why),
        };
        match (&transaction.login, form.get("say")) {
            (_, Some("deny")) => self.denied(&transaction),
            (None, _) => self.log_in(transaction, &client, form).await,
            (Some(login), Some("allow")) => {
                let login = login.clone();
                self.remember(&transaction.request, &client, &login);
                self.issue(transaction, &client, login)
            }
            (Some(login), _) => self.ask_for_consent(&transaction, &client, login),
        }
    }

    async fn log_in(
        &self,
        transaction: Transaction,
        client: &RegisteredClient,
        form: &Form,
    ) -> Response<Body> {
        let user = form.get("user").unwrap_or_default();
        let login = match self.log_in_here(form).await {
            Ok(login) => login,
            Err(why) => {
                self.note("login-refused", &client.id, user, pages::inside(&why));
                return self.ask_to_log_in(&transaction, client, Some(&why));
            }
        };
        self.logged_in(transaction, client, login)
    }

    /// A local user logs in: with a passkey, or with name, password and code.
    pub(super) async fn log_in_here(&self, form: &Form) -> Result<LoggedIn, NotLoggedIn> {
        if let Some(login) = self.by_passkey(form) {
            return login;
        }
        let attempt = Attempt {
            user: form.get("user").unwrap_or_default(),
            password: Secret::presented(form.get("password").unwrap_or_default().to_owned()),
            code: form.get("code"),
            from: self.from,
        };
        let authorization = &self.house.authorization;
        authorization.log_in(&self.house.engines.ambient, attempt).await
    }

    /// Somebody logged in, here or elsewhere.
    pub(super) fn logged_in(
        &self,
        transaction: Transaction,
        client: &RegisteredClient,
        login: LoggedIn,
    ) -> Response<Body> {
        let (user, wanted) = (&login.user, &transaction.request.wanted);
        self.note("logged-in", &client.id, user, &login.methods.join(" "));
        if !wanted.is_met_by(&login.acr, &login.methods) {
            let why = "the person has nothing to log in with as this has to be";
            return self.unmet(&transaction, client, user, why);
        }
        if let Err(why) = self.may_let_in(&transaction.request, client, &login) {
            self.note("authorization-refused", &client.id, user, &why);
            return pages::stopped(&why);
        }
        let asks_again = wanted.consent == Anew::Yes;
        let transaction = Transaction {
            login: Some(login.clone()),
            ..transaction
        };
        let key = self.consent_key(&transaction.request, client, &login.user);
        let is_known = key.is_some_and(|key| self.house.authorization.has_agreed(&key));
        if is_known && !asks_again {
            return self.issue(transaction, client, login);
        }
        self.ask_for_consent(&transaction, client, &login)
    }

    /// Nobody logged in as the client wants it.
    pub(super) fn unmet(
        &self,
        transaction: &Transaction,
        client: &RegisteredClient,
        user: &str,
        why: &str,
    ) -> Response<Body> {
        self.note("authorization-refused", &client.id, user, why);
        let error = OauthError::new(OauthFault::UnmetAuthentication, why);
        let request = &transaction.request;
        self.fail_request(client, request, &error)
    }

    /// Whether this user may let that client in for what it wants.
    fn may_let_in(
        &self,
        request: &AuthorizationRequest,
        client: &RegisteredClient,
        login: &LoggedIn,
    ) -> Result<Letting, String> {
        let people = &self.house.engines.people;
        let declared = request.leave.declared.as_ref();
        people.letting(login, client.agent.as_deref(), declared)
    }

    fn issue(&self, transaction: Transaction, client: &RegisteredClient, login: LoggedIn) -> Response<Body> {
        let (house, ambient) = (self.house, &self.house.engines.ambient);
        let now_ms = ambient.now_ms();
        if house.authorization.answer_once(&transaction.id, now_ms).is_none() {
            return self.stop(
                &client.id,
                "this page was answered before; go back to the program and begin again",
            );
        }
        if let Err(why) = self.may_let_in(&transaction.request, client, &login) {
            return self.stop(&client.id, &why);
        }
        let user = login.user.clone();
        let issue = Issue {
            request: transaction.request,
            login,
            agent: client.agent.clone(),
            refreshes: client.refreshes,
        };
        if let Err(error) = house.authorization.registered.used(&client.id, now_ms) {
            tracing::error!(%error, "a registered client cannot be stored");
        }
        let (redirect, state) = match issue.request.way.clone() {
            Way::Browser { redirect, state, .. } => (redirect, state),
            Way::Device { code } => return self.let_device_in(&code, issue, client, &user),
        };
        let code = ambient.secret();
        if house.authorization.codes.put(&code, issue, now_ms).is_none() {
            let error = OauthError::new(OauthFault::TemporarilyUnavailable, "too many codes are not used");
            return sent(&self.failure(&redirect, state.as_deref(), &error));
        }
        self.note("code-issued", &client.id, &user, redirect.shown());
        let mut parameters = vec![("code", code.as_str())];
        parameters.extend(state.as_deref().map(|state| ("state", state)));
        parameters.push(("iss", &house.base));
        sent(&redirect.with(&parameters))
    }

    /// The device asks for its tokens itself.
    fn let_device_in(
        &self,
        code: &str,
        issue: Issue,
        client: &RegisteredClient,
        user: &str,
    ) -> Response<Body> {
        let now_ms = self.house.engines.ambient.now_ms();
        let answered = self.house.authorization.devices.answer(code, Some(issue), now_ms);
        if answered.is_none() {
            return self.stop(&client.id, "the device waits no longer; let it show a new code");
        }
        self.note("device-let-in", &client.id, user, "");
        pages::device_answered("You can go on there now, and close this page.")
    }

    fn denied(&self, transaction: &Transaction) -> Response<Body> {
        let ambient = &self.house.engines.ambient;
        let request = &transaction.request;
        // Of those who did not log in nothing is kept: they could fill it.
        let once = || {
            self.house
                .authorization
                .answer_once(&transaction.id, ambient.now_ms())
        };
        if transaction.login.is_some() && once().is_none() {
            return self.stop(&request.leave.client, "this page was answered before");
        }
        let user = transaction.login.as_ref().map_or("", |login| login.user.as_str());
        self.note(
            "consent-refused",
            &request.leave.client,
            user,
            "the person said no",
        );
        match &request.way {
            Way::Browser { redirect, state, .. } => {
                let error = OauthError::new(OauthFault::AccessDenied, "the person said no");
                sent(&self.failure(redirect, state.as_deref(), &error))
            }
            Way::Device { code } => {
                // Whoever has not logged in may not answer for others.
                if transaction.login.is_some() {
                    self.house
                        .authorization
                        .devices
                        .answer(code, None, ambient.now_ms());
                }
                pages::device_answered("Nothing was allowed. You can close this page.")
            }
        }
    }

    pub(super) fn ask_to_log_in(
        &self,
        transaction: &Transaction,
        client: &RegisteredClient,
        wrong: Option<&NotLoggedIn>,
    ) -> Response<Body> {
        let asks = self.asks(transaction, client);
        pages::log_in(&asks, wrong)
    }

    fn ask_for_consent(
        &self,
        transaction: &Transaction,
        client: &RegisteredClient,
        login: &LoggedIn,
    ) -> Response<Body> {
        pages::consent(&self.asks(transaction, client), &login.user)
    }

    fn asks<'a>(&'a self, transaction: &'a Transaction, client: &'a RegisteredClient) -> Asks<'a> {
        let whole = &self.house.engines.tokens.resource;
        let request = &transaction.request;
        let place = request.leave.resource.as_str().strip_prefix(whole.as_str());
        Asks {
            client,
            request,
            place: place.map(|place| place.trim_matches('/')).unwrap_or_default(),
            gateway: self.house.base.split_once("://").map_or("", |(_, host)| host),
            sealed: self.seal(transaction),
            doors: self.house.authorization.elsewhere.labels().collect(),
            has_passwords: self.house.authorization.has_passwords(),
            passkey: self.passkey_button(),
        }
    }

    /// A client without any bounds on who it may be is never let in without asking: whoever listens on this machine,
    /// or took its scheme, would be let in with it.
    fn consent_key(
        &self,
        request: &AuthorizationRequest,
        client: &RegisteredClient,
        user: &str,
    ) -> Option<String> {
        // Nor for a device: whoever shows its code may be anybody.
        let redirect = request.redirect()?;
        let is_bound = redirect.is_site() || client.secret.is_some();
        let asked = AuthorizationRequest {
            leave: Leave {
                key: None,
                ..request.leave.clone()
            },
            wanted: Wanted::default(),
            way: Way::Browser {
                redirect: redirect.clone(),
                state: None,
                challenge: String::new(),
            },
        };
        let asked = object(|out| {
            asked.write(out);
            out.string("agent", client.agent.as_deref().unwrap_or_default());
        });
        is_bound.then(|| consent_key(user, client, &asked))
    }

    fn remember(&self, request: &AuthorizationRequest, client: &RegisteredClient, login: &LoggedIn) {
        let place = request.redirect().map_or("a device", RedirectUri::shown);
        self.note("consent-given", &client.id, &login.user, place);
        if let Some(key) = self.consent_key(request, client, &login.user) {
            self.house.authorization.remember_consent(&key, &login.user);
        }
    }

    pub(super) fn stop(&self, client: &str, why: &str) -> Response<Body> {
        self.note("authorization-refused", client, "", why);
        pages::stopped(why)
    }

    pub(super) fn note(&self, what: &str, client: &str, user: &str, why: &str) {
        let short = |text: &str| text.chars().take(200).collect::<String>();
        // What an operator has to read to put it right.
        let why: String = why.chars().take(600).collect();
        let detail = [
            ("client", short(client)),
            ("user", short(user)),
            ("peer", self.from.to_string()),
            ("why", why),
        ];
        let journal = &self.house.engines.journal;
        if what.ends_with("-refused") {
            journal.stranger(what, self.from, &detail);
        } else {
            journal.note(Kind::Session, what, &detail);
        }
    }

    /// Where an error goes.
    fn failure(&self, to: &RedirectUri, state: Option<&str>, error: &OauthError) -> String {
        let fault = error.fault.to_string();
        let mut parameters = vec![
            ("error", fault.as_str()),
            ("error_description", error.description.as_str()),
        ];
        parameters.extend(state.map(|state| ("state", state)));
        parameters.push(("iss", &self.house.base));
        to.with(&parameters)
    }

    fn bound(&self) -> Vec<u8> {
        format!("authorize:{}", self.browser).into_bytes()
    }

    fn seal(&self, transaction: &Transaction) -> String {
        let ambient = &self.house.engines.ambient;
        let text = object(|out| {
            out.string("id", &transaction.id);
            out.integer("until", ambient.now_ms() + TRANSACTION_MS);
            out.object("request", |out| transaction.request.write(out));
            if let Some(login) = &transaction.login {
                out.object("login", |out| login.write(out));
            }
        });
        self.house.authorization.seal.seal(ambient, &self.bound(), &text)
    }

    pub(super) fn open(&self, sealed: &str) -> Option<Transaction> {
        let text = self.house.authorization.seal.open(sealed, &self.bound())?;
        let document = Document::parse(text, Keys::Exact, &wire::bounds::ANSWER).ok()?;
        let root = document.root();
        let until_ms = root.get("until").and_then(Node::as_number)?.as_i64()?;
        if self.house.engines.ambient.now_ms() >= until_ms {
            return None;
        }
        let login = match root.get("login") {
            Some(login) => Some(LoggedIn::read(login)?),
            None => None,
        };
        Some(Transaction {
            id: root.get("id")?.as_str()?.into_owned(),
            request: AuthorizationRequest::restore(root.get("request")?)?,
            login,
        })
    }

    fn cookie(&self) -> String {
        let seconds = TRANSACTION_MS / 1000 * 6;
        let (name, secure) = cookie_name(self.house);
        format!(
            "{name}={}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}",
            self.browser
        )
    }
}

fn cookie_name(house: &House) -> (&'static str, &'static str) {
    if house.base.starts_with("https:") {
        (COOKIE_TLS, "; Secure")
    } else {
        (COOKIE_PLAIN, "")
    }
}

/// What this browser's cookie says.
fn cookie(house: &House, headers: &HeaderMap) -> Option<String> {
    cookie_named(headers, cookie_name(house).0)
}

/// A secret of ours in a cookie. One that comes twice was set by somebody else as well.
pub(super) fn cookie_named(headers: &HeaderMap, wanted: &str) -> Option<String> {
    let all = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut found = all
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .filter(|(name, _)| *name == wanted)
        .map(|(_, value)| value);
    let value = found.next().filter(|value| value.len() == 43)?;
    found.next().is_none().then(|| value.to_owned())
}

/// A form of a page of ours.
pub(super) async fn form(request: Request<Incoming>) -> Result<Form, String> {
    let (head, incoming) = request.into_parts();
    let content = one(&head.headers, &CONTENT_TYPE)
        .ok()
        .flatten()
        .unwrap_or_default();
    let essence = content.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err("a form is expected".to_owned());
    }
    let bytes = body::read(incoming, FORM_BYTES_MAX)
        .await
        .map_err(|objection| objection.inside)?;
    Form::parse(&bytes).map_err(|error| error.description)
}

/// Sends the browser on, and never its form with it (RFC 9700, section 4.12).
pub(super) fn sent(location: &str) -> Response<Body> {
    let mut response = page::guarded(body::empty(StatusCode::SEE_OTHER), "");
    match HeaderValue::try_from(location) {
        Ok(location) => {
            response.headers_mut().insert(LOCATION, location);
            response
        }
        Err(_) => pages::stopped("the program's address cannot be used"),
    }
}
