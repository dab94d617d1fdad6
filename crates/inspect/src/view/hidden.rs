//! Characters that stand in a text without being seen, and where they have good reason to.

/// A sort of hidden character. Several sorts in one text are rarely an accident.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Hidden {
    /// Reorders what a person sees: overrides, embeddings, isolates and marks.
    Bidi,
    /// Control characters and terminal sequences.
    Control,
    /// Letters that render as blanks.
    Filler,
    /// The shadow alphabet U+E0000 to U+E007F.
    Tag,
    /// Chooses a glyph; after anything but its base it carries bits.
    Variation,
    /// Joiners, spaces and hyphens of no width.
    ZeroWidth,
}

impl Hidden {
    /// The sort of a character, if it is one that is not seen.
    pub(crate) fn of(c: char) -> Option<Self> {
        Some(match c {
            '\t' | '\n' | '\r' => return None,
            '\0'..='\u{1f}' | '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}' => Self::Control,
            // What a reader takes for nothing. U+0085 is a line end and U+2028, U+2029 are, too.
            '\u{ad}'
            | '\u{34f}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200d}'
            | '\u{2060}'..='\u{2064}'
            | '\u{206a}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' => Self::ZeroWidth,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                Self::Bidi
            }
            '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}' | '\u{ffa0}' => Self::Filler,
            '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}' => Self::Variation,
            '\u{e0000}'..='\u{e007f}' => Self::Tag,
            _ => return None,
        })
    }

    /// The words for a note.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Bidi => "bidirectional control",
            Self::Control => "control",
            Self::Filler => "blank letter",
            Self::Tag => "tag",
            Self::Variation => "variation selector",
            Self::ZeroWidth => "zero-width",
        }
    }

    /// The name of the rule in a finding.
    pub(crate) fn detector(self) -> &'static str {
        match self {
            Self::Bidi => "unicode/bidi",
            Self::Control => "unicode/control",
            Self::Filler => "unicode/filler",
            Self::Tag => "unicode/tag",
            Self::Variation => "unicode/variation-selector",
            Self::ZeroWidth => "unicode/zero-width",
        }
    }
}

/// What stands around a hidden character.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around {
    /// The character before it as written, hidden or not.
    pub(crate) before: Option<char>,
    /// The last character before it that is seen.
    pub(crate) seen_before: Option<char>,
    /// The character after it as written.
    pub(crate) after: Option<char>,
    /// Whether the text has letters that are written from right to left.
    pub(crate) right_to_left: bool,
}

/// Whether a writing system or an emoji needs the hidden character where it stands.
///
/// Tags are judged as sequences (see [`flag_length`]), never one by one.
pub(crate) fn is_lawful(c: char, around: Around) -> bool {
    let before = around.before;
    match c {
        // A byte-order mark opens a text.
        '\u{feff}' => before.is_none(),
        // Emoji sequences, and the scripts whose letters join.
        '\u{200d}' => {
            (around.seen_before.is_some_and(is_pictograph) && around.after.is_some_and(is_pictograph))
                || before.is_some_and(is_joining_script)
                || around.after.is_some_and(is_joining_script)
        }
        '\u{200c}' => before.is_some_and(is_joining_script) || around.after.is_some_and(is_joining_script),
        // Words without spaces: Thai, Lao, Khmer, Burmese, Tibetan, Chinese, Japanese.
        '\u{200b}' | '\u{2060}' => before.is_some_and(breaks_without_spaces),
        '\u{180b}'..='\u{180f}' => before.is_some_and(|b| matches!(b, '\u{1800}'..='\u{18af}')),
        '\u{fff9}'..='\u{fffb}' | '\u{206a}'..='\u{206f}' => false,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202c}' | '\u{2066}'..='\u{2069}' => {
            around.right_to_left
        }
        // One selector after its base; two in a row carry bits.
        '\u{fe0e}' | '\u{fe0f}' => before.is_some_and(|b| {
            is_pictograph(b) || b.is_ascii_digit() || matches!(b, '#' | '*') || is_modifier(b)
        }),
        '\u{fe00}'..='\u{fe0d}' => before.is_some_and(|b| Hidden::of(b).is_none() && !b.is_ascii()),
        '\u{e0100}'..='\u{e01ef}' => before.is_some_and(is_ideograph),
        '\u{1160}' | '\u{115f}' => around.after.is_some_and(|a| matches!(a, '\u{1100}'..='\u{11ff}')),
        '\u{17b4}' | '\u{17b5}' => before.is_some_and(|b| matches!(b, '\u{1780}'..='\u{17ff}')),
        _ => false,
    }
}

/// How many tag characters after a black flag make up the flag of a subdivision, its end included: England,
/// Scotland, Wales, Texas, ... At most a country of two letters, a subdivision of three, and the end.
pub(crate) fn flag_length(before: Option<char>, tags: impl Iterator<Item = char>) -> usize {
    if before != Some('\u{1f3f4}') {
        return 0;
    }
    let mut length = 0;
    for tag in tags {
        length += 1;
        match tag {
            '\u{e007f}' if (4..=7).contains(&length) => return length,
            '\u{e0061}'..='\u{e007a}' | '\u{e0030}'..='\u{e0039}' if length < 7 => {}
            _ => return 0,
        }
    }
    0
}

/// The ASCII character a tag character shadows.
pub(crate) fn tag_text(c: char) -> Option<char> {
    char::from_u32(u32::from(c).checked_sub(0xE_0000)?).filter(|c| matches!(c, ' '..='~' | '\n' | '\t'))
}

/// The byte that a variation selector stands for where bytes are smuggled as selectors: VS1 to VS256.
pub(crate) fn selector_byte(c: char) -> Option<u8> {
    let code = u32::from(c);
    let byte = match c {
        '\u{fe00}'..='\u{fe0f}' => code - 0xFE00,
        '\u{e0100}'..='\u{e01ef}' => code - 0xE_0100 + 16,
        _ => return None,
    };
    u8::try_from(byte).ok()
}

/// Whether letters of this script are written from right to left.
pub(crate) fn is_right_to_left(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}'
        | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

/// Emoji and the signs that may be shown as such. Wider than Extended_Pictographic, never narrower.
fn is_pictograph(c: char) -> bool {
    matches!(c, '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}'
        | '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}' | '\u{2460}'..='\u{24ff}'
        | '\u{25a0}'..='\u{27bf}' | '\u{2900}'..='\u{297f}' | '\u{2b00}'..='\u{2bff}' | '\u{3030}'
        | '\u{303d}' | '\u{3297}' | '\u{3299}' | '\u{1f000}'..='\u{1faff}')
}

fn is_modifier(c: char) -> bool {
    matches!(c, '\u{1f3fb}'..='\u{1f3ff}' | '\u{20e3}')
}

/// Arabic, Syriac, N'Ko, Mongolian and the scripts of India, Tibet and South-East Asia.
fn is_joining_script(c: char) -> bool {
    matches!(c, '\u{600}'..='\u{8ff}' | '\u{900}'..='\u{dff}' | '\u{f00}'..='\u{109f}'
        | '\u{1780}'..='\u{18af}' | '\u{1a20}'..='\u{1aaf}' | '\u{1b00}'..='\u{1c4f}'
        | '\u{a840}'..='\u{a8ff}' | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}'
        | '\u{11000}'..='\u{11fff}')
}

fn breaks_without_spaces(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3000}'..='\u{30ff}') || is_ideograph(c)
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{2e80}'..='\u{2fdf}' | '\u{3005}'..='\u{3007}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}
