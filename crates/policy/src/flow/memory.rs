//! What a context's results said, kept so that a value can be traced to where it was read. Bounded: the text
//! of old results gives way to fingerprints, which still answer "may it have come from there".

use std::{
    cell::OnceCell,
    collections::{BTreeSet, VecDeque},
    sync::OnceLock,
};

use memchr::memmem::Finder;

use super::{
    marks::{Grams, Runs},
    parts::as_read,
    place,
    sketch::{Mark, RUN, Sketch, next_where, runs, spaced_with, telling, telling_and_spoken},
    value::{Shape, Word},
    words::{small, squash, stem, topics, whole, whole_of, words},
};

/// Most results of which anything is remembered.
pub(super) const RESULTS_MAX: usize = 128;
/// Most bytes of text kept of one result.
const RESULT_BYTES_MAX: usize = 128 * 1024;
/// Most bytes of text kept in all.
const TEXT_BYTES_MAX: usize = 256 * 1024;
/// Most fingerprints of each sort kept of one result.
const MARKS_MAX: usize = 1024;
/// Fewest letters and digits of a value that is compared without its spacing and punctuation.
const SQUASHED_MIN: usize = 8;
/// Fewest bytes of an identifier in running text that is worth tracing.
const TRACED_MIN: usize = 6;
/// Bytes before and after a field that count as its record.
const BEFORE_BYTES: usize = 160;
const AFTER_BYTES: usize = 140;

/// Longest name of a member that is an object.
const KEY_BYTES_MAX: usize = 90;

/// Fields that name who wrote a record.
const AUTHORS: [&str; 4] = ["sender", "from", "author", "owner"];

/// Where a result came from.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Origin {
    /// The server that gave it.
    pub server: String,
    /// The tool that gave it.
    pub tool: String,
    /// Which call of the context it answered, from 1.
    pub step: u32,
}

/// One result.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    pub(super) origin: Origin,
    /// The operator trusts its source.
    pub(super) trusted: bool,
    /// A detector is sure of instructions in it.
    pub(super) hostile: bool,
    /// It is confidential or above.
    pub(super) confidential: bool,
    /// It is the content of a document the task means.
    pub(super) meant: bool,
    /// It answers a question asked in the task's own words.
    pub(super) answers_task: bool,
    /// It answers a question that only an untrusted result put.
    pub(super) answers_stranger: bool,
    /// Its records in small letters; empty once forgotten.
    records: Vec<String>,
    /// Of the letters and digits of the records, once a value is looked for in them: rules most of them out at once.
    grams: OnceLock<Grams>,
    /// The letters and digits of each record, once a number is looked for in them. A list of numbers is as many looks.
    squashed: OnceLock<Vec<String>>,
    /// Of the places the text names, in one form each; sorted, and empty once the text is forgotten.
    places: Vec<Mark>,
    /// Of its telling words and of those places: what still answers for the text once that is forgotten.
    pub(super) words: Sketch,
    /// Of its runs of words.
    pub(super) runs: Sketch,
}

/// The results of one context.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    results: VecDeque<Remembered>,
    bytes: usize,
}

/// A value that is looked for in many results.
pub(super) struct Sought<'v> {
    text: &'v str,
    /// Its telling words, once a result asks for them.
    telling: OnceCell<Vec<Mark>>,
    /// Looks for it, once a result may hold it.
    finder: OnceCell<Finder<'v>>,
}

/// A place where a value stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'m> {
    pub(super) result: &'m Remembered,
    /// The record and the place in it; none when only its fingerprint is left.
    place: Option<(&'m str, usize)>,
    length: usize,
}

impl<'v> Sought<'v> {
    pub(super) fn new(text: &'v str) -> Self {
        Self {
            text,
            telling: OnceCell::new(),
            finder: OnceCell::new(),
        }
    }

    fn telling(&self) -> &[Mark] {
        self.telling.get_or_init(|| telling(self.text))
    }

    /// Where it stands in a record as a whole.
    fn places<'s>(&'s self, record: &'s str) -> impl Iterator<Item = usize> + 's {
        whole_of(record, self.finder.get_or_init(|| Finder::new(self.text)))
    }
}

