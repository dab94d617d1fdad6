//! `/oauth/upstream/...`: where people agree that the gateway may reach a server in their name, and come back to.
//!
//! Whoever has the link sees what it is about. A user who has a secret shows it before going on, so that nobody can have
//! somebody else agree for them; the way back is open to the browser that went, and to no other.

use std::sync::Arc;

use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{
        CONTENT_SECURITY_POLICY, COOKIE, HeaderValue, LOCATION, REFERRER_POLICY, SET_COOKIE,
        X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};
use identity::oauth::Form;
use wire::{jsonrpc, mcp::Method as Mcp};

use super::{
    House,
    body::{self, Body},
    decide::proven,
    page::safe,
};
use crate::outbound::{Asking, Connected, Own};

/// The largest form read, in bytes.
const FORM_BYTES_MAX: usize = 16 * 1024;
/// The longest answer of an authorization server, in bytes.
const QUERY_BYTES_MAX: usize = 16 * 1024;
/// Names the browser that went out. With https nobody but this host can set it.
const BROWSER: &str = "sallyport-browser";
const BROWSER_SECURE: &str = "__Host-sallyport-browser";

/// Answers below `/oauth/upstream/`.
pub(super) async fn answer(house: &Arc<House>, path: &str, request: Request<Incoming>) -> Response<Body> {
    let method = request.method().clone();
    match (path, &method) {
        ("client", &Method::GET) => {
            let own = Own { base: &house.base };
            body::json(StatusCode::OK, own.document())
        }
        ("callback", &Method::GET) => come_back(house, &request).await,
        ("client" | "callback", _) => body::empty(StatusCode::METHOD_NOT_ALLOWED),
        (path, _) => match path.strip_prefix("start/") {
            Some(id) => start(house, id, request).await,
            None => body::empty(StatusCode::NOT_FOUND),
        },
    }
}

async fn start(house: &Arc<House>, id: &str, request: Request<Incoming>) -> Response<Body> {
    let outbound = &house.engines.outbound;
    let Some(asking) = outbound.asking(id) else {
        let text = "<p>This link is not good any more: it was used, or it is older than ten minutes. Make the call \
                    again.</p>";
        return page(StatusCode::NOT_FOUND, text);
    };
    match *request.method() {
        Method::GET => page(StatusCode::OK, &question(house, &asking, None)),
        Method::POST => {
            let browser = browser(house, request.headers()).unwrap_or_else(|| house.engines.ambient.secret());
            match agree(house, &asking, request).await {
                Err(why) => page(StatusCode::FORBIDDEN, &question(house, &asking, Some(&why))),
                Ok(()) => match outbound.go(id, &browser) {
                    Some(url) => go(house, &url, &browser),
                    None => page(StatusCode::NOT_FOUND, "<p>This link was used a moment ago.</p>"),
                },
            }
        }
        _ => body::empty(StatusCode::METHOD_NOT_ALLOWED),
    }
}

/// The person says that it is them: with their secret, where they have one.
async fn agree(house: &House, asking: &Asking, request: Request<Incoming>) -> Result<(), String> {
    let bytes = body::read(request.into_body(), FORM_BYTES_MAX).await;
    let bytes = bytes.map_err(|objection| objection.inside)?;
    if !has_secret(house, asking) {
        return Ok(());
    }
    let form = Form::parse(&bytes).map_err(|error| error.to_string())?;
    let name = proven(house, &form).map_err(|failure| failure.to_string())?;
    if name == asking.person {
        return Ok(());
    }
    Err(format!("this link is for {}", asking.person))
}

fn has_secret(house: &House, asking: &Asking) -> bool {
    let person = house.engines.people.user(&asking.person);
    asking.is_user && person.is_some_and(|person| person.secret.is_some())
}

