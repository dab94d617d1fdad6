//! Runs of digits with what may stand between them: cards, telephones, addresses of the net, and numbers
//! that states give to people.

use std::ops::Range;

use super::{Known, check, has_near, known};
use crate::{learned, view::View};

/// Fewest and most digits of a run that says something about a person.
const DIGITS_COUNT: Range<usize> = 7..24;

/// Finds all numbers of a text.
pub(super) fn numbers(view: &View<'_>, add: &mut impl FnMut(Known, Range<usize>)) {
    let text = view.text();
    let bytes = text.as_bytes();
    let mut done = 0;
    for (_, word) in view.with_digits() {
        let first = learned::place(word).start;
        let before = |at: usize| {
            at.checked_sub(1)
                .and_then(|at| bytes.get(at))
                .copied()
                .unwrap_or(b' ')
        };
        let opened = matches!(before(first), b'+' | b'(');
        let at = if opened { first - 1 } else { first };
        if first < done
            || !bytes.get(first).is_some_and(u8::is_ascii_digit)
            || (before(at).is_ascii_alphanumeric() || matches!(before(at), b'_' | b'.'))
        {
            continue;
        }
        // Two signs may open a number: (+44), +(1).
        let at = if opened && matches!(before(at), b'+' | b'(') {
            at - 1
        } else {
            at
        };
        let (end, digits) = run(bytes, at);
        if DIGITS_COUNT.contains(&digits)
            && !bytes
                .get(end)
                .is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
        {
            number(text, at..end, digits, add);
        } else if (4..13).contains(&digits)
            && let Some(place) = address(text, at, end)
        {
            add(known("personal/ip-address", 0.7, "address of a computer"), place);
        } else if (4..7).contains(&digits)
            && let Some(known) = born(text, &(at..end), text.get(at..end).unwrap_or_default())
        {
            add(known, at..end);
        }
        done = end;
    }
}

/// The end of a run of digits, and how many there are. Two separators may stand together, as in `) `.
fn run(bytes: &[u8], start: usize) -> (usize, usize) {
    let (mut at, mut end, mut digits, mut gap) = (start, start, 0, 0);
    while let Some(&byte) = bytes.get(at) {
        if byte.is_ascii_digit() {
            digits += 1;
            gap = 0;
            end = at + 1;
        } else if matches!(byte, b' ' | b'-' | b'.' | b'(' | b')' | b'/' | b'+') && gap < 2 {
            gap += 1;
        } else {
            break;
        }
        at += 1;
    }
    // An extension.
    let rest = bytes.get(end..).unwrap_or_default();
    if matches!(rest.first(), Some(b'x' | b'X')) {
        let more = rest
            .iter()
            .skip(1)
            .take(6)
            .take_while(|b| b.is_ascii_digit())
            .count();
        if more > 0 && digits >= 7 {
            end += 1 + more;
        }
    }
    (end, digits)
}

fn number(text: &str, place: Range<usize>, count: usize, add: &mut impl FnMut(Known, Range<usize>)) {
    let written = text.get(place.clone()).unwrap_or_default();
    if let Some(part) = address(text, place.start, place.end) {
        add(known("personal/ip-address", 0.7, "address of a computer"), part);
        return;
    }
    let digits: String = written.chars().filter(char::is_ascii_digit).collect();
    if let Some(known) = card(written, &digits)
        .filter(|_| !is_continued(text, place.start))
        .or_else(|| social(text, &place, written, &digits))
        .or_else(|| born(text, &place, written))
        .or_else(|| national(text, &place, written, &digits))
        .or_else(|| telephone(text, &place, written, count))
    {
        add(known, place);
        return;
    }
    // Several numbers in a row, as in a line of a table or an address: each on its own.
    if written.contains(' ') && !written.contains('(') && !written.starts_with('+') {
        let mut from = place.start;
        for part in written.split(' ') {
            let digits: String = part.chars().filter(char::is_ascii_digit).collect();
            let own = from..from + part.len();
            from += part.len() + 1;
            if !DIGITS_COUNT.contains(&digits.len()) {
                continue;
            }
            let found = card(part, &digits)
                .or_else(|| social(text, &own, part, &digits))
                .or_else(|| telephone(text, &own, part, digits.len()));
            if let Some(known) = found {
                add(known, own);
            }
        }
    }
}

