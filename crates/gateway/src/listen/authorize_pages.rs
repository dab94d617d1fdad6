//! What people see while they let a program in. Everything a program says of itself is shown as its own word.

use hyper::{Response, StatusCode};
use identity::oauth::{AuthorizationRequest, KnownBy, OauthError, RedirectUri, RegisteredClient, Way};

use super::{
    body::Body,
    page::{page, safe},
    passkeys::with_script,
};
use crate::known::authorization::{NotLoggedIn, REFRESH_DAYS, devices::shown};

/// Who asks for what.
pub(super) struct Asks<'a> {
    pub(super) client: &'a RegisteredClient,
    pub(super) request: &'a AuthorizationRequest,
    /// The endpoint's name; nothing for all of the gateway.
    pub(super) place: &'a str,
    /// The gateway's own host.
    pub(super) gateway: &'a str,
    /// The transaction.
    pub(super) sealed: String,
    /// Where else people can log in: the name in addresses, and what to call it.
    pub(super) doors: Vec<(&'a str, &'a str)>,
    /// Whether anybody logs in with a password.
    pub(super) has_passwords: bool,
    /// What people with a passkey press.
    pub(super) passkey: String,
}

/// What somebody fills in who logs in here.
pub(super) const FIELDS: &str = "<label>Name<input name=\"user\" autocomplete=\"username\" autocapitalize=\"none\" \
                      spellcheck=\"false\" required autofocus></label>\
                      <label>Password<input name=\"password\" type=\"password\" autocomplete=\"current-password\" \
                      required></label>\
                      <label>One-time code <small>if you use an authenticator</small><input name=\"code\" \
                      inputmode=\"numeric\" autocomplete=\"one-time-code\" maxlength=\"8\"></label>";

/// Links to where else people log in, with what goes along. A form could not send them on to an address that is not ours.
pub(super) fn doors<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>, query: &str) -> String {
    let links: String = labels
        .map(|(name, label)| {
            format!(
                "<a class=\"button main\" href=\"/oauth/login/{}?{}\">Log in with {}</a>",
                safe(name),
                safe(query),
                safe(label)
            )
        })
        .collect();
    match links.as_str() {
        "" => links,
        links => format!("<div class=\"buttons\">{links}</div>"),
    }
}

/// Where the person logs in.
pub(super) fn log_in(asks: &Asks<'_>, wrong: Option<&NotLoggedIn>) -> Response<Body> {
    let (status, told) = match wrong {
        None => (StatusCode::OK, String::new()),
        Some(why) => {
            let (status, text) = outside(why);
            (
                status,
                format!("<p class=\"bad\" role=\"alert\">{}</p>", safe(&text)),
            )
        }
    };
    let doors = doors(asks.doors.iter().copied(), &format!("t={}", asks.sealed));
    let (fields, log_in) = if asks.has_passwords {
        (FIELDS, "<button class=\"main\">Log in</button>")
    } else {
        ("", "")
    };
    let passkey = &asks.passkey;
    let inner = format!(
        "<p><strong>{name}</strong> ({host}) wants to use {place} of <strong>{gateway}</strong> for you. Log in to see \
         exactly what it asks for; nothing is allowed by that.</p>{told}{doors}\
         <form method=\"post\" action=\"/oauth/authorize\">\
         <input type=\"hidden\" name=\"t\" value=\"{sealed}\">{passkey}{fields}\
         <div class=\"buttons\">{log_in}\
         <button name=\"say\" value=\"deny\" formnovalidate>Cancel</button></div></form>",
        name = safe(&asks.client.name),
        host = safe(&known_as(asks.client)),
        place = place(asks),
        gateway = safe(asks.gateway),
        sealed = safe(&asks.sealed),
    );
    with_script(page(status, "Log in", &inner, &leads_to(asks)), passkey)
}

