//! The console's pages, as HTML from what the operations answer. Nothing of anybody else's is markup: every text goes
//! through [`safe`].

use wire::json::{Document, Kind as Json, Node};

use super::page::safe;
use crate::operators::{Operation, Value};

pub(super) const STYLE: &str = include_str!("console.css");
pub(super) const SCRIPT: &str = include_str!("console.js");
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
        let looking = if self.may_operate { "" } else { ", looking only" };
        let said = self.said.map_or_else(String::new, |said| {
            format!("<p class=\"said\" role=\"status\">Done: {}</p>", safe(said.about))
        });
        let body = format!(
            "<body><nav aria-label=\"Console\"><p class=\"brand\">Sallyport</p><p class=\"where\">{}</p>{menu}\
             <form method=\"post\" action=\"/console/leave\">{}<p>{who}{looking}</p><button>Leave</button></form></nav>\
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

/// A secret that is shown once.
pub(super) fn secret(answer: &Document, back: &str) -> String {
    format!(
        "<p class=\"warn\">This is shown once and kept nowhere.</p><div class=\"card\"><pre>{}</pre></div>\
         <p><a class=\"button\" href=\"{}\">I have it</a></p>",
        safe(&text(answer.root(), "secret")),
        safe(back)
    )
}

/// Everything at a glance.
pub(super) struct Overview {
    pub(super) status: Document,
    pub(super) approvals: Document,
    pub(super) servers: Document,
    pub(super) incidents: Document,
    pub(super) stops: Document,
    pub(super) entries: Document,
}

impl Overview {
    pub(super) fn html(&self) -> String {
        let waiting = matching(&self.approvals, "approvals", |one| {
            text(one, "state") == "waiting"
        });
        let open = matching(&self.incidents, "incidents", |one| {
            text(one, "state") != "resolved"
        });
        let undecided = matching(&self.servers, "servers", needs_a_look);
        let status = self.status.root();
        let ledger = status.get("ledger");
        let of_ledger = |name: &str| ledger.map_or_else(String::new, |ledger| number(ledger, name));
        let servers = self
            .servers
            .root()
            .get("servers")
            .into_iter()
            .flat_map(Node::elements);
        let mut html = String::from("<div class=\"cards\">");
        for (path, name, value, is_urgent) in [
            ("approvals", "wait for people", waiting.to_string(), waiting > 0),
            ("incidents", "incidents open", open.to_string(), open > 0),
            (
                "stops",
                "stopped",
                count(&self.stops, "stopped").to_string(),
                count(&self.stops, "stopped") > 0,
            ),
            (
                "servers",
                "servers to look at",
                undecided.to_string(),
                undecided > 0,
            ),
            ("servers", "servers", servers.count().to_string(), false),
            ("calls", "calls going on", of_ledger("open_calls"), false),
            ("calls", "entries written", of_ledger("written"), false),
        ] {
            let class = if is_urgent { " class=\"attention\"" } else { "" };
            html.push_str(&format!(
                "<a href=\"/console/{path}\"{class}><b>{}</b>{name}</a>",
                safe(&value)
            ));
        }
        html.push_str(&format!(
            "<div><b>{}</b>sessions</div><div><b>{}</b>contexts</div></div>",
            safe(&number(status, "sessions")),
            safe(&number(status, "contexts"))
        ));
        if let Some(trouble) = ledger
            .and_then(|ledger| ledger.get("trouble"))
            .and_then(Node::as_str)
        {
            html.push_str(&format!(
                "<p class=\"bad\" role=\"alert\">The ledger cannot write, so every call is refused: {}</p>",
                safe(&trouble)
            ));
        }
        html.push_str("<h2>Latest</h2>");
        html.push_str(&entries(&self.entries));
        html
    }
}

fn needs_a_look(server: Node<'_>) -> bool {
    let tools = |name: &str| {
        server
            .get("tools")
            .is_some_and(|tools| number(tools, name) != "0")
    };
    !matches!(text(server, "state").as_str(), "approved" | "retired")
        || tools("proposed")
        || tools("quarantined")
}

pub(super) fn approvals(all: &Document, shell: &Shell<'_>) -> String {
    let mut html = String::new();
    for one in all.root().get("approvals").into_iter().flat_map(Node::elements) {
        html.push_str(&approval(one, shell));
    }
    if html.is_empty() {
        html.push_str("<p class=\"soft\">Nothing waits for anybody.</p>");
    } else if shell.may_operate && shell.user.is_none() {
        let note = "<p class=\"warn\">To decide, open the console as a person: <code>sallyport console --as USER</code>, \
                    or log in.</p>";
        html.insert_str(0, note);
    }
    html
}

fn approval(one: Node<'_>, shell: &Shell<'_>) -> String {
    let (id, state) = (text(one, "id"), text(one, "state"));
    let mut rows = String::new();
    row(&mut rows, "Asked by", &safe(&who(one.get("requester"))));
    match one.get("args").filter(|args| args.kind() == Json::Object) {
        Some(args) => {
            for (key, value) in args.members() {
                let shown = value
                    .as_str()
                    .map_or_else(|| value.written().to_owned(), |text| text.into_owned());
                let name = key.as_str().unwrap_or_default();
                row(
                    &mut rows,
                    &format!("with {name}"),
                    &format!("<pre>{}</pre>", safe(&shown)),
                );
            }
        }
        None => row(&mut rows, "with", "nothing"),
    }
    for source in one.get("sources").into_iter().flat_map(Node::elements) {
        let is_trusted = source.get("trusted").and_then(Node::as_bool) == Some(true);
        let (class, word) = if is_trusted {
            ("good", "trusted")
        } else {
            ("bad", "untrusted")
        };
        let from = format!(
            "{} from {} {} {}",
            safe(&text(source, "argument")),
            safe(&text(source, "server")),
            safe(&text(source, "tool")),
            badge(class, word)
        );
        row(&mut rows, "comes", &from);
    }
    for (name, key) in [("Purpose", "purpose"), ("Expires", "expires")] {
        if one.get(key).is_some() {
            row(&mut rows, name, &safe(&text(one, key)));
        }
    }
    let labels = words(one, "labels");
    if !labels.is_empty() {
        row(&mut rows, "Labels", &safe(&labels));
    }
    let reasons = words(one, "reasons");
    if !reasons.is_empty() {
        row(&mut rows, "Because", &safe(&reasons));
    }
    let given = format!("{} of {}", number(one, "given"), number(one, "needed"));
    row(
        &mut rows,
        "Agreed",
        &safe(&format!("{given} {}", words(one, "agreed"))),
    );
    let back = "/console/approvals";
    let mut actions = String::new();
    if state == "waiting" {
        actions.push_str(&shell.form(
            "approvals.approve",
            &[("id", &id)],
            back,
            "<button class=\"main\">Approve exactly this, once</button>",
        ));
        actions.push_str(&shell.form(
            "approvals.deny",
            &[("id", &id)],
            back,
            "<input name=\"why\" aria-label=\"Why\" placeholder=\"Why (optional)\"><button class=\"danger\">Deny</button>",
        ));
    }
    format!(
        "<section class=\"card\" data-approval=\"{}\"><h2>{} {} {}</h2><dl>{rows}</dl>\
         <div class=\"actions\">{actions}</div></section>",
        safe(&id),
        safe(&text(one, "action")),
        safe(&text(one, "tool")),
        badge(class_of(&state), &state),
    )
}

pub(super) fn servers(all: &Document) -> String {
    let mut rows = String::new();
    for one in all.root().get("servers").into_iter().flat_map(Node::elements) {
        let (name, state) = (text(one, "name"), text(one, "state"));
        let tools = |key: &str| {
            one.get("tools")
                .map_or_else(String::new, |tools| number(tools, key))
        };
        rows.push_str(&format!(
            "<tr><td><a href=\"/console/servers/{}\">{}</a></td><td>{} {}</td><td>{}</td><td class=\"number\">{}</td>\
             <td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"mono\">{}</td></tr>",
            safe(&name),
            safe(&name),
            badge(class_of(&state), &state),
            soft(&text(one, "why")),
            badge(class_of(&text(one, "trust")), &text(one, "trust")),
            safe(&tools("approved")),
            safe(&tools("proposed")),
            safe(&tools("quarantined")),
            safe(&text(one, "launch")),
        ));
    }
    let head = [
        "Server",
        "State",
        "Trust",
        "Tools",
        "Proposed",
        "Quarantined",
        "Started by",
    ];
    table(&head, &rows, "There is no server.")
}

pub(super) fn server(one: &Document, diff: &Document, shell: &Shell<'_>) -> String {
    let server = one.root();
    let (name, state) = (text(server, "name"), text(server, "state"));
    let back = format!("/console/servers/{name}");
    let mut rows = String::new();
    row(
        &mut rows,
        "State",
        &format!(
            "{} {}",
            badge(class_of(&state), &state),
            soft(&text(server, "why"))
        ),
    );
    for (label, key) in [
        ("Trust", "trust"),
        ("Started by", "launch"),
        ("Pinned as", "launch_pin"),
        ("Speaks", "revision"),
        ("Its box", "sandbox"),
    ] {
        let said = text(server, key);
        if !said.is_empty() {
            row(&mut rows, label, &safe(&said));
        }
    }
    if let Some(error) = server
        .get("health")
        .and_then(|health| health.get("last_error"))
        .and_then(Node::as_str)
    {
        row(&mut rows, "Last error", &safe(&error));
    }
    let given = [("name", name.as_str())];
    let mut actions = shell.form(
        "server.approve",
        &given,
        &back,
        "<button class=\"main\">Approve as it is now</button>",
    );
    actions.push_str(&shell.form(
        "server.quarantine",
        &given,
        &back,
        "<input name=\"why\" aria-label=\"Why\" placeholder=\"Why\" required><button class=\"danger\">Quarantine</button>",
    ));
    let retire = shell.form(
        "server.retire",
        &given,
        &back,
        "<p>It is taken out of use for good.</p><button class=\"danger\">Retire</button>",
    );
    let mut html = format!(
        "<section class=\"card\"><dl>{rows}</dl><div class=\"actions\">{actions}</div>{}</section>",
        match retire.as_str() {
            "" => String::new(),
            retire => format!("<details><summary>Retire…</summary>{retire}</details>"),
        }
    );
    html.push_str(&changes(diff, shell, &back));
    let mut items = String::new();
    for item in server.get("items").into_iter().flat_map(Node::elements) {
        let state = text(item, "state");
        items.push_str(&format!(
            "<tr><td>{}</td><td>{}</td><td>{} {}</td><td class=\"mono\">{}</td></tr>",
            safe(&text(item, "kind")),
            safe(&text(item, "name")),
            badge(class_of(&state), &state),
            soft(&text(item, "why")),
            safe(&text(item, "pin")),
        ));
    }
    html.push_str("<h2>What it offers</h2>");
    html.push_str(&table(&["Kind", "Name", "State", "Pin"], &items, "Nothing yet."));
    html
}

fn changes(diff: &Document, shell: &Shell<'_>, back: &str) -> String {
    let name = text(diff.root(), "name");
    let mut html = String::new();
    for change in diff.root().get("changes").into_iter().flat_map(Node::elements) {
        let item = text(change, "name");
        let definition = |key: &str| {
            let node = change.get(key).filter(|node| node.kind() == Json::Object);
            node.map_or_else(|| "nothing".to_owned(), |node| node.written().to_owned())
        };
        html.push_str(&format!(
            "<section class=\"card\"><h2>{} {} {}</h2><p>{}</p><dl><div><dt>Approved</dt><dd><pre>{}</pre></dd></div>\
             <div><dt>Offered now</dt><dd><pre>{}</pre></dd></div></dl><div class=\"actions\">{}</div></section>",
            safe(&text(change, "kind")),
            safe(&item),
            badge(class_of(&text(change, "state")), &text(change, "state")),
            safe(&text(change, "why")),
            safe(&definition("approved_definition")),
            safe(&definition("offered_definition")),
            shell.form(
                "server.approve",
                &[("name", &name), ("item", &item)],
                back,
                "<button class=\"main\">Approve what is offered now</button>"
            ),
        ));
    }
    if html.is_empty() {
        return html;
    }
    format!("<h2>What changed since it was approved</h2>{html}")
}

pub(super) fn agents(all: &Document, shell: &Shell<'_>) -> String {
    let mut rows = String::new();
    for one in all.root().get("agents").into_iter().flat_map(Node::elements) {
        let name = text(one, "name");
        let revoke = shell.form(
            "agent.revoke",
            &[("name", &name)],
            "/console/agents",
            "<p>Its tokens and sessions end.</p><button class=\"danger\">Revoke</button>",
        );
        let revoke = match revoke.as_str() {
            "" => String::new(),
            form => format!("<details><summary>Revoke…</summary>{form}</details>"),
        };
        rows.push_str(&format!(
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{revoke}</td></tr>",
            safe(&name),
            safe(&text(one, "kind")),
            safe(&words(one, "roles")),
            safe(&words(one, "purposes")),
            safe(&words(one, "for")),
            safe(&text(one, "model")),
            safe(&text(one, "from")),
        ));
    }
    let head = [
        "Agent",
        "Kind",
        "Roles",
        "Purposes",
        "Acts for",
        "Model",
        "Known from",
        "",
    ];
    table(&head, &rows, "There is no agent.")
}

pub(super) fn incidents(all: &Document, shell: &Shell<'_>) -> String {
    let mut html = String::new();
    let back = "/console/incidents";
    for one in all.root().get("incidents").into_iter().flat_map(Node::elements) {
        let (id, state) = (text(one, "id"), text(one, "state"));
        let mut rows = String::new();
        for (label, key) in [
            ("What", "what"),
            ("Agent", "agent"),
            ("User", "user"),
            ("Server", "server"),
            ("Opened", "opened"),
            ("Last", "last"),
            ("Resolution", "resolution"),
        ] {
            let said = text(one, key);
            if !said.is_empty() {
                row(&mut rows, label, &safe(&said));
            }
        }
        row(&mut rows, "Times", &safe(&number(one, "count")));
        let calls = one.get("calls").into_iter().flat_map(Node::elements);
        let calls: String = calls
            .filter_map(Node::as_str)
            .map(|call| link_to_call(&call))
            .collect();
        if !calls.is_empty() {
            row(&mut rows, "Calls", &calls);
        }
        let stopped = words(one, "stopped");
        if !stopped.is_empty() {
            row(&mut rows, "Stopped", &safe(&stopped));
        }
        let mut actions = String::new();
        if state != "resolved" {
            let given = [("id", id.as_str())];
            if stopped.is_empty() {
                let stop = "<button class=\"danger\">Stop whoever set it off</button>";
                actions.push_str(&shell.form("incident.contain", &given, back, stop));
            }
            actions.push_str(&shell.form(
                "incident.resolve",
                &given,
                back,
                "<input name=\"why\" aria-label=\"How it was resolved\" placeholder=\"How it was resolved\" required>\
                 <button>Resolve</button>",
            ));
        }
        html.push_str(&format!(
            "<section class=\"card\"><h2>{} {}</h2><dl>{rows}</dl><div class=\"actions\">{actions}</div></section>",
            safe(&text(one, "kind")),
            badge(class_of(&state), &state),
        ));
    }
    if html.is_empty() {
        html.push_str("<p class=\"soft\">Nothing was noticed.</p>");
    }
    html
}

pub(super) fn stops(all: &Document, shell: &Shell<'_>) -> String {
    let mut rows = String::new();
    for one in all.root().get("stopped").into_iter().flat_map(Node::elements) {
        let target = text(one, "stopped");
        let (what, name) = target.split_once(' ').unwrap_or((target.as_str(), ""));
        let mut given = vec![("what", what)];
        if !name.is_empty() {
            given.push(("name", name));
        }
        let lift = shell.form(
            "halt.lift",
            &given,
            "/console/stops",
            "<button>Let it go on</button>",
        );
        rows.push_str(&format!(
            "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"time\">{}</td><td>{lift}</td></tr>",
            safe(&target),
            safe(&text(one, "why")),
            safe(&text(one, "by")),
            safe(&text(one, "since")),
        ));
    }
    let stop = shell.form(
        "halt.put",
        &[],
        "/console/stops",
        "<div class=\"row\"><label>What<select name=\"what\"><option value=\"agent\">an agent</option>\
         <option value=\"server\">a server</option><option value=\"user\">a user</option>\
         <option value=\"context\">a context</option><option value=\"all\">everything</option></select></label>\
         <label>Name <small>nothing for everything</small><input name=\"name\"></label>\
         <label>Why<input name=\"why\" required></label><button class=\"danger\">Stop at once</button></div>",
    );
    let stop = match stop.as_str() {
        "" => String::new(),
        form => format!(
            "<section class=\"card\"><h2>Stop</h2><p class=\"soft\">Open calls and streams end, and nothing new \
             begins, over restarts, until it is lifted.</p>{form}</section>"
        ),
    };
    let head = ["Stopped", "Why", "By", "Since", ""];
    format!("{stop}{}", table(&head, &rows, "Nothing is stopped."))
}

pub(super) fn calls(found: &Document, asked: &[(&'static str, Value)]) -> String {
    let given = |name: &str| {
        let found = asked.iter().find(|(one, _)| *one == name);
        match found {
            Some((_, Value::Text(text))) => text.clone(),
            Some((_, Value::Texts(_))) | None => String::new(),
        }
    };
    let mut fields = String::new();
    for (name, label) in [("agent", "Agent"), ("server", "Server"), ("kind", "Kind")] {
        fields.push_str(&format!(
            "<label>{label}<input name=\"{name}\" value=\"{}\"></label>",
            safe(&given(name))
        ));
    }
    let mut options = String::from("<option value=\"\">any</option>");
    for word in ["permit", "refuse", "hold"] {
        let chosen = if given("decision") == word {
            " selected"
        } else {
            ""
        };
        options.push_str(&format!("<option{chosen}>{word}</option>"));
    }
    let mut html = format!(
        "<form class=\"card row\" action=\"/console/calls\">{fields}<label>Decision<select name=\"decision\">{options}\
         </select></label><button>Show</button></form>{}",
        entries(found)
    );
    let next = number(found.root(), "next");
    if !next.is_empty() {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for name in ["kind", "decision", "agent", "server"] {
            let text = given(name);
            if !text.is_empty() {
                query.append_pair(name, &text);
            }
        }
        query.append_pair("before", &next);
        html.push_str(&format!(
            "<p class=\"actions\"><a class=\"button\" href=\"/console/calls?{}\">Older</a></p>",
            safe(&query.finish())
        ));
    }
    html
}

/// All entries of one call, as they are.
pub(super) fn call(id: &str, found: &Document) -> String {
    let all: Vec<_> = found
        .root()
        .get("entries")
        .into_iter()
        .flat_map(Node::elements)
        .collect();
    if all.is_empty() {
        return format!(
            "<p>The ledger has no call <code>{}</code> among its newest entries.</p>",
            safe(id)
        );
    }
    let mut html = format!("<p class=\"mono soft\">{}</p>", safe(id));
    for entry in all.iter().rev() {
        let mut rows = String::new();
        for (key, value) in entry.members() {
            let name = key.as_str().unwrap_or_default();
            let is_empty = value.kind() == Json::Null || value.written() == "[]" || value.written() == "{}";
            if matches!(name.as_ref(), "kind" | "decision" | "call") || is_empty {
                continue;
            }
            let shown = value
                .as_str()
                .map_or_else(|| value.written().to_owned(), |text| text.into_owned());
            row(&mut rows, &name, &format!("<pre>{}</pre>", safe(&shown)));
        }
        let (kind, decision) = (text(*entry, "kind"), text(*entry, "decision"));
        html.push_str(&format!(
            "<section class=\"card\"><h2>{} {}</h2><dl>{rows}</dl></section>",
            safe(&kind),
            badge(class_of(&decision), &decision)
        ));
    }
    html
}

pub(super) fn policy(
    status: &Document,
    asked: &[(&'static str, Value)],
    explained: Option<&Result<Document, String>>,
) -> String {
    let given = |name: &str| match asked.iter().find(|(one, _)| *one == name) {
        Some((_, Value::Text(text))) => text.clone(),
        Some((_, Value::Texts(_))) | None => String::new(),
    };
    let mut fields = String::new();
    for (name, label, hint) in [
        ("agent", "Agent", ""),
        ("user", "For user", ""),
        ("tool", "Tool", "server__tool"),
        ("purpose", "Purpose", ""),
        ("args", "Arguments", "{\"patient\": \"p1\"}"),
    ] {
        let required = if name == "tool" { " required" } else { "" };
        fields.push_str(&format!(
            "<label>{label}<input name=\"{name}\" value=\"{}\" placeholder=\"{}\"{required}></label>",
            safe(&given(name)),
            safe(hint)
        ));
    }
    let mut html = format!(
        "<p>In force: <code>{}</code></p><form class=\"card\" action=\"/console/policy\"><h2>What would become of a \
         call?</h2><div class=\"row\">{fields}<button class=\"main\">Explain</button></div></form>",
        safe(&text(status.root(), "policy"))
    );
    match explained {
        None => {}
        Some(Err(why)) => html.push_str(&format!("<p class=\"bad\" role=\"alert\">{}</p>", safe(why))),
        Some(Ok(answer)) => {
            let decision = text(answer.root(), "decision");
            html.push_str(&format!(
                "<p>{} {}</p>",
                badge(class_of(&decision), &decision),
                safe(&text(answer.root(), "reason"))
            ));
            let mut rows = String::new();
            for rule in answer.root().get("rules").into_iter().flat_map(Node::elements) {
                rows.push_str(&format!(
                    "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                    safe(&text(rule, "rule")),
                    safe(&text(rule, "effect")),
                    safe(&text(rule, "came_to")),
                    safe(&text(rule, "says")),
                ));
            }
            html.push_str(&table(
                &["Rule", "Effect", "Came to", "Says"],
                &rows,
                "No rule speaks of it.",
            ));
        }
    }
    html
}

fn entries(found: &Document) -> String {
    let mut rows = String::new();
    for entry in found.root().get("entries").into_iter().flat_map(Node::elements) {
        let time = text(entry, "time");
        let (decision, code, call) = (text(entry, "decision"), text(entry, "code"), text(entry, "call"));
        let what = [text(entry, "server"), text(entry, "tool")].join(" ");
        let what = if what.trim().is_empty() {
            text(entry, "action")
        } else {
            what
        };
        let link = if call.is_empty() {
            String::new()
        } else {
            link_to_call(&call)
        };
        rows.push_str(&format!(
            "<tr><td class=\"number\">{}</td><td class=\"time\">{}</td><td>{}</td><td>{} {}</td><td>{}</td><td>{}</td>\
             <td>{}</td><td>{link}</td></tr>",
            safe(&number(entry, "index")),
            safe(&time),
            safe(&text(entry, "kind")),
            badge(class_of(&decision), &decision),
            soft(&code),
            safe(&who(entry.get("principal"))),
            safe(&what),
            safe(&text(entry, "reason")),
        ));
    }
    let head = ["#", "Time", "Kind", "Decision", "Who", "What", "Why", ""];
    table(&head, &rows, "Nothing fits.")
}

fn link_to_call(call: &str) -> String {
    let encoded: String = form_urlencoded::byte_serialize(call.as_bytes()).collect();
    format!(
        "<a href=\"/console/calls/{}\" title=\"{}\">show</a> ",
        safe(&encoded),
        safe(call)
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
