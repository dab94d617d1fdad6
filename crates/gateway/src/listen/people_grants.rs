//! `/oauth/grants`: a person logs in, sees which programs they let in, and ends one; and adds and removes passkeys.
//!
//! As everywhere, nobody stays logged in: who logged in is in the form, sealed, bound to a cookie of this browser, and
//! good for ten minutes of this page alone.

use std::sync::Arc;

use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use identity::oauth::Form;
use records::ledger::entry::rfc3339;
use wire::json::{Document, Keys, Node, object};

use super::{
    House,
    authorize::{Visit, form},
    authorize_pages as pages,
    body::{self, Body},
    head::Peer,
    page::{page, safe},
    passkeys::with_script,
};
use crate::{
    known::authorization::{LoggedIn, Record, TRANSACTION_MS},
    operate::admin::withdraw_grant,
};

/// Answers a browser.
pub(super) async fn answer(house: &Arc<House>, peer: &Peer, request: Request<Incoming>) -> Response<Body> {
    if house.authorization.offer().is_none() {
        return body::empty(StatusCode::NOT_FOUND);
    }
    let (visit, is_known) = Visit::of(house, peer, request.headers());
    let response = match *request.method() {
        Method::GET => visit.ask_whose(None),
        Method::POST => match form(request).await {
            Ok(form) => visit.about_grants(&form).await,
            Err(why) => pages::stopped(&why),
        },
        _ => body::empty(StatusCode::METHOD_NOT_ALLOWED),
    };
    visit.with_cookie(response, is_known)
}