impl Remembered {
    pub(super) fn new(origin: Origin, text: &str) -> Self {
        let text = small(&as_read(text));
        let records = if text.len() <= RESULT_BYTES_MAX {
            records(&text)
        } else {
            Vec::new()
        };
        let (mut telling, spoken) = telling_and_spoken(&text);
        let places = place::marks(&text);
        telling.extend(&places);
        Self {
            places: if records.is_empty() { Vec::new() } else { places },
            records,
            ..Self::forgotten(
                origin,
                Sketch::of(telling, MARKS_MAX),
                Sketch::of(runs(&spoken, RUN).collect(), MARKS_MAX),
            )
        }
    }

    /// A result of which the text is gone.
    pub(super) fn forgotten(origin: Origin, words: Sketch, runs: Sketch) -> Self {
        Self {
            origin,
            trusted: false,
            hostile: false,
            confidential: false,
            meant: false,
            answers_task: false,
            answers_stranger: false,
            records: Vec::new(),
            grams: OnceLock::new(),
            squashed: OnceLock::new(),
            places: Vec::new(),
            words,
            runs,
        }
    }

    /// Whether it holds one value of this look and no other: then there is no doubt which one is meant.
    pub(super) fn singles_out(&self, value: &str) -> bool {
        let look = look(value);
        let parts =
            |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '\'' | '"' | '(' | ')' | '<' | '>');
        let tokens = self.records.iter().flat_map(|record| record.split(parts));
        let mut alike = tokens
            .map(|token| token.trim_matches(['.', ':', '!', '?']))
            .filter(|token| {
                let near = token.len() * 2 >= value.len() && token.len() <= value.len() * 2;
                near && self::look(token) == look
            });
        !self.records.is_empty() && alike.all(|token| token == value)
    }

    fn bytes(&self) -> usize {
        self.records.iter().map(String::len).sum()
    }

    /// Whether a value may have stood in the text, as far as that is known without reading it again.
    fn may_hold(&self, value: &Sought<'_>) -> bool {
        if !self.records.is_empty() {
            let grams = self.grams.get_or_init(|| Grams::of(&self.records.concat()));
            return grams.may_hold(value.text);
        }
        let words = value.telling();
        !words.is_empty() && words.iter().all(|word| self.words.may_hold(*word))
    }

    /// Whether a value stands in it.
    pub(super) fn holds(&self, value: &Sought<'_>) -> bool {
        let exactly = |record: &String| value.places(record).next().is_some();
        self.may_hold(value) && (self.records.iter().any(exactly) || self.holds_otherwise(value.text))
    }

    /// Of a result that may hold the value: whether it does, spaced otherwise or as far as is still known.
    fn holds_otherwise(&self, value: &str) -> bool {
        if self.records.is_empty() {
            return true;
        }
        // Numbers are what people space out: accounts, telephones.
        value.contains(|c: char| c.is_ascii_digit()) && self.holds_spaced(value)
    }

    /// Takes in what was said besides under the same name. What is remembered is remembered of the worse of both.
    fn take_in(&mut self, said: Self) {
        self.trusted &= said.trusted;
        self.hostile |= said.hostile;
        self.confidential |= said.confidential;
        // A text that is a part of what was said would answer for all of it.
        let is_whole = !self.records.is_empty() && !said.records.is_empty();
        let bytes = self.bytes() + said.bytes();
        self.words.join(said.words, MARKS_MAX);
        self.runs.join(said.runs, MARKS_MAX);
        self.grams = OnceLock::new();
        self.squashed = OnceLock::new();
        if is_whole && bytes <= RESULT_BYTES_MAX {
            self.records.extend(said.records);
            self.places.extend(said.places);
            self.places.sort_unstable();
        } else {
            self.records = Vec::new();
            self.places = Vec::new();
        }
    }

    /// Forgets the text. The fingerprints of its words still answer.
    fn forget(&mut self) {
        self.records = Vec::new();
        self.places = Vec::new();
        self.grams = OnceLock::new();
        self.squashed = OnceLock::new();
    }

    /// Whether it names a place, as far as that is known without reading it again.
    pub(super) fn names(&self, place: Mark) -> bool {
        match self.records.is_empty() {
            true => self.words.may_hold(place),
            false => self.places.binary_search(&place).is_ok(),
        }
    }

    /// Whether a number stands in a record that is spaced otherwise.
    fn holds_spaced(&self, number: &str) -> bool {
        let squashed = squash(number);
        let of_records = || self.records.iter().map(|record| squash(record)).collect();
        squashed.chars().count() >= SQUASHED_MIN
            && self
                .squashed
                .get_or_init(of_records)
                .iter()
                .any(|record| record.contains(&squashed))
    }

    /// Whether a good part of these runs of words was copied from here: half of them, or four.
    fn lent(&self, runs: &Runs) -> bool {
        runs.share(&self.runs, |known| (known / 2).clamp(1, 4))
    }

    /// Whether more than half of these runs of words was copied from here.
    pub(super) fn lent_most(&self, runs: &Runs) -> bool {
        runs.share(&self.runs, |known| known / 2 + 1)
    }
}

