//! Words to which the protocols give a meaning. What was found elsewhere may be spelt alike: a password may be `image`. They stay
//! as they are, since one of a list that everybody knows says nothing; and nothing is rewritten into one, or into another
//! type or address than its server named.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    sync::LazyLock,
};

use pipeline::{Objection, refusal};
use wire::json::{Kind, Node};

use super::rewrite::text_of;

/// Names of members of results, questions, notices and conversations with models.
static NAMES: List = List::new(|| {
    words(
        "_meta action annotations arguments audience blob cacheScope cited_text completion content \
         contents data description elicitationId error finish_reason hasMore icons id includeContext \
         input inputRequests isError lastModified level logger maxTokens media_type message messages \
         metadata mime_type mimeType mode model name nextCursor output params priority progress \
         progressToken quote reason refusal requestId requestState requestedSchema resource resources \
         resourceTemplates result resultType role root size status statusMessage stop_reason stopReason \
         structuredContent summary systemPrompt task taskId text thinking title toolChoice tool_calls \
         tools total ttlMs type uri uriTemplate url usage values",
    )
});

/// Members whose value is one of the words below.
static WORDED: List = List::new(|| {
    words(
        "action audience cacheScope finish_reason includeContext level mode resultType role status \
         stop_reason stopReason type",
    )
});

/// Those words.
static WORDS: List = List::new(|| {
    words(
        "accept alert allServers any array assistant audio auto boolean cancel cancelled complete \
         completed content_filter critical custom debug decline developer document elicitation emergency \
         end_turn endTurn error failed file form function function_call function_call_output image \
         image_url in_progress info input_audio input_file input_image input_required input_text integer \
         length max_tokens maxTokens message model none notice null number object output_text private \
         public reasoning redacted_thinking ref/prompt ref/resource refusal required resource \
         resource_link server_tool_use stop stop_sequence stopSequence string summary_text system task \
         text thinking thisServer tool tool_calls tool_result tool_use toolUse url user warning \
         web_search_tool_result working",
    )
});

/// Members that say what kind of content stands beside them, and the kinds that say nothing else.
static TYPED: List = List::new(|| words("media_type mimeType mime_type"));
static TYPES: List = List::new(|| {
    words(
        "application/javascript application/json application/octet-stream application/pdf application/xml \
         application/yaml application/zip audio/flac audio/mpeg audio/ogg audio/wav audio/webm image/avif \
         image/bmp image/gif image/jpeg image/png image/svg+xml image/tiff image/webp text/css text/csv \
         text/html text/html;profile=mcp-app text/javascript text/markdown text/plain text/xml video/mp4 \
         video/webm",
    )
});

/// Members that are addresses, and the schemes of most.
static ADDRESSED: List = List::new(|| words("uri uriTemplate url"));
static SCHEMES: List = List::new(|| words("blob data file ftp git http https mailto ssh tel ui urn ws wss"));

/// Members below which all is a server's own, whatever it is called.
static OWN: List = List::new(|| {
    words(
        "_meta arguments data input inputSchema input_schema outputSchema parameters requestedSchema \
         structuredContent",
    )
});

type List = LazyLock<HashSet<&'static str>>;

fn words(list: &'static str) -> HashSet<&'static str> {
    list.split_ascii_whitespace().collect()
}

/// The closed words of one content. They are looked for when something is to be changed.
pub(super) struct Closed<'c> {
    said: Node<'c>,
    /// By place, how many bytes of a text belong to one.
    known: OnceCell<HashMap<u32, usize>>,
}

impl<'c> Closed<'c> {
    pub(super) fn of(said: Node<'c>) -> Self {
        Self {
            said,
            known: OnceCell::new(),
        }
    }

    /// Whether a stretch of a text is one, or within one.
    pub(super) fn hold(&self, place: u32, span: &Range<usize>) -> bool {
        let length = self.known.get_or_init(|| known(self.said)).get(&place);
        length.is_some_and(|length| span.end <= *length)
    }
}

fn known(said: Node<'_>) -> HashMap<u32, usize> {
    let mut known = HashMap::new();
    for object in said.walk().filter(|node| node.kind() == Kind::Object) {
        for (key, value) in object.members() {
            let name = text_of(key);
            if NAMES.contains(name.as_ref()) {
                // What is found in a text often begins a word before: in the name, whatever follows it.
                known.insert(key.place(), usize::MAX);
            }
            if ![&WORDED, &TYPED, &ADDRESSED]
                .iter()
                .any(|list| list.contains(name.as_ref()))
            {
                continue;
            }
            let each = value.elements().chain([value]);
            for value in each.filter(|value| value.kind() == Kind::String) {
                known.extend(length(&name, &text_of(value)).map(|length| (value.place(), length)));
            }
        }
    }
    known
}

/// How much of the value of a member is a closed word.
fn length(name: &str, value: &str) -> Option<usize> {
    let is_closed =
        WORDED.contains(name) && WORDS.contains(value) || TYPED.contains(name) && TYPES.contains(value);
    if is_closed {
        return Some(value.len());
    }
    let scheme = scheme(value).filter(|scheme| ADDRESSED.contains(name) && SCHEMES.contains(scheme))?;
    Some(scheme.len())
}

