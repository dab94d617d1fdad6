//! Writing an entry: canonical, and never too long.
//!
//! Every text and list has a limit, and the limits are such that the longest entry fits the 16-bit length
//! of an entry bundle. What exceeds its limit is cut, and the entry says so: `truncated: true`. Nothing is
//! ever refused for its length, for a record of an attack must not fail because the attack was long.

use std::{borrow::Cow, collections::BTreeMap};

use wire::json::{ObjectWriter, Writer};

use super::{Entry, Finding, SCHEMA_VERSION, Value};
use crate::{digest::Sha256, ledger::merkle::leaf_hash};

/// Longest entry: what an entry bundle can hold (C2SP tlog-tiles).
pub const ENTRY_BYTES_MAX: usize = 65_535;

/// Bytes of a name: who, where, which, as JSON writes it.
const NAME_BYTES_MAX: usize = 256;
/// Bytes of a tool's name, which may be a URI.
const TOOL_BYTES_MAX: usize = 2_048;
/// Bytes of a reason.
const REASON_BYTES_MAX: usize = 4_096;
/// Bytes of a word: a kind, a detector, a category, the key of a detail.
const WORD_BYTES_MAX: usize = 64;
/// Bytes of a keyed digest of a person.
const SUBJECT_BYTES_MAX: usize = 80;
/// Elements of a list.
const LIST_MAX: usize = 32;
/// Members of `detail`.
const DETAILS_MAX: usize = 24;

/// Names an entry can hold outside lists.
const NAMES: usize = 23;
/// Most bytes of keys, punctuation, numbers and closed words.
const FRAME_BYTES_MAX: usize = 1_024;
const LISTS_BYTES_MAX: usize = 3 * LIST_MAX * (NAME_BYTES_MAX + 3)
    + LIST_MAX * (WORD_BYTES_MAX + 3)
    + LIST_MAX * (SUBJECT_BYTES_MAX + 3);
const FINDINGS_BYTES_MAX: usize = LIST_MAX * (2 * WORD_BYTES_MAX + NAME_BYTES_MAX + 64);
const DETAIL_BYTES_MAX: usize = DETAILS_MAX * (WORD_BYTES_MAX + NAME_BYTES_MAX + 6);

/// INVARIANT (entry fits): whatever an entry holds, its text is at most this long.
const WORST_CASE_BYTES: usize = NAMES * NAME_BYTES_MAX
    + TOOL_BYTES_MAX
    + REASON_BYTES_MAX
    + LISTS_BYTES_MAX
    + FINDINGS_BYTES_MAX
    + DETAIL_BYTES_MAX
    + FRAME_BYTES_MAX;
const _: () = assert!(WORST_CASE_BYTES <= ENTRY_BYTES_MAX);

/// What nearly every entry fits: its text is not moved while it grows.
const USUAL_BYTES: usize = 1_536;

/// The largest integer all readers of JSON agree on.
const SAFE_INTEGER_MAX: u64 = (1 << 53) - 1;

/// An entry as it is stored, and the hash it has in the tree.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Encoded {
    bytes: Vec<u8>,
    leaf: Sha256,
}

impl Encoded {
    /// An entry that was stored, as it stands.
    #[must_use]
    pub fn from_stored(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            leaf: leaf_hash(bytes),
        }
    }

    /// The canonical text.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The hash of the leaf.
    #[must_use]
    pub fn leaf(&self) -> &Sha256 {
        &self.leaf
    }
}

impl<T: AsRef<str>> Entry<T> {
    /// The entry as it is stored.
    #[must_use]
    pub fn encode(&self) -> Encoded {
        let mut writer = Writer::with_capacity(USUAL_BYTES);
        writer.object(|out| self.write(out));
        let bytes = writer.into_bytes();
        let leaf = leaf_hash(&bytes);
        Encoded { bytes, leaf }
    }

