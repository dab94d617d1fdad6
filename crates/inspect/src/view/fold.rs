//! What a character looks like: compatibility forms and look-alikes as plain letters.
//!
//! Compatibility forms (full width, mathematical, circled, ...) always mean their letter. Look-alikes of
//! other scripts do only where no text in that script stands.

/// The letters of mathematical alphabets come in blocks of 52, digits in blocks of 10.
const MATH: std::ops::RangeInclusive<char> = '\u{1d400}'..='\u{1d7ff}';

/// The plain letter or sign that a compatibility form stands for.
pub(crate) fn compatible(c: char) -> Option<char> {
    let code = u32::from(c);
    let letter = |base: u8, offset: u32| char::from_u32(u32::from(base) + offset);
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(code - 0xFF01 + 0x21),
        '\u{3000}' | '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' => Some(' '),
        _ if MATH.contains(&c) => mathematical(code),
        '\u{24b6}'..='\u{24cf}' => letter(b'A', code - 0x24B6),
        '\u{24d0}'..='\u{24e9}' => letter(b'a', code - 0x24D0),
        '\u{249c}'..='\u{24b5}' => letter(b'a', code - 0x249C),
        '\u{1f110}'..='\u{1f129}' => letter(b'A', code - 0x1F110),
        '\u{1f130}'..='\u{1f149}' => letter(b'A', code - 0x1F130),
        '\u{1f150}'..='\u{1f169}' => letter(b'A', code - 0x1F150),
        '\u{1f170}'..='\u{1f189}' => letter(b'A', code - 0x1F170),
        '\u{2460}'..='\u{2468}' => letter(b'1', code - 0x2460),
        '\u{2080}'..='\u{2089}' => letter(b'0', code - 0x2080),
        '\u{fb00}'..='\u{fb06}' | '\u{2010}'..='\u{2015}' => None,
        _ => listed(c),
    }
}

fn mathematical(code: u32) -> Option<char> {
    let at = code - 0x1D400;
    if at < 0x2A4 {
        let within = at % 52;
        return char::from_u32(if within < 26 {
            u32::from(b'A') + within
        } else {
            u32::from(b'a') + within - 26
        });
    }
    if code >= 0x1D7CE {
        return char::from_u32(u32::from(b'0') + (code - 0x1D7CE) % 10);
    }
    None
}

/// Letters that are plain in shape and stand nowhere in order: letter-like signs, small capitals, raised.
fn listed(c: char) -> Option<char> {
    const FROM: &str = "ℂℊℋℌℍℎℐℑℒℓℕℙℚℛℜℝℤℨℬℭℯℰℱℳℴℹᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ";
    const TO: &[u8] = b"CgHHHhIILlNPQRRRZZBCeEFMoiabcdefghijklmnoprstuvwyzabcdefghijklmnoprstuvwxyz";
    if !matches!(c, '\u{1d00}'..='\u{1dbf}' | '\u{2100}'..='\u{213f}' | '\u{a730}'..='\u{a731}'
        | '\u{250}'..='\u{2e3}' | '\u{2071}' | '\u{207f}')
    {
        return None;
    }
    let at = FROM.chars().position(|known| known == c)?;
    TO.get(at)
        .map(|byte| char::from(*byte))
        .filter(char::is_ascii_alphanumeric)
}

/// The Latin letter that a letter of another script looks like.
pub(crate) fn look_alike(c: char) -> Option<char> {
    Some(match c {
        'а' | 'α' | 'ɑ' => 'a',
        'А' | 'Α' => 'A',
        'В' | 'Β' | 'Ᏼ' => 'B',
        'Ь' | 'ƅ' => 'b',
        'с' | 'ϲ' | 'ᴄ' => 'c',
        'С' | 'Ϲ' => 'C',
        'ԁ' | 'ժ' => 'd',
        'е' | 'ҽ' => 'e',
        'Е' | 'Ε' => 'E',
        'ց' | 'ɡ' => 'g',
        'Н' | 'Η' => 'H',
        'һ' | 'հ' => 'h',
        'і' | 'ι' | 'ı' => 'i',
        'І' | 'Ι' | 'Ӏ' => 'I',
        'ј' | 'ϳ' => 'j',
        'Ј' => 'J',
        'К' | 'Κ' | 'K' => 'K',
        'к' | 'κ' => 'k',
        'ӏ' => 'l',
        'М' | 'Μ' => 'M',
        'Ν' => 'N',
        'ո' | 'п' => 'n',
        'о' | 'ο' | 'օ' | 'σ' => 'o',
        'О' | 'Ο' | 'Օ' => 'O',
        'р' | 'ρ' => 'p',
        'Р' | 'Ρ' => 'P',
        'ԛ' => 'q',
        'г' => 'r',
        'ѕ' => 's',
        'Ѕ' => 'S',
        'Т' | 'Τ' => 'T',
        'т' | 'τ' => 't',
        'ս' | 'υ' => 'u',
        'ѵ' | 'ν' => 'v',
        'ԝ' | 'ω' => 'w',
        'х' | 'χ' => 'x',
        'Х' | 'Χ' => 'X',
        'у' | 'γ' | 'ү' => 'y',
        'У' | 'Υ' | 'Ү' => 'Y',
        'Ζ' => 'Z',
        _ => return None,
    })
}

/// Whether a letter belongs to a script whose letters are taken for Latin ones.
pub(super) fn is_neighbour_script(c: char) -> bool {
    matches!(c, '\u{370}'..='\u{58f}' | '\u{13a0}'..='\u{13ff}')
}
