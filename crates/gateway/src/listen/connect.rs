//! `/oauth/upstream/...`: where people agree that the gateway may reach a server in their name, and come back to.
//!
//! Whoever has the link sees what it is about. A user proves to be that user before going on, by login where there is
//! one and else by secret, so that nobody agrees for somebody else; who has neither cannot go on. The way back is open
//! to the browser that went, and to no other.

use std::sync::Arc;

use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{COOKIE, HeaderValue, LOCATION, SET_COOKIE},
};
use identity::{Secret, oauth::Form};
use records::ledger::Kind;
use wire::{jsonrpc, mcp::Method as Mcp};

use super::{
    House, authorize_pages,
    body::{self, Body},
    decide::proven,
    head::Peer,
    page::{self, guarded, safe},
};
use crate::{
    known::authorization::{NotLoggedIn, login::Attempt},
    outside::outbound::{Asking, Connected, Own},
};

/// The largest form read, in bytes.
const FORM_BYTES_MAX: usize = 16 * 1024;
/// The longest answer of an authorization server, in bytes.
const QUERY_BYTES_MAX: usize = 16 * 1024;
/// Names the browser that went out. With https nobody but this host can set it.
const BROWSER: &str = "sallyport-browser";
const BROWSER_SECURE: &str = "__Host-sallyport-browser";
/// Where the form leads is not restricted: it ends at the authorization server, and at whoever that sends people to.
const ANYWHERE: &str = "https: http:";

/// How the person of a link proves to be that person.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Proof {
    /// As at `/oauth/authorize`.
    Login,
    /// With the secret that is theirs alone.
    Secret,
    /// The link is of an agent that acts for itself: there is no person to be.
    NotNeeded,
    /// In no way.
    None,
}

impl Proof {
    fn of(house: &House, asking: &Asking) -> Self {
        let has_secret = || {
            let person = house.engines.people.user(&asking.person);
            person.is_some_and(|person| person.secret.is_some())
        };
        match asking.is_user {
            false => Self::NotNeeded,
            true if house.authorization.knows(&asking.person) => Self::Login,
            true if has_secret() => Self::Secret,
            true => Self::None,
        }
    }
}

/// Answers below `/oauth/upstream/`.
pub(super) async fn answer(
    house: &Arc<House>,
    peer: &Peer,
    path: &str,
    request: Request<Incoming>,
) -> Response<Body> {
    let method = request.method().clone();
    match (path, &method) {
        ("client", &Method::GET) => {
            let own = Own { base: &house.base };
            body::json(StatusCode::OK, own.document())
        }
        ("callback", &Method::GET) => come_back(house, &request).await,
        ("client" | "callback", _) => body::empty(StatusCode::METHOD_NOT_ALLOWED),
        (path, _) => match path.strip_prefix("start/") {
            Some(id) => start(house, peer, id, request).await,
            None => body::empty(StatusCode::NOT_FOUND),
        },
    }
}

async fn start(house: &Arc<House>, peer: &Peer, id: &str, request: Request<Incoming>) -> Response<Body> {
    let outbound = &house.engines.outbound;
    let Some(asking) = outbound.asking(id) else {
        let text = "<p>This link is not good any more: it was used, or it is older than ten minutes. Make the call \
                    again.</p>";
        return page(StatusCode::NOT_FOUND, text);
    };
    let proof = Proof::of(house, &asking);
    match *request.method() {
        Method::GET | Method::POST if proof == Proof::None => cannot_be_proven(&asking),
        Method::GET => page(StatusCode::OK, &question(proof, &asking, None)),
        Method::POST => {
            let browser = browser(house, request.headers()).unwrap_or_else(|| house.engines.ambient.secret());
            match agree(house, peer, (proof, &asking), request).await {
                Err((status, why)) => page(status, &question(proof, &asking, Some(&why))),
                Ok(()) => match outbound.go(id, &browser) {
                    Some(url) => go(house, &url, &browser),
                    None => page(StatusCode::NOT_FOUND, "<p>This link was used a moment ago.</p>"),
                },
            }
        }
        _ => body::empty(StatusCode::METHOD_NOT_ALLOWED),
    }
}

/// The person says that it is them, and proves it.
async fn agree(
    house: &Arc<House>,
    peer: &Peer,
    (proof, asking): (Proof, &Asking),
    request: Request<Incoming>,
) -> Result<(), (StatusCode, String)> {
    let refused = |why: String| (StatusCode::FORBIDDEN, why);
    let bytes = body::read(request.into_body(), FORM_BYTES_MAX).await;
    let bytes = bytes.map_err(|objection| refused(objection.inside))?;
    let form = Form::parse(&bytes).map_err(|error| refused(error.to_string()))?;
    match proof {
        Proof::NotNeeded => Ok(()),
        Proof::None => Err(refused("nobody can prove to be them".to_owned())),
        Proof::Login => log_in(house, peer, asking, &form)
            .await
            .map_err(|why| authorize_pages::outside(&why)),
        Proof::Secret => {
            let name =
                proven(house, &form, peer.address.ip()).map_err(|failure| refused(failure.to_string()))?;
            match name == asking.person {
                true => Ok(()),
                false => Err(refused(format!("this link is for {}", asking.person))),
            }
        }
    }
}

