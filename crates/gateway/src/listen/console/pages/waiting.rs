//! What waits for an operator: at a glance, approvals, incidents, what is stopped.

use wire::json::{Document, Node};

use super::{
    Shell, badge, class_of, count, matching, number,
    past::{entries, link_to_call},
    row, table, text, words,
};
use crate::listen::{decide::described, page::safe};

/// Everything at a glance.
pub(in crate::listen::console) struct Overview {
    pub(in crate::listen::console) status: Document,
    pub(in crate::listen::console) approvals: Document,
    pub(in crate::listen::console) servers: Document,
    pub(in crate::listen::console) incidents: Document,
    pub(in crate::listen::console) stops: Document,
    pub(in crate::listen::console) entries: Document,
}

impl Overview {
    pub(in crate::listen::console) fn html(&self) -> String {
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

pub(in crate::listen::console) fn approvals(all: &Document, shell: &Shell<'_>) -> String {
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
    for (name, text) in described(one) {
        row(&mut rows, &name, &format!("<pre>{}</pre>", safe(&text)));
    }
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

pub(in crate::listen::console) fn incidents(all: &Document, shell: &Shell<'_>) -> String {
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

pub(in crate::listen::console) fn stops(all: &Document, shell: &Shell<'_>) -> String {
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
