//! Points and spans of time of the policy language: `datetime("2026-11-21T08:00:00Z")`, `duration("1h30m")`.
//! Milliseconds throughout; overflow is an error, never a wrap.

use std::fmt;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Moment(pub(super) i64);

/// A span of time in milliseconds.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Span(pub(super) i64);

impl Moment {
    /// Reads `YYYY-MM-DD`, or with `Thh:mm:ss`, an optional `.SSS`, and `Z` or `+hhmm`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut rest = Cursor(text);
        let year = rest.digits(4)?;
        rest.sign('-')?;
        let month = rest.digits(2)?;
        rest.sign('-')?;
        let day = rest.digits(2)?;
        let midnight = days_since_epoch(year, month, day)? * DAY;
        if rest.0.is_empty() {
            return Some(Self(midnight));
        }
        rest.sign('T')?;
        let hour = rest.digits(2).filter(|hour| *hour < 24)?;
        rest.sign(':')?;
        let minute = rest.digits(2).filter(|minute| *minute < 60)?;
        rest.sign(':')?;
        let second = rest.digits(2).filter(|second| *second < 60)?;
        let milli = match rest.sign('.') {
            Some(()) => rest.digits(3)?,
            None => 0,
        };
        let offset = rest.offset()?;
        let time = hour * HOUR + minute * MINUTE + second * SECOND + milli;
        rest.0.is_empty().then_some(Self(midnight + time - offset))
    }

    pub(super) fn offset(self, by: Span) -> Option<Self> {
        self.0.checked_add(by.0).map(Self)
    }

    pub(super) fn since(self, other: Self) -> Option<Span> {
        self.0.checked_sub(other.0).map(Span)
    }

    /// Midnight of that day.
    pub(super) fn date(self) -> Option<Self> {
        self.0.checked_sub(self.0.rem_euclid(DAY)).map(Self)
    }

    /// What has passed of that day.
    pub(super) fn time(self) -> Span {
        Span(self.0.rem_euclid(DAY))
    }
}

impl Span {
    /// Reads `1d2h3m4s5ms`, each part optional but in this order, with an optional `-` in front.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (sign, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text),
        };
        let mut rest = Some(unsigned).filter(|rest| !rest.is_empty())?;
        let mut total = 0_i64;
        for (unit, size) in [("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND), ("ms", 1)] {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (number, after) = rest.split_at(end);
            // `m` begins `ms` too: a number is minutes only if no `s` follows.
            let Some(after) = after
                .strip_prefix(unit)
                .filter(|after| !(unit == "m" && after.starts_with('s')))
            else {
                continue;
            };
            let part = sign * i128::from(number.parse::<u64>().ok()?) * i128::from(size);
            // Cedar refuses a part that does not fit on its own, so the order of the sum cannot matter.
            total = total.checked_add(i64::try_from(part).ok()?)?;
            rest = after;
        }
        rest.is_empty().then_some(Self(total))
    }

    pub(super) fn seconds(self) -> i64 {
        self.0 / SECOND
    }

    pub(super) fn minutes(self) -> i64 {
        self.0 / MINUTE
    }

    pub(super) fn hours(self) -> i64 {
        self.0 / HOUR
    }

    pub(super) fn days(self) -> i64 {
        self.0 / DAY
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, time) = (self.0.div_euclid(DAY), self.0.rem_euclid(DAY));
        let (year, month, day) = civil(days);
        let (hour, minute) = (time / HOUR, time / MINUTE % 60);
        let (second, milli) = (time / SECOND % 60, time % SECOND);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"
        )
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

/// The rest of a text that is read from the front.
struct Cursor<'t>(&'t str);

impl Cursor<'_> {
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        let number = digits.bytes().all(|b| b.is_ascii_digit());
        self.0 = rest;
        number.then(|| digits.parse().ok()).flatten()
    }

    fn sign(&mut self, sign: char) -> Option<()> {
        self.0 = self.0.strip_prefix(sign)?;
        Some(())
    }

    /// `Z`, or how far local time is ahead of it.
    fn offset(&mut self) -> Option<i64> {
        if self.sign('Z').is_some() {
            return Some(0);
        }
        let direction = match self.sign('+') {
            Some(()) => 1,
            None => {
                self.sign('-')?;
                -1
            }
        };
        let hours = self.digits(2).filter(|hours| *hours < 24)?;
        let minutes = self.digits(2).filter(|minutes| *minutes < 60)?;
        Some(direction * (hours * HOUR + minutes * MINUTE))
    }
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar, if there is such a date.
fn days_since_epoch(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Years are counted from March, so that the leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// The date so many days after 1970-01-01; the inverse of [`days_since_epoch`].
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}
