//! Somebody else's text on a person's screen: what cannot be seen, or moves other text about, is spelled out.

use std::ops::RangeInclusive;

/// Runs of blanks longer than this push the end of a text out of sight.
const BLANKS_MAX: usize = 8;

/// The text with every deceptive character as `⟦U+202E⟧`: terminal sequences, bidirectional controls,
/// characters without width, blanks that are letters, tags, letters of another script inside a Latin word.
/// Long runs of blanks are counted. What an honest text may hold, letters of any script, stays.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut blanks = 0_usize;
    let mut word = String::new();
    for c in text.chars() {
        if c == ' ' {
            put_word(&mut shown, &mut word);
            blanks += 1;
            continue;
        }
        put_blanks(&mut shown, &mut blanks);
        if deceives(c) {
            put_word(&mut shown, &mut word);
            spell(&mut shown, c);
        } else if c.is_alphanumeric() {
            word.push(c);
        } else {
            put_word(&mut shown, &mut word);
            shown.push(c);
        }
    }
    put_word(&mut shown, &mut word);
    put_blanks(&mut shown, &mut blanks);
    shown
}

/// A word; `pаypal` with a Cyrillic `а` is not the word it looks like.
fn put_word(shown: &mut String, word: &mut String) {
    let looks_alike =
        |c: char| matches!(c, '\u{370}'..='\u{3ff}' | '\u{400}'..='\u{52f}' | '\u{1f00}'..='\u{1fff}');
    let mixed = word.chars().any(|c| c.is_ascii_alphabetic()) && word.chars().any(looks_alike);
    for c in word.chars() {
        if mixed && looks_alike(c) {
            spell(shown, c);
        } else {
            shown.push(c);
        }
    }
    word.clear();
}

fn put_blanks(shown: &mut String, blanks: &mut usize) {
    if *blanks > BLANKS_MAX {
        shown.push_str(&format!("⟦{blanks} blanks⟧"));
    } else {
        shown.extend(std::iter::repeat_n(' ', *blanks));
    }
    *blanks = 0;
}

fn spell(shown: &mut String, c: char) {
    shown.push_str(&format!("⟦U+{:04X}⟧", u32::from(c)));
}

/// Characters that show nothing, turn the text around, or look like our own marks.
const DECEIVING: &[RangeInclusive<char>] = &[
    '\u{a0}'..='\u{a0}',
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{61c}'..='\u{61c}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180f}',
    '\u{2000}'..='\u{200f}',
    '\u{2028}'..='\u{202f}',
    '\u{205f}'..='\u{206f}',
    '⟦'..='⟧',
    '\u{3000}'..='\u{3000}',
    '\u{3164}'..='\u{3164}',
    '\u{e000}'..='\u{f8ff}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff0}'..='\u{fffb}',
    '\u{1bca0}'..='\u{1bca3}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0000}'..='\u{e0fff}',
    '\u{f0000}'..='\u{10ffff}',
];

fn deceives(c: char) -> bool {
    c.is_control() || DECEIVING.iter().any(|range| range.contains(&c))
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn what_deceives_is_spelled_out_and_what_is_written_stays() {
        assert_eq!(visible("a\u{202e}b"), "a⟦U+202E⟧b");
        assert_eq!(visible("\u{1b}[2Jgone\u{7}\n"), "⟦U+001B⟧[2Jgone⟦U+0007⟧⟦U+000A⟧");
        assert_eq!(
            visible("x\u{200b}y\u{feff}\u{e0041}"),
            "x⟦U+200B⟧y⟦U+FEFF⟧⟦U+E0041⟧"
        );
        assert_eq!(visible("p\u{430}ypal"), "p⟦U+0430⟧ypal");
        assert_eq!(
            visible("pay bob\u{2004}  and          mallory"),
            "pay bob⟦U+2004⟧  and⟦10 blanks⟧mallory"
        );
        assert_eq!(visible("⟦U+202E⟧"), "⟦U+27E6⟧U+202E⟦U+27E7⟧");
        assert_eq!(visible("привет αβγ x = 5"), "привет αβγ x = 5");
        assert_eq!(visible("Grüße, 你好, שלום"), "Grüße, 你好, שלום");
    }
}
