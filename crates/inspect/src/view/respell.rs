//! What words say that are spelled to escape a reader: rotated, backwards, with digits for letters, letter
//! by letter, or run together. Only words that are no words as they stand are looked at.

use std::ops::Range;

use super::{Reading, View, decode::Parts};
use crate::learned::{Sort, Word, hash_bytes, hashes, lexicon, place};

/// Words in a row that are none, before they are read otherwise.
const RUN_MIN: usize = 4;
/// Letters in a row that stand alone.
const LETTERS_MIN: usize = 8;
/// Longest word looked for in such a word.
const PART_MAX: usize = 14;
/// Words between two that have digits for letters.
const NEAR: usize = 8;

/// The view of what is respelled in a view, if anything is.
pub(crate) fn respelled<'t>(view: &View<'_>) -> Option<View<'t>> {
    let words = view.words();
    let mut parts = Parts::new();
    runs(view, words, &mut parts);
    digits_for_letters(view, words, &mut parts);
    letter_by_letter(view, words, &mut parts);
    run_together(view, &mut parts);
    parts.view(Reading::Decoded)
}

/// A word of no known class, or one too short to tell.
fn is_odd(word: &Word) -> bool {
    word.class == 0 || word.end - word.start <= 2
}

fn letters<'v>(view: &'v View<'_>, word: &Word) -> &'v [u8] {
    view.text().as_bytes().get(place(word)).unwrap_or_default()
}

pub(crate) fn rotated(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => (byte - b'a' + 13) % 26 + b'a',
        b'A'..=b'Z' => (byte - b'A' + 13) % 26 + b'A',
        _ => byte,
    }
}

fn lower(byte: u8) -> u8 {
    byte.to_ascii_lowercase()
}

/// Runs of words that are none: rotated or backwards they may be. Nearly no text has two words that could come of that,
/// so these are looked for first, and then the runs they stand in.
fn runs(view: &View<'_>, words: &[Word], parts: &mut Parts) {
    let known = |hash: u32| lexicon().class(hash) != 0;
    let hits: Vec<Hit> = view
        .noted(Sort::Respelled)
        .filter_map(|at| {
            let word = words.get(at).filter(|word| word.class == 0)?;
            let letters = letters(view, word);
            if letters.len() <= 2 {
                return None;
            }
            let hit = Hit {
                at,
                turned: known(hash_bytes(letters.iter().map(|b| rotated(lower(*b))))),
                backwards: known(hash_bytes(letters.iter().rev().map(|b| lower(*b)))),
            };
            (hit.turned || hit.backwards).then_some(hit)
        })
        .collect();
    let mut rest = hits.as_slice();
    let mut done = 0;
    while let [hit, _, ..] = rest {
        let before = words.get(done..hit.at).unwrap_or_default();
        let odd = before.iter().rev().take_while(|word| is_odd(word)).count();
        let begin = before.get(before.len() - odd..).unwrap_or_default();
        // It begins with no known word, however short.
        let short = begin.iter().take_while(|word| word.class != 0).count();
        let after = words.get(hit.at..).unwrap_or_default();
        let end = hit.at + after.iter().take_while(|word| is_odd(word)).count();
        let (of_run, later) = rest.split_at(rest.partition_point(|hit| hit.at < end));
        if end - (hit.at - odd + short) >= RUN_MIN {
            run(view, words, hit.at - odd + short..end, of_run, parts);
        }
        (rest, done) = (later, end);
    }
}

/// A word that would be known if it were rotated, or read backwards.
struct Hit {
    at: usize,
    turned: bool,
    backwards: bool,
}

/// Words that are none: if enough of them hit, they are rotated or backwards.
fn run(view: &View<'_>, words: &[Word], range: Range<usize>, hits: &[Hit], parts: &mut Parts) {
    let words = words.get(range).unwrap_or_default();
    let turned = hits.iter().filter(|hit| hit.turned).count();
    let backwards = hits.iter().filter(|hit| hit.backwards).count();
    let (Some(first), Some(last)) = (words.first(), words.last()) else {
        return;
    };
    let place = place(first).start..place(last).end;
    let enough = |count: usize| count >= 2 && count * 5 >= words.len();
    let text = view.text().get(place.clone()).unwrap_or_default();
    if enough(turned) && turned > backwards {
        let clear: String = text
            .chars()
            .map(|c| u8::try_from(c).map_or(c, |b| char::from(rotated(b))))
            .collect();
        parts.add(&clear, view, place);
    } else if enough(backwards) {
        let clear: String = text.chars().rev().collect();
        parts.add(&clear, view, place);
    }
}

