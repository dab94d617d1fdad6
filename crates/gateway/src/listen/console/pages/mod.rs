//! The console's pages, as HTML from what the operations answer. Nothing of anybody else's is markup: every text goes
//! through [`safe`].

mod past;
mod things;
mod waiting;

pub(super) use past::{call, calls, policy};
pub(super) use things::{agents, server, servers};
pub(super) use waiting::{Overview, approvals, incidents, stops};

use wire::json::{Document, Node};

use crate::{listen::page::safe, operate::console::Operation};
pub(super) const STYLE: &str = include_str!("style.css");
pub(super) const SCRIPT: &str = include_str!("script.js");
pub(super) const NOTHING: &str = "<p>There is no such page. <a href=\"/console\">Overview</a></p>";

/// Where the pages are, in the order of the menu.
const MENU: [(&str, &str); 8] = [
    ("/console", "Overview"),
    ("/console/approvals", "Approvals"),
    ("/console/servers", "Servers"),
    ("/console/agents", "Agents"),
    ("/console/incidents", "Incidents"),
    ("/console/stops", "Kill switch"),
    ("/console/calls", "Ledger"),
    ("/console/policy", "Policy"),
];

/// What is around a page.
pub(super) struct Shell<'a> {
    /// The gateway's own host.
    pub(super) gateway: &'a str,
    pub(super) user: Option<&'a str>,
    pub(super) may_operate: bool,
    /// What forms carry.
    pub(super) form: &'a str,
    /// What was done just now.
    pub(super) said: Option<&'static Operation>,
}

impl Shell<'_> {
    pub(super) fn page(&self, title: &str, inner: &str) -> String {
        self.framed(title, inner, "")
    }

    /// One that is loaded again by itself.
    pub(super) fn live(&self, title: &str, inner: &str) -> String {
        self.framed(title, inner, " data-live")
    }

    fn framed(&self, title: &str, inner: &str, live: &str) -> String {
        let mut menu = String::new();
        for (path, name) in MENU {
            let here = if name == title {
                " aria-current=\"page\""
            } else {
                ""
            };
            menu.push_str(&format!("<a href=\"{path}\"{here}>{name}</a>"));
        }
        let who = self
            .user
            .map_or_else(|| "the owner of this gateway".to_owned(), safe);
        // What a person has by themselves is where everybody has it: what they let in, and their passkeys.
        let own = match self.user {
            Some(_) => "<p><a href=\"/oauth/grants\">Your programs and passkeys</a></p>",
            None => "",
        };
        let looking = if self.may_operate { "" } else { ", looking only" };
        let said = self.said.map_or_else(String::new, |said| {
            format!("<p class=\"said\" role=\"status\">Done: {}</p>", safe(said.about))
        });
        let body = format!(
            "<body><nav aria-label=\"Console\"><p class=\"brand\">Sallyport</p><p class=\"where\">{}</p>{menu}\
             <form method=\"post\" action=\"/console/leave\">{}<p>{who}{looking}</p>{own}<button>Leave</button></form></nav>\
             <main{live}><h1>{}</h1>{said}{inner}</main></body>",
            safe(self.gateway),
            hidden("t", self.form),
            safe(title),
        );
        document(title, &body)
    }

    /// A form that does one operation, or nothing where only looking is allowed.
    fn form(&self, op: &str, given: &[(&str, &str)], back: &str, inner: &str) -> String {
        if !self.may_operate {
            return String::new();
        }
        let given: String = given.iter().map(|(name, text)| hidden(name, text)).collect();
        format!(
            "<form method=\"post\" action=\"/console/do\">{}{}{}{given}{inner}</form>",
            hidden("t", self.form),
            hidden("op", op),
            hidden("back", back),
        )
    }
}

fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><meta name=\"robots\" \
         content=\"noindex\"><title>{} - Sallyport</title><link rel=\"stylesheet\" href=\"/console/style.css\">\
         <script src=\"/console/script.js\" defer></script></head>{body}</html>\n",
        safe(title)
    )
}

fn hidden(name: &str, text: &str) -> String {
    format!(
        "<input type=\"hidden\" name=\"{}\" value=\"{}\">",
        safe(name),
        verbatim(text)
    )
}

