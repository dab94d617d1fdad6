//! Papers and registers whose numbers have letters: each by its form, and by a check or a word beside it.

use super::{Known, check, known};

/// One sort of paper.
struct Paper {
    detector: &'static str,
    /// 9 for a digit, A for a letter.
    forms: &'static [&'static str],
    check: fn(&str) -> bool,
    /// One of these stands near; none are needed where form and check say enough.
    words: &'static [&'static str],
    note: &'static str,
}

const PAPERS: &[Paper] = &[
    Paper {
        detector: "personal/de-pension",
        forms: &["99999999A999"],
        check: check::german_pension,
        words: &[],
        note: "pension insurance number (Germany)",
    },
    Paper {
        detector: "personal/uk-driving-licence",
        forms: &[
            "AAAAA999999AA9AA",
            "AAAA9999999AA9AA",
            "AAA99999999AA9AA",
            "AAAAA999999A99AA",
        ],
        check: check::british_driver,
        words: &[],
        note: "driving licence number (UK)",
    },
    Paper {
        detector: "personal/kr-driving-licence",
        forms: &["99-99-999999-99"],
        check: check::korean_driver,
        words: &[],
        note: "driving licence number (Korea)",
    },
    Paper {
        detector: "personal/de-health-insurance",
        forms: &["A999999999"],
        check: check::german_health,
        words: &[
            "kvnr",
            "egk",
            "krankenkasse",
            "krankenvers",
            "versichert",
            "gesundheitskarte",
        ],
        note: "health insurance number (Germany)",
    },
    Paper {
        detector: "personal/it-driving-licence",
        forms: &["AA9999999A"],
        check: |_| true,
        words: &["patente", "driv"],
        note: "driving licence number (Italy)",
    },
    Paper {
        detector: "personal/it-identity-card",
        forms: &["AA9999999", "AA99999AA", "9999999AA"],
        check: |_| true,
        words: &["identit\u{e0}", "identita", "identity card"],
        note: "identity card (Italy)",
    },
    Paper {
        detector: "personal/in-voter",
        forms: &["AAA9999999"],
        check: |_| true,
        words: &["vote", "epic no", "elector"],
        note: "voter's number (India)",
    },
    Paper {
        detector: "personal/vehicle",
        forms: &[
            "AA99AA9999",
            "AA9AA9999",
            "99AAA999",
            "99AAA99",
            "99AA999",
            "99AA9999",
            "99A9999",
            "99AAA9999",
            "AA99AAA",
            "A999AAA",
            "AAA-999AA",
            "AAA999AA",
            "AA-AA-9999",
            "A-AA-999",
        ],
        check: |_| true,
        words: &[
            "license plate",
            "licence plate",
            "number plate",
            "plate number",
            "plaka",
            "kennzeichen",
            "vehicle reg",
            "vehicle number",
            "vehicle no",
            "car reg",
            "registration plate",
        ],
        note: "number plate of a vehicle",
    },
];

const PASSPORT: &[&str] = &[
    "passport",
    "pasaporte",
    "passeport",
    "reisepass",
    "passaporto",
    "travel document",
    "\u{c5ec}\u{ad8c}",
];
const IDENTITY_CARD: &[&str] = &["personalausweis", "ausweis", "id card", "identity card"];

/// Every word that may stand near one.
pub(super) fn words() -> impl Iterator<Item = &'static str> {
    let papers = PAPERS.iter().flat_map(|paper| paper.words);
    papers.chain(PASSPORT).chain(IDENTITY_CARD).copied()
}

/// What a number of this form is.
pub(super) fn paper(form: &str, upper: &str, near: impl Fn(&[&str]) -> bool) -> Option<Known> {
    let fits = |paper: &&Paper| {
        paper.forms.contains(&form) && (paper.check)(upper) && (paper.words.is_empty() || near(paper.words))
    };
    if let Some(paper) = PAPERS.iter().find(fits) {
        return Some(known(paper.detector, 0.7, paper.note));
    }
    let digits = form.bytes().filter(|b| *b == b'9').count();
    let plain = form.bytes().all(|b| b.is_ascii_alphanumeric());
    if plain && (8..=9).contains(&form.len()) && digits >= 4 {
        if near(PASSPORT) {
            return Some(known("personal/passport", 0.7, "passport number"));
        }
        if form.starts_with('A') && near(IDENTITY_CARD) {
            return Some(known("personal/identity-card", 0.6, "number of an identity card"));
        }
    }
    let vehicle = form.len() == 17 && plain && digits >= 4 && form.contains('A') && check::vehicle(upper);
    vehicle.then_some(known(
        "personal/vehicle",
        0.6,
        "identification number of a vehicle",
    ))
}
