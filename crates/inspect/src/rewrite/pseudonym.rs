//! Values that look like others of their kind: same form, right check digits, nobody's.
//!
//! A candidate is drawn in the form of the original and taken when our own detector would take it for the
//! same kind, and when every check digit and date that holds in the original holds in it, whatever its kind.

use crate::{Inspector, Score, Surface, personal::Class};

use super::birthday::birthday;

/// What a pseudonym is to look like.
#[derive(Clone, Copy, Debug)]
pub struct Like<'l> {
    /// The detector that found it, such as `personal/iban`.
    pub detector: &'l str,
    /// The value.
    pub original: &'l str,
    /// The text before it: some kinds are known by the words around them.
    pub before: &'l str,
    /// The text behind it.
    pub after: &'l str,
}

impl Like<'_> {
    /// Whether the detector takes a value for its kind in the place of this one.
    fn is_taken(&self, inspector: &Inspector, value: &str) -> bool {
        let start = crate::view::floor(self.before, self.before.len().saturating_sub(BEFORE_BYTES));
        let before = self.before.get(start..).unwrap_or_default();
        let after = self
            .after
            .get(..crate::view::floor(self.after, AFTER_BYTES.min(self.after.len())));
        let text = format!("{before}{value}{}", after.unwrap_or_default());
        let findings = inspector.inspect_text(&text, Surface::Result);
        findings.iter().any(|finding| {
            let span = &finding.location.span;
            finding.detector == self.detector
                && finding.score >= Score::new(0.5)
                && span.start <= before.len()
                && span.end >= before.len() + value.trim_end().len()
        })
    }
}

/// Draws before any value of the form is good enough. A check digit takes about ten, two of them a hundred; the dearest
/// known is that of German taxpayers, with some six hundred.
const DRAWS_MAX: usize = 8_000;
/// Draws where nothing is as good.
const RELAXED_DRAWS_MAX: usize = 2_000;
/// Of the first, how many a detector is asked about.
const LOOKS_MAX: usize = 200;
/// Draws that one look costs.
const LOOK: usize = 100;
/// Draws for all values of one content; [`Effort`].
const EFFORT_MAX: usize = 4_000_000;
/// Bytes of the text before and behind that are read, as detectors do.
const BEFORE_BYTES: usize = 48;
const AFTER_BYTES: usize = 24;
/// Without the letters and digits that are taken for each other.
const LETTERS: &[u8] = b"23456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Random numbers, each of 64 bits made the most of: thousands of values may be drawn before one is right, and what is
/// unpredictable is dear.
struct Lots<D> {
    draw: D,
    /// What is left of the last number.
    left: u64,
}

impl<D: FnMut() -> u64> Lots<D> {
    fn new(draw: D) -> Self {
        Self { draw, left: 0 }
    }

    /// One of so many numbers, from 0, none more likely than another by more than one part in 2^24.
    fn below(&mut self, count: u8) -> u8 {
        let count = u64::from(count.max(1));
        if self.left < 1 << 32 {
            self.left = (self.draw)();
        }
        let lot = self.left % count;
        self.left /= count;
        u8::try_from(lot).unwrap_or(0)
    }

    /// A whole number.
    fn whole(&mut self) -> u64 {
        (self.draw)()
    }
}

/// What may be spent on the pseudonyms of one content, in draws: whoever writes it chooses how many there are to be, and
/// of which kind. A thousand of most kinds cost a tenth of it.
#[derive(Debug)]
pub struct Effort {
    left: usize,
}

impl Effort {
    /// As much as one content is worth.
    #[must_use]
    pub fn of_one_content() -> Self {
        Self { left: EFFORT_MAX }
    }

    fn spend(&mut self, draws: usize) -> bool {
        let left = self.left.checked_sub(draws);
        self.left = left.unwrap_or(0);
        left.is_some()
    }
}

/// Another value of the same kind, from random numbers. It is never the original. When no more may be spent, it is one
/// that says no more than that it is one.
pub fn pseudonym(
    inspector: &Inspector,
    like: &Like<'_>,
    effort: &mut Effort,
    draw: impl FnMut() -> u64,
) -> String {
    let mut draw = Lots::new(draw);
    let mut label = |prefix: &str| format!("{prefix}-{}", letters(6, &mut draw));
    match like.detector {
        "personal/name" => return label("P"),
        "personal/address" => return label("A"),
        "personal/email" => return format!("{}@pseudonym.example", label("p").to_ascii_lowercase()),
        "personal/ip-address" if like.original.contains(':') => {
            return format!(
                "2001:db8::{:x}:{:x}",
                draw.whole() % 0xFFFF + 1,
                draw.whole() % 0xFFFF + 1
            );
        }
        // RFC 2544: nobody's.
        "personal/ip-address" => return format!("198.18.{}.{}", draw.below(255), draw.below(255)),
        _ => {}
    }
    if !like.original.bytes().any(|byte| byte.is_ascii_digit()) || !effort.spend(LOOK) {
        return label("X");
    }
    let class = match like.detector {
        // These have right check digits by chance alone.
        "personal/birth-date" | "personal/ip-address" | "personal/mac-address" | "personal/phone" => {
            Class::default()
        }
        _ => Class::of(like.original),
    };
    let checked = like.is_taken(inspector, like.original);
    let (mut looks, mut second_best) = (0, None);
    for _ in 0..DRAWS_MAX {
        if !effort.spend(1) {
            break;
        }
        let candidate = drawn(like, &mut draw);
        if candidate == like.original || !class.has(&candidate) {
            continue;
        }
        if !checked || effort.spend(LOOK) && like.is_taken(inspector, &candidate) {
            return candidate;
        }
        looks += 1;
        // What is right of a number says more than the word that was beside it.
        if !class.is_empty() {
            second_best = Some(candidate);
        }
        if looks >= LOOKS_MAX {
            break;
        }
    }
    second_best
        .or_else(|| nearest(inspector, like, &class, effort, &mut draw))
        .unwrap_or_else(|| format!("X-{}", letters(6, &mut draw)))
}

