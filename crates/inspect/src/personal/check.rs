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
pub(crate) fn luhn(text: &str) -> bool {
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
    let country: String = head.iter().take(2).collect();
    if !is_iban_length(&country.to_ascii_uppercase(), compact.len()) {
        return false;
    }
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

/// The registry of ISO 13616: countries by the length of their numbers.
const IBAN_LENGTHS: &[(usize, &str)] = &[
    (15, "NO"),
    (16, "BE"),
    (18, "DK FI FO GL NL SD"),
    (19, "MK SI"),
    (20, "AT BA EE KZ LT LU MN XK"),
    (21, "CH HR LI LV"),
    (22, "BG BH CR DE GB GE IE ME RS VA"),
    (23, "AE GI IL IQ OM SO TL"),
    (24, "AD CZ DZ ES MD PK RO SA SE SK TN VG"),
    (25, "LY PT ST"),
    (26, "IS TR"),
    (27, "BI DJ FR GR IT MC MR SM"),
    (28, "AL AZ BY CY DO GT HN HU LB NI PL SV"),
    (29, "BR EG PS QA UA"),
    (30, "FK JO KW MU YE"),
    (31, "MT SC"),
    (32, "LC"),
    (33, "RU"),
];

fn is_iban_length(country: &str, length: usize) -> bool {
    IBAN_LENGTHS
        .iter()
        .any(|(n, countries)| *n == length && countries.split(' ').any(|known| known == country))
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
    if !is_day_month(&digits(text)) {
        return false;
    }
    let d: String = text.chars().take(10).filter(char::is_ascii_digit).collect();
    let Ok(number) = d.parse::<usize>() else {
        return false;
    };
    d.len() == 9 && b"0123456789ABCDEFHJKLMNPRSTUVWXY".get(number % 31) == text.as_bytes().last()
}

/// A day and a month in the first four digits.
fn is_day_month(digits: &[u32]) -> bool {
    matches!(digits, [a, b, c, d, ..] if is_day_of(a * 10 + b, c * 10 + d))
}

/// A year of two digits, a month and a day in the first six digits.
fn is_birthday(digits: &[u32]) -> bool {
    matches!(digits, [_, _, a, b, c, d, ..] if is_day_of(c * 10 + d, a * 10 + b))
}

fn is_day_of(day: u32, month: u32) -> bool {
    let days = match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1..=days).contains(&day)
}

/// Sweden's personal number, with or without the century; of a coordination number the day is 60 more.
pub(super) fn swedish(text: &str) -> bool {
    let mut d = digits(text);
    let dated = match d.len() {
        12 if matches!(d.first_chunk(), Some([1, 8 | 9] | [2, 0])) => d.split_off(2),
        10 => d,
        _ => return false,
    };
    let mut day = dated.clone();
    if let Some(tens) = day.get_mut(4).filter(|tens| **tens >= 6) {
        *tens -= 6;
    }
    let written: String = dated.iter().filter_map(|d| char::from_digit(*d, 10)).collect();
    is_birthday(&day) && luhn(&written)
}

/// Swedish organisations: the third digit keeps them apart from persons.
pub(super) fn swedish_organisation(text: &str) -> bool {
    digits(text).get(2).is_some_and(|third| *third >= 2) && luhn(text)
}

/// Korea's resident and foreigner numbers: a birthday, and a digit for sex and century.
pub(super) fn korean_birthday(text: &str) -> bool {
    let d = digits(text);
    d.len() == 13 && is_birthday(&d) && d.get(6).is_some_and(|sex| (1..=8).contains(sex))
}

/// The same with the check digit of whoever was born before 2020; that of foreigners is two higher.
pub(super) fn korean_resident(text: &str) -> bool {
    let d = digits(text);
    let (tens, sex) = (d.first().copied(), d.get(6).copied().unwrap_or(0));
    let unchecked = matches!(sex, 3 | 4 | 7 | 8) && tens.is_some_and(|tens| (2..9).contains(&tens));
    let sum = weighted(&d, &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]);
    let more = if sex >= 5 { 13 } else { 11 };
    let right = d.last() == Some(&((more - sum % 11) % 10));
    korean_birthday(text) && (right || unchecked)
}

/// Korean businesses.
pub(super) fn korean_business(text: &str) -> bool {
    let d = digits(text);
    let ninth = d.get(8).copied().unwrap_or(0);
    let sum = weighted(&d, &[1, 3, 7, 1, 3, 7, 1, 3, 5]) + ninth * 5 / 10;
    d.len() == 10 && d.last() == Some(&((10 - sum % 10) % 10))
}

/// German physicians.
pub(super) fn german_physician(text: &str) -> bool {
    let d = digits(text);
    let sum = weighted(&d, &[4, 9, 4, 9, 4, 9]);
    d.get(6) == Some(&((10 - sum % 10) % 10))
}

/// Letters as two digits, the rest as they are.
fn spelled(text: &str) -> Vec<u32> {
    let value = |c: char| c.to_digit(36).map(|n| n.saturating_sub(9));
    text.chars()
        .flat_map(|c| match c.to_digit(10) {
            Some(digit) => vec![digit],
            None => value(c).map_or_else(Vec::new, |n| vec![n / 10, n % 10]),
        })
        .collect()
}

