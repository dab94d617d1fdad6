//! `/approvals/{id}`: what would happen, for people with a browser, and where they say yes or no.
//!
//! Whoever has the link may look: it has 128 bits nobody can guess. To decide, a person shows the secret
//! that is theirs alone, with each word, so there is nothing a page of another origin could borrow.
//! There is no script on the page, and nothing of anybody else's is markup.

use std::{net::IpAddr, sync::Arc};

use hyper::{Method, Request, Response, StatusCode, body::Incoming, header::CONTENT_TYPE};
use identity::{Secret, oauth::Form};
use wire::json::{Document, Keys, Kind as Json, Node, object};

use super::{
    House,
    body::{self, Body},
    gate::one,
    head::Peer,
    page::{guarded, safe},
};
use crate::{failure::Failure, operate::admin};

/// The largest form read, in bytes.
const FORM_BYTES_MAX: usize = 16 * 1024;
/// The longest name anybody has here.
const NAME_BYTES_MAX: usize = 512;

/// The same words whether there is no such person, no secret, or another one.
const STRANGER: &str = "this name and this secret do not belong together";

/// Shows a question, or takes a word.
pub(super) async fn answer(
    house: &Arc<House>,
    peer: &Peer,
    id: &str,
    request: Request<Incoming>,
) -> Response<Body> {
    let told = match *request.method() {
        Method::GET => None,
        Method::POST => Some(take(house, peer, id, request).await),
        _ => return body::empty(StatusCode::METHOD_NOT_ALLOWED),
    };
    let status = match &told {
        Some(Err(failure)) if failure.code() == 3 => StatusCode::FORBIDDEN,
        Some(Err(_)) => StatusCode::BAD_REQUEST,
        Some(Ok(_)) | None => StatusCode::OK,
    };
    let args = object(|out| out.string("id", id));
    let shown = run(house, "approvals.show", args).await;
    let (status, page) = match (shown, &told) {
        (Ok(one), _) => (status, page(one.root(), told.as_ref())),
        // What was decided for good is not shown any more, but whoever decided it is told.
        (Err(_), Some(told)) => (status, frame(&banner(Some(told)))),
        (Err(_), None) => (
            StatusCode::NOT_FOUND,
            frame("<p>There is no approval of this name that waits.</p>"),
        ),
    };
    let answer = body::with_type(status, "text/html; charset=utf-8", page.into_bytes());
    guarded(answer, "")
}

async fn take(
    house: &Arc<House>,
    peer: &Peer,
    id: &str,
    request: Request<Incoming>,
) -> Result<String, Failure> {
    let (head, incoming) = request.into_parts();
    let content = one(&head.headers, &CONTENT_TYPE)
        .ok()
        .flatten()
        .unwrap_or_default();
    let essence = content.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(Failure::configuration("a form is expected"));
    }
    let bytes = body::read(incoming, FORM_BYTES_MAX).await;
    let bytes = bytes.map_err(|objection| Failure::configuration(objection.inside))?;
    let form = Form::parse(&bytes).map_err(|error| Failure::configuration(error.to_string()))?;
    let name = proven(house, &form, peer.address.ip())?;
    let (operation, word) = match form.get("say") {
        Some("approve") => ("approvals.approve", "agreed"),
        Some("deny") => ("approvals.deny", "said no"),
        Some(_) | None => return Err(Failure::configuration("say `approve` or `deny`")),
    };
    let args = object(|out| {
        out.string("id", id);
        out.string("as", &name);
        if let Some(why) = form.get("why") {
            out.string("why", why);
        }
    });
    run(house, operation, args).await?;
    Ok(format!("{name} {word}"))
}

/// The person the form's secret proves. Whoever guesses makes themselves wait, and not the person.
pub(super) fn proven(house: &House, form: &Form, from: IpAddr) -> Result<String, Failure> {
    let engines = &house.engines;
    let (name, secret) = form
        .get("user")
        .zip(form.get("secret"))
        .ok_or_else(|| Failure::configuration("a name and a secret are expected"))?;
    if name.len() > NAME_BYTES_MAX {
        return Err(Failure::refused(STRANGER));
    }
    let now_ms = engines.ambient.now_ms();
    let may_try = house.attempts.may_try(name, from, now_ms);
    may_try.map_err(|seconds| {
        Failure::refused(format!(
            "there were too many wrong secrets; try again in {seconds} seconds"
        ))
    })?;
    let person = engines.people.user(name);
    let digest = person.as_ref().and_then(|person| person.secret);
    let secret = Secret::presented(secret.to_owned());
    let right = digest.is_some_and(|digest| digest.is_of(&secret, engines.people.key()));
    house.attempts.note(name, from, right, now_ms);
    if right {
        return Ok(name.to_owned());
    }
    let who: String = name.chars().take(128).collect();
    let detail = [("user", who), ("peer", from.to_string())];
    engines.journal.stranger("person-not-proven", from, &detail);
    Err(Failure::refused(STRANGER))
}