/// What the detector takes for the same, and most of which holds what holds of the original: by chance more may hold than
/// another number of that kind can be found for.
fn nearest(
    inspector: &Inspector,
    like: &Like<'_>,
    class: &Class,
    effort: &mut Effort,
    draw: &mut Lots<impl FnMut() -> u64>,
) -> Option<String> {
    let mut best: Option<(usize, String)> = None;
    for _ in 0..RELAXED_DRAWS_MAX {
        if !effort.spend(1) {
            break;
        }
        let candidate = drawn(like, draw);
        let held = class.held(&candidate);
        let is_better = best.as_ref().is_none_or(|(most, _)| held > *most);
        if is_better
            && candidate != like.original
            && effort.spend(LOOK)
            && like.is_taken(inspector, &candidate)
        {
            best = Some((held, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Another value of the form, right or not.
fn drawn(like: &Like<'_>, draw: &mut Lots<impl FnMut() -> u64>) -> String {
    match like.detector {
        "personal/birth-date" => birthday(like.original, &mut || draw.whole()),
        _ => None,
    }
    .unwrap_or_else(|| shaped(like, draw))
}

/// Digits for digits and letters for letters; what is a country or a brand stays.
fn shaped(like: &Like<'_>, draw: &mut Lots<impl FnMut() -> u64>) -> String {
    let digits = like.original.bytes().filter(u8::is_ascii_digit).count();
    let mut keep = match like.detector {
        "personal/credit-card" | "personal/iban" => 2,
        // What a number is dialled by: the country and the area.
        "personal/phone" => digits.saturating_sub(6),
        _ => 0,
    };
    let hex = like.detector == "personal/mac-address";
    like.original
        .chars()
        .map(|c| {
            if !c.is_ascii_alphanumeric() {
                return c;
            }
            if keep > 0 {
                keep -= 1;
                return c;
            }
            let among: &[u8] = match c {
                '0' => b"0123456789",
                '1'..='9' => b"123456789",
                'a'..='z' if hex => b"abcdef",
                'A'..='Z' if hex => b"ABCDEF",
                'a'..='z' => b"abcdefghijklmnopqrstuvwxyz",
                _ => b"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
            };
            one(among, draw)
        })
        .collect()
}

fn letters(count: usize, draw: &mut Lots<impl FnMut() -> u64>) -> String {
    (0..count).map(|_| one(LETTERS, draw)).collect()
}

fn one(among: &[u8], draw: &mut Lots<impl FnMut() -> u64>) -> char {
    let at = draw.below(u8::try_from(among.len()).unwrap_or(u8::MAX));
    among.get(usize::from(at)).map_or('0', |byte| char::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    fn numbers() -> impl FnMut() -> u64 {
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        }
    }

    #[test]
    fn each_lot_is_as_likely_as_any_other() {
        let mut draws = 0;
        let mut numbers = numbers();
        let mut lots = Lots::new(|| {
            draws += 1;
            numbers()
        });
        let mut counts = [0; 10];
        for _ in 0..10_000 {
            counts[usize::from(lots.below(10))] += 1;
        }
        assert!(
            counts.iter().all(|count| (800..1_200).contains(count)),
            "{counts:?}"
        );
        assert!(draws < 1_500, "{draws}");
    }

    #[test]
    fn a_pseudonym_is_of_the_kind_and_form_of_what_it_stands_for() {
        let inspector = Inspector::new(&Settings::default()).unwrap();
        let mut draw = numbers();
        for (detector, before, original, after) in [
            ("personal/credit-card", "card ", "4111 1111 1111 1111", ""),
            ("personal/iban", "IBAN ", "DE89370400440532013000", ""),
            ("personal/us-ssn", "SSN ", "536-90-4399", ""),
            ("personal/us-ssn", "", "536904399", " is the SSN"),
            ("personal/phone", "call ", "+1 415-555-2671", ""),
            ("personal/email", "mail ", "ann@clinic.org", ""),
            ("personal/ip-address", "from ", "192.0.2.17", ""),
            // Regression: its digits are right by Luhn, too, and what was drawn like them was no address.
            ("personal/ip-address", "from ", "192.168.1.209", ""),
            ("personal/es-identity", "DNI ", "55555555K", ""),
            ("personal/uk-nhs", "NHS number: ", "943 476 5919", ""),
            ("personal/birth-date", "born: ", "1984-05-12", ""),
            ("personal/birth-date", "Born on ", "May 12th, 1984", ""),
        ] {
            let like = Like {
                detector,
                original,
                before,
                after,
            };
            assert!(like.is_taken(&inspector, original), "{original}");
            let found = pseudonym(&inspector, &like, &mut Effort::of_one_content(), &mut draw);
            assert_ne!(found, original);
            assert!(like.is_taken(&inspector, &found), "{detector}: {found}");
        }
    }

    /// Regression: a number that the word beside it calls something else had the check digit of that alone.
    #[test]
    fn a_number_that_is_called_something_else_stays_what_it_is() {
        let inspector = Inspector::new(&Settings::default()).unwrap();
        let mut draw = numbers();
        for (detector, before, original) in [
            // Insured in Canada, in a row after the number of the same person in the USA.
            ("personal/us-ssn", "ssn: 536-90-4399\nsin: ", "123 456 782"),
            ("personal/pl-pesel", "PESEL ", "44051401359"),
            ("personal/it-fiscal-code", "", "MRTMTT91D08F205J"),
            ("personal/de-tax-id", "Steuer-ID ", "36574261809"),
            ("personal/in-aadhaar", "Aadhaar ", "2341 2341 2346"),
            ("personal/it-fiscal-code", "", "RCCMNL83S18D969H"),
            ("personal/se-personnummer", "", "640823-3234"),
            // Nobody knows why: the context is gone.
            ("personal/us-aba-routing", "", "111000025"),
        ] {
            let like = Like {
                detector,
                original,
                before,
                after: "",
            };
            for _ in 0..20 {
                let found = pseudonym(&inspector, &like, &mut Effort::of_one_content(), &mut draw);
                assert_ne!(found, original);
                assert!(Class::of(original).has(&found), "{original}: {found}");
                assert!(!found.starts_with("X-"), "{found}");
            }
        }
    }

    /// Regression: right by chance in ways of other countries, too, of which no second one was found in time.
    #[test]
    fn a_number_with_more_right_than_can_be_kept_keeps_its_form_and_kind() {
        let inspector = Inspector::new(&Settings::default()).unwrap();
        let mut draw = numbers();
        let like = Like {
            detector: "personal/pl-pesel",
            original: "02070803628",
            before: "PESEL ",
            after: "",
        };
        for _ in 0..30 {
            let found = pseudonym(&inspector, &like, &mut Effort::of_one_content(), &mut draw);
            assert!(like.is_taken(&inspector, &found), "{found}");
            // Of the four that hold; and the day counts for as many.
            assert!(Class::of(like.original).held(&found) > 4, "{found}");
        }
    }

    /// Thousands of numbers, each of a kind of which few are right, would keep one answer busy for as long as their writer likes.
    #[test]
    fn what_one_content_may_cost_is_bounded() {
        let inspector = Inspector::new(&Settings::default()).unwrap();
        let mut draw = numbers();
        let like = Like {
            detector: "personal/us-ssn",
            original: "536-90-4399",
            before: "SSN ",
            after: "",
        };
        let mut effort = Effort { left: 3 * LOOK };
        assert!(like.is_taken(&inspector, &pseudonym(&inspector, &like, &mut effort, &mut draw)));
        let mut last = String::new();
        for _ in 0..3 {
            last = pseudonym(&inspector, &like, &mut effort, &mut draw);
        }
        assert!(effort.left < LOOK && last.starts_with("X-"), "{last}");
        // Honest ones are far from it.
        for (detector, before, original) in [
            ("personal/credit-card", "card ", "4111 1111 1111 1111"),
            ("personal/iban", "IBAN ", "DE89370400440532013000"),
            ("personal/phone", "call ", "+1 415-555-2671"),
            ("personal/us-ssn", "SSN ", "536-90-4399"),
        ] {
            let like = Like {
                detector,
                before,
                original,
                after: "",
            };
            let mut effort = Effort::of_one_content();
            (0..100).for_each(|_| drop(pseudonym(&inspector, &like, &mut effort, &mut draw)));
            let spent = EFFORT_MAX - effort.left;
            assert!(spent < EFFORT_MAX / 100, "{detector}: {spent}");
        }
        // What needs no looking for has its form all the same.
        let like = Like {
            detector: "personal/email",
            original: "ann@clinic.org",
            ..like
        };
        assert!(pseudonym(&inspector, &like, &mut effort, &mut draw).ends_with("@pseudonym.example"));
    }
}