/// IPv4, where a version would have other words.
fn address(text: &str, start: usize, end: usize) -> Option<Range<usize>> {
    let run = text.get(start..end)?;
    let part = run.split([' ', '/', '-']).next()?;
    let octets: Vec<_> = part.split('.').collect();
    let valid = octets.len() == 4
        && octets
            .iter()
            .all(|octet| octet.parse::<u8>().is_ok() && (octet.len() == 1 || !octet.starts_with('0')));
    let place = start..start + part.len();
    (valid && !octets.starts_with(&["0"]) && !has_near(text, &place, &["version", " v.", "ver."]))
        .then_some(place)
}

fn card(written: &str, digits: &str) -> Option<Known> {
    let first: u32 = digits.get(..4)?.parse().ok()?;
    let issued =
        matches!(first, 1800 | 2014 | 2149 | 2221..=2720 | 2131 | 3000..=3999 | 4000..=4999 | 5000..=6999);
    let groups: Vec<usize> = written.split([' ', '-']).map(str::len).collect();
    let grouped = groups.len() == 1
        || (groups.len() >= 3 && groups.iter().all(|n| (3..=7).contains(n)) && groups.first() == Some(&4));
    let plain = written
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b' ' | b'-'));
    let varied = digits.bytes().any(|b| Some(b) != digits.bytes().next());
    ((12..=19).contains(&digits.len()) && issued && grouped && plain && varied && check::luhn(digits))
        .then_some(known("personal/credit-card", 0.9, "payment card number"))
}

fn social(text: &str, place: &Range<usize>, written: &str, digits: &str) -> Option<Known> {
    if digits.len() != 9 || !check::ssn(digits) {
        return None;
    }
    let groups: Vec<usize> = written.split(['-', ' ', '.']).map(str::len).collect();
    let named = has_near(text, place, &["ssn", "social", "ss#"]);
    let score = match (groups.as_slice(), named) {
        ([3, 2, 4], true) => 0.9,
        ([3, 2, 4], false) if written.contains('-') => 0.7,
        ([3, 2, 4], false) => 0.55,
        (_, true) => 0.6,
        _ => return None,
    };
    Some(known("personal/us-ssn", score, "social security number (US)"))
}

/// A number that is known by its length, its check digit, and a word beside it.
struct National {
    detector: &'static str,
    digits: usize,
    check: fn(&str) -> bool,
    words: &'static [&'static str],
    /// Ways to write it, 9 for a digit, that say what it is without a word.
    alone: &'static [&'static str],
    note: &'static str,
}

const SWEDISH: &[&str] = &[
    "personnummer",
    "person number",
    "personal number",
    "personal identity",
    "identity code",
    "pnr",
];

