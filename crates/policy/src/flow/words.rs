//! Words of a task, of a tool's name and of results, brought to a form that can be compared. English only:
//! in other languages nothing is recognised as asked for, so more is put to a person, never less.

use std::collections::BTreeSet;

use memchr::memmem::Finder;

use super::sketch::next_where;

/// Words that say nothing about what a text is about.
const HOLLOW: &[&str] = &[
    "a", "about", "account", "after", "all", "also", "an", "and", "any", "are", "as", "at", "be", "been",
    "before", "but", "by", "can", "com", "could", "do", "does", "edu", "file", "for", "from", "had", "has",
    "have", "her", "here", "his", "how", "http", "https", "if", "in", "info", "into", "is", "it", "item",
    "me", "more", "much", "my", "name", "net", "new", "not", "of", "on", "one", "or", "org", "our", "out",
    "pdf", "please", "so", "than", "that", "the", "their", "them", "then", "there", "this", "to", "too",
    "txt", "up", "user", "was", "were", "what", "which", "who", "will", "with", "would", "www", "you",
    "your",
];

/// Capitalised words at the head of a sentence that are nobody's name.
const OPENERS: &[&str] = &[
    "according",
    "based",
    "hello",
    "hey",
    "help",
    "january",
    "february",
    "march",
    "april",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "specific",
    "thanks",
    "use",
    "using",
    "when",
    "where",
    "why",
];

/// A text in small letters: `str::to_lowercase`, which is slow on whatever follows the first sign beyond ASCII.
pub(super) fn small(text: &str) -> String {
    /// The one letter whose small form depends on what stands around it.
    const SIGMA: char = '\u{3a3}';
    if text.is_ascii() || text.contains(SIGMA) {
        return text.to_lowercase();
    }
    let mut small = String::with_capacity(text.len());
    let mut left = text;
    while let Some(ascii) = next_where(left.as_bytes(), 0, |_, byte| !byte.is_ascii()) {
        let (before, after) = left.split_at_checked(ascii).unwrap_or((left, ""));
        small.push_str(before);
        let mut after = after.chars();
        small.extend(after.next().into_iter().flat_map(char::to_lowercase));
        left = after.as_str();
    }
    small.push_str(left);
    small.make_ascii_lowercase();
    small
}

/// The words of a text in small letters.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

