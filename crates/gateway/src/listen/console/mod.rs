//! `/console`: what operators see and do in a browser. Pages are written here; a form on them is one operation of the
//! API, done by the same function. The one script only fetches the page it is on again.
//!
//! A browser's cookie is not enough for a form: it carries a token of its own, and the gate has looked at `Origin`.

mod pages;

use std::{net::IpAddr, sync::Arc};

use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, LOCATION, ORIGIN, SET_COOKIE},
};
use identity::{Secret, oauth::Form};
use records::ledger::Kind;
use wire::json::Document;

use self::pages::Shell;
use super::{
    House, api, authorize_pages,
    body::{self, Body},
    head::Peer,
    page,
};
use crate::{
    known::authorization::login::Attempt,
    operate::console::{Door, Kept, NotDone, Operation, Right, Takes, Use, Value, operate},
};

/// How long a browser stays in, in milliseconds; half an hour without use ends it before.
const STAY_MS: i64 = 8 * 3_600 * 1000;
/// What the script says when it loads a page again: that is no use of the console.
const AGAIN: &str = "sallyport-again";
const COOKIE_TLS: &str = "__Host-sallyport-console";
const COOKIE_PLAIN: &str = "sallyport-console";
/// Nothing but our own style, script and answers.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

/// A browser and who sits at it.
struct Visit<'h> {
    house: &'h Arc<House>,
    from: IpAddr,
    secret: Option<String>,
    kept: Option<Kept>,
}

/// Answers a browser below `/console`.
pub(super) async fn answer(
    house: &Arc<House>,
    peer: &Peer,
    path: &str,
    request: Request<Incoming>,
) -> Response<Body> {
    let secret = cookie(house, request.headers());
    let used = if request.headers().contains_key(AGAIN) {
        Use::No
    } else {
        Use::Yes
    };
    let kept = secret
        .as_deref()
        .and_then(|secret| house.console.who(house, Door::Cookie, secret, used));
    let visit = Visit {
        house,
        from: peer.address.ip(),
        secret,
        kept,
    };
    let query = request.uri().query().unwrap_or_default().to_owned();
    match (request.method().clone(), path) {
        (Method::GET, "/style.css") => asset("text/css; charset=utf-8", pages::STYLE),
        (Method::GET, "/script.js") => asset("text/javascript; charset=utf-8", pages::SCRIPT),
        (Method::GET, "/enter") => finished(StatusCode::OK, pages::enter(&query_of(&query, "code"))),
        (Method::GET, "/login") => visit.login_page(StatusCode::OK, ""),
        (Method::GET, _) => visit.show(path.trim_end_matches('/'), &query).await,
        // One that is not ours did not come so far; every browser names the page a form comes from.
        (Method::POST, _) if !request.headers().contains_key(ORIGIN) => {
            let why =
                "this form does not say from which page it comes (`Origin`); send it from the page itself";
            finished(StatusCode::FORBIDDEN, pages::stopped(why))
        }
        (Method::POST, _) => match super::authorize::form(request).await {
            Ok(form) => visit.take(path, &form).await,
            Err(why) => finished(StatusCode::BAD_REQUEST, pages::stopped(&why)),
        },
        _ => body::empty(StatusCode::METHOD_NOT_ALLOWED),
    }
}