const NATIONAL: &[National] = &[
    National {
        detector: "personal/ca-sin",
        digits: 9,
        check: check::luhn,
        words: &["sin", "social insurance"],
        alone: &["999-999-999"],
        note: "social insurance number (Canada)",
    },
    National {
        detector: "personal/driving-licence",
        digits: 9,
        check: |_| true,
        words: &["driver's lic", "driving lic", "drivers lic"],
        alone: &[],
        note: "driving licence number",
    },
    National {
        detector: "personal/us-aba-routing",
        digits: 9,
        check: check::aba,
        words: &["routing", "aba", "bank"],
        alone: &[],
        note: "routing number (US bank)",
    },
    National {
        detector: "personal/au-tfn",
        digits: 9,
        check: check::tfn,
        words: &["tfn", "tax file"],
        alone: &[],
        note: "tax file number (Australia)",
    },
    National {
        detector: "personal/uk-nhs",
        digits: 10,
        check: check::nhs,
        words: &["nhs", "health service", "patient"],
        alone: &[],
        note: "NHS number (UK)",
    },
    National {
        detector: "personal/us-npi",
        digits: 10,
        check: check::npi,
        words: &["npi", "provider"],
        alone: &["9999-999-999"],
        note: "provider identifier (US)",
    },
    National {
        detector: "personal/se-personnummer",
        digits: 10,
        check: check::swedish,
        words: SWEDISH,
        alone: &["999999-9999", "999999+9999"],
        note: "personal number (Sweden)",
    },
    National {
        detector: "personal/pl-pesel",
        digits: 11,
        check: check::pesel,
        words: &["pesel"],
        alone: &[],
        note: "PESEL (Poland)",
    },
    National {
        detector: "personal/tr-identity",
        digits: 11,
        check: check::turkish,
        words: &["tckn", "kimlik", "turkish", "tc "],
        alone: &[],
        note: "identity number (Turkey)",
    },
    National {
        detector: "personal/de-tax-id",
        digits: 11,
        check: check::german_tax,
        words: &["steuer", "tax id", "tin", "idnr"],
        alone: &[],
        note: "tax identity (Germany)",
    },
    National {
        detector: "personal/au-abn",
        digits: 11,
        check: check::abn,
        words: &["abn", "business number"],
        alone: &[],
        note: "business number (Australia)",
    },
    National {
        detector: "personal/in-aadhaar",
        digits: 12,
        check: check::verhoeff,
        words: &["aadhaar", "aadhar", "uidai"],
        alone: &["9999-9999-9999", "9999 9999 9999"],
        note: "Aadhaar (India)",
    },
    National {
        detector: "personal/za-identity",
        digits: 13,
        check: check::luhn,
        words: &["south africa", "id number", "identity"],
        alone: &[],
        note: "identity number (South Africa)",
    },
    National {
        detector: "personal/th-identity",
        digits: 13,
        check: check::thai,
        words: &["thai", "บัตรประชาชน", "identity"],
        alone: &[],
        note: "identity number (Thailand)",
    },
    National {
        detector: "personal/se-personnummer",
        digits: 12,
        check: check::swedish,
        words: SWEDISH,
        alone: &["99999999-9999", "99999999+9999"],
        note: "personal number (Sweden)",
    },
    National {
        detector: "personal/se-organisation",
        digits: 10,
        check: check::swedish_organisation,
        words: &[
            "orgnummer",
            "org.nr",
            "organisationsnummer",
            "organisation number",
            "company identity",
        ],
        alone: &[],
        note: "number of an organisation (Sweden)",
    },
    National {
        detector: "personal/kr-rrn",
        digits: 13,
        check: check::korean_birthday,
        words: &["rrn", "frn", "resident reg", "foreigner reg", "주민", "외국인"],
        alone: &[],
        note: "resident number (Korea)",
    },
    National {
        detector: "personal/kr-rrn",
        digits: 13,
        check: check::korean_resident,
        words: &[],
        alone: &["999999-9999999"],
        note: "resident number (Korea)",
    },
    National {
        detector: "personal/kr-business",
        digits: 10,
        check: check::korean_business,
        words: &["brn", "business reg", "사업자"],
        alone: &["999-99-99999"],
        note: "business number (Korea)",
    },
    National {
        detector: "personal/it-vat",
        digits: 11,
        check: check::luhn,
        words: &["partita iva", "p.iva", "p. iva"],
        alone: &[],
        note: "VAT number (Italy)",
    },
    National {
        detector: "personal/de-physician",
        digits: 9,
        check: check::german_physician,
        words: &["lanr", "arztnummer", "arztnr"],
        alone: &[],
        note: "number of a physician (Germany)",
    },
    National {
        detector: "personal/de-practice",
        digits: 9,
        check: |_| true,
        words: &["bsnr", "betriebsst"],
        alone: &[],
        note: "number of a practice (Germany)",
    },
    National {
        detector: "personal/us-itin",
        digits: 9,
        check: check::itin,
        words: &["itin", "taxpayer"],
        alone: &["999-99-9999"],
        note: "taxpayer number (US)",
    },
];

fn national(text: &str, place: &Range<usize>, written: &str, digits: &str) -> Option<Known> {
    let layout: String = written
        .chars()
        .map(|c| if c.is_ascii_digit() { '9' } else { c })
        .collect();
    NATIONAL
        .iter()
        .filter(|national| digits.len() == national.digits && (national.check)(digits))
        .find_map(|national| {
            let score = if has_near(text, place, national.words) {
                0.8
            } else if national.alone.contains(&layout.as_str()) && !is_continued(text, place.start) {
                0.6
            } else {
                return None;
            };
            Some(known(national.detector, score, national.note))
        })
}

/// Words beside a telephone number.
const TELEPHONE: &[&str] = &[
    "phone",
    "tel",
    "call",
    "fax",
    "mobile",
    "cell",
    "contact",
    "office",
    "whatsapp",
    "dial",
    "ring ",
    "number",
    "reach",
    "text me",
    "sms",
    "gsm",
    "cep ",
    "handy",
    "numéro",
    "número",
    "номер",
];

