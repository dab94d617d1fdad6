//! What else holds of a number than what a detector asks for. The words beside a number may call it something else than
//! it is, and who checks it knows its kind, and checks more: dates, and what authorities never gave out.

use super::check;

/// The most of a value that may be a number of somebody's.
const LENGTH_MAX: usize = 40;

/// What may hold: of so many letters and digits, and of what is written without anything between them.
type Rule = (std::ops::RangeInclusive<usize>, fn(&str) -> bool);

const RULES: &[Rule] = &[
    (12..=19, check::luhn),
    (9..=10, check::luhn),
    (9..=9, check::aba),
    (9..=9, check::german_physician),
    (9..=9, check::itin),
    (9..=9, check::spanish),
    (9..=9, check::ssn),
    (9..=9, check::tfn),
    (9..=9, is_given_in_canada),
    (10..=10, check::german_health),
    (10..=10, check::korean_business),
    (10..=10, check::nhs),
    (10..=10, check::npi),
    (11..=11, check::abn),
    (11..=11, check::german_tax),
    (11..=11, check::luhn),
    (11..=11, check::pesel),
    (11..=11, check::turkish),
    (11..=11, is_born_in_poland),
    (11..=11, is_repeated_once),
    (12..=12, check::verhoeff),
    (12..=12, is_given_in_india),
    (13..=13, check::korean_resident),
    (13..=13, check::thai),
    (10..=10, is_birthday),
    (12..=12, |text| text.get(2..).is_some_and(is_birthday)),
    (13..=13, is_birthday),
    (15..=34, check::iban),
    (16..=16, is_fiscal_code),
    (17..=17, check::vehicle),
];

/// What holds of a value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Class {
    rules: Vec<fn(&str) -> bool>,
    is_dated: bool,
}

impl Class {
    pub(crate) fn of(value: &str) -> Self {
        let value = compact(value);
        if value.len() > LENGTH_MAX {
            return Self::default();
        }
        let holds = |(lengths, rule): &&Rule| lengths.contains(&value.len()) && rule(&value);
        Self {
            rules: RULES.iter().filter(holds).map(|(_, rule)| *rule).collect(),
            is_dated: is_dated(&value),
        }
    }

    /// Whether all of it holds of another value.
    pub(crate) fn has(&self, value: &str) -> bool {
        let value = compact(value);
        self.rules.iter().all(|rule| rule(&value))
    }

    /// How much of it holds of another value: a date is more than all the rest, which may hold by chance.
    pub(crate) fn held(&self, value: &str) -> usize {
        let value = compact(value);
        let dated = if self.is_dated && is_dated(&value) {
            self.rules.len()
        } else {
            0
        };
        dated + self.rules.iter().filter(|rule| rule(&value)).count()
    }

    /// Whether nothing is known to hold.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

fn compact(value: &str) -> String {
    let signs = value.chars().filter(char::is_ascii_alphanumeric);
    signs.map(|c| c.to_ascii_uppercase()).collect()
}

fn number(text: &str, place: std::ops::Range<usize>) -> Option<u32> {
    text.get(place)?.parse().ok()
}

/// A year of two digits, a month and a day at the beginning, all of digits.
fn is_birthday(text: &str) -> bool {
    is_number(text) && is_day(number(text, 2..4), number(text, 4..6))
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_day(month: Option<u32>, day: Option<u32>) -> bool {
    // The 29th of February is not in every year.
    let days = match month {
        Some(2) => 28,
        Some(4 | 6 | 9 | 11) => 30,
        Some(1..=12) => 31,
        Some(_) | None => 0,
    };
    day.is_some_and(|day| (1..=days).contains(&day))
}

/// Whether a day stands in it, as in numbers of persons.
fn is_dated(text: &str) -> bool {
    match text.len() {
        10 | 13 => is_birthday(text),
        11 => is_born_in_poland(text),
        12 => text.get(2..).is_some_and(is_birthday),
        _ => false,
    }
}

/// An Aadhaar begins with neither of these.
fn is_given_in_india(text: &str) -> bool {
    check::verhoeff(text) && !text.starts_with(['0', '1'])
}

/// The first digit is a province, or says that somebody stays for a time.
fn is_given_in_canada(text: &str) -> bool {
    is_number(text) && !text.starts_with(['0', '8'])
}

/// The century is in the month.
fn is_born_in_poland(text: &str) -> bool {
    is_number(text) && is_day(number(text, 2..4).map(|month| month % 20), number(text, 4..6))
}

/// German tax identities: of the first ten digits one stands there twice or three times, and no other one.
fn is_repeated_once(text: &str) -> bool {
    let mut counts = [0_u8; 10];
    for digit in text.chars().take(10).filter_map(|c| c.to_digit(10)) {
        let at = usize::try_from(digit).unwrap_or(0);
        counts.iter_mut().skip(at).take(1).for_each(|count| *count += 1);
    }
    let mut repeated = counts.iter().filter(|count| **count > 1);
    let once = repeated.next().is_some_and(|count| *count <= 3) && repeated.next().is_none();
    is_number(text) && once && !text.starts_with('0')
}

/// Italy's: the month is a letter, the day of women is 40 more, and the last letter is a check.
fn is_fiscal_code(text: &str) -> bool {
    const MONTHS: &str = "ABCDEHLMPRST";
    const ODD: [u32; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23,
    ];
    let value = |c: char| c.to_digit(36).map(|n| n.checked_sub(10).unwrap_or(n));
    let sum: u32 = text
        .chars()
        .take(15)
        .filter_map(value)
        .zip(0_u32..)
        .map(|(value, at)| match at % 2 {
            0 => usize::try_from(value)
                .ok()
                .and_then(|value| ODD.get(value))
                .copied()
                .unwrap_or(0),
            _ => value,
        })
        .sum();
    let check = text.chars().last().and_then(value);
    let month = text
        .chars()
        .nth(8)
        .and_then(|c| MONTHS.find(c))
        .and_then(|n| u32::try_from(n + 1).ok());
    let day = number(text, 9..11).map(|day| day % 40);
    text.ends_with(|c: char| c.is_ascii_alphabetic()) && is_day(month, day) && check == Some(sum % 26)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published examples, each with one that has the form and is none.
    #[test]
    fn dates_and_rules_of_authorities_tell_right_from_wrong() {
        for (rule, right, wrong) in [
            (is_birthday as fn(&str) -> bool, "6408233234", "6408333234"),
            (is_given_in_canada, "130692544", "830692544"),
            (is_given_in_india, "234123412346", "167497842981"),
            (is_born_in_poland, "02070803628", "02170803628"),
            (is_born_in_poland, "02270803628", "02270003628"),
            (is_repeated_once, "86095742719", "86095748719"),
            (is_repeated_once, "36574261809", "36574262809"),
            (is_fiscal_code, "RCCMNL83S18D969H", "RCCMNL83S18D969I"),
            (is_fiscal_code, "MRTMTT91D08F205J", "MRTMTT91F08F205J"),
        ] {
            assert!(rule(right), "{right}");
            assert!(!rule(wrong), "{wrong}");
        }
    }

    #[test]
    fn what_holds_of_a_number_holds_of_no_other_at_random() {
        for (value, wrong) in [
            ("123 456 782", "123 456 783"),
            ("943 476 5919", "943 476 5918"),
            ("880320-0016", "880340-0016"),
        ] {
            let class = Class::of(value);
            assert!(!class.is_empty() && class.has(value), "{value}");
            assert!(!class.has(wrong), "{wrong}");
        }
        assert!(Class::of("Ann Lee").is_empty());
    }
}
