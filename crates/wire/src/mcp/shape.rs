//! Results as each era writes them (2026-07-28 changelog; bridging rules in `docs/bridging.md`).
//!
//! The modern era says of each result whether it is complete, and of each list how long and by whom it may
//! be kept. The legacy era knows none of that, and strict peers of it refuse what they do not know.

use super::{Era, Method, Revision, meta};
use crate::json::{Edits, Kind, Node, ObjectWriter, extended, object};

/// Members only the modern era has.
const MODERN: [&str; 3] = ["resultType", "ttlMs", "cacheScope"];

/// Writes a result that came in one era for a peer that speaks a revision.
///
/// Lists are always private to the caller: policy has trimmed them for it, so nobody else may be shown them
/// from a cache; and they are to be asked for again, since policy may change.
#[must_use]
pub fn result(result: Node<'_>, edits: &Edits, from: Era, to: Revision, method: Method) -> Vec<u8> {
    let (start, end) = result.span();
    let mut writer = crate::json::Writer::with_capacity(end - start + 128);
    writer.object(|out| {
        // What else a result may be was judged before it came here. A server of sessions does not know the member.
        let is_told = |kind: Node<'_>| kind.is_str("complete") || kind.is_str("task");
        let kind = result.get("resultType").filter(|kind| is_told(*kind));
        let kind = kind.filter(|_| from == Era::Modern && to.era() == Era::Modern);
        for (key, value) in result.members() {
            let name = key.as_str().unwrap_or_default();
            let of_modern = MODERN
                .iter()
                .find(|of_modern| of_modern.eq_ignore_ascii_case(&name));
            let is_gone = match (of_modern, to.era()) {
                (None, era) => name == "_meta" || is_question(&name, method, era),
                (Some(&"resultType"), Era::Legacy) => from == Era::Modern || name == "resultType",
                (Some(_), Era::Legacy) => from == Era::Modern,
                // Two of a name would have two meanings.
                (Some(&"resultType"), Era::Modern) => kind.is_none() || name != "resultType",
                (Some(_), Era::Modern) => is_cacheable(method),
            };
            if !is_gone {
                out.member(key, value, edits);
            }
        }
        if to.era() == Era::Modern {
            write_modern(out, method, kind.is_none());
        }
        let written = object(|out| write_meta(result, edits, out));
        if written != b"{}" {
            out.json("_meta", &written);
        }
    });
    writer.into_bytes()
}

/// Writes a result of the gateway's own for a peer that speaks a revision.
#[must_use]
pub fn own(result: &[u8], to: Revision, method: Method) -> Vec<u8> {
    if to.era() == Era::Legacy {
        return result.to_vec();
    }
    extended(result, |out| write_modern(out, method, true))
}

/// Members by which an answer asks: only the gateway's own word. What a task asks was judged
/// question by question when it stands there.
fn is_question(name: &str, method: Method, to: Era) -> bool {
    match name {
        "inputRequests" => method != Method::TasksGet || to == Era::Legacy,
        "requestState" => true,
        _ => false,
    }
}

fn write_modern(out: &mut ObjectWriter<'_>, method: Method, complete: bool) {
    if complete {
        out.string("resultType", "complete");
    }
    if is_cacheable(method) {
        out.integer("ttlMs", 0);
        out.string("cacheScope", "private");
    }
}

/// Results the modern era lets clients keep.
fn is_cacheable(method: Method) -> bool {
    matches!(
        method,
        Method::PromptsList
            | Method::ResourcesList
            | Method::ResourcesRead
            | Method::ResourcesTemplatesList
            | Method::ServerDiscover
            | Method::ToolsList
    )
}

/// `_meta` of a result: vendors' keys pass, ours are never an upstream's to set.
fn write_meta(result: Node<'_>, edits: &Edits, out: &mut ObjectWriter<'_>) {
    let given = result.get("_meta").filter(|given| given.kind() == Kind::Object);
    for (key, value) in given.into_iter().flat_map(Node::members) {
        let name = key.as_str().unwrap_or_default();
        if !meta::is_ours(&name) {
            out.member(key, value, edits);
        }
    }
    for (key, text) in edits.added_meta() {
        out.json(key, text);
    }
}