fn go(house: &House, url: &str, browser: &str) -> Response<Body> {
    let Ok(location) = HeaderValue::try_from(url) else {
        return page(
            StatusCode::BAD_GATEWAY,
            "<p>The authorization server's address cannot be used.</p>",
        );
    };
    let mut response = guarded(body::empty(StatusCode::SEE_OTHER));
    response.headers_mut().insert(LOCATION, location);
    let cookie = if is_secure(house) {
        format!("{BROWSER_SECURE}={browser}; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure")
    } else {
        format!("{BROWSER}={browser}; Path=/oauth/upstream/; Max-Age=600; HttpOnly; SameSite=Lax")
    };
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

async fn come_back(house: &Arc<House>, request: &Request<Incoming>) -> Response<Body> {
    let query = request.uri().query().unwrap_or_default();
    let answer = match query.len() {
        0..=QUERY_BYTES_MAX => Form::parse(query.as_bytes()).map_err(|error| error.to_string()),
        _ => Err("the answer is too long".to_owned()),
    };
    let browser = browser(house, request.headers());
    let connected = match answer {
        Ok(answer) => {
            house
                .engines
                .outbound
                .come_back(&answer, browser.as_deref())
                .await
        }
        Err(why) => Err(why),
    };
    match connected {
        Err(why) => {
            let text = format!("<p class=\"said\">Nothing was connected: {}</p>", safe(&why));
            page(StatusCode::BAD_REQUEST, &text)
        }
        Ok(connected) => {
            tell(house, &connected);
            let scopes = match connected.scopes.as_str() {
                "" => "without any scope".to_owned(),
                scopes => format!("with the scope <code>{}</code>", safe(scopes)),
            };
            let text = format!(
                "<p class=\"said\">The gateway may now use <b>{}</b> for {}, {scopes}.</p><p>You can close this page \
                 and make the call again.</p>",
                safe(connected.server.as_str()),
                safe(&connected.person)
            );
            page(StatusCode::OK, &text)
        }
    }
}

/// Those who wait hear of it: the client whose call it was, and the registry, which may look at the server now.
fn tell(house: &Arc<House>, connected: &Connected) {
    let engines = &house.engines;
    engines.keeper.look_again(&connected.server);
    let session = connected.session.as_deref();
    if let Some(session) = session.and_then(|id| engines.sessions.peek(id)) {
        session.tell(jsonrpc::notification(
            Mcp::NotificationsElicitationComplete,
            |out| {
                out.string("elicitationId", &connected.id);
            },
        ));
    }
}

fn is_secure(house: &House) -> bool {
    house.base.starts_with("https://")
}

/// The browser, if it has been here.
fn browser(house: &House, headers: &HeaderMap) -> Option<String> {
    let name = if is_secure(house) { BROWSER_SECURE } else { BROWSER };
    let cookies = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut pairs = cookies
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(found, _)| *found == name)?;
    let is_ours = value.len() == 43
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    is_ours.then(|| value.to_owned())
}

fn question(house: &House, asking: &Asking, wrong: Option<&str>) -> String {
    let wrong = wrong.map_or_else(String::new, |why| format!("<p class=\"said\">{}</p>", safe(why)));
    let secret = if has_secret(house, asking) {
        format!(
            "<input type=\"hidden\" name=\"user\" value=\"{}\"><label>Your secret <input name=\"secret\" \
             type=\"password\" autocomplete=\"current-password\" required></label>",
            safe(&asking.person)
        )
    } else {
        String::new()
    };
    let scopes = match asking.scopes.as_str() {
        "" => "what it gives by default",
        scopes => scopes,
    };
    format!(
        "{wrong}<p><b>{}</b> asks to use <b>{}</b> for <b>{}</b>.</p><p>If you are {}, go on: <code>{}</code> will ask \
         you to sign in and to agree, and gives the gateway a token for you. If somebody sent you this link, close the \
         page.</p><p>Asked for: <code>{}</code></p><form method=\"post\">{secret}<button>Go on</button></form>",
        safe(&asking.asker),
        safe(asking.server.as_str()),
        safe(&asking.person),
        safe(&asking.person),
        safe(&asking.issuer),
        safe(scopes)
    )
}

fn page(status: StatusCode, inner: &str) -> Response<Body> {
    let text = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>Sallyport: a connection</title><style>body{{font:1rem/1.5 \
         system-ui;max-width:50rem;margin:2rem auto;padding:0 1rem}}label{{display:block;margin:.5rem \
         0}}.said{{border:2px solid;padding:.5rem}}</style><h1>A connection</h1>{inner}</html>"
    );
    guarded(body::with_type(
        status,
        "text/html; charset=utf-8",
        text.into_bytes(),
    ))
}

/// No frames, no scripts, and no address of this page for the next. Where the form leads is not restricted: it ends at the
/// authorization server, and at whoever that sends people to.
fn guarded(mut response: Response<Body>) -> Response<Body> {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, policy),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "same-origin"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}
