//! What a tool does, by the operator's manifest where there is one and by its name otherwise, and by which
//! words a person asks for it. A tool's own annotations are hearsay and are not looked at.

use std::{
    collections::{BTreeSet, HashMap},
    sync::LazyLock,
};

use super::words::{name_words, share, stem, stems, topics};
use crate::resource::Sink;

/// A kind of doing that people have words for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Deed {
    Pay,
    Message,
    Buy,
    Delete,
    Refund,
    Grant,
    Handover,
    Credential,
    Schedule,
    Rate,
    File,
    Code,
    Visit,
    Update,
}

/// Which reach a call has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reach {
    /// It only reads.
    Read,
    /// It completes what another call began: a code is entered, a login made.
    Confirm,
    /// It changes something that stays inside.
    Write,
    /// It fetches from an address, so that the address itself is told something.
    Visit,
    /// It hands something to somebody.
    Egress,
    /// It destroys, or cannot be taken back.
    Destructive,
}

/// What a call does.
#[derive(Clone, Debug)]
pub(super) struct Act {
    pub(super) reach: Reach,
    pub(super) deeds: Vec<Deed>,
    additive: bool,
    /// The words of the tool's name, for what has no deed.
    words: Vec<String>,
}

/// A deed, the words tools are named with, and the words people ask with.
struct Entry(Deed, &'static str, &'static str);

const DEEDS: [Entry; 14] = [
    Entry(
        Deed::Pay,
        "pay payment transfer wire remit donate money",
        "pay payment transfer send money bill rent fee remit wire donate settle reimburse refund",
    ),
    Entry(
        Deed::Message,
        "send email mail reply forward message post publish share comment notify sms tweet issue chat dm",
        "send email mail reply forward message tell inform notify greet greeting contact ask invite share post \
         publish comment write respond answer issue announce remind thank dm",
    ),
    Entry(
        Deed::Buy,
        "cart checkout buy purchase order reserve book",
        "buy rebuy purchase order shop reserve reservation book booking get cart checkout",
    ),
    Entry(
        Deed::Delete,
        "delete remove clear drop purge erase unstar destroy wipe trash rm unlink truncate",
        "delete remove clear drop purge erase clean empty unstar cancel destroy wipe unsubscribe",
    ),
    Entry(Deed::Refund, "refund cancel return", "refund cancel return"),
    Entry(
        Deed::Grant,
        "invite grant collaborators collaborator ssh key permission permissions role participants member",
        "invite grant collaborator access permission member participant key add include give allow join",
    ),
    Entry(
        Deed::Handover,
        "ownership owner",
        "transfer owner ownership handover",
    ),
    Entry(
        Deed::Credential,
        "password credential token secret",
        "password credential token reset",
    ),
    Entry(
        Deed::Schedule,
        "calendar event schedule reschedule meeting appointment",
        "calendar event schedule reschedule meeting appointment invite remind reminder book",
    ),
    Entry(
        Deed::Rate,
        "star like rate follow vote review unstar unlike unfollow",
        "star rate follow vote review unstar",
    ),
    Entry(
        Deed::File,
        "create dir directory move copy node write save download rename edit append mkdir file",
        "save download upload copy move create write put store file folder directory sync export rename get add \
         append insert edit update document",
    ),
    Entry(
        Deed::Code,
        "push pull clone commit merge fork repo upload branch",
        "upload push pull clone commit merge sync update repository repo github fork",
    ),
    Entry(
        Deed::Visit,
        "browse click visit open navigate webpage goto url link input fill submit form",
        "visit browse open click link website webpage www url http page go accept register reserve sign",
    ),
    Entry(
        Deed::Update,
        "update set change edit modify reschedule",
        "update change set modify edit complete fulfil adjust adapt correct move shift",
    ),
];

const READS: &[&str] = &[
    "check", "count", "describe", "explain", "fetch", "find", "get", "history", "inspect", "list", "look",
    "lookup", "preview", "query", "read", "search", "select", "show", "stat", "status", "total", "view",
];
const CONFIRMS: &[&str] = &[
    "authenticate",
    "confirm",
    "login",
    "logon",
    "signin",
    "validate",
    "verify",
];
/// What has no effect before it is committed by another call.
const DRAFTS: &[&str] = &["basket", "cart", "draft"];

/// The deeds a tool is named after by a word.
fn named_by(word: &str) -> &'static [Deed] {
    static WORDS: LazyLock<HashMap<&'static str, Vec<Deed>>> = LazyLock::new(|| {
        let mut words: HashMap<_, Vec<Deed>> = HashMap::new();
        for entry in &DEEDS {
            for word in entry.1.split_whitespace() {
                words.entry(word).or_default().push(entry.0);
            }
        }
        words
    });
    WORDS.get(word).map_or(&[], Vec::as_slice)
}

/// Whether a stem is one that people ask for deeds or readings with.
pub(super) fn is_verb(stemmed: &str) -> bool {
    let asked = DEEDS.iter().flat_map(|entry| entry.2.split_whitespace());
    asked
        .chain(READS.iter().copied())
        .any(|word| stem(word) == stemmed)
}

impl Act {
    /// What calling `tool` does; `addressed` says whether the arguments hold a network address. What the
    /// operator says of the tool's sink is never softened by its name.
    pub(super) fn of(tool: &str, sink: Option<Sink>, addressed: bool) -> Self {
        let words = name_words(tool);
        let (named, deeds) = by_name(&words, addressed);
        let reach = match sink {
            Some(Sink::Read) if addressed => Reach::Visit,
            Some(Sink::Read) => Reach::Read,
            Some(Sink::Write) => Reach::Write,
            Some(Sink::Egress) => Reach::Egress,
            Some(Sink::Destructive) => Reach::Destructive,
            Some(Sink::Unknown) | None => named,
        };
        let additive = adds_files(&words);
        Self {
            reach,
            deeds,
            additive,
            words,
        }
    }