/// The last digit is the sum of the digits of the products, modulo ten.
fn digit_sums(text: &str, weights: &[u32]) -> bool {
    let d = spelled(text);
    let sum: u32 = d
        .iter()
        .zip(weights)
        .map(|(digit, weight)| digit * weight / 10 + digit * weight % 10)
        .sum();
    d.len() == weights.len() + 1 && d.last() == Some(&(sum % 10))
}

/// Germany's health insurance (KVNR).
pub(super) fn german_health(text: &str) -> bool {
    digit_sums(text, &[1, 2, 1, 2, 1, 2, 1, 2, 1, 2])
}

/// Germany's pension insurance: an area, a birthday, a letter, a serial number.
pub(super) fn german_pension(text: &str) -> bool {
    is_day_month(digits(text).get(2..).unwrap_or_default())
        && digit_sums(text, &[2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1])
}

/// Korean driving licences: a region first.
pub(super) fn korean_driver(text: &str) -> bool {
    matches!(digits(text).as_slice(), [a, b, ..] if (11..=28).contains(&(a * 10 + b)))
}

/// Taxpayers of the USA without a social security number.
pub(super) fn itin(text: &str) -> bool {
    let d = digits(text);
    let group = matches!(d.as_slice(), [9, _, _, a, b, ..]
        if matches!(a * 10 + b, 50..=65 | 70..=88 | 90..=92 | 94..=99));
    group && d.len() == 9
}

/// British driving licences: a birthday between the name and the initials; of women the month is 50 more.
pub(super) fn british_driver(text: &str) -> bool {
    let d: Vec<Option<u32>> = text.chars().skip(5).take(6).map(|c| c.to_digit(10)).collect();
    matches!(d.as_slice(), [Some(_), Some(a), Some(b), Some(c), Some(d), Some(_)]
        if is_day_of(c * 10 + d, (a % 5) * 10 + b))
}

/// Vehicle identification (ISO 3779 with the check digit of 49 CFR 565).
pub(super) fn vehicle(text: &str) -> bool {
    const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    let value = |c: char| match c {
        '0'..='9' => c.to_digit(10),
        'A'..='H' => Some(u32::from(c) - u32::from('A') + 1),
        'J'..='N' => Some(u32::from(c) - u32::from('J') + 1),
        'P' => Some(7),
        'R' => Some(9),
        'S'..='Z' => Some(u32::from(c) - u32::from('S') + 2),
        _ => None,
    };
    let values: Vec<u32> = text.chars().map_while(value).collect();
    let rest = weighted(&values, &WEIGHTS) % 11;
    let check = char::from_digit(rest, 10).unwrap_or('X');
    values.len() == 17 && text.len() == 17 && text.chars().nth(8) == Some(check)
}

/// Bitcoin's newer addresses (BIP 173 and BIP 350).
pub(super) fn bech32(text: &str) -> bool {
    const LETTERS: &str = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const TURNS: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let Some(body) = text.strip_prefix("bc1") else {
        return false;
    };
    let step = |sum: u32, value: u32| {
        let next = (sum & 0x01ff_ffff) << 5 ^ value;
        let turns = TURNS.iter().enumerate().filter(|(n, _)| sum >> (25 + n) & 1 == 1);
        turns.fold(next, |next, (_, turn)| next ^ turn)
    };
    let mut sum = [3, 3, 0, 2, 3].into_iter().fold(1, step);
    for c in body.chars() {
        let Some(value) = LETTERS.find(c).and_then(|at| u32::try_from(at).ok()) else {
            return false;
        };
        sum = step(sum, value);
    }
    matches!(sum, 1 | 0x2bc8_30a3)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Case = (fn(&str) -> bool, &'static str, &'static str);

    /// Examples of the authorities that give them out, or of the standards, and each with a digit changed.
    #[test]
    fn check_digits_tell_right_from_wrong() {
        let cases: &[Case] = &[
            (iban, "GB29 NWBK 6016 1331 9268 19", "GB29 NWBK 6016 1331 9268 18"),
            (swedish, "640823-3234", "640823-3235"),
            (swedish, "19640823-3234", "18641323-3234"),
            (swedish_organisation, "556703-7485", "550103-7485"),
            (korean_business, "104-86-56659", "104-86-56658"),
            (german_physician, "123456601", "123456501"),
            (german_health, "A123456780", "A123456781"),
            (german_pension, "15070649C103", "15070649C104"),
            (itin, "911-53-1234", "911-66-1234"),
            (british_driver, "MORGA657054SM9IJ", "MORGA643054SM9IJ"),
            (vehicle, "1M8GDM9AXKP042788", "1M8GDM9A1KP042788"),
            (
                bech32,
                "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
                "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdp",
            ),
            (finnish, "131052-308T", "310289-211C"),
        ];
        for (check, right, wrong) in cases {
            assert!(check(right), "{right}");
            assert!(!check(wrong), "{wrong}");
        }
    }
}
