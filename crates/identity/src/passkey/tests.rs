use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};

use super::*;

const CHALLENGE: &str = "Y2hhbGxlbmdl";

fn party() -> Party {
    Party::at("https://gate.example:8443").expect("a name over TLS")
}

/// An authenticator, as it should be.
enum Soft {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Soft {
    fn p256() -> Self {
        Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key"))
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::P256(key) => key
                .sign(&SystemRandom::new(), message)
                .expect("signs")
                .as_ref()
                .to_vec(),
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    fn cose(&self) -> Vec<u8> {
        match self {
            Self::P256(key) => {
                let point = key.public_key().as_ref();
                let (x, y) = (&point[1..33], &point[33..65]);
                [
                    &[0xA5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32],
                    x,
                    &[0x22, 0x58, 32],
                    y,
                ]
                .concat()
            }
            Self::Ed25519(key) => [
                &[0xA4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32],
                key.public_key().as_ref(),
            ]
            .concat(),
        }
    }
}

fn client_data(kind: &str) -> String {
    format!(
        r#"{{"type":"{kind}","challenge":"{CHALLENGE}","origin":"https://gate.example:8443","crossOrigin":false}}"#
    )
}

fn data(host: &str, flags: u8, counter: u32, credential: &[u8]) -> Vec<u8> {
    [
        &sha256(host.as_bytes())[..],
        &[flags],
        &counter.to_be_bytes(),
        credential,
    ]
    .concat()
}

fn credential(id: &[u8], cose: &[u8]) -> Vec<u8> {
    let length = u16::try_from(id.len()).expect("a short one").to_be_bytes();
    [&[0; 16][..], &length, id, cose].concat()
}

fn attestation(fmt: &str, data: &[u8]) -> Vec<u8> {
    let fmt_length = u8::try_from(fmt.len()).expect("a short one");
    let length = u8::try_from(data.len()).expect("a short one");
    [
        &[0xA3, 0x63][..],
        b"fmt",
        &[0x60 | fmt_length],
        fmt.as_bytes(),
        &[0x67],
        b"attStmt",
        &[0xA0, 0x68],
        b"authData",
        &[0x58, length],
        data,
    ]
    .concat()
}

fn brought(client_data: &str) -> Brought<'_> {
    Brought {
        client_data: client_data.as_bytes(),
        challenge: CHALLENGE,
    }
}

fn registered(soft: &Soft) -> Passkey {
    let data = data("gate.example", 0x45, 0, &credential(b"id-1", &soft.cose()));
    Passkey::register(
        &party(),
        brought(&client_data("webauthn.create")),
        &attestation("none", &data),
    )
    .expect("a passkey")
}

/// What comes of an assertion whose parts are these.
fn asserted(
    passkey: &Passkey,
    soft: &Soft,
    said: &str,
    (host, flags, counter): (&str, u8, u32),
) -> Result<Passkey, PasskeyError> {
    let data = data(host, flags, counter, &[]);
    let signature = soft.sign(&[&data[..], &sha256(said.as_bytes())].concat());
    passkey.assert(&party(), brought(said), &data, &signature)
}

#[test]
fn a_passkey_of_either_kind_is_kept_and_proves_its_user() {
    for soft in [
        Soft::p256(),
        Soft::Ed25519(Ed25519KeyPair::generate().expect("a key")),
    ] {
        let passkey = registered(&soft);
        assert_eq!(passkey.id, b"id-1");
        let text = wire::json::object(|out| passkey.write(out));
        let kept = Document::parse(text, Keys::Exact, &REQUEST).expect("JSON");
        assert_eq!(Passkey::read(kept.root()), Some(passkey.clone()));
        let get = client_data("webauthn.get");
        let next = asserted(&passkey, &soft, &get, ("gate.example", 5, 7)).expect("it holds");
        assert_eq!(next.counter, 7);
        assert_eq!(
            asserted(&next, &soft, &get, ("gate.example", 5, 8)).map(|next| next.counter),
            Ok(8)
        );
        // Those that are synced do not count.
        let synced = asserted(&passkey, &soft, &get, ("gate.example", 0x1D, 0));
        assert_eq!(synced.map(|next| next.counter), Ok(0));
    }
}

/// Each row changes one thing about an assertion that is otherwise signed as it has to be.
#[test]
fn each_fault_of_an_assertion_is_refused() {
    let soft = Soft::p256();
    let passkey = Passkey {
        counter: 5,
        ..registered(&soft)
    };
    let get = client_data("webauthn.get");
    let good = ("gate.example", 5, 6);
    assert!(asserted(&passkey, &soft, &get, good).is_ok(), "the control");
    let changed = |from: &str, to: &str| get.replace(from, to);
    let rows = [
        (
            changed("webauthn.get", "webauthn.create"),
            good,
            PasskeyError::Type,
        ),
        (changed(CHALLENGE, "b3RoZXI"), good, PasskeyError::Challenge),
        (
            changed("\"challenge\"", "\"Challenge\""),
            good,
            PasskeyError::Challenge,
        ),
        (
            changed("https://gate", "https://evil"),
            good,
            PasskeyError::Origin,
        ),
        (changed(":8443", ""), good, PasskeyError::Origin),
        (changed("https:", "http:"), good, PasskeyError::Origin),
        (
            changed("gate.example:8443", "gate.example:8443/"),
            good,
            PasskeyError::Origin,
        ),
        (changed("false", "true"), good, PasskeyError::Origin),
        (changed("false", "\"no\""), good, PasskeyError::Origin),
        (
            changed("false", "false,\"topOrigin\":\"https://evil.example\""),
            good,
            PasskeyError::Origin,
        ),
        (
            changed("\"type\"", "\"type\":\"webauthn.get\",\"type\""),
            good,
            PasskeyError::Malformed,
        ),
        (changed("{", "["), good, PasskeyError::Malformed),
        (get.clone(), ("evil.example", 5, 6), PasskeyError::Host),
        (get.clone(), ("example", 5, 6), PasskeyError::Host),
        (get.clone(), ("gate.example", 1, 6), PasskeyError::Unverified),
        (get.clone(), ("gate.example", 4, 6), PasskeyError::Unverified),
        (get.clone(), ("gate.example", 0, 6), PasskeyError::Unverified),
        (get.clone(), ("gate.example", 5, 5), PasskeyError::Counter),
        (get.clone(), ("gate.example", 5, 0), PasskeyError::Counter),
    ];
    for (said, told, error) in rows {
        assert_eq!(
            asserted(&passkey, &soft, &said, told),
            Err(error),
            "{said} {told:?}"
        );
    }
    let stranger = Soft::p256();
    let foreign = asserted(&passkey, &stranger, &get, good);
    assert_eq!(foreign, Err(PasskeyError::Signature));
    let other_kind = Soft::Ed25519(Ed25519KeyPair::generate().expect("a key"));
    assert_eq!(
        asserted(&passkey, &other_kind, &get, good),
        Err(PasskeyError::Signature)
    );
    // Signed, and then changed: what was signed is all of it.
    let data = data("gate.example", 5, 6, &[]);
    let signature = soft.sign(&[&data[..], &sha256(get.as_bytes())].concat());
    let judged =
        |said: &str, data: &[u8], signature: &[u8]| passkey.assert(&party(), brought(said), data, signature);
    let mut counts_more = data.clone();
    counts_more[36] = 99;
    assert_eq!(
        judged(&get, &counts_more, &signature),
        Err(PasskeyError::Signature)
    );
    assert_eq!(
        judged(&format!("{get} "), &data, &signature),
        Err(PasskeyError::Signature)
    );
    assert_eq!(judged(&get, &data, &[]), Err(PasskeyError::Signature));
    assert_eq!(
        judged(&get, &data[..36], &signature),
        Err(PasskeyError::Malformed)
    );
}

#[test]
fn each_fault_of_a_registration_is_refused() {
    let soft = Soft::p256();
    let create = client_data("webauthn.create");
    let judged = |said: &str, attestation: &[u8]| Passkey::register(&party(), brought(said), attestation);
    let whole = credential(b"id-1", &soft.cose());
    let good = data("gate.example", 0x45, 0, &whole);
    assert!(
        judged(&create, &attestation("none", &good)).is_ok(),
        "the control"
    );
    let rows: [(Vec<u8>, PasskeyError); 9] = [
        (attestation("packed", &good), PasskeyError::Attestation),
        (
            attestation("none", &data("evil.example", 0x45, 0, &whole)),
            PasskeyError::Host,
        ),
        (
            attestation("none", &data("gate.example", 0x41, 0, &whole)),
            PasskeyError::Unverified,
        ),
        (
            attestation("none", &data("gate.example", 0x44, 0, &whole)),
            PasskeyError::Unverified,
        ),
        (
            attestation("none", &data("gate.example", 5, 0, &whole)),
            Malformed,
        ),
        (attestation("none", &good[..40]), Malformed),
        (
            attestation(
                "none",
                &data("gate.example", 0x45, 0, &credential(b"", &soft.cose())),
            ),
            Malformed,
        ),
        ([attestation("none", &good), vec![0]].concat(), Malformed),
        (Vec::new(), Malformed),
    ];
    for (n, (attestation, error)) in rows.into_iter().enumerate() {
        assert_eq!(judged(&create, &attestation), Err(error), "{n}");
    }
    for (said, error) in [
        (client_data("webauthn.get"), PasskeyError::Type),
        (create.replace(CHALLENGE, "b3RoZXI"), PasskeyError::Challenge),
        (create.replace("gate.", "evil."), PasskeyError::Origin),
    ] {
        assert_eq!(judged(&said, &attestation("none", &good)), Err(error), "{said}");
    }
    // Keys of another kind, curve or algorithm, symmetric ones, points that are too short, numbers written longer.
    let cose = soft.cose();
    for (at, byte) in [
        (2, 4),
        (2, 1),
        (4, 0x27),
        (4, 0x38),
        (6, 2),
        (6, 3),
        (0, 0xBF),
        (8, 0x41),
        (1, 0x18),
    ] {
        let mut bad = cose.clone();
        bad[at] = byte;
        let told = data("gate.example", 0x45, 0, &credential(b"id-1", &bad));
        let judged = judged(&create, &attestation("none", &told));
        assert_eq!(judged, Err(PasskeyError::Key), "{at} {byte:#x}");
    }
}

#[test]
fn passkeys_are_for_names_and_over_tls() {
    let at = |base: &str| Party::at(base).map(|party| (party.id, party.origin));
    let both = |id: &str, origin: &str| Some((id.to_owned(), origin.to_owned()));
    assert_eq!(
        at("https://Gate.example"),
        both("gate.example", "https://gate.example")
    );
    assert_eq!(
        at("http://localhost:8420"),
        both("localhost", "http://localhost:8420")
    );
    for base in [
        "http://gate.example",
        "http://127.0.0.1:8420",
        "https://192.0.2.1",
        "https://[2001:db8::1]:1",
        "https://",
        "gate.example",
        "http://localhost.evil.example",
    ] {
        assert_eq!(at(base), None, "{base}");
    }
}