    /// Whether it takes something away for good, rather than moving money or goods that can be moved back.
    pub(super) fn is_for_good(&self) -> bool {
        let deeds = [Deed::Delete, Deed::Handover];
        self.reach == Reach::Destructive && self.deeds.iter().any(|deed| deeds.contains(deed))
    }

    /// Whether it only adds to the files at hand.
    pub(super) fn is_additive(&self) -> bool {
        self.additive
    }

    /// Whether a task asks for such a deed in so many words.
    pub(super) fn asked_by(&self, task_stems: &BTreeSet<String>, task_topics: &BTreeSet<String>) -> bool {
        if self.deeds.is_empty() {
            return share(&topics(&self.words.join(" ")), task_topics);
        }
        let entries = DEEDS.iter().filter(|entry| self.deeds.contains(&entry.0));
        entries
            .into_iter()
            .any(|entry| share(&stems(entry.2), task_stems))
    }
}

fn by_name(words: &[String], addressed: bool) -> (Reach, Vec<Deed>) {
    let has = |names: &[&str]| words.iter().any(|word| names.contains(&word.as_str()));
    // In the order of `DEEDS`, which is that of the type.
    let deeds: BTreeSet<Deed> = words.iter().flat_map(|word| named_by(word)).copied().collect();
    let deeds: Vec<Deed> = deeds.into_iter().collect();
    let leading = words.iter().find(|word| {
        let word = word.as_str();
        READS.contains(&word) || CONFIRMS.contains(&word) || !named_by(word).is_empty()
    });
    let leads = |names: &[&str]| leading.is_some_and(|word| names.contains(&word.as_str()));
    if leads(CONFIRMS) {
        return (Reach::Confirm, deeds);
    }
    let retrieves = leads(READS) || words.iter().any(|word| word == "download");
    if retrieves && !addressed || words.iter().any(|word| word == "total") {
        return (Reach::Read, Vec::new());
    }
    if addressed {
        let deed = if deeds.contains(&Deed::File) {
            Deed::File
        } else {
            Deed::Visit
        };
        let hands = has(&["input", "fill", "submit", "post", "upload", "send"]);
        return (if hands { Reach::Egress } else { Reach::Visit }, vec![deed]);
    }
    if has(DRAFTS) {
        return (Reach::Write, vec![Deed::Buy]);
    }
    if adds_files(words) {
        return (Reach::Write, vec![Deed::File]);
    }
    graded(&deeds, has(&["money", "payment", "pay"]), has(&["push"]))
}

fn adds_files(words: &[String]) -> bool {
    let has = |names: &[&str]| words.iter().any(|word| names.contains(&word.as_str()));
    has(&["copy", "mkdir"]) || has(&["create", "make"]) && has(&["dir", "directory", "folder"])
}

/// The gravest reading of the deeds.
fn graded(deeds: &[Deed], money: bool, push: bool) -> (Reach, Vec<Deed>) {
    let of = |among: &[Deed]| {
        deeds
            .iter()
            .copied()
            .filter(|deed| among.contains(deed))
            .collect::<Vec<_>>()
    };
    if money {
        return (Reach::Egress, vec![Deed::Pay]);
    }
    let grave = of(&[Deed::Delete, Deed::Handover, Deed::Refund]);
    if !grave.is_empty() {
        return (Reach::Destructive, grave);
    }
    let outward = of(&[Deed::Pay, Deed::Message, Deed::Grant]);
    if !outward.is_empty() {
        return (Reach::Egress, outward);
    }
    if push {
        return (Reach::Egress, vec![Deed::Code]);
    }
    let inward = [
        Deed::Buy,
        Deed::Credential,
        Deed::Schedule,
        Deed::Rate,
        Deed::Code,
        Deed::File,
        Deed::Update,
        Deed::Visit,
    ];
    let first = inward.into_iter().find(|deed| deeds.contains(deed));
    (Reach::Write, first.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_judged_by_its_name() {
        let known = [
            ("get_unread_mails", false, Reach::Read),
            ("search_product", false, Reach::Read),
            ("get_page", true, Reach::Visit),
            ("fill_form", true, Reach::Egress),
            ("send_mail", false, Reach::Egress),
            ("sendMoney", false, Reach::Egress),
            ("delete_node", false, Reach::Destructive),
            ("transfer_ownership", false, Reach::Destructive),
            ("cart_remove_product", false, Reach::Write),
            ("verify_code", false, Reach::Confirm),
            ("frobnicate", false, Reach::Write),
        ];
        for (tool, addressed, reach) in known {
            assert_eq!(Act::of(tool, None, addressed).reach, reach, "{tool}");
        }
    }

    #[test]
    fn the_operators_word_outweighs_the_name() {
        assert_eq!(
            Act::of("get_page", Some(Sink::Egress), false).reach,
            Reach::Egress
        );
        assert_eq!(Act::of("send_mail", Some(Sink::Read), false).reach, Reach::Read);
    }

    #[test]
    fn a_deed_is_asked_for_in_any_form_of_its_words() {
        let task = "Please reply to Ann's mails and delete the old ones.";
        let asked = |tool: &str| Act::of(tool, None, false).asked_by(&stems(task), &topics(task));
        assert!(asked("send_mail") && asked("delete_mail"));
        assert!(!asked("set_password") && !asked("create_event"));
    }
}
