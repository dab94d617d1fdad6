//! Somebody else's text on a person's screen: what cannot be seen, or moves other text about, is spelled out.

/// The text with every deceptive character as `⟦U+202E⟧`: terminal sequences, bidirectional controls,
/// characters without width, blanks that are letters, tags. What an honest text may hold, letters of any
/// script, stays.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if deceives(c) {
            shown.push_str(&format!("⟦U+{:04X}⟧", u32::from(c)));
        } else {
            shown.push(c);
        }
    }
    shown
}

fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{a0}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}'
            | '\u{205f}'..='\u{206f}' | '\u{3000}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..='\u{10ffff}')
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
        assert_eq!(visible("Grüße, 你好, שלום"), "Grüße, 你好, שלום");
    }
}