/// Where the person says yes or no.
pub(super) fn consent(asks: &Asks<'_>, user: &str) -> Response<Body> {
    let client = asks.client;
    let mut rows = String::new();
    let mut row = |name: &str, text: &str| {
        rows.push_str(&format!("<div><dt>{}</dt><dd>{text}</dd></div>", safe(name)));
    };
    row("You are", &safe(user));
    row(
        "Who asks",
        &format!(
            "{}<br><code>{}</code><br>{}",
            safe(&client.name),
            safe(&client.id),
            vouched(client)
        ),
    );
    row(
        "What for",
        &format!("Using {} of <strong>{}</strong>", place(asks), safe(asks.gateway)),
    );
    let name = match &client.agent {
        Some(agent) => format!("as the agent <strong>{}</strong>, for you", safe(agent)),
        None => "as you: it may do whatever you may do there".to_owned(),
    };
    row("Acting", &name);
    let declared = declared(asks.request);
    if !declared.is_empty() {
        row("It says it works on", &format!("<ul>{declared}</ul>"));
    }
    let how_long = if client.refreshes {
        format!("{REFRESH_DAYS} days at most, or until the program or an administrator ends it")
    } else {
        "ten minutes".to_owned()
    };
    row("For how long", &how_long);
    match &asks.request.way {
        Way::Browser { redirect, .. } => row(
            "You are sent back to",
            &format!("<code>{}</code>", safe(redirect.shown())),
        ),
        Way::Device { code } => row(
            "Where",
            &format!("On the device that shows <strong>{}</strong>", safe(&shown(code))),
        ),
    }
    let inner = format!(
        "<dl>{rows}</dl>{warning}\
         <form method=\"post\" action=\"/oauth/authorize\">\
         <input type=\"hidden\" name=\"t\" value=\"{sealed}\">\
         <div class=\"buttons\"><button class=\"main\" name=\"say\" value=\"allow\">Allow</button>\
         <button name=\"say\" value=\"deny\">Do not allow</button></div></form>",
        warning = warning(asks),
        sealed = safe(&asks.sealed),
    );
    let title = format!("Let {} in?", client.name);
    page(StatusCode::OK, &title, &inner, &leads_to(asks))
}

/// Where a device's code is entered.
pub(super) fn enter_code(code: &str, wrong: Option<(StatusCode, &str)>) -> Response<Body> {
    let (status, told) = match wrong {
        None => (StatusCode::OK, String::new()),
        Some((status, why)) => (
            status,
            format!("<p class=\"bad\" role=\"alert\">{}</p>", safe(why)),
        ),
    };
    let code: String = code.chars().take(16).collect();
    let inner = format!(
        "<p>A program on another device shows a code. Enter it here only if you have started that program yourself: \
         whoever shows it will act as you.</p>{told}\
         <form method=\"post\" action=\"/oauth/device\">\
         <label>Code<input name=\"user_code\" value=\"{}\" autocomplete=\"off\" autocapitalize=\"characters\" \
         spellcheck=\"false\" maxlength=\"16\" required autofocus></label>\
         <div class=\"buttons\"><button class=\"main\">Go on</button></div></form>",
        safe(&code)
    );
    page(status, "Connect a device", &inner, "")
}

/// The device hears the rest.
pub(super) fn device_answered(text: &str) -> Response<Body> {
    page(StatusCode::OK, "Done", &format!("<p>{}</p>", safe(text)), "")
}

/// Where forms may lead besides to us.
fn leads_to(asks: &Asks<'_>) -> String {
    asks.request
        .redirect()
        .map(RedirectUri::source)
        .unwrap_or_default()
}

/// Nothing goes on from here.
pub(super) fn stopped(why: &str) -> Response<Body> {
    let inner = format!(
        "<p class=\"bad\" role=\"alert\">{}</p><p>Nothing was allowed. You can close this page. Whoever runs this \
         gateway finds more in its ledger.</p>",
        safe(why)
    );
    page(StatusCode::BAD_REQUEST, "This cannot go on", &inner, "")
}

/// Somebody wants to log in elsewhere, and that cannot be reached.
pub(super) fn unavailable() -> Response<Body> {
    let inner = "<p class=\"bad\" role=\"alert\">The identity provider cannot be reached now.</p><p>Nothing was allowed. \
                 Go back and try again in a moment. Whoever runs this gateway finds more in its ledger.</p>";
    page(StatusCode::BAD_GATEWAY, "This cannot go on", inner, "")
}

/// A client nobody here vouches for asked for what cannot be: the person sends the answer, or does not.
pub(super) fn broken(error: &OauthError, redirect: &RedirectUri, location: &str) -> Response<Body> {
    let inner = format!(
        "<p class=\"bad\" role=\"alert\">{}</p><p>The program asked for something that is not possible here. Nothing \
         was allowed.</p><div class=\"buttons\"><a class=\"button\" rel=\"noreferrer\" href=\"{}\">Tell it, and go to \
         {}</a></div>",
        safe(&error.to_string()),
        attribute(location),
        safe(redirect.shown()),
    );
    page(StatusCode::BAD_REQUEST, "This cannot go on", &inner, "")
}