/// A tool's or argument's name in words: `sendMoney`, `send_money` and `send-money` are two words each.
pub(super) fn name_words(name: &str) -> Vec<String> {
    let mut spaced = String::with_capacity(name.len() + 4);
    let mut small_before = false;
    for c in name.chars() {
        if c.is_uppercase() && small_before {
            spaced.push(' ');
        }
        small_before = c.is_lowercase() || c.is_ascii_digit();
        spaced.push(c);
    }
    spaced
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// A word without its ending, roughly: `invites`, `invited` and `inviting` become one.
pub(super) fn stem(word: &str) -> String {
    if let Some(head) = word.strip_suffix("ies").filter(|head| head.len() > 1) {
        return format!("{head}y");
    }
    let mut head = word;
    if !word.ends_with("ss") {
        let endings = ["ing", "ed", "es", "s", "er"];
        let found = endings
            .iter()
            .find_map(|ending| word.strip_suffix(ending).filter(|head| head.len() >= 3));
        head = found.unwrap_or(word);
    }
    if head.len() > 3 {
        head.trim_end_matches('e').to_owned()
    } else {
        head.to_owned()
    }
}

/// The stems of all words.
pub(super) fn stems(text: &str) -> BTreeSet<String> {
    words(text).map(|word| stem(&word)).collect()
}

/// The stems of the words that say what a text is about.
pub(super) fn topics(text: &str) -> BTreeSet<String> {
    words(text)
        .filter(|word| is_telling(word))
        .map(|word| stem(&word))
        .collect()
}

/// Whether a text is about one of these topics. Reads no further than to the first.
pub(super) fn touches(text: &str, topics: &BTreeSet<String>) -> bool {
    words(text).any(|word| is_telling(&word) && topics.contains(&stem(&word)))
}

/// Whether a text is about anything.
pub(super) fn has_topic(text: &str) -> bool {
    words(text).any(|word| is_telling(&word))
}

fn is_telling(word: &str) -> bool {
    word.chars().count() >= 3 && HOLLOW.binary_search(&word).is_err()
}

/// Whether two texts share a topic.
pub(super) fn share(a: &BTreeSet<String>, b: &BTreeSet<String>) -> bool {
    !a.is_disjoint(b)
}

/// Names in a text: capitalised words that are not the verb or filler a sentence happens to open with.
pub(super) fn names(text: &str, is_verb: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for word in text.split(|c: char| !c.is_alphanumeric()) {
        let mut letters = word.chars();
        let capital = letters.next().is_some_and(char::is_uppercase);
        if !capital || word.chars().count() < 3 || !letters.all(char::is_lowercase) {
            continue;
        }
        let small = word.to_lowercase();
        let filler = HOLLOW.binary_search(&small.as_str()).is_ok() || OPENERS.contains(&small.as_str());
        if !filler && !is_verb(&stem(&small)) {
            found.insert(small);
        }
    }
    found
}

/// Where `needle` stands in `text` as a whole, not as a part of a longer word. Both in small letters.
pub(super) fn whole<'t>(text: &'t str, needle: &'t str) -> impl Iterator<Item = usize> + 't {
    alone(text, needle.len(), move |text| text.find(needle))
}

/// [`whole`], for a needle that is looked for in many texts.
pub(super) fn whole_of<'t>(text: &'t str, needle: &'t Finder<'_>) -> impl Iterator<Item = usize> + 't {
    // Bytes that are a text's begin and end with letters, wherever they stand in another.
    alone(text, needle.needle().len(), |text| needle.find(text.as_bytes()))
}

/// Of the places that are found, those that stand alone. One that does not takes no letters from one that does and begins
/// within it: `a a` stands in `xa a a`. The next can only begin behind the next sign.
fn alone<'t>(
    text: &'t str,
    length: usize,
    find: impl Fn(&'t str) -> Option<usize> + 't,
) -> impl Iterator<Item = usize> + 't {
    let mut from = 0;
    std::iter::from_fn(move || {
        if length == 0 {
            return None;
        }
        loop {
            let at = from + find(text.get(from..)?)?;
            if stands_alone(text, at, length) {
                from = at + length;
                return Some(at);
            }
            let mut rest = text.get(at..)?.char_indices();
            let (sign, c) = rest.find(|(_, c)| !c.is_alphanumeric())?;
            from = at + sign + c.len_utf8();
        }
    })
}

fn stands_alone(text: &str, at: usize, length: usize) -> bool {
    let joined = |c: char| c.is_alphanumeric();
    let before = text.get(..at).and_then(|text| text.chars().next_back());
    let after = text.get(at + length..).and_then(|text| text.chars().next());
    !before.is_some_and(joined) && !after.is_some_and(joined)
}