async fn run(house: &Arc<House>, operation: &str, args: Vec<u8>) -> Result<Document, Failure> {
    let parsed = |text: Vec<u8>| {
        Document::parse(text, Keys::Exact, &wire::bounds::ANSWER)
            .map_err(|error| Failure::other(error.to_string()))
    };
    let args = parsed(args)?;
    parsed(admin::run(house, operation, args.root()).await?)
}

/// What would happen, as names and texts that are not markup yet: the same wherever somebody is to decide.
pub(super) fn described(one: Node<'_>) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    let mut row = |name: &str, text: &str| rows.push((name.to_owned(), text.to_owned()));
    let who = one.get("requester");
    let part = |name: &str| who.and_then(|who| text(who, name));
    let asker = match (part("agent"), part("user")) {
        (Some(agent), Some(user)) => format!("{agent} for {user}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "nobody".to_owned(),
    };
    let show = |name: &str| text(one, name).unwrap_or_default();
    row("asked by", &asker);
    row("would do", &format!("{} {}", show("action"), show("tool")));
    match one.get("args").filter(|args| args.kind() == Json::Object) {
        Some(args) => args.members().for_each(|(key, value)| {
            let value = value
                .as_str()
                .map_or_else(|| value.written().to_owned(), std::borrow::Cow::into_owned);
            row(&format!("with {}", key.as_str().unwrap_or_default()), &value);
        }),
        None => row("with", one.get("args").map_or("nothing", Node::written)),
    }
    for (key, value) in one.get("beside").into_iter().flat_map(Node::members) {
        let name = format!("beside it {}", key.as_str().unwrap_or_default());
        row(&name, value.written());
    }
    for source in one.get("sources").into_iter().flat_map(Node::elements) {
        let trusted = source.get("trusted").and_then(Node::as_bool) == Some(true);
        let word = if trusted { "trusted" } else { "UNTRUSTED" };
        let said = |name: &str| text(source, name).unwrap_or_default();
        let text = format!(
            "{} comes from {} {} ({word})",
            said("argument"),
            said("server"),
            said("tool")
        );
        row("source", &text);
    }
    row("purpose", &show("purpose"));
    row("labels", &words(one, "labels"));
    for reason in one.get("reasons").into_iter().flat_map(Node::elements) {
        row("because", &reason.as_str().unwrap_or_default());
    }
    for demand in one.get("by").into_iter().flat_map(Node::elements) {
        let needed = demand.get("needed").map_or("0", Node::written);
        row(
            "needs",
            &format!("{needed} of {}", text(demand, "who").unwrap_or_default()),
        );
    }
    row("agreed", &words(one, "agreed"));
    row("expires", &show("expires"));
    row("state", &show("state"));
    rows
}

fn page(one: Node<'_>, told: Option<&Result<String, Failure>>) -> String {
    let rows = described(one).into_iter();
    let rows: String = rows
        .map(|(name, text)| format!("<tr><th>{}</th><td>{}</td></tr>", safe(&name), safe(&text)))
        .collect();
    frame(&format!(
        "{}<table>{rows}</table><form method=\"post\"><label>Name <input name=\"user\" \
         autocomplete=\"username\" required></label><label>Secret <input name=\"secret\" type=\"password\" \
         autocomplete=\"current-password\" required></label><label>Why <input name=\"why\"></label><button \
         name=\"say\" value=\"approve\">Approve exactly this, once</button><button name=\"say\" \
         value=\"deny\">Deny</button></form>",
        banner(told)
    ))
}

fn banner(told: Option<&Result<String, Failure>>) -> String {
    match told {
        None => String::new(),
        Some(Ok(text)) => format!("<p class=\"said\">{}</p>", safe(text)),
        Some(Err(failure)) => format!("<p class=\"said\">{}</p>", safe(&failure.to_string())),
    }
}

fn frame(inner: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>Sallyport: an approval</title><style>body{{font:1rem/1.5 \
         system-ui;max-width:50rem;margin:2rem auto;padding:0 1rem}}th{{text-align:left;vertical-align:top;\
         padding-right:1rem}}td{{overflow-wrap:anywhere;font-family:monospace}}label{{display:block;margin:\
         .5rem 0}}.said{{border:2px solid;padding:.5rem}}</style><h1>An agent asks</h1>{inner}</html>"
    )
}

fn text(node: Node<'_>, name: &str) -> Option<String> {
    node.get(name)
        .and_then(Node::as_str)
        .map(std::borrow::Cow::into_owned)
}

fn words(node: Node<'_>, name: &str) -> String {
    let words = node.get(name).into_iter().flat_map(Node::elements);
    let words: Vec<String> = words
        .filter_map(|word| Some(word.as_str()?.into_owned()))
        .collect();
    words.join(", ")
}