/// What an address begins with, in whatever case (RFC 3986, section 3.1).
fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let is_one = |c: u8| c.is_ascii_alphanumeric() || b"+-.".contains(&c);
    (scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(is_one)).then_some(scheme)
}

/// Whether these texts, in their places, leave what the protocol gives a meaning to what it was.
///
/// # Errors
/// When one becomes such a word, another type, or an address of another scheme. It cannot be told what that would mean.
pub(super) fn keeps_meaning(said: Node<'_>, texts: &BTreeMap<u32, String>) -> Result<(), Objection> {
    if texts.is_empty() {
        return Ok(());
    }
    let mut below = vec![said];
    while let Some(node) = below.pop() {
        below.extend(node.elements());
        for (key, value) in node.members() {
            let name = text_of(key);
            let becomes_one = texts
                .get(&key.place())
                .is_some_and(|text| NAMES.contains(text.as_str()));
            let each = value.elements().chain([value]);
            let mut texts = each.filter_map(|value| Some((value, texts.get(&value.place())?)));
            if becomes_one || texts.any(|(value, text)| means_else(&name, &text_of(value), text)) {
                let why = "what has to be hidden stands where the protocol says what an answer is, or makes it say so";
                return Err(Objection::new(&refusal::OBLIGATION_UNMET, why).showing(why));
            }
            if !OWN.contains(name.as_ref()) {
                below.push(value);
            }
        }
    }
    Ok(())
}

/// Whether a member that is changed means something else.
fn means_else(name: &str, before: &str, now: &str) -> bool {
    TYPED.contains(name)
        || WORDED.contains(name) && WORDS.contains(now)
        || ADDRESSED.contains(name) && scheme(now).is_some_and(|now| !leads_on(scheme(before), now))
}

/// Whether an address leads as before: by the same scheme, or nowhere (`defang`).
fn leads_on(before: Option<&str>, now: &str) -> bool {
    before == Some(now) || now.starts_with("hxxp")
}

#[cfg(test)]
mod tests {
    use wire::{
        bounds::ANSWER,
        json::{Document, Keys},
    };

    use super::{super::rewrite::keys_of, *};

    const SAID: &str = r#"{"content":[{"type":"image","mimeType":"image/png","data":"AAAA"},
        {"type":"resource_link","uri":"https://image.example/image","name":"image","mimeType":"image/x-image"},
        {"type":"im age","annotations":{"audience":["user","ann"]}}],
        "structuredContent":{"type":"circle","pass":"image","mimeType":"image/x-image"},"isError":true}"#;

    #[test]
    fn closed_words_stay_and_nothing_else_does() {
        let said = Document::parse(SAID.into(), Keys::Exact, &ANSWER).expect("JSON");
        let said = said.root();
        let closed = Closed::of(said);
        let names: Vec<u32> = keys_of(said).map(|name| name.place()).collect();
        let is_held = |node: &Node<'_>| closed.hold(node.place(), &(0..text_of(*node).len().min(5)));
        let texts = said
            .walk()
            .filter(|node| node.kind() == Kind::String && is_held(node));
        let texts = texts.filter(|node| !names.contains(&node.place()));
        let held: Vec<_> = texts.map(text_of).collect();
        let expected = [
            "image",
            "image/png",
            "resource_link",
            "https://image.example/image",
            "user",
        ];
        assert_eq!(held, expected);
        let others = keys_of(said).filter(|name| !is_held(name)).map(text_of);
        assert_eq!(others.collect::<Vec<_>>(), ["pass"], "a name of its own");
        let address = said.walk().find(|node| text_of(*node).starts_with("https"));
        let place = address.expect("it is there").place();
        assert!(!closed.hold(place, &(8..13)), "its host is the server's");
    }

    #[test]
    fn nothing_is_rewritten_into_what_means_something_else() {
        let said = Document::parse(SAID.into(), Keys::Exact, &ANSWER).expect("JSON");
        let said = said.root();
        let becomes = |before: &str, now: &str, nth: usize| {
            let keys = said.walk().flat_map(|node| node.members().map(|(key, _)| key));
            let mut found = said.walk().chain(keys).filter(|node| node.is_str(before));
            let place = found.nth(nth).expect("it is there").place();
            keeps_meaning(said, &BTreeMap::from([(place, now.to_owned())])).is_ok()
        };
        for (before, now) in [
            ("im age", "image"),
            ("ann", "assistant"),
            ("image/x-image", "image/x-[redacted]"),
            ("https://image.example/image", "P-7Q2XKA://image.example/image"),
            ("pass", "text"),
        ] {
            let is_own = before == "pass";
            assert_eq!(becomes(before, now, 0), is_own, "{before}: {now}");
        }
        for (before, now) in [
            ("im age", "[redacted: secret/x]"),
            ("https://image.example/image", "https://image.example/p-7q2"),
            ("https://image.example/image", "[redacted: secret/x]"),
        ] {
            assert!(becomes(before, now, 0), "{before}: {now}");
        }
        assert!(becomes("image/x-image", "circle", 1), "a server's own data");
    }
}
