//! Another day for a day somebody was born on, written as that one is.

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The other day. None, if it is not clear which number is what.
pub(super) fn birthday(written: &str, draw: &mut impl FnMut() -> u64) -> Option<String> {
    let parts = parts(written);
    let numbers: Vec<u64> = parts.iter().filter_map(|part| part.parse().ok()).collect();
    let named = parts.iter().any(|part| month(part).is_some());
    // The year is what can be nothing else; with two digits it is the last one.
    let year = numbers
        .iter()
        .position(|number| *number > 31)
        .unwrap_or(numbers.len().checked_sub(1)?);
    let expected = if named { 1..=2 } else { 3..=3 };
    if !expected.contains(&numbers.len()) {
        return None;
    }
    let mut at = 0;
    let mut between = |least: u64, most: u64| least + draw() % (most - least + 1);
    let another = parts.iter().map(|part| {
        if let Some(name) = month(part) {
            let index = usize::try_from(between(0, 11)).unwrap_or(0);
            return renamed(part, name, index);
        }
        let Ok(number) = part.parse::<u64>() else {
            return (*part).to_owned();
        };
        at += 1;
        let other = match number {
            _ if at == year + 1 && part.len() > 2 => between(1930, 2009),
            _ if at == year + 1 => between(0, 99),
            // A day in every month, that no reader takes for a month.
            13.. => between(13, 28),
            _ if named => between(1, 28),
            // Whichever of them is the month.
            _ => between(1, 12),
        };
        let width = part.len();
        format!("{other:0width$}")
    });
    Some(another.collect())
}

/// Runs of digits, of letters, and of what is neither.
fn parts(written: &str) -> Vec<&str> {
    let sort = |c: char| (c.is_ascii_digit(), c.is_alphabetic());
    let mut parts = Vec::new();
    let mut start = 0;
    let mut before = None;
    for (at, c) in written.char_indices() {
        if before.is_some_and(|before| before != sort(c)) {
            parts.extend(written.get(start..at));
            start = at;
        }
        before = Some(sort(c));
    }
    parts.extend(written.get(start..));
    parts
}

/// The name of the month that a word is, or begins.
fn month(word: &str) -> Option<&'static str> {
    let begins = |name: &&str| word.len() >= 3 && name.get(..word.len()).is_some_and(|begin| begin == word);
    MONTHS.into_iter().find(begins)
}

/// As much of another month's name as was written of this one.
fn renamed(written: &str, name: &str, index: usize) -> String {
    let other = MONTHS.get(index).copied().unwrap_or(name);
    let short = written.len() < name.len() || name.len() == 3;
    other.get(..3).filter(|_| short).unwrap_or(other).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_written_as_they_were_and_are_in_the_calendar() {
        let mut state = 7_u64;
        let mut draw = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let form = |text: &str| -> String {
            let sign = |c: char| if c.is_ascii_digit() { '9' } else { c };
            text.chars().map(sign).collect()
        };
        for written in ["1984-05-12", "1984-12-30", "30.12.1984", "12/31/84", "05/06/1984"] {
            for _ in 0..200 {
                let other = birthday(written, &mut draw).expect("a day");
                assert_eq!(form(&other), form(written));
                let of = |text: &str| -> Vec<u64> {
                    text.split(['-', '.', '/'])
                        .map(|part| part.parse().expect("a number"))
                        .collect()
                };
                for (before, now) in of(written).into_iter().zip(of(&other)) {
                    match before {
                        1984 => assert!((1930..2010).contains(&now), "{other}"),
                        84 => assert!(now < 100, "{other}"),
                        13.. => assert!((13..=28).contains(&now), "{other}"),
                        _ => assert!((1..=12).contains(&now), "{other}"),
                    }
                }
            }
        }
        for written in ["12 May 1984", "May 12th, 1984", "Sep. 1984", "3 September 1984"] {
            let other = birthday(written, &mut draw).expect("a day");
            assert!(
                parts(&other).into_iter().any(|part| month(part).is_some()),
                "{other}"
            );
        }
        assert_eq!(birthday("once upon a time", &mut draw), None);
        assert_eq!(birthday("12.5.1984 10:15", &mut draw), None);
    }
}
