//! What happened and why: entries of the ledger, a call, what rules say.

use wire::json::{Document, Kind as Json, Node};

use super::{badge, class_of, number, row, soft, table, text, who};
use crate::{listen::page::safe, operate::console::Value};

pub(in crate::listen::console) fn calls(found: &Document, asked: &[(&'static str, Value)]) -> String {
    let given = |name: &str| given(asked, name);
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
pub(in crate::listen::console) fn call(id: &str, found: &Document) -> String {
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

pub(in crate::listen::console) fn policy(
    status: &Document,
    asked: &[(&'static str, Value)],
    explained: Option<&Result<Document, String>>,
) -> String {
    let given = |name: &str| given(asked, name);
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

/// What a form on the page was filled in with.
fn given(asked: &[(&'static str, Value)], name: &str) -> String {
    match asked.iter().find(|(one, _)| *one == name) {
        Some((_, Value::Text(text))) => text.clone(),
        Some((_, Value::Texts(_))) | None => String::new(),
    }
}

pub(super) fn entries(found: &Document) -> String {
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
            "<tr><td class=\"number\">{}</td><td class=\"time\" title=\"{}\">{}</td><td>{}</td><td>{} {}</td><td>{}</td>\
             <td>{}</td><td>{}</td><td>{link}</td></tr>",
            safe(&number(entry, "index")),
            safe(&time),
            safe(&to_the_second(&time)),
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

/// `11-22 06:03:18` of a timestamp (RFC 3339); the whole of it stands beside it.
fn to_the_second(time: &str) -> String {
    time.get(5..19).unwrap_or(time).replace('T', " ")
}

pub(super) fn link_to_call(call: &str) -> String {
    let encoded: String = form_urlencoded::byte_serialize(call.as_bytes()).collect();
    format!(
        "<a href=\"/console/calls/{}\" title=\"{}\">show</a> ",
        safe(&encoded),
        safe(call)
    )
}
