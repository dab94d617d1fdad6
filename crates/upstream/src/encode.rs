//! Writing a judged message for the far side: always our own bytes, from the message that was judged.

use pipeline::{Arrival, Passed, Resolution, forward::Recorded};
use wire::{
    json::{Document, Edits, Keys, Kind, Node, ObjectWriter, object},
    jsonrpc::{self, Id},
    mcp::{self, Era, Method, MirroredParam, Revision, Target, meta, target},
};

/// What we call ourselves towards servers.
pub(crate) fn write_identity(out: &mut ObjectWriter<'_>) {
    out.string("name", "sallyport");
    out.string("version", env!("CARGO_PKG_VERSION"));
}

/// The request for a recorded call.
pub(crate) fn request(call: &Passed<Recorded>, method: Method, id: i64, revision: Revision) -> Vec<u8> {
    jsonrpc::request(&Id::Integer(id), method, |params| {
        write_params(call, Some(id), revision, params)
    })
}

/// The notification for a recorded message.
pub(crate) fn notification(call: &Passed<Recorded>, method: Method, revision: Revision) -> Vec<u8> {
    jsonrpc::notification(method, |params| write_params(call, None, revision, params))
}

/// The client's progress token as JSON, if it asked for progress.
pub(crate) fn progress_token(arrival: &Arrival) -> Option<Vec<u8>> {
    let meta = arrival.message.params().and_then(meta::of)?;
    let token = meta.get(meta::PROGRESS_TOKEN)?;
    let mut writer = wire::json::Writer::default();
    writer.node(token);
    Some(writer.into_bytes())
}

fn write_params(call: &Passed<Recorded>, id: Option<i64>, revision: Revision, out: &mut ObjectWriter<'_>) {
    let arrival = call.arrival();
    let edits = call.outgoing();
    let params = arrival.message.params();
    // The name the server knows, which is the name that was pinned and judged.
    let renamed = match call.resolution() {
        Resolution::Item { item, .. } => Some(item.name()),
        Resolution::Client { .. } | Resolution::Gateway | Resolution::Server { .. } => None,
    };
    if let Some(name) = renamed {
        out.string("name", name);
    }
    let reference = call
        .resolution()
        .item()
        .filter(|_| renamed.is_none())
        .map(|item| item.name());
    if let Some(params) = params {
        for (key, value) in params.members() {
            let name = key.as_str().unwrap_or_default();
            match name.as_ref() {
                "_meta" => {}
                "name" if renamed.is_some() => {}
                "ref" if reference.is_some() => out.object("ref", |out| {
                    out.string("name", reference.unwrap_or_default());
                    out.members_except(value, &["name"], edits);
                }),
                other => out.edited(other, value, edits),
            }
        }
    }
    let written = object(|out| write_meta(arrival, params.and_then(meta::of), edits, id, revision, out));
    if written != b"{}" {
        out.json("_meta", &written);
    }
}

/// `_meta`: vendors' keys pass, ours never do, and those of an era stay in it.
fn write_meta(
    arrival: &Arrival,
    given: Option<Node<'_>>,
    edits: &Edits,
    id: Option<i64>,
    revision: Revision,
    out: &mut ObjectWriter<'_>,
) {
    let modern = revision.era() == Era::Modern;
    for (key, value) in given.into_iter().flat_map(Node::members) {
        let name = key.as_str().unwrap_or_default();
        let of_an_era = meta::MODERN_REQUEST_KEYS.contains(&name.as_ref()) && name != meta::LOG_LEVEL;
        let drop_level = name == meta::LOG_LEVEL && !modern;
        if meta::is_ours(&name) || of_an_era || drop_level {
            continue;
        }
        match id {
            // Ids are renumbered, and so are the tokens that name their progress.
            Some(id) if name == meta::PROGRESS_TOKEN => out.integer(meta::PROGRESS_TOKEN, id),
            _ => out.edited(&name, value, edits),
        }
    }
    if modern {
        out.string(meta::PROTOCOL_VERSION, revision.as_str());
        out.object(meta::CLIENT_INFO, write_identity);
        let declared = arrival.capabilities.document().map(|document| document.root());
        match declared.filter(|declared| declared.kind() == Kind::Object) {
            Some(declared) => out.node(meta::CLIENT_CAPABILITIES, declared),
            None => out.object(meta::CLIENT_CAPABILITIES, |_| {}),
        }
    }
}

/// Arguments that the pinned tool has mirrored in headers, as they are sent: after redaction, like the body.
pub(crate) fn mirrored_params(call: &Passed<Recorded>) -> Vec<(String, String)> {
    let (Some(item), Ok(Target::Tool { arguments, .. })) =
        (call.resolution().item(), target(&call.arrival().message))
    else {
        return Vec::new();
    };
    let schema = item.definition().document().root().get("inputSchema");
    let params = schema.map(mcp::mirrored_params).and_then(Result::ok);
    let sent = |argument| {
        let text = object(|out| out.edited("sent", argument, call.outgoing()));
        let text = Document::parse(text, Keys::Exact, &wire::bounds::REQUEST).ok()?;
        MirroredParam::value(text.root().get("sent")?)
    };
    let header = |param: MirroredParam| {
        let value = sent(param.argument(arguments)?)?;
        Some((param.header().to_owned(), value))
    };
    params
        .unwrap_or_default()
        .into_iter()
        .filter_map(header)
        .collect()
}

/// `notifications/cancelled` for a request of ours.
pub(crate) fn cancelled(id: i64) -> Vec<u8> {
    jsonrpc::notification(Method::NotificationsCancelled, |params| {
        params.integer("requestId", id);
        params.string("reason", "the caller withdrew the call");
    })
}

/// `_meta` of a request of the gateway's own, where the era needs one. It declares nothing the gateway
/// could be asked to do.
pub(crate) fn own_meta(revision: Revision, params: &mut ObjectWriter<'_>) {
    if revision.era() == Era::Modern {
        params.object("_meta", |out| {
            out.string(meta::PROTOCOL_VERSION, revision.as_str());
            out.object(meta::CLIENT_INFO, write_identity);
            out.object(meta::CLIENT_CAPABILITIES, |_| {});
        });
    }
}