impl Visit<'_> {
    async fn about_grants(&self, form: &Form) -> Response<Body> {
        let Some(sealed) = form.get("t") else {
            return self.log_in_for_grants(form).await;
        };
        let Some((user, is_strong)) = self.open_user(sealed) else {
            return self.ask_whose(Some((StatusCode::FORBIDDEN, "That took too long. Log in again.")));
        };
        let who = (user.as_str(), is_strong);
        let told = match form.get("end") {
            Some(grant) => Some(self.end(&user, grant)),
            None => self.change_passkeys(who, form),
        };
        self.list(who, told)
    }

    async fn log_in_for_grants(&self, form: &Form) -> Response<Body> {
        let user = form.get("user").unwrap_or_default();
        match self.log_in_here(form).await {
            Ok(login) => self.show_grants(&login),
            Err(why) => {
                self.note("login-refused", "", user, pages::inside(&why));
                let (status, text) = pages::outside(&why);
                self.ask_whose(Some((status, &text)))
            }
        }
    }

    /// Shows somebody who logged in what they let in.
    pub(super) fn show_grants(&self, login: &LoggedIn) -> Response<Body> {
        self.note("logged-in", "", &login.user, &login.methods.join(" "));
        self.list((&login.user, login.is_multi_factor()), None)
    }

    /// Ends a grant of this person's, and of nobody else's.
    fn end(&self, user: &str, grant: &str) -> Result<&'static str, String> {
        let ended = withdraw_grant(self.house, user, grant, "the person withdrew it");
        ended
            .map(|_| "Ended. The program is out, and what it had open is closed.")
            .map_err(|failure| failure.to_string())
    }

    fn ask_whose(&self, wrong: Option<(StatusCode, &str)>) -> Response<Body> {
        let told = wrong.map_or_else(String::new, |(_, why)| {
            format!("<p class=\"bad\" role=\"alert\">{}</p>", safe(why))
        });
        let authorization = &self.house.authorization;
        let doors = pages::doors(authorization.elsewhere.labels(), "grants=1");
        let passkey = self.passkey_button();
        let fields = if authorization.has_passwords() {
            format!(
                "<form method=\"post\" action=\"/oauth/grants\">{}{}<div class=\"buttons\"><button class=\"main\">Log \
                 in</button></div></form>",
                passkey,
                pages::FIELDS
            )
        } else {
            String::new()
        };
        let inner =
            format!("<p>Log in to see which programs you let in, and to end that.</p>{told}{doors}{fields}");
        let status = wrong.map_or(StatusCode::OK, |(status, _)| status);
        with_script(page(status, "What you let in", &inner, ""), &passkey)
    }

    fn list(
        &self,
        (user, is_strong): (&str, bool),
        told: Option<Result<&'static str, String>>,
    ) -> Response<Body> {
        let (status, told) = match told {
            None => (StatusCode::OK, String::new()),
            Some(Ok(done)) => (
                StatusCode::OK,
                format!("<p class=\"note\" role=\"status\">{done}</p>"),
            ),
            Some(Err(why)) => (
                StatusCode::BAD_REQUEST,
                format!("<p class=\"bad\" role=\"alert\">{}</p>", safe(&why)),
            ),
        };
        let grants = self.house.authorization.grants.of_user(user);
        let sealed = self.seal_user(user, is_strong);
        let rows: String = grants.iter().map(|grant| row(grant, &sealed)).collect();
        let rows = if rows.is_empty() {
            "<p>No program acts for you.</p>".to_owned()
        } else {
            rows
        };
        let passkeys = self.passkey_list((user, is_strong), &sealed);
        let inner = format!(
            "<p>You are <strong>{}</strong>.</p>{told}{rows}{passkeys}",
            safe(user)
        );
        with_script(page(status, "What you let in", &inner, ""), &passkeys)
    }

    fn bound_user(&self) -> Vec<u8> {
        format!("grants:{}", self.browser).into_bytes()
    }

    fn seal_user(&self, user: &str, is_strong: bool) -> String {
        let ambient = &self.house.engines.ambient;
        let text = object(|out| {
            out.string("user", user);
            out.boolean("strong", is_strong);
            out.integer("until", ambient.now_ms() + TRANSACTION_MS);
        });
        let seal = &self.house.authorization.seal;
        seal.seal(ambient, &self.bound_user(), &text)
    }

    /// Who is logged in, and whether with more than a password.
    fn open_user(&self, sealed: &str) -> Option<(String, bool)> {
        let text = self.house.authorization.seal.open(sealed, &self.bound_user())?;
        let document = Document::parse(text, Keys::Exact, &wire::bounds::ANSWER).ok()?;
        let root = document.root();
        let until_ms = root.get("until").and_then(Node::as_number)?.as_i64()?;
        let user = root.get("user")?.as_str()?.into_owned();
        let is_strong = root.get("strong")?.as_bool()?;
        (self.house.engines.ambient.now_ms() < until_ms).then_some((user, is_strong))
    }
}

/// One program that was let in.
fn row(grant: &Record, sealed: &str) -> String {
    let when = |ms: i64| safe(&rfc3339(u64::try_from(ms).unwrap_or(0)));
    let name = match &grant.agent {
        Some(agent) => format!("as the agent <strong>{}</strong>, for you", safe(agent)),
        None => "as you".to_owned(),
    };
    format!(
        "<dl><div><dt>Program</dt><dd><code>{client}</code></dd></div><div><dt>Acting</dt><dd>{name}</dd></div><div>\
         <dt>At</dt><dd><code>{resource}</code></dd></div><div><dt>Since</dt><dd>{since}</dd></div><div>\
         <dt>Used</dt><dd>{used}</dd></div></dl><form method=\"post\" action=\"/oauth/grants\"><input type=\"hidden\" name=\"t\" \
         value=\"{sealed}\"><div class=\"buttons\"><button name=\"end\" value=\"{id}\" aria-label=\"End what \
         {client} may do\">End this</button></div></form>",
        client = safe(&grant.client),
        resource = safe(grant.resource.as_str()),
        since = when(grant.born_ms),
        used = when(grant.used_ms),
        sealed = safe(sealed),
        id = safe(&grant.id),
    )
}
