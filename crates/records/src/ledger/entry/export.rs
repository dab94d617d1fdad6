//! The line `ledger export --json` prints for an entry.

use wire::json::{Edits, JsonError, object};

use super::read::document;

/// One line of JSON: the stored members, with `index` added and `time` in RFC 3339 instead of
/// milliseconds, and with the lists and groups that are empty. No newline at the end.
///
/// # Errors
/// When the stored bytes are not JSON.
pub fn export(index: u64, entry: &[u8]) -> Result<Vec<u8>, JsonError> {
    let document = document(entry)?;
    let node = document.root();
    let time_ms = node.get("time").and_then(|time| time.as_number()?.as_u64());
    Ok(object(|line| {
        line.integer("index", index);
        if let Some(time_ms) = time_ms {
            line.string("time", &rfc3339(time_ms));
        }
        line.members_except(node, &["index", "time"], &Edits::default());
        // An entry is stored without what is empty; whoever reads lines finds every group and list in each.
        let missing = |names: &[&'static str]| {
            let missing = names.iter().copied().filter(|name| node.get(name).is_none());
            missing.collect::<Vec<_>>()
        };
        for name in missing(&["findings", "obligations", "sources"]) {
            line.array(name, |_| {});
        }
        for name in missing(&["labels", "principal", "tls"]) {
            line.object(name, |_| {});
        }
    }))
}

/// A time as RFC 3339 writes it, in UTC with milliseconds: `2026-11-21T08:00:00.000Z`.
#[must_use]
pub fn rfc3339(unix_ms: u64) -> String {
    let (seconds, millis) = (unix_ms / 1_000, unix_ms % 1_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Year, month and day of the so-manieth day since 1970-01-01, in the Gregorian calendar.
/// After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`:
/// years begin in March, so the leap day is the last of a year; 400 years have 146,097 days.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}
