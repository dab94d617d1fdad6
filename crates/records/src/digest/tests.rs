//! Digests, checked against published vectors.

use super::*;

#[test]
fn a_plain_digest_is_the_one_of_fips_180() {
    assert_eq!(
        sha256_text(b"abc"),
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[test]
fn a_keyed_digest_is_the_one_of_rfc_4231_test_case_2() {
    let digester = Digester::new(&Secret::new(b"Jefe".to_vec()));
    assert_eq!(
        digester.text(b"what do ya want for nothing?"),
        "hmac-sha256:5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
    assert_eq!(format!("{digester:?}"), "Digester(key hidden)");
}

#[test]
fn hexadecimal_digits_are_read_as_they_are_written_and_no_other_way() {
    assert_eq!(from_hex(&hex(&[0, 127, 255])), Some(vec![0, 127, 255]));
    for wrong in ["0", "0g", "FF", " 00"] {
        assert_eq!(from_hex(wrong), None, "{wrong}");
    }
}