impl Memory {
    pub(super) fn add(&mut self, result: Remembered) {
        self.bytes += result.bytes();
        self.results.push_back(result);
        if self.results.len() > RESULTS_MAX {
            self.fold_oldest();
        }
        let mut oldest = 0;
        while self.bytes > TEXT_BYTES_MAX {
            let Some(result) = self.results.get_mut(oldest) else {
                break;
            };
            self.bytes -= result.bytes();
            result.forget();
            oldest += 1;
        }
    }

    /// Adds what is said bit by bit: all of one name is one result, so that many words push nothing else out.
    pub(super) fn add_to(&mut self, said: Remembered) {
        let is_same = |known: &Remembered| {
            known.origin.server == said.origin.server && known.origin.tool == said.origin.tool
        };
        let known = self.results.iter().position(is_same);
        let Some(mut known) = known.and_then(|at| self.results.remove(at)) else {
            return self.add(said);
        };
        self.bytes -= known.bytes();
        known.take_in(said);
        self.add(known);
    }

    /// Joins the two oldest: what is remembered of them is remembered of the worse of both.
    fn fold_oldest(&mut self) {
        let Some(first) = self.results.pop_front() else {
            return;
        };
        self.bytes -= first.bytes();
        if let Some(second) = self.results.front_mut() {
            second.trusted &= first.trusted;
            second.hostile |= first.hostile;
            second.confidential |= first.confidential;
            second.meant = false;
            second.answers_task = false;
            second.answers_stranger |= first.answers_stranger;
            second.words.join(first.words, MARKS_MAX);
            second.runs.join(first.runs, MARKS_MAX);
            self.bytes -= second.bytes();
            // A text that is half of what the record stands for would answer for all of it.
            second.forget();
        }
    }

    /// All that is remembered, oldest first.
    pub(super) fn results(&self) -> impl ExactSizeIterator<Item = &Remembered> {
        self.results.iter()
    }

    pub(super) fn result(&self, place: usize) -> Option<&Remembered> {
        self.results.get(place)
    }

    /// Every place a value stands in, exactly, or else without spacing and punctuation.
    pub(super) fn find<'m>(&'m self, value: &'m str) -> Vec<Found<'m>> {
        let mut found: Vec<Found<'m>> = Vec::new();
        let sought = Sought::new(value);
        for result in &self.results {
            let before = found.len();
            if !result.may_hold(&sought) {
                continue;
            }
            for record in &result.records {
                let places = sought.places(record).map(|at| Found {
                    result,
                    place: Some((record, at)),
                    length: value.len(),
                });
                found.extend(places);
            }
            if found.len() == before && result.holds_otherwise(value) {
                found.push(Found {
                    result,
                    place: None,
                    length: value.len(),
                });
            }
        }
        found
    }

    /// The results a longer text in small letters was copied from, in part or whole.
    pub(super) fn fragments(&self, text: &str) -> Vec<&Remembered> {
        let runs = Runs::of(text);
        let lenders = self.results.iter().filter(|result| result.lent(&runs));
        if runs.is_empty() {
            Vec::new()
        } else {
            lenders.collect()
        }
    }
}

