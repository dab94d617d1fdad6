//! What a browser brings of a passkey never panics, and is taken only if it was made for us.
#![no_main]

use identity::{
    passkey::{Brought, Party, Passkey},
    sha256,
};
use libfuzzer_sys::fuzz_target;

const CREATE: &[u8] = br#"{"type":"webauthn.create","challenge":"Yw","origin":"https://gate.example"}"#;
const GET: &[u8] = br#"{"type":"webauthn.get","challenge":"Yw","origin":"https://gate.example"}"#;

fn brought(client_data: &[u8]) -> Brought<'_> {
    Brought {
        client_data,
        challenge: "Yw",
    }
}

fuzz_target!(|data: &[u8]| {
    let Some(party) = Party::at("https://gate.example") else { return };
    // Everything is made up; then what only the authenticator says, behind our own name.
    assert!(Passkey::register(&party, brought(data), data).is_err());
    let _ = Passkey::register(&party, brought(CREATE), data);
    let told = [&sha256(b"gate.example")[..], &[0x45], data].concat();
    let mut attestation = b"\xA3\x63fmt\x64none\x67attStmt\xA0\x68authData".to_vec();
    match (u8::try_from(told.len()), u16::try_from(told.len())) {
        (Ok(length), _) => attestation.extend([0x58, length]),
        (Err(_), Ok(length)) => attestation.extend([&[0x59][..], &length.to_be_bytes()].concat()),
        (Err(_), Err(_)) => return,
    }
    attestation.extend(&told);
    if let Ok(passkey) = Passkey::register(&party, brought(CREATE), &attestation) {
        // Nobody signs by chance.
        assert!(passkey.assert(&party, brought(GET), &told, data).is_err());
        assert!(passkey.assert(&party, brought(GET), data, &told).is_err());
    }
});
