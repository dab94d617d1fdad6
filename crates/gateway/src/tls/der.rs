//! Just enough DER (X.690) to write a certificate. Nothing is read here.

/// Object identifiers, encoded.
pub(super) mod oid {
    pub(crate) const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    pub(crate) const EC_PUBLIC_KEY: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];
    pub(crate) const PRIME256V1: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
    pub(crate) const ECDSA_WITH_SHA256: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02];
    pub(crate) const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1D, 0x0E];
    pub(crate) const KEY_USAGE: &[u8] = &[0x55, 0x1D, 0x0F];
    pub(crate) const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1D, 0x11];
    pub(crate) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1D, 0x13];
    pub(crate) const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1D, 0x23];
    pub(crate) const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1D, 0x25];
    pub(crate) const ACME_IDENTIFIER: &[u8] = &[0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x1F];
    pub(crate) const SERVER_AUTH: &[u8] = &[0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
}

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_ID: u8 = 0x06;
pub(super) const UTF8_STRING: u8 = 0x0C;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// A tag, the length, the content.
pub(super) fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        Ok(_) | Err(_) => {
            let length = content.len().to_be_bytes();
            let length: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
            // At most eight bytes say how long something in memory is.
            out.push(0x80 | u8::try_from(length.len()).unwrap_or(8));
            out.extend(length);
        }
    }
    out.extend_from_slice(content);
    out
}

/// Several values, one after the other, as one.
pub(super) fn list(tag: u8, items: &[Vec<u8>]) -> Vec<u8> {
    value(tag, &items.concat())
}

/// An object identifier.
pub(super) fn object(id: &[u8]) -> Vec<u8> {
    value(OBJECT_ID, id)
}

/// A string of whole bytes of bits.
pub(super) fn bits(bytes: &[u8]) -> Vec<u8> {
    value(BIT_STRING, &[&[0], bytes].concat())
}

/// A time of X.509: `YYYYMMDDHHMMSSZ`, from seconds since 1970.
pub(super) fn time(seconds: i64) -> Vec<u8> {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let text = format!(
        "{year:04}{month:02}{day:02}{:02}{:02}{:02}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    );
    // Years before 2050 would have to be in another form (RFC 5280 section 4.1.2.5), which begins in the middle.
    match text.get(2..) {
        Some(short) if year < 2050 => value(UTC_TIME, short.as_bytes()),
        Some(_) | None => value(GENERALIZED_TIME, text.as_bytes()),
    }
}

const UTC_TIME: u8 = 0x17;

/// The date so many days after 1970-01-01 (the proleptic Gregorian calendar, counted in eras of 400 years).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::{UTF8_STRING, time, value};

    #[test]
    fn times_are_as_x509_writes_them() {
        assert_eq!(time(0), [&[0x17, 13], b"700101000000Z".as_slice()].concat());
        assert_eq!(
            time(951_782_399),
            [&[0x17, 13], b"000228235959Z".as_slice()].concat()
        );
        assert_eq!(
            time(1_795_305_600),
            [&[0x17, 13], b"261122000000Z".as_slice()].concat()
        );
        assert_eq!(
            time(2_524_608_000),
            [&[0x18, 15], b"20500101000000Z".as_slice()].concat()
        );
    }

    #[test]
    fn lengths_take_as_many_bytes_as_they_need() {
        for (length, head) in [
            (0, vec![0x0C, 0]),
            (127, vec![0x0C, 127]),
            (128, vec![0x0C, 0x81, 128]),
            (300, vec![0x0C, 0x82, 1, 44]),
        ] {
            let written = value(UTF8_STRING, &vec![b'a'; length]);
            assert!(written.starts_with(&head) && written.len() == head.len() + length);
        }
    }
}