impl Found<'_> {
    /// The text of the record the value stands in.
    pub(super) fn record(&self) -> &str {
        self.place.map(|(record, _)| record).unwrap_or_default()
    }

    /// Whether the value is the whole of a field, not a word of running text.
    pub(super) fn is_field(&self) -> bool {
        let Some((record, at)) = self.place else {
            return false;
        };
        let quotes = ['\'', '"', '\\', ' '];
        let before = record.get(..at).unwrap_or_default().trim_end_matches(quotes);
        let after = record
            .get(at + self.length..)
            .unwrap_or_default()
            .trim_start_matches(['\'', '"', '\\']);
        let opened = before.ends_with([':', '=', '(', '[', ',', '-']);
        let closed = after.is_empty()
            || after
                .trim_start_matches(' ')
                .starts_with([',', '}', ']', ')', '\n']);
        opened && closed
    }

    /// What the field's record is about: the text around it, and the name of the tool that gave it.
    pub(super) fn about(&self) -> BTreeSet<String> {
        let mut about = self.surroundings();
        about.extend(topics(&self.result.origin.tool.replace('_', " ")));
        about
    }

    /// What the text around the value is about, up to where the next part begins.
    pub(super) fn surroundings(&self) -> BTreeSet<String> {
        let mut about = BTreeSet::new();
        if let Some((record, at)) = self.place {
            let from = (at.saturating_sub(BEFORE_BYTES)..=at)
                .find(|n| record.is_char_boundary(*n))
                .unwrap_or(at);
            let end = (at + self.length + AFTER_BYTES).min(record.len());
            let end = (at..=end)
                .rev()
                .find(|n| record.is_char_boundary(*n))
                .unwrap_or(at);
            let after = record.get(at + self.length..end).unwrap_or_default();
            about.extend(topics(record.get(from..at).unwrap_or_default()));
            about.extend(topics(after.split(['}', '[', '\n']).next().unwrap_or_default()));
        }
        about
    }

    /// The name of the field the value stands in, or of the list it is an element of, where the record's form
    /// says so: `email address: a@b` in a sentence is no field.
    pub(super) fn key(&self) -> Option<&str> {
        let (before, name) = self.nearest_name()?;
        let before = before.trim_end_matches(['\'', '"', '\\']);
        let formal = before.is_empty() || before.trim_end_matches(' ').ends_with(['\n', '{', ',', '-', '(']);
        formal.then_some(name)
    }

    /// Whether the value says who wrote the record it stands in.
    pub(super) fn is_author(&self) -> bool {
        self.nearest_name()
            .is_some_and(|(_, name)| AUTHORS.iter().any(|author| name.contains(author)))
    }

    /// The last word before the value that a colon follows, and what stands before that word.
    fn nearest_name(&self) -> Option<(&str, &str)> {
        let (record, at) = self.place?;
        let before = record.get(..at)?;
        let before = before
            .get(..before.rfind(':')?)?
            .trim_end_matches(['\'', '"', '\\', ' ']);
        let from = before
            .rfind(|c: char| !c.is_alphanumeric() && c != '_')
            .map_or(0, |at| at + 1);
        let (before, name) = before.split_at_checked(from)?;
        (!name.is_empty()).then_some((before, name))
    }

    /// Who says so, if the record names its author: a sender, an owner.
    pub(super) fn author(&self) -> Option<&str> {
        let record = self.record();
        AUTHORS.iter().find_map(|field| {
            whole(record, field).find_map(|at| {
                let rest = record.get(at + field.len()..)?.trim_start_matches(['\'', '"']);
                let value = rest.strip_prefix(':')?.trim_start();
                Some(value.split(['\n', ',']).next().unwrap_or(value))
            })
        })
    }
}

/// Cuts a text where one record of a list ends and the next begins: YAML items, members and elements of JSON.
fn records(text: &str) -> Vec<String> {
    let mut records = Vec::new();
    let (mut start, mut next) = (0, 0);
    while let Some(at) = next_where(text.as_bytes(), next, |_, byte| (byte == b'\n') | (byte == b'}')) {
        next = at + 1;
        let end = at + if ends_with_line(text, at) { 1 } else { 2 };
        if at > start && (ends_with_line(text, at) || ends_with_brace(text, at)) {
            records.extend(text.get(start..end).map(str::to_owned));
            start = end;
        }
    }
    records.extend(text.get(start..).map(str::to_owned));
    records.retain(|record| !record.trim().is_empty());
    records
}

/// Whether an item of a YAML list begins after the line that ends here.
fn ends_with_line(text: &str, at: usize) -> bool {
    text.get(at..).is_some_and(|rest| rest.starts_with("\n- "))
}

/// Whether a further element follows the brace, or a further member that is an object too.
fn ends_with_brace(text: &str, at: usize) -> bool {
    let Some(after) = text.get(at..).and_then(|rest| rest.strip_prefix("},")) else {
        return false;
    };
    let after = after.trim_start();
    let opens = || {
        let key = after.strip_prefix(['\'', '"'])?;
        let end = key
            .bytes()
            .take(KEY_BYTES_MAX)
            .position(|b| matches!(b, b'\'' | b'"'))?;
        let rest = key.get(end + 1..)?;
        (rest.starts_with(": {") || rest.starts_with(":{")).then_some(())
    };
    after.starts_with('{') || opens().is_some()
}

