//! Hexadecimal digits without the machinery of formatting: every entry of the ledger has several digests.

/// The two lower-case digits of a byte. Called for each byte of each digest, from other crates.
#[inline]
#[must_use]
pub fn digits(byte: u8) -> [u8; 2] {
    let digit = |half: u8| {
        if half < 10 {
            b'0' + half
        } else {
            b'a' + (half - 10)
        }
    };
    [digit(byte >> 4), digit(byte & 0xF)]
}

#[cfg(test)]
mod tests {
    use super::digits;

    #[test]
    fn every_byte_is_written_as_the_standard_library_would() {
        for byte in 0..=u8::MAX {
            assert_eq!(digits(byte), *format!("{byte:02x}").as_bytes());
        }
    }
}