/// Logs the person of the link in, and nobody else: the form does not say who it is.
async fn log_in(house: &House, peer: &Peer, asking: &Asking, form: &Form) -> Result<(), NotLoggedIn> {
    let attempt = Attempt {
        user: &asking.person,
        password: Secret::presented(form.get("password").unwrap_or_default().to_owned()),
        code: form.get("code"),
        from: peer.address.ip(),
    };
    let logged_in = house.authorization.log_in(&house.engines.ambient, attempt).await;
    let (what, why) = match &logged_in {
        Ok(login) => ("logged-in", login.methods.join(" ")),
        Err(why) => ("login-refused", authorize_pages::inside(why).to_owned()),
    };
    let detail = [
        ("user", asking.person.clone()),
        ("server", asking.server.to_string()),
        ("peer", peer.address.ip().to_string()),
        ("why", why),
    ];
    let journal = &house.engines.journal;
    match &logged_in {
        Ok(_) => journal.note(Kind::Session, what, &detail),
        Err(_) => journal.stranger(what, peer.address.ip(), &detail),
    }
    logged_in.map(|_| ())
}

fn cannot_be_proven(asking: &Asking) -> Response<Body> {
    let person = safe(&asking.person);
    let text = format!(
        "<p class=\"bad\">Nobody can go on here: <b>{person}</b> has neither a login nor a secret at this gateway, so \
         nobody can prove to be <b>{person}</b>. The operator gives one: <code>users[].password</code> or \
         <code>users[].secret</code>.</p>"
    );
    page(StatusCode::FORBIDDEN, &text)
}

fn go(house: &House, url: &str, browser: &str) -> Response<Body> {
    let Ok(location) = HeaderValue::try_from(url) else {
        return page(
            StatusCode::BAD_GATEWAY,
            "<p>The authorization server's address cannot be used.</p>",
        );
    };
    let mut response = guarded(body::empty(StatusCode::SEE_OTHER), ANYWHERE);
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
            let text = format!("<p class=\"bad\">Nothing was connected: {}</p>", safe(&why));
            page(StatusCode::BAD_REQUEST, &text)
        }
        Ok(connected) => {
            tell(house, &connected);
            let scopes = match connected.scopes.as_str() {
                "" => "without any scope".to_owned(),
                scopes => format!("with the scope <code>{}</code>", safe(scopes)),
            };
            let text = format!(
                "<p class=\"note\">The gateway may now use <b>{}</b> for {}, {scopes}.</p><p>You can close this page \
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

fn question(proof: Proof, asking: &Asking, wrong: Option<&str>) -> String {
    let wrong = wrong.map_or_else(String::new, |why| format!("<p class=\"bad\">{}</p>", safe(why)));
    let fields = match proof {
        Proof::Login => "<label>Your password <input name=\"password\" type=\"password\" \
                         autocomplete=\"current-password\" required></label><label>Code <small>if you have an \
                         authenticator</small> <input name=\"code\" inputmode=\"numeric\" \
                         autocomplete=\"one-time-code\"></label>"
            .to_owned(),
        Proof::Secret => format!(
            "<input type=\"hidden\" name=\"user\" value=\"{}\"><label>Your secret <input name=\"secret\" \
             type=\"password\" autocomplete=\"current-password\" required></label>",
            safe(&asking.person)
        ),
        Proof::NotNeeded | Proof::None => String::new(),
    };
    let scopes = match asking.scopes.as_str() {
        "" => "what it gives by default",
        scopes => scopes,
    };
    format!(
        "{wrong}<p><b>{}</b> asks to use <b>{}</b> for <b>{}</b>.</p><p>If you are {}, go on: \
         <code>{}</code> will ask you to sign in and to agree, and gives the gateway a token for you. \
         If somebody sent you this link, close the page.</p><p>Asked for: <code>{}</code></p><form method=\"post\">{fields}<div class=\"buttons\">\
         <button class=\"main\">Go on</button></div></form>",
        safe(&asking.asker),
        safe(asking.server.as_str()),
        safe(&asking.person),
        safe(&asking.person),
        safe(&asking.issuer),
        safe(scopes)
    )
}

fn page(status: StatusCode, inner: &str) -> Response<Body> {
    page::page(status, "A connection", inner, ANYWHERE)
}