/// Text in an attribute that must come back as it is. Controls cannot be shown there, and are not: they are spelled.
fn verbatim(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' | '<' | '>' | '"' | '\'' => out.push_str(&format!("&#{};", u32::from(c))),
            c if c.is_control() => out.push_str(&format!("&#{};", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// Page of a link, which a form uses up: whatever looks at links ahead does not.
pub(super) fn enter(code: &str) -> String {
    alone(
        "Console",
        &format!(
            "<p>This link lets you in once.</p><form method=\"post\" action=\"/console/enter\">{}\
             <button class=\"main\" autofocus>Open the console</button></form>",
            hidden("code", code)
        ),
    )
}

pub(super) fn log_in(has_people: bool, told: &str) -> String {
    let told = match told {
        "" => String::new(),
        text => format!("<p class=\"bad\" role=\"alert\">{}</p>", safe(text)),
    };
    let how = "<p class=\"soft\">On the gateway's own machine, <code>sallyport console</code> prints a link that lets \
               you in.</p>";
    if !has_people {
        return alone("Console", &format!("{told}{how}"));
    }
    alone(
        "Log in",
        &format!(
            "{told}<form method=\"post\" action=\"/console/login\"><label>Name<input name=\"user\" \
             autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\" required autofocus></label>\
             <label>Password<input name=\"password\" type=\"password\" autocomplete=\"current-password\" required>\
             </label><label>One-time code <small>if you use an authenticator</small><input name=\"code\" \
             inputmode=\"numeric\" autocomplete=\"one-time-code\" maxlength=\"8\"></label>\
             <button class=\"main\">Log in</button></form>{how}"
        ),
    )
}

pub(super) fn stopped(why: &str) -> String {
    alone(
        "This cannot go on",
        &format!(
            "<p class=\"bad\" role=\"alert\">{}</p><p><a href=\"/console\">Console</a></p>",
            safe(why)
        ),
    )
}

fn alone(title: &str, inner: &str) -> String {
    let body = format!(
        "<body class=\"alone\"><main><h1>{}</h1>{inner}</main></body>",
        safe(title)
    );
    document(title, &body)
}

pub(super) fn not_done(why: &str, back: &str) -> String {
    format!(
        "<p class=\"bad\" role=\"alert\">{}</p><p><a class=\"button\" href=\"{}\">Back</a></p>",
        safe(why),
        safe(back)
    )
}

/// Others have to say so, too.
pub(super) fn waits(answer: &Document, back: &str) -> String {
    format!(
        "<p class=\"warn\">{} have to say so, and so far did: {}.</p><p><a class=\"button\" href=\"{}\">Back</a></p>",
        safe(&number(answer.root(), "needed")),
        safe(&words(answer.root(), "agreed")),
        safe(back)
    )
}

/// A secret that is shown once.
pub(super) fn secret(answer: &Document, back: &str) -> String {
    format!(
        "<p class=\"warn\">This is shown once and kept nowhere.</p><div class=\"card\"><pre>{}</pre></div>\
         <p><a class=\"button\" href=\"{}\">I have it</a></p>",
        safe(&text(answer.root(), "secret")),
        safe(back)
    )
}

fn table(head: &[&str], rows: &str, nothing: &str) -> String {
    if rows.is_empty() {
        return format!("<p class=\"soft\">{}</p>", safe(nothing));
    }
    let head: String = head
        .iter()
        .map(|name| format!("<th scope=\"col\">{}</th>", safe(name)))
        .collect();
    format!("<div class=\"scroll\"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>")
}

fn row(rows: &mut String, name: &str, html: &str) {
    rows.push_str(&format!("<div><dt>{}</dt><dd>{html}</dd></div>", safe(name)));
}

fn badge(class: &str, word: &str) -> String {
    if word.is_empty() {
        return String::new();
    }
    format!("<span class=\"badge {class}\">{}</span>", safe(word))
}

fn soft(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    format!("<span class=\"soft\">{}</span>", safe(text))
}

/// How a word looks.
fn class_of(word: &str) -> &'static str {
    match word {
        "permit" | "approved" | "granted" | "standing" | "trusted" | "resolved" => "good",
        "hold" | "proposed" | "waiting" | "changed" | "contained" => "warn",
        "refuse" | "quarantined" | "denied" | "untrusted" | "open" | "withdrawn" => "bad",
        _ => "",
    }
}

fn who(node: Option<Node<'_>>) -> String {
    let part = |name: &str| node.map(|node| text(node, name)).filter(|text| !text.is_empty());
    match (part("agent"), part("user")) {
        (Some(agent), Some(user)) => format!("{agent} for {user}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => String::new(),
    }
}

fn matching(document: &Document, name: &str, is: impl Fn(Node<'_>) -> bool) -> usize {
    let all = document.root().get(name).into_iter().flat_map(Node::elements);
    all.filter(|one| is(*one)).count()
}

fn count(document: &Document, name: &str) -> usize {
    matching(document, name, |_| true)
}

fn text(node: Node<'_>, name: &str) -> String {
    let text = node.get(name).and_then(Node::as_str);
    text.map(std::borrow::Cow::into_owned).unwrap_or_default()
}

fn number(node: Node<'_>, name: &str) -> String {
    let number = node.get(name).and_then(Node::as_number);
    number
        .map(|number| number.as_text().to_owned())
        .unwrap_or_default()
}

fn words(node: Node<'_>, name: &str) -> String {
    let words = node.get(name).into_iter().flat_map(Node::elements);
    let words: Vec<_> = words.filter_map(Node::as_str).collect();
    words.join(", ")
}