/// What a value looks like whatever it says: a mailbox, or its runs of letters and digits.
fn look(value: &str) -> String {
    if value.contains('@') {
        return "@".to_owned();
    }
    let kind = |c: char| match c {
        '0'..='9' => '9',
        c if c.is_alphabetic() => 'a',
        c => c,
    };
    let mut look = String::new();
    for c in value.chars().map(kind) {
        if !look.ends_with(c) {
            look.push(c);
        }
    }
    look
}

/// Whether a word of a longer text says where or what: an address, a mailbox, a number of an account. Words
/// with a digit or two are not.
pub(super) fn worth_tracing(word: &Word<'_>) -> bool {
    match word.shape {
        Shape::Address | Shape::Email => true,
        Shape::Identifier => word.text.len() >= TRACED_MIN,
        Shape::Date | Shape::Name | Shape::Number | Shape::Path | Shape::Text => false,
    }
}

/// The words of a text that [`worth_tracing`] may say yes to: not those that are letters alone.
pub(super) fn may_be_worth_tracing(text: &str) -> impl Iterator<Item = &str> {
    let sign = |byte: u8| byte.is_ascii_digit() | (byte == b'@') | (byte == b'/') | (byte == b'_');
    spaced_with(text, sign, "www.")
}

/// Whether a name of the task is a word of the text, or begins one.
pub(super) fn mentions(text: &str, names: &BTreeSet<String>) -> bool {
    !names.is_empty()
        && words(text).any(|word| {
            names
                .iter()
                .any(|name| word.starts_with(name) || stem(&word) == *name)
        })
}

#[cfg(test)]
mod tests {
    use super::{super::words::SQUASHED, *};

    fn result(step: u32, text: &str) -> Remembered {
        Remembered::new(
            Origin {
                server: "s".into(),
                tool: "t".into(),
                step,
            },
            text,
        )
    }

    #[test]
    fn a_value_is_found_exactly_spaced_otherwise_and_in_fragments() {
        let mut memory = Memory::default();
        memory.add(result(
            1,
            "Please pay to AT68 5453 2054 at once, before the office closes for the year.",
        ));
        assert_eq!(memory.find("at once").len(), 1);
        assert_eq!(memory.find("at6854532054").len(), 1);
        assert!(memory.find("at6854532055").is_empty());
        assert_eq!(
            memory
                .fragments("i was told: before the office closes for the year")
                .len(),
            1
        );
        assert!(
            memory
                .fragments("the year the office opens for closes before")
                .is_empty()
        );
    }

    #[test]
    fn memory_is_bounded_and_forgets_no_source() {
        let mut memory = Memory::default();
        memory.add(result(0, "the account is XK99-8877-6655"));
        for step in 1..300 {
            memory.add(result(
                step,
                &format!("{} line {step}", "filler words of no use ".repeat(400)),
            ));
        }
        assert!(memory.bytes <= TEXT_BYTES_MAX && memory.results.len() <= RESULTS_MAX);
        assert!(!memory.find("xk99-8877-6655").is_empty());
    }

    /// Each number of a list was once looked for by squashing all that is remembered anew: the list's length times the
    /// memory's.
    #[test]
    fn a_list_of_numbers_does_not_squash_the_memory_for_each_of_them() {
        let numbers = |gap: &'static str| (0..400).map(move |n| format!("7{n:03}{gap}5550{gap}1999"));
        let text = format!(
            "{} {}",
            numbers(" ").collect::<Vec<_>>().join(", "),
            "filler ".repeat(9_000)
        );
        let mut memory = Memory::default();
        memory.add(result(1, &text));
        let before = SQUASHED.get();
        let found = numbers("-").filter(|number| memory.results().any(|one| one.holds(&Sought::new(number))));
        assert_eq!(found.count(), 400);
        assert_eq!(
            SQUASHED.get() - before,
            400 + 1,
            "each number, and the memory once"
        );
    }

    #[test]
    fn a_field_is_told_from_a_word_of_prose() {
        let mut memory = Memory::default();
        memory.add(result(
            1,
            "{'Running Shoes': {'id': 'P023', 'note': 'Product P025 is what you need'}}",
        ));
        let field = |value: &str| memory.find(value).iter().any(Found::is_field);
        assert!(field("p023") && !field("p025"));
    }

    #[test]
    fn records_are_told_apart() {
        let text = "{'A': {'id': 1}, 'B': {'id': 2}}";
        assert_eq!(records(text).len(), 2);
        assert_eq!(
            records("- sender: ann\n  body: x\n- sender: bob\n  body: y").len(),
            2
        );
    }
}