impl Visit<'_> {
    /// A form came.
    async fn take(&self, path: &str, form: &Form) -> Response<Body> {
        match path {
            "/enter" => self.enter(form.get("code").unwrap_or_default()),
            "/login" => self.log_in(form).await,
            "/leave" | "/do" => {
                let Some(kept) = &self.kept else {
                    return sent("/console/login", None);
                };
                if form.get("t").is_none_or(|token| !same(token, &kept.form)) {
                    let why = "this page is too old, or the form is not one of ours; load it again";
                    return finished(StatusCode::FORBIDDEN, pages::stopped(why));
                }
                match (path, &self.secret) {
                    ("/leave", Some(secret)) => {
                        self.house.console.seats.leave(Door::Cookie, secret);
                        self.note("console-left", kept.operator.user.as_deref().unwrap_or_default());
                        sent("/console/login", Some(&self.cookie("", 0)))
                    }
                    _ => self.act(kept, form).await,
                }
            }
            _ => body::empty(StatusCode::NOT_FOUND),
        }
    }

    /// A link of `sallyport console`.
    fn enter(&self, code: &str) -> Response<Body> {
        match self.house.console.who(self.house, Door::Link, code, Use::Yes) {
            Some(kept) => self.sit(kept.operator),
            None => {
                self.note("console-refused", "");
                let why = "this link was used already, or is older than two minutes; ask for another with \
                           `sallyport console`";
                finished(StatusCode::FORBIDDEN, pages::stopped(why))
            }
        }
    }

    async fn log_in(&self, form: &Form) -> Response<Body> {
        let user = form.get("user").unwrap_or_default();
        if !self.house.console.has_people() {
            return self.login_page(StatusCode::FORBIDDEN, "Nobody can log in by name here.");
        }
        let attempt = Attempt {
            user,
            password: Secret::presented(form.get("password").unwrap_or_default().to_owned()),
            code: form.get("code"),
            from: self.from,
        };
        let authorization = &self.house.authorization;
        let logged_in = authorization.log_in(&self.house.engines.ambient, attempt).await;
        let admitted = logged_in.and_then(|login| self.house.console.admit(self.house, login));
        match admitted {
            Ok(operator) => self.sit(operator),
            Err(why) => {
                self.note("console-refused", user);
                let (status, text) = authorize_pages::outside(&why);
                self.login_page(status, &text)
            }
        }
    }

    fn sit(&self, operator: crate::operate::console::Operator) -> Response<Body> {
        let user = operator.user.clone().unwrap_or_default();
        let seats = &self.house.console.seats;
        match seats.give(&self.house.engines.ambient, Door::Cookie, operator, STAY_MS) {
            Some(secret) => {
                self.note("console-entered", &user);
                sent("/console", Some(&self.cookie(&secret, STAY_MS / 1000)))
            }
            None => {
                let why = "too many consoles are open; leave one, or wait";
                finished(StatusCode::SERVICE_UNAVAILABLE, pages::stopped(why))
            }
        }
    }

    fn login_page(&self, status: StatusCode, told: &str) -> Response<Body> {
        finished(status, pages::log_in(self.house.console.has_people(), told))
    }

    /// One operation, then back to the page the form was on.
    async fn act(&self, kept: &Kept, form: &Form) -> Response<Body> {
        let back = form
            .get("back")
            .filter(|back| is_ours(back))
            .unwrap_or("/console");
        let Some(operation) = form.get("op").and_then(Operation::named) else {
            return finished(
                StatusCode::BAD_REQUEST,
                pages::stopped("there is no such operation"),
            );
        };
        let mut args = Vec::new();
        for parameter in operation.parameters {
            if let Some(text) = form.get(parameter.name) {
                let value = match parameter.takes {
                    Takes::Text | Takes::Number => Value::Text(text.to_owned()),
                    Takes::Texts => {
                        let parts = text.split([',', '\n']).map(str::trim);
                        Value::Texts(parts.filter(|part| !part.is_empty()).map(str::to_owned).collect())
                    }
                };
                args.push((parameter.name, value));
            }
        }
        let shell = self.shell(kept, "");
        match operate(self.house, &kept.operator, operation, &args).await {
            Ok(answer) if answer.root().get("secret").is_some() => finished(
                StatusCode::OK,
                shell.page("Keep this now", &pages::secret(&answer, back)),
            ),
            Ok(answer) if answer.root().get("waits").is_some() => finished(
                StatusCode::OK,
                shell.page("It waits", &pages::waits(&answer, back)),
            ),
            Ok(_) => sent(&format!("{back}?said={}", operation.name), None),
            Err(why) => {
                let (status, text) = told(&why);
                finished(
                    status,
                    shell.page("That was not done", &pages::not_done(&text, back)),
                )
            }
        }
    }

    async fn show(&self, path: &str, query: &str) -> Response<Body> {
        let Some(kept) = &self.kept else {
            return sent("/console/login", None);
        };
        let shell = self.shell(kept, &query_of(query, "said"));
        let shown = match path.split('/').collect::<Vec<_>>().as_slice() {
            [""] => self.overview(kept, &shell).await,
            ["", "approvals"] => {
                let all = self.ask(kept, "approvals.list", Vec::new()).await;
                all.map(|all| shell.live("Approvals", &pages::approvals(&all, &shell)))
            }
            ["", "servers"] => {
                let all = self.ask(kept, "server.list", Vec::new()).await;
                all.map(|all| shell.live("Servers", &pages::servers(&all)))
            }
            ["", "servers", name] => self.server(kept, &shell, name).await,
            ["", "agents"] => {
                let all = self.ask(kept, "agent.list", Vec::new()).await;
                all.map(|all| shell.page("Agents", &pages::agents(&all, &shell)))
            }
            ["", "incidents"] => {
                let all = self.ask(kept, "incident.list", Vec::new()).await;
                all.map(|all| shell.live("Incidents", &pages::incidents(&all, &shell)))
            }
            ["", "stops"] => {
                let all = self.ask(kept, "halt.list", Vec::new()).await;
                all.map(|all| shell.page("Kill switch", &pages::stops(&all, &shell)))
            }
            ["", "calls"] => self.calls(kept, &shell, query).await,
            ["", "calls", call] => {
                let call = api::unescaped(call).unwrap_or_default();
                let args = vec![("call", Value::Text(call.clone()))];
                let entries = self.ask(kept, "ledger.entries", args).await;
                entries.map(|entries| shell.page("A call", &pages::call(&call, &entries)))
            }
            ["", "policy"] => self.policy(kept, &shell, query).await,
            _ => return finished(StatusCode::NOT_FOUND, shell.page("Not here", pages::NOTHING)),
        };
        match shown {
            Ok(html) => finished(StatusCode::OK, html),
            Err(why) => {
                let (status, text) = told(&why);
                finished(
                    status,
                    shell.page("This cannot be shown", &pages::not_done(&text, "/console")),
                )
            }
        }
    }

    async fn overview(&self, kept: &Kept, shell: &Shell<'_>) -> Result<String, NotDone> {
        let entries = vec![("limit", Value::Text("15".to_owned()))];
        let overview = pages::Overview {
            status: self.ask(kept, "status", Vec::new()).await?,
            approvals: self.ask(kept, "approvals.list", Vec::new()).await?,
            servers: self.ask(kept, "server.list", Vec::new()).await?,
            incidents: self.ask(kept, "incident.list", Vec::new()).await?,
            stops: self.ask(kept, "halt.list", Vec::new()).await?,
            entries: self.ask(kept, "ledger.entries", entries).await?,
        };
        Ok(shell.live("Overview", &overview.html()))
    }

    async fn server(&self, kept: &Kept, shell: &Shell<'_>, name: &str) -> Result<String, NotDone> {
        let name = api::unescaped(name).unwrap_or_default();
        let args = || vec![("name", Value::Text(name.clone()))];
        let server = self.ask(kept, "server.show", args()).await?;
        let diff = self.ask(kept, "server.diff", args()).await?;
        Ok(shell.page(&name, &pages::server(&server, &diff, shell)))
    }

    async fn calls(&self, kept: &Kept, shell: &Shell<'_>, query: &str) -> Result<String, NotDone> {
        let mut args = Vec::new();
        for name in ["before", "kind", "decision", "agent", "server"] {
            let text = query_of(query, name);
            if !text.is_empty() {
                args.push((name, Value::Text(text)));
            }
        }
        let entries = self.ask(kept, "ledger.entries", args.clone()).await?;
        let html = pages::calls(&entries, &args);
        let is_newest = query_of(query, "before").is_empty();
        Ok(if is_newest {
            shell.live("Ledger", &html)
        } else {
            shell.page("Ledger", &html)
        })
    }

    async fn policy(&self, kept: &Kept, shell: &Shell<'_>, query: &str) -> Result<String, NotDone> {
        let mut args = Vec::new();
        for name in ["agent", "user", "tool", "args", "purpose"] {
            let text = query_of(query, name);
            if !text.is_empty() {
                args.push((name, Value::Text(text)));
            }
        }
        let status = self.ask(kept, "status", Vec::new()).await?;
        let asked = args.iter().any(|(name, _)| *name == "tool");
        let explained = match asked {
            false => None,
            true => Some(match self.ask(kept, "policy.explain", args.clone()).await {
                Ok(answer) => Ok(answer),
                Err(why) => Err(told(&why).1),
            }),
        };
        Ok(shell.page("Policy", &pages::policy(&status, &args, explained.as_ref())))
    }

    async fn ask(
        &self,
        kept: &Kept,
        name: &str,
        args: Vec<(&'static str, Value)>,
    ) -> Result<Document, NotDone> {
        let missing = || NotDone::Failed(crate::failure::Failure::other(format!("no operation `{name}`")));
        let operation = Operation::named(name).ok_or_else(missing)?;
        operate(self.house, &kept.operator, operation, &args).await
    }

    fn shell<'a>(&'a self, kept: &'a Kept, said: &str) -> Shell<'a> {
        Shell {
            gateway: self.house.base.split_once("://").map_or("", |(_, host)| host),
            user: kept.operator.user.as_deref(),
            may_operate: kept.operator.right == Right::Operate,
            form: &kept.form,
            said: Operation::named(said),
        }
    }

    fn note(&self, what: &str, user: &str) {
        let user: String = user.chars().take(128).collect();
        let detail = [("user", user), ("peer", self.from.to_string())];
        let journal = &self.house.engines.journal;
        if what == "console-refused" {
            journal.stranger(what, self.from, &detail);
        } else {
            journal.note(Kind::Session, what, &detail);
        }
    }

    fn cookie(&self, secret: &str, seconds: i64) -> String {
        let (name, secure) = cookie_name(self.house);
        format!("{name}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
    }
}

/// Why something was not done, for the person.
fn told(why: &NotDone) -> (StatusCode, String) {
    match why {
        NotDone::MayNot => (StatusCode::FORBIDDEN, "You are here for looking only.".to_owned()),
        NotDone::NoPerson => {
            let text =
                "Only a person can do this. Open the console with `sallyport console --as USER`, or log in.";
            (StatusCode::FORBIDDEN, text.to_owned())
        }
        NotDone::Failed(failure) => (api::status(failure.code()), failure.to_string()),
    }
}

/// A place of the console, without anything that could lead elsewhere.
fn is_ours(back: &str) -> bool {
    let rest = back.strip_prefix("/console");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~%".contains(c);
    rest.is_some_and(|rest| (rest.is_empty() || rest.starts_with('/')) && rest.chars().all(is_plain))
}

/// Without telling by the time how much of it is right.
fn same(one: &str, other: &str) -> bool {
    identity::sha256(one.as_bytes()) == identity::sha256(other.as_bytes())
}

fn query_of(query: &str, name: &str) -> String {
    let form = Form::parse(query.as_bytes()).ok();
    let text = form.as_ref().and_then(|form| form.get(name));
    text.unwrap_or_default().chars().take(4096).collect()
}

fn cookie_name(house: &House) -> (&'static str, &'static str) {
    if house.base.starts_with("https:") {
        (COOKIE_TLS, "; Secure")
    } else {
        (COOKIE_PLAIN, "")
    }
}

fn cookie(house: &House, headers: &HeaderMap) -> Option<String> {
    let (name, _) = cookie_name(house);
    super::authorize::cookie_named(headers, name)
}

fn asset(media_type: &'static str, text: &str) -> Response<Body> {
    page::guarded(
        body::with_type(StatusCode::OK, media_type, text.as_bytes().to_vec()),
        "",
    )
}

fn finished(status: StatusCode, html: String) -> Response<Body> {
    let answer = body::with_type(status, "text/html; charset=utf-8", html.into_bytes());
    let mut answer = page::guarded(answer, "");
    let headers = answer.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn sent(location: &str, cookie: Option<&str>) -> Response<Body> {
    let mut answer = page::guarded(body::empty(StatusCode::SEE_OTHER), "");
    let headers = answer.headers_mut();
    if let Ok(location) = HeaderValue::try_from(location) {
        headers.insert(LOCATION, location);
    }
    if let Some(cookie) = cookie.and_then(|cookie| HeaderValue::try_from(cookie).ok()) {
        headers.insert(SET_COOKIE, cookie);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use super::is_ours;

    #[test]
    fn a_form_leads_back_to_the_console_and_nowhere_else() {
        for good in ["/console", "/console/servers/web", "/console/servers/a%20b"] {
            assert!(is_ours(good), "{good}");
        }
        for bad in [
            "",
            "/",
            "//evil",
            "/consoles",
            "https://evil/console",
            "/console?x",
            "/console/\r\nSet-Cookie:x",
            "/console\\evil",
            "/console@evil",
        ] {
            assert!(!is_ours(bad), "{bad}");
        }
    }
}