#[cfg(test)]
thread_local! {
    /// How many texts were squashed.
    pub(super) static SQUASHED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Letters and digits alone: what survives spacing, punctuation and case.
pub(super) fn squash(text: &str) -> String {
    #[cfg(test)]
    SQUASHED.set(SQUASHED.get() + 1);
    if text.is_ascii() {
        let mut letters = text.as_bytes().to_ascii_lowercase();
        letters.retain(u8::is_ascii_alphanumeric);
        return String::from_utf8(letters).unwrap_or_default();
    }
    text.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hollow_words_are_sorted_for_the_search() {
        assert!(HOLLOW.is_sorted());
    }

    #[test]
    fn forms_of_a_word_are_one() {
        for (a, b) in [
            ("invites", "invited"),
            ("buying", "buy"),
            ("repositories", "repository"),
            ("notes", "note"),
        ] {
            assert_eq!(stem(a), stem(b), "{a} {b}");
        }
    }

    #[test]
    fn what_touches_a_topic_shares_it() {
        let task = topics("Please pay the invoices of Bakery Lee");
        for text in [
            "an invoice",
            "the bakeries of town",
            "of the and",
            "",
            "Lee",
            "rent",
        ] {
            assert_eq!(touches(text, &task), share(&topics(text), &task), "{text}");
        }
    }

    #[test]
    fn letters_and_digits_survive_in_small_letters() {
        for (text, squashed) in [
            ("AT68 5453-2054", "at6854532054"),
            ("Gr\u{fc}\u{df}e, Z\u{dc}RICH!", "gr\u{fc}\u{df}ez\u{fc}rich"),
            ("--", ""),
        ] {
            assert_eq!(squash(text), squashed);
        }
    }

    /// Texts of so many signs, letters and others, the same in each run.
    fn drawn() -> impl FnMut(u32) -> String {
        let signs = ['a', 'a', 'b', ' ', '.', '\u{e9}', '\u{20ac}'];
        let mut lot = 1_u32;
        move |length| {
            let drawn = (0..length).map(|_| {
                lot = lot.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                signs[(lot >> 16) as usize % signs.len()]
            });
            drawn.collect()
        }
    }

    /// Regression: what began within a longer word hid what stood alone and began within that.
    #[test]
    fn whatever_stands_alone_is_found() {
        assert_eq!(whole("xa a a", "a a").collect::<Vec<_>>(), [3]);
        assert_eq!(whole("a ab a ab a", "a ab a").collect::<Vec<_>>(), [0]);
        let mut text = drawn();
        for round in 0..20_000 {
            let (needle, text) = (text(1 + round % 4), text(round % 30));
            let stands = |at: &usize| {
                text.get(*at..).is_some_and(|rest| rest.starts_with(&needle))
                    && stands_alone(&text, *at, needle.len())
            };
            // Each place by itself, but for those that begin within one that was taken.
            let mut from = 0;
            let each = (0..=text.len()).filter(stands).filter(|at| {
                let is_free = *at >= from;
                from = if is_free { at + needle.len() } else { from };
                is_free
            });
            let each: Vec<usize> = each.collect();
            assert_eq!(
                whole(&text, &needle).collect::<Vec<_>>(),
                each,
                "{needle:?} in {text:?}"
            );
        }
    }

    /// A needle made ready for many texts is found where it is found in one.
    #[test]
    fn what_is_looked_for_in_many_texts_is_found_in_each() {
        let mut text = drawn();
        let mut found = 0;
        for round in 0..4_000 {
            let (needle, text) = (text(round % 4), text(round % 70));
            let finder = Finder::new(&needle);
            let places: Vec<usize> = whole(&text, &needle).collect();
            assert!(
                whole_of(&text, &finder).eq(places.iter().copied()),
                "{needle:?} in {text:?}"
            );
            found += places.len();
        }
        assert!(found > 1_000, "{found}");
    }

    #[test]
    fn small_letters_are_those_of_the_standard_library_and_stay_so() {
        let every: String = (char::MIN..=char::MAX).collect();
        for text in [
            "",
            "ABC",
            "\u{391}\u{3a3} A\u{3a3}\u{e9}",
            "\u{130}x\u{212a}YZ\u{c9}",
            every.as_str(),
        ] {
            assert_eq!(small(text), text.to_lowercase());
            assert_eq!(small(&small(text)), small(text));
        }
        for c in char::MIN..=char::MAX {
            let text = format!("AB{c}CD");
            assert_eq!(small(&text), text.to_lowercase(), "{c:?}");
            // So what is read out of a text in small letters has them.
            assert!(small(&text).chars().all(|c| c.to_lowercase().eq([c])), "{c:?}");
        }
    }

    #[test]
    fn a_part_of_a_longer_word_is_no_match() {
        assert_eq!(whole("p02 p025 ap02 (p02)", "p02").count(), 2);
    }
}
