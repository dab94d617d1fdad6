//! What there is: servers, what changed of them, agents.

use wire::json::{Document, Kind as Json, Node};

use super::{Shell, badge, class_of, number, row, soft, table, text, words};
use crate::listen::page::safe;

pub(in crate::listen::console) fn servers(all: &Document) -> String {
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

pub(in crate::listen::console) fn server(one: &Document, diff: &Document, shell: &Shell<'_>) -> String {
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
    html.push_str(&versions(server, shell, &back));
    html
}

/// What was approved of a server so far, and the way back to each.
fn versions(server: Node<'_>, shell: &Shell<'_>, back: &str) -> String {
    let name = text(server, "name");
    let mut rows = String::new();
    for version in server.get("versions").into_iter().flat_map(Node::elements) {
        let number = version.get("version").map_or("", Node::written).to_owned();
        let given = [("name", name.as_str()), ("to", number.as_str())];
        let state = match version.get("in_force").and_then(Node::as_bool) {
            Some(true) => badge("good", "in force"),
            _ => shell.form(
                "server.rollback",
                &given,
                back,
                &format!("<button>Go back to version {}</button>", safe(&number)),
            ),
        };
        rows.push_str(&format!(
            "<tr><td>{}</td><td>{}</td><td class=\"mono\">{}</td><td>{state}</td></tr>",
            safe(&number),
            safe(&text(version, "since")),
            safe(&text(version, "digest")),
        ));
    }
    let head = ["Version", "Approved since", "Digest", ""];
    format!(
        "<h2>Versions</h2>{}",
        table(&head, &rows, "Nothing was approved yet.")
    )
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

pub(in crate::listen::console) fn agents(all: &Document, shell: &Shell<'_>) -> String {
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
