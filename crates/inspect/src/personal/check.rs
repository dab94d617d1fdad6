//! Check digits, each by the standard that defines it.

fn digits(text: &str) -> Vec<u32> {
    text.chars().filter_map(|c| c.to_digit(10)).collect()
}

fn weighted(digits: &[u32], weights: &[u32]) -> u32 {
    digits
        .iter()
        .zip(weights)
        .map(|(digit, weight)| digit * weight)
        .sum()
}

/// ISO/IEC 7812-1 annex B.
pub(super) fn luhn(text: &str) -> bool {
    let digits = text.chars().rev().filter_map(|c| c.to_digit(10));
    let sum: u32 = digits
        .enumerate()
        .map(|(n, digit)| match (n % 2, digit) {
            (1, 5..) => digit * 2 - 9,
            (1, _) => digit * 2,
            _ => digit,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// ISO 13616: the country and check digits to the end, letters as numbers, modulo 97 is 1.
pub(super) fn iban(text: &str) -> bool {
    let compact: Vec<char> = text.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    if !(15..=34).contains(&compact.len()) {
        return false;
    }
    let (head, body) = compact.split_at(4);
    let mut rest = 0_u32;
    for c in body.iter().chain(head) {
        let Some(value) = c.to_digit(36) else { return false };
        rest = if value > 9 {
            rest * 100 + value
        } else {
            rest * 10 + value
        } % 97;
    }
    rest == 1
}

/// Area 000, 666 and 900 to 999, group 00 and serial 0000 were never issued.
pub(super) fn ssn(digits: &str) -> bool {
    let part = |range: std::ops::Range<usize>| digits.get(range).unwrap_or_default();
    let (area, group, serial) = (part(0..3), part(3..5), part(5..9));
    !matches!(area, "000" | "666")
        && !area.starts_with('9')
        && group != "00"
        && serial != "0000"
        && !matches!(digits, "123456789" | "078051120" | "219099999")
}

/// India's Aadhaar (Verhoeff).
pub(super) fn verhoeff(text: &str) -> bool {
    const TURN: [[u32; 8]; 1] = [[1, 5, 7, 6, 2, 8, 3, 0]];
    // The dihedral group of ten, computed rather than listed.
    let times = |a: u32, b: u32| match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => (a + b - 5) % 5 + 5,
        (false, true) => (a - 5 + 5 - b) % 5 + 5,
        (false, false) => (a + 5 - b) % 5,
    };
    let [base] = TURN;
    let turn = |digit: u32| match digit {
        8 => 9,
        9 => 4,
        _ => usize::try_from(digit)
            .ok()
            .and_then(|at| base.get(at))
            .copied()
            .unwrap_or(0),
    };
    let mut sum = 0;
    for (n, digit) in digits(text).into_iter().rev().enumerate() {
        let turned = (0..n % 8).fold(digit, |digit, _| turn(digit));
        sum = times(sum, turned);
    }
    sum == 0
}

/// Numbers of fixed length whose weighted sum is nothing.
fn mod_sum(text: &str, weights: &[u32], modulus: u32) -> bool {
    let digits = digits(text);
    digits.len() == weights.len() && weighted(&digits, weights).is_multiple_of(modulus)
}

/// Poland's PESEL.
pub(super) fn pesel(text: &str) -> bool {
    mod_sum(text, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1], 10)
}

/// Routing numbers of US banks.
pub(super) fn aba(text: &str) -> bool {
    mod_sum(text, &[3, 7, 1, 3, 7, 1, 3, 7, 1], 10) && digits(text).iter().any(|d| *d != 0)
}

/// Numbers of the British health service.
pub(super) fn nhs(text: &str) -> bool {
    mod_sum(text, &[10, 9, 8, 7, 6, 5, 4, 3, 2, 1], 11)
}

/// Australian tax files.
pub(super) fn tfn(text: &str) -> bool {
    mod_sum(text, &[1, 4, 3, 7, 5, 8, 6, 9, 10], 11)
}

/// Australian businesses: the first digit less one.
pub(super) fn abn(text: &str) -> bool {
    let mut digits = digits(text);
    if let Some(first) = digits.first_mut() {
        *first = first.wrapping_sub(1) % 100;
    }
    digits.len() == 11 && weighted(&digits, &[10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19]).is_multiple_of(89)
}

/// Turkish identity.
pub(super) fn turkish(text: &str) -> bool {
    let d = digits(text);
    let [a, b, c, e, f, g, h, i, j, k, l] = d.as_slice() else {
        return false;
    };
    let tenth = ((a + c + f + h + j) * 7 + 100 - (b + e + g + i)) % 10;
    *a != 0 && tenth == *k && (a + b + c + e + f + g + h + i + j + k) % 10 == *l
}

/// Resident registration of Korea, and identity of Thailand, which count down alike.
pub(super) fn thai(text: &str) -> bool {
    let d = digits(text);
    let sum = weighted(&d, &[13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]);
    d.len() == 13 && d.last() == Some(&((11 - sum % 11) % 10))
}

/// German tax identity (ISO 7064, mod 11,10).
pub(super) fn german_tax(text: &str) -> bool {
    let d = digits(text);
    let mut product = 10;
    for digit in d.iter().take(10) {
        let sum = match (digit + product) % 10 {
            0 => 10,
            other => other,
        };
        product = sum * 2 % 11;
    }
    d.len() == 11 && d.last() == Some(&((11 - product) % 10))
}

/// National providers in the USA: as a card, with a prefix of its own.
pub(super) fn npi(text: &str) -> bool {
    let compact: String = text.chars().filter(char::is_ascii_digit).collect();
    compact.len() == 10 && compact.starts_with(['1', '2']) && luhn(&format!("80840{compact}"))
}

/// Spain's NIF and NIE: the letter is the number modulo 23.
pub(super) fn spanish(text: &str) -> bool {
    let compact = text.replace('-', "").to_ascii_uppercase();
    let number = match compact.as_bytes().first() {
        Some(b'X') => format!("0{}", compact.get(1..).unwrap_or_default()),
        Some(b'Y') => format!("1{}", compact.get(1..).unwrap_or_default()),
        Some(b'Z') => format!("2{}", compact.get(1..).unwrap_or_default()),
        _ => compact,
    };
    let (body, letter) = number.split_at(number.len().saturating_sub(1));
    let Ok(value) = body.parse::<usize>() else {
        return false;
    };
    b"TRWAGMYFPDXBNJZSQVHLCKE".get(value % 23).map(|b| char::from(*b)) == letter.chars().next()
}

/// Singapore's NRIC and FIN.
pub(super) fn nric(text: &str) -> bool {
    let d = digits(text);
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else {
        return false;
    };
    let sum = weighted(&d, &[2, 7, 6, 5, 4, 3, 2]) + if matches!(first, b'T' | b'G') { 4 } else { 0 };
    let letters: &[u8] = match first {
        b'S' | b'T' => b"JZIHGFEDCBA",
        _ => b"XWUTRQPNMLK",
    };
    let at = usize::try_from(sum % 11).unwrap_or(0);
    d.len() == 7 && letters.get(at) == Some(last)
}

/// Finland's personal identity code.
pub(super) fn finnish(text: &str) -> bool {
    let d: String = text.chars().take(10).filter(char::is_ascii_digit).collect();
    let Ok(number) = d.parse::<usize>() else {
        return false;
    };
    d.len() == 9 && b"0123456789ABCDEFHJKLMNPRSTUVWXY".get(number % 31) == text.as_bytes().last()
}