fn plain_letter(byte: u8) -> u8 {
    match byte {
        b'0' => b'o',
        b'1' | b'!' | b'|' => b'i',
        b'3' => b'e',
        b'4' | b'@' => b'a',
        b'5' | b'$' => b's',
        b'7' => b't',
        b'8' => b'b',
        b'9' => b'g',
        other => lower(other),
    }
}

/// Lines with several words that are known once their digits are letters.
fn digits_for_letters(view: &View<'_>, words: &[Word], parts: &mut Parts) {
    let mut hits: Vec<usize> = Vec::new();
    for (n, word) in view.with_digits().filter(|(_, word)| word.class == 0) {
        let bytes = letters(view, word);
        let mixed = bytes.iter().any(u8::is_ascii_digit) && (3..=24).contains(&bytes.len());
        if mixed
            && bytes.iter().any(u8::is_ascii_alphabetic)
            && lexicon().class(hash_bytes(bytes.iter().map(|b| plain_letter(*b)))) != 0
        {
            hits.push(n);
        }
    }
    let mut at = 0;
    while let Some(&first) = hits.get(at) {
        let mut last = at;
        while hits
            .get(last + 1)
            .is_some_and(|next| hits.get(last).is_some_and(|hit| next - hit <= NEAR))
        {
            last += 1;
        }
        if last > at {
            let end = hits.get(last).copied().unwrap_or(first) + NEAR;
            let near = words
                .get(first.saturating_sub(NEAR)..end.min(words.len()))
                .unwrap_or_default();
            if let (Some(from), Some(to)) = (near.first(), near.last()) {
                let place = place(from).start..place(to).end;
                let text = view.text().get(place.clone()).unwrap_or_default();
                let clear: String = text
                    .chars()
                    .map(|c| {
                        u8::try_from(c).map_or(c, |b| {
                            if b.is_ascii() {
                                char::from(plain_letter(b))
                            } else {
                                c
                            }
                        })
                    })
                    .collect();
                parts.add(&clear, view, place);
            }
        }
        at = last + 1;
    }
}

/// Letters that stand alone, put together; a wider gap is a space.
fn letter_by_letter(view: &View<'_>, words: &[Word], parts: &mut Parts) {
    let single = |word: &Word| word.end - word.start == 1;
    let mut start = 0;
    while let Some(word) = words.get(start) {
        // No run that is long enough begins before a longer word, nearer to it than its length.
        if !words.get(start + LETTERS_MIN).is_some_and(single) {
            start += LETTERS_MIN + 1;
            continue;
        }
        if !single(word) {
            start += 1;
            continue;
        }
        let run = words.get(start..).unwrap_or_default();
        let mut count = 0;
        for pair in run.windows(2) {
            let [one, two] = pair else { break };
            if !single(one) || !single(two) || two.start - one.end > 6 {
                break;
            }
            count += 1;
        }
        if count >= LETTERS_MIN {
            let run = run.get(..=count).unwrap_or_default();
            let gap = |pair: &[Word]| {
                if let [one, two] = pair {
                    two.start - one.end
                } else {
                    0
                }
            };
            let narrow = run.windows(2).map(gap).min().unwrap_or(0);
            let mut clear = String::new();
            for (n, word) in run.iter().enumerate() {
                if n > 0 && run.get(n - 1..=n).is_some_and(|pair| gap(pair) > narrow) {
                    clear.push(' ');
                }
                clear.push_str(view.text().get(place(word)).unwrap_or_default());
            }
            if let (Some(first), Some(last)) = (run.first(), run.last()) {
                parts.add(&clear, view, place(first).start..place(last).end);
            }
        }
        start += count.max(1);
    }
}

/// Long words that are several known ones without spaces.
fn run_together(view: &View<'_>, parts: &mut Parts) {
    for (_, word) in view.long_words().filter(|(_, word)| word.class == 0) {
        let bytes = letters(view, word);
        if !bytes.iter().take(16).all(u8::is_ascii_alphabetic) {
            continue;
        }
        let mut clear = String::new();
        let (mut at, mut known) = (0, 0);
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            // The longest known beginning.
            let length = hashes(rest.iter().take(PART_MAX).map(|b| lower(*b)))
                .zip(1..)
                .filter(|(hash, n)| *n > 1 && lexicon().class(*hash) != 0)
                .last()
                .map(|(_, n)| n);
            let take = length.unwrap_or(1);
            if length.is_some_and(|length| length > 2) {
                known += take;
            }
            if length.is_some() {
                clear.push(' ');
            }
            clear.extend(rest.iter().take(take).map(|b| char::from(*b)));
            if length.is_some() {
                clear.push(' ');
            }
            at += take;
        }
        if known * 2 >= bytes.len().min(48) {
            parts.add(&clear, view, place(word));
        }
    }
}