/// An address of ours as an attribute: printable ASCII already, so nothing has to be spelled out.
fn attribute(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
        .replace('<', "&lt;")
}

fn place(asks: &Asks<'_>) -> String {
    match asks.place {
        "" => "<strong>all tools</strong>".to_owned(),
        name => format!("the tools of <strong>{}</strong>", safe(name)),
    }
}

fn known_as(client: &RegisteredClient) -> String {
    match client.known_by {
        KnownBy::Operator => "set up by your administrator".to_owned(),
        KnownBy::Document => host(&client.id).to_owned(),
        KnownBy::Itself => "nobody here knows it".to_owned(),
    }
}

fn vouched(client: &RegisteredClient) -> String {
    match client.known_by {
        KnownBy::Operator => "Set up by your administrator".to_owned(),
        KnownBy::Document => format!("Described at <strong>{}</strong>", safe(host(&client.id))),
        KnownBy::Itself => "It registered itself: nobody checked its name".to_owned(),
    }
}

fn host(url: &str) -> &str {
    let rest = url.strip_prefix("https://").unwrap_or(url);
    rest.split('/').next().unwrap_or_default()
}

fn warning(asks: &Asks<'_>) -> String {
    let name = safe(&asks.client.name);
    let Some(redirect) = asks.request.redirect() else {
        return format!(
            "<p class=\"note\">Allow this only if you have just started {name} yourself, on a device of yours, and \
             it shows this code. If somebody sent you the code or a link to this page, they want to act as \
             you: do not allow it.</p>"
        );
    };
    let text = if redirect.is_loopback() {
        format!(
            "The answer goes to a program on this computer. Any program here can say it is {name}. Allow this only if \
             you have just started {name} yourself."
        )
    } else if !redirect.is_site() {
        format!(
            "The answer goes to whichever app opens <code>{}</code> addresses on this device. Allow this only if you \
             have just started {name} yourself.",
            safe(redirect.shown())
        )
    } else if asks.client.known_by == KnownBy::Itself {
        format!(
            "Nobody checked that this is {name}. Allow it only if you know the address it is sent back to."
        )
    } else {
        return String::new();
    };
    format!("<p class=\"note\">{text}</p>")
}

/// The declared context in plain words.
fn declared(request: &AuthorizationRequest) -> String {
    let Some(declared) = &request.leave.declared else {
        return String::new();
    };
    let mut items = String::new();
    let mut item = |what: &str, text: &str| items.push_str(&format!("<li>{what}: {}</li>", safe(text)));
    for (what, text) in [
        ("purpose", &declared.purpose),
        ("task", &declared.task),
        ("about", &declared.entity),
        ("what it reads is", &declared.trust),
    ] {
        if let Some(text) = text {
            item(what, text);
        }
    }
    if !declared.classes.is_empty() {
        item("kinds of data", &declared.classes.join(", "));
    }
    items
}

/// Why somebody is not logged in, for that person.
pub(super) fn outside(why: &NotLoggedIn) -> (StatusCode, String) {
    match why {
        NotLoggedIn::Wrong => {
            let text = "Name, password and code do not belong together, or the code was used before.";
            (StatusCode::FORBIDDEN, text.to_owned())
        }
        NotLoggedIn::Wait(seconds) => {
            let text = format!("There were too many wrong attempts. Try again in {seconds} seconds.");
            (StatusCode::TOO_MANY_REQUESTS, text)
        }
        NotLoggedIn::NeedsMfa => {
            let text = "A password alone will not do here. Ask your administrator for an authenticator.";
            (StatusCode::FORBIDDEN, text.to_owned())
        }
        NotLoggedIn::Busy => {
            let text = "Many people log in right now. Try again in a moment.";
            (StatusCode::SERVICE_UNAVAILABLE, text.to_owned())
        }
        NotLoggedIn::Passkey(_) => {
            let text = "That passkey was not accepted. Load the page anew, or log in another way.";
            (StatusCode::FORBIDDEN, text.to_owned())
        }
    }
}

/// The same for the ledger.
pub(super) fn inside(why: &NotLoggedIn) -> &str {
    match why {
        NotLoggedIn::Wrong => "name, password or code are wrong",
        NotLoggedIn::Wait(_) => "too many wrong attempts",
        NotLoggedIn::NeedsMfa => "the user has no authenticator, and one is required",
        NotLoggedIn::Busy => "too many at a time",
        NotLoggedIn::Passkey(why) => why,
    }
}
