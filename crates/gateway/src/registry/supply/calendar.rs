//! Days of the calendar, for the times that registries and certificates write.

/// Days from 1970 to the date a time (RFC 3339) begins with.
pub(super) fn days(time: &str) -> Option<i64> {
    let mut parts = time.get(..10)?.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    // Of the civil calendar, with March as the first month.
    let (year, month) = if month <= 2 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let leap = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some(year * 365 + leap + (month * 153 + 2) / 5 + day - 1 - 719_468)
}

#[cfg(test)]
mod tests {
    use super::days;

    #[test]
    fn days_are_counted() {
        assert_eq!(days("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(days("2026-11-22T02:00:00Z"), Some(20_779));
        for bad in ["", "2026", "2026-xx-01", "99999999999-1"] {
            assert_eq!(days(bad), None, "{bad}");
        }
    }
}
