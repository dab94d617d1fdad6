//! `GET /v0/servers`: the servers this caller may discover, as the MCP registry lists servers, so that clients that read
//! registries find what is behind the gateway.
//!
//! A server is shown when one of its tools would be: the caller's own `tools/list` takes the road, is decided and
//! recorded, and what it holds is what is known here.

use std::collections::BTreeSet;

use hyper::{Method as HttpMethod, Request, Response, StatusCode, body::Incoming};
use identity::oauth::Form;
use pipeline::{Body as Carried, Objection, Refusal, refusal};
use policy::registry::Registry;
use wire::{
    bounds::ANSWER,
    json::{Document, Keys, Node, ObjectWriter, object},
    jsonrpc::{self, Id, Message},
    mcp::{Method, Revision, ServerName, meta, split_federated},
};

use super::{
    body::{self, Body},
    mcp::Visit,
};

/// The form of `server.json`.
const SCHEMA: &str = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json";
/// Most servers of a page, and how many there are unless `limit` says so.
const PAGE_MAX: usize = 100;
const PAGE: usize = 30;

/// Answers a request.
pub(super) async fn servers(visit: Visit, request: Request<Incoming>) -> Response<Body> {
    if request.method() != HttpMethod::GET {
        return body::only("GET");
    }
    let Some((limit, after)) = page(request.uri().query().unwrap_or_default()) else {
        let why = "`limit` is a number of servers, and `cursor` what an answer before had as `nextCursor`";
        let objection = Objection::new(&refusal::REQUEST_INVALID, why).showing(why);
        let remedy = format!("leave `limit` out, or give 1 to {PAGE_MAX}");
        return visit.turned_away(objection.remedied(remedy)).await;
    };
    let known = match known(&visit, &request).await {
        Ok(known) => known,
        Err(refusal) => return visit.refused(*refusal),
    };
    let mut rest = known.iter().filter(|name| name.as_str() > after.as_str());
    let shown: Vec<&ServerName> = rest.by_ref().take(limit).collect();
    let more = rest.next().and(shown.last());
    let view = visit.house.engines.keeper.view();
    let text = object(|out| {
        out.array("servers", |list| {
            for name in &shown {
                list.object(|out| {
                    out.object("server", |out| {
                        write_server(&view.registry, &visit.house.base, name, out)
                    })
                });
            }
        });
        out.object("metadata", |out| {
            out.integer("count", i64::try_from(shown.len()).unwrap_or_default());
            if let Some(last) = more {
                out.string("nextCursor", last.as_str());
            }
        });
    });
    body::json(StatusCode::OK, text)
}

/// How many, and after which; none where that cannot be read.
fn page(query: &str) -> Option<(usize, String)> {
    let form = Form::parse(query.as_bytes()).ok()?;
    let limit = match form.get("limit") {
        None => PAGE,
        Some(limit) => limit
            .parse::<usize>()
            .ok()
            .filter(|limit| *limit > 0)?
            .min(PAGE_MAX),
    };
    Some((limit, form.get("cursor").unwrap_or_default().to_owned()))
}

/// The servers of all tools the caller is shown.
async fn known(visit: &Visit, request: &Request<Incoming>) -> Result<BTreeSet<ServerName>, Box<Refusal>> {
    let mut known = BTreeSet::new();
    let mut cursor: Option<String> = None;
    loop {
        let text = jsonrpc::request(&Id::Integer(0), Method::ToolsList, |params| {
            if let Some(cursor) = &cursor {
                params.string("cursor", cursor);
            }
            params.object("_meta", |out| {
                out.string(meta::PROTOCOL_VERSION, Revision::V2026_07_28.as_str());
                out.object(meta::CLIENT_CAPABILITIES, |_| {});
            });
        });
        let lost = || {
            let objection = Objection::new(&refusal::INTERNAL, "the list of tools cannot be read");
            Box::new(Refusal::at_the_end(objection))
        };
        let message = Message::parse(text, Keys::Exact, &ANSWER).map_err(|_| lost())?;
        let reply = visit
            .carry_own(request.headers(), message)
            .await
            .map_err(Box::new)?;
        let Carried::Listed(listed) = reply.body else {
            return Err(lost());
        };
        let listed = Document::parse(listed, Keys::Exact, &ANSWER).map_err(|_| lost())?;
        let tools = listed.root().get("tools").into_iter().flat_map(Node::elements);
        for tool in tools {
            let name = tool.get("name").and_then(Node::as_str);
            known.extend(name.and_then(|name| split_federated(&name).map(|(server, _)| server)));
        }
        cursor = listed
            .root()
            .get("nextCursor")
            .and_then(Node::as_str)
            .map(std::borrow::Cow::into_owned);
        if cursor.is_none() {
            return Ok(known);
        }
    }
}

fn write_server(registry: &Registry, base: &str, name: &ServerName, out: &mut ObjectWriter<'_>) {
    let identity = registry.server(name).and_then(|server| server.identity.as_ref());
    let said = |member: &str| {
        let text = identity.and_then(|identity| identity.document().root().get(member));
        text.and_then(Node::as_str).map(std::borrow::Cow::into_owned)
    };
    out.string("$schema", SCHEMA);
    out.string("name", &format!("io.sallyport/{name}"));
    out.string("description", &format!("Server `{name}` behind this gateway"));
    if let Some(title) = said("title") {
        out.string("title", &title.chars().take(100).collect::<String>());
    }
    out.string("version", said("version").as_deref().unwrap_or("0"));
    out.array("remotes", |list| {
        list.object(|out| {
            out.string("type", "streamable-http");
            out.string("url", &format!("{base}/mcp/{name}"));
        });
    });
}