fn telephone(text: &str, place: &Range<usize>, written: &str, digits: usize) -> Option<Known> {
    const NUMBER: &str = "telephone number";
    let body = written.split(['x', 'X']).next().unwrap_or(written);
    let extended = body.len() < written.len();
    let groups: Vec<usize> = body
        .split(|c: char| !c.is_ascii_digit())
        .filter(|g| !g.is_empty())
        .map(str::len)
        .collect();
    if !(7..=15).contains(&digits.min(15)) || digits > 16 || is_date(body) || body.contains("..") {
        return None;
    }
    if has_near(text, place, &["licen"]) {
        return None;
    }
    let strong = matches!(
        groups.as_slice(),
        [3, 3, 4]
            | [1, 3, 3, 4]
            | [3, 3, 3, 4]
            | [2, 3, 3, 4]
            | [2, 2, 2, 2, 2]
            | [3, 3, 2, 2]
            | [1, 3, 3, 2, 2]
    ) || (body.starts_with('+') && digits >= 8)
        || extended
        || (body.starts_with('(') && body.contains(')') && digits <= 13);
    if strong && !body.contains('/') && !body.matches('.').count().gt(&3) {
        return Some(known("personal/phone", 0.75, NUMBER));
    }
    let apart = groups.len() >= 2
        && groups.iter().all(|n| *n <= 8)
        && groups.len() <= 6
        && groups.iter().filter(|n| **n == 1).count() <= 1;
    let beside = has_near(text, place, TELEPHONE);
    if beside
        && !body.contains('/')
        && ((apart && !is_decimal(body)) || (groups.len() == 1 && (9..=12).contains(&digits)))
    {
        return Some(known("personal/phone", 0.65, NUMBER));
    }
    let trunk = body.starts_with('0')
        && apart
        && (9..=11).contains(&digits)
        && !body.contains('.')
        && !body.contains('/')
        && groups.first().is_some_and(|n| (2..=5).contains(n))
        && groups.as_slice() != [3, 2, 4]
        && !is_continued(text, place.start);
    trunk.then_some(known("personal/phone", 0.6, NUMBER))
}

/// Whether the word before has letters and digits: the number is the rest of a longer code.
fn is_continued(text: &str, start: usize) -> bool {
    let before = text.get(..start).unwrap_or_default();
    let word = before
        .strip_suffix(' ')
        .and_then(|before| before.rsplit(|c: char| !c.is_ascii_alphanumeric()).next())
        .unwrap_or_default();
    let has = |what: fn(&u8) -> bool| word.bytes().any(|byte| what(&byte));
    word.len() <= 8 && has(u8::is_ascii_digit) && has(u8::is_ascii_uppercase)
}

/// A date that the words before it call a birthday.
fn born(text: &str, place: &Range<usize>, written: &str) -> Option<Known> {
    const WORDS: &[&str] = &[
        "born",
        "birth",
        "dob",
        "d.o.b",
        "geboren",
        "geb.",
        "nacimiento",
        "naissance",
    ];
    let parts: Vec<u32> = written
        .split(['-', '/', '.'])
        .filter_map(|part| part.parse().ok())
        .collect();
    let year = |n: u32| (1880..=2100).contains(&n);
    let short = |n: u32| (1..=31).contains(&n);
    let dated = matches!(parts.as_slice(), [a, b, c]
        if (year(*a) && short(*b) && short(*c)) || (short(*a) && short(*b) && (year(*c) || *c < 100)));
    if !dated {
        return None;
    }
    let from = crate::view::floor(text, place.start.saturating_sub(24));
    let before = text.get(from..place.start).unwrap_or_default().to_lowercase();
    WORDS.iter().any(|word| before.contains(word)).then_some(known(
        "personal/birth-date",
        0.7,
        "date of birth",
    ))
}

fn is_decimal(body: &str) -> bool {
    body.matches('.').count() == 1 && !body.contains(['-', ' ', '('])
}

/// `2024-05-19`, `19.5.2024`, and with a time.
fn is_date(body: &str) -> bool {
    let parts: Vec<u32> = body
        .split(['-', '/', '.', ' '])
        .take(3)
        .filter_map(|part| part.parse().ok())
        .collect();
    let year = |n: u32| (1800..=2200).contains(&n);
    match parts.as_slice() {
        [y, m, d] if year(*y) => *m <= 12 && *d <= 31,
        [a, b, y] if year(*y) => *a <= 31 && *b <= 31,
        [a, b, ..] => year(*a) && year(*b),
        _ => false,
    }
}
