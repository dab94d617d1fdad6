//! The ledger of a running gateway.

use records::ledger::{ReadError, entry::export};
use wire::json::{Document, Keys, Node, object};

use super::Args;
use crate::{failure::Failure, listen::House};

/// Most entries of one answer, and how many there are unless told.
const ENTRIES_MAX: u64 = 200;
const ENTRIES: u64 = 50;
/// Most entries looked at for one answer: a filter that fits nothing comes to an end, too.
const LOOKED_AT_MAX: u64 = 20_000;
/// Entries read at a time.
const PAGE: u64 = 256;

/// Publishes everything written so far, so that whoever reads the files next sees it.
pub(super) async fn settle(house: &House) -> Result<Vec<u8>, Failure> {
    let ledger = house.engines.journal.ledger();
    let written = ledger.status().written;
    if let Some(last) = written.checked_sub(1) {
        ledger
            .covered(last)
            .await
            .map_err(|error| Failure::unreachable(error.to_string()))?;
    }
    Ok(object(|out| out.integer("size", written)))
}

/// Entries, the newest first, with `next` where there may be older ones.
pub(super) async fn entries(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let number = |name: &str| match args.text(name) {
        None => Ok(None),
        Some(text) => text
            .parse::<u64>()
            .map(Some)
            .map_err(|_| Failure::configuration(format!("`{name}`: `{text}` is not a number"))),
    };
    let (before, limit) = (number("before")?, number("limit")?);
    let limit = usize::try_from(limit.unwrap_or(ENTRIES).min(ENTRIES_MAX)).unwrap_or(0);
    let wanted = Wanted {
        call: args.text("call"),
        texts: ["kind", "decision", "server"].map(|name| (name, args.text(name))),
        agent: args.text("agent"),
    };
    settle(house).await?;
    let reader = &house.console.ledger;
    let size = reader.head().map_err(unreadable)?.size;
    let mut end = before.unwrap_or(size).min(size);
    let stop = end.saturating_sub(LOOKED_AT_MAX);
    let mut found = Vec::new();
    while end > stop && found.len() < limit {
        let from = end.saturating_sub(PAGE).max(stop);
        let page = reader.page(from..end, usize::try_from(end - from).unwrap_or(0));
        for stored in page.map_err(unreadable)?.iter().rev() {
            if found.len() >= limit {
                break;
            }
            end = stored.index;
            // What cannot be read is shown as that, whatever was asked for: it is what an operator wants to know.
            let exported = export(stored.index, &stored.bytes);
            let exported = exported.unwrap_or_else(|error| {
                object(|out| {
                    out.integer("index", stored.index);
                    out.string("error", &error.to_string());
                })
            });
            let document = Document::parse(exported, Keys::Exact, &wire::bounds::ANSWER);
            let document = document.map_err(|error| Failure::other(error.to_string()))?;
            if wanted.is(document.root()) {
                found.push(document);
            }
        }
    }
    Ok(object(|out| {
        out.integer("size", size);
        if end > 0 {
            out.integer("next", end);
        }
        out.array("entries", |list| {
            found.iter().for_each(|one| list.node(one.root()))
        });
    }))
}

/// Which entries are wanted.
struct Wanted {
    call: Option<String>,
    texts: [(&'static str, Option<String>); 3],
    agent: Option<String>,
}

impl Wanted {
    fn is(&self, entry: Node<'_>) -> bool {
        let says = |node: Option<Node<'_>>, text: &Option<String>| {
            text.as_ref()
                .is_none_or(|text| node.is_some_and(|node| node.is_str(text)))
        };
        says(entry.get("call"), &self.call)
            && self.texts.iter().all(|(name, text)| says(entry.get(name), text))
            && says(
                entry.get("principal").and_then(|who| who.get("agent")),
                &self.agent,
            )
    }
}

fn unreadable(error: ReadError) -> Failure {
    Failure::other(format!("the ledger cannot be read: {error}"))
}