    /// Writes the members in the order RFC 8785 demands: all keys are ASCII, so by their bytes.
    fn write(&self, out: &mut ObjectWriter<'_>) {
        let mut out = Cutting {
            out,
            cut: self.truncated,
        };
        out.name("action", &self.action);
        out.name("args_digest", &self.args_digest);
        out.name("call", &self.call);
        out.name("code", &self.code);
        out.name("context", &self.context);
        out.word("decision", self.decision.map(super::Decision::as_str));
        out.detail(&self.detail);
        out.name("fault", &self.fault);
        out.findings(&self.findings);
        out.word("kind", Some(self.kind.as_str()));
        out.group("labels", |labels| {
            labels.list("categories", &self.labels.categories, WORD_BYTES_MAX);
            labels.name("confidentiality", &self.labels.confidentiality);
            labels.name("integrity", &self.labels.integrity);
        });
        out.name("method", &self.method);
        out.integer("ms", self.ms);
        out.list("obligations", &self.obligations, NAME_BYTES_MAX);
        out.name("pin", &self.pin);
        out.name("policy", &self.policy);
        out.group("principal", |principal| {
            principal.name("agent", &self.principal.agent);
            principal.name("model", &self.principal.model);
            principal.name("tenant", &self.principal.tenant);
            principal.name("user", &self.principal.user);
        });
        out.name("purpose", &self.purpose);
        out.text("reason", &self.reason, REASON_BYTES_MAX);
        out.name("result_digest", &self.result_digest);
        out.name("revision", &self.revision);
        out.list("rules", &self.rules, NAME_BYTES_MAX);
        out.name("server", &self.server);
        out.list("sources", &self.sources, NAME_BYTES_MAX);
        out.name("stage", &self.stage);
        out.list("subjects", &self.subjects, SUBJECT_BYTES_MAX);
        out.integer("time", Some(self.time_ms));
        out.group("tls", |tls| {
            tls.name("group", &self.tls.group);
            tls.name("version", &self.tls.version);
        });
        out.text("tool", &self.tool, TOOL_BYTES_MAX);
        out.name("transport", &self.transport);
        if out.cut {
            out.out.boolean("truncated", true);
        }
        out.integer("v", Some(SCHEMA_VERSION));
    }
}

/// Writes members, leaves out what is not there, cuts what is too long and remembers that it did.
struct Cutting<'o, 'w> {
    out: &'o mut ObjectWriter<'w>,
    cut: bool,
}

