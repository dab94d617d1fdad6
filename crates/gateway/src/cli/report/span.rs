//! Moments as people write them: a day, or a day and a time, in UTC.

use crate::failure::Failure;

/// Milliseconds of a day.
pub(super) const DAY_MS: u64 = 24 * 3600 * 1000;

/// `2026-11-01` or `2026-11-01T08:00:00Z`, in milliseconds since 1970.
pub(super) fn moment(text: &str) -> Result<u64, Failure> {
    read(text).ok_or_else(|| {
        let shown = text.escape_debug();
        Failure::configuration(format!(
            "`{shown}` is no time; write 2026-11-01 or 2026-11-01T08:00:00Z"
        ))
    })
}

fn read(text: &str) -> Option<u64> {
    let (day, time) = match text.split_once('T') {
        None => (text, "00:00:00Z"),
        Some(both) => both,
    };
    let [year, month, day] = numbers(day, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time.strip_suffix('Z')?, ':', [2, 2, 2])?;
    let in_range = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    in_range.then_some(())?;
    let years: u64 = (1970..year)
        .map(|year| if is_leap(year) { 366 } else { 365 })
        .sum();
    let months: u64 = (1..month).map(|month| days_of(year, month)).sum();
    let days = years + months + day - 1;
    Some((days * 24 * 3600 + hour * 3600 + minute * 60 + second) * 1000)
}

fn numbers(text: &str, between: char, digits: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(between);
    let mut found = [0; 3];
    for (number, digits) in found.iter_mut().zip(digits) {
        let part = parts.next()?;
        let is_number = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        *number = is_number.then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(found)
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_of(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_they_are_written() {
        for (text, ms) in [
            ("1970-01-01", 0),
            ("2000-02-29T23:59:59Z", 951_868_799_000),
            ("2026-11-22", 1_795_305_600_000),
        ] {
            assert_eq!(read(text), Some(ms), "{text}");
            assert!(
                records::ledger::entry::rfc3339(ms).starts_with(text.trim_end_matches('Z')),
                "{text}"
            );
        }
        for text in [
            "",
            "2026",
            "2026-13-01",
            "2026-02-29",
            "2026-1-1",
            "2026-11-01T8:00:00Z",
            "2026-11-01T08:00:00",
            "x",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