impl Cutting<'_, '_> {
    fn fit<'t>(&mut self, text: &'t str, bytes_max: usize) -> Cow<'t, str> {
        let fitted = shorten(text, bytes_max);
        self.cut |= matches!(fitted, Cow::Owned(_));
        fitted
    }

    fn word(&mut self, key: &str, word: Option<&str>) {
        if let Some(word) = word {
            self.out.string(key, word);
        }
    }

    fn name(&mut self, key: &str, name: &Option<impl AsRef<str>>) {
        self.text(key, name, NAME_BYTES_MAX);
    }

    fn text(&mut self, key: &str, text: &Option<impl AsRef<str>>, bytes_max: usize) {
        if let Some(text) = text {
            let text = self.fit(text.as_ref(), bytes_max);
            self.out.string(key, &text);
        }
    }

    fn integer(&mut self, key: &str, number: Option<u64>) {
        if let Some(number) = number {
            self.out.integer(key, number.min(SAFE_INTEGER_MAX));
        }
    }

    /// An object member, left out when nothing is in it.
    fn group(&mut self, key: &str, fill: impl FnOnce(&mut Cutting<'_, '_>)) {
        let mut cut = false;
        self.out.object_unless_empty(key, |out| {
            let mut inner = Cutting { out, cut: false };
            fill(&mut inner);
            cut = inner.cut;
        });
        self.cut |= cut;
    }

    fn few<'l, T>(&mut self, list: &'l [T]) -> &'l [T] {
        self.cut |= list.len() > LIST_MAX;
        list.get(..LIST_MAX).unwrap_or(list)
    }

    fn list(&mut self, key: &str, list: &[impl AsRef<str>], bytes_max: usize) {
        let list = self.few(list);
        if list.is_empty() {
            return;
        }
        let mut cut = false;
        self.out.array(key, |array| {
            for text in list {
                let fitted = shorten(text.as_ref(), bytes_max);
                cut |= matches!(fitted, Cow::Owned(_));
                array.string(&fitted);
            }
        });
        self.cut |= cut;
    }

    fn findings(&mut self, findings: &[Finding<impl AsRef<str>>]) {
        let findings = self.few(findings);
        if findings.is_empty() {
            return;
        }
        let mut cut = false;
        self.out.array("findings", |array| {
            for finding in findings {
                array.object(|out| {
                    let mut out = Cutting { out, cut: false };
                    out.text("detector", &finding.detector, WORD_BYTES_MAX);
                    let kind = out.fit(finding.kind.as_ref(), WORD_BYTES_MAX);
                    out.out.string("kind", &kind);
                    out.text("location", &finding.location, NAME_BYTES_MAX);
                    if let Some(millis) = finding.score_millis {
                        out.out.json("score", thousandths(millis).as_bytes());
                    }
                    cut |= out.cut;
                });
            }
        });
        self.cut |= cut;
    }

    fn detail<T: AsRef<str>>(&mut self, detail: &BTreeMap<T, Value<T>>) {
        self.cut |= detail.len() > DETAILS_MAX;
        let mut members: Vec<_> = detail
            .iter()
            .take(DETAILS_MAX)
            .map(|(key, value)| (self.fit(key.as_ref(), WORD_BYTES_MAX), value))
            .collect();
        // RFC 8785 section 3.2.3. Of ASCII alone it is the order they have.
        if !members.iter().all(|(key, _)| key.is_ascii()) {
            members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            // Two long keys may have become equal, with an ellipsis each: then the first one stands.
            members.dedup_by(|(a, _), (b, _)| a == b);
        }
        self.group("detail", |out| {
            for (key, value) in members {
                match value {
                    Value::Number(number) if number.unsigned_abs() <= SAFE_INTEGER_MAX => {
                        out.out.integer(&key, *number);
                    }
                    Value::Number(number) => out.out.string(&key, &number.to_string()),
                    Value::Text(text) => {
                        let text = out.fit(text.as_ref(), NAME_BYTES_MAX);
                        out.out.string(&key, &text);
                    }
                }
            }
        });
    }
}

/// A score as RFC 8785 writes the number: no zeros at its end.
fn thousandths(millis: u16) -> String {
    match millis {
        0 => "0".to_owned(),
        1..1000 => format!("0.{millis:03}").trim_end_matches('0').to_owned(),
        1000.. => "1".to_owned(),
    }
}

/// The text itself when JSON needs at most `bytes_max` bytes for it, its quotes not counted; otherwise
/// the longest beginning that does, with an ellipsis.
pub(super) fn shorten(text: &str, bytes_max: usize) -> Cow<'_, str> {
    const ELLIPSIS: char = '…';
    // Nearly every text: so short that it fits whatever is in it, since no byte needs more than six,
    if text.len() <= bytes_max / 6 {
        return Cow::Borrowed(text);
    }
    // or without anything that needs an escape. All of it is looked at: so many bytes are at a time.
    let escaped = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    if text.len() <= bytes_max && !text.bytes().fold(false, |any, byte| any | escaped(byte)) {
        return Cow::Borrowed(text);
    }
    let (mut needed, mut keep) = (0, 0);
    for (at, c) in text.char_indices() {
        needed += match c {
            '"' | '\\' | '\u{8}' | '\t' | '\n' | '\u{c}' | '\r' => 2,
            '\0'..' ' => 6,
            _ => c.len_utf8(),
        };
        if needed > bytes_max {
            let mut short = text.get(..keep).unwrap_or_default().to_owned();
            short.push(ELLIPSIS);
            return Cow::Owned(short);
        }
        if needed + ELLIPSIS.len_utf8() <= bytes_max {
            keep = at + c.len_utf8();
        }
    }
    Cow::Borrowed(text)
}
