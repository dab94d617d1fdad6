use super::*;

#[test]
fn weak_secrets_are_refused() {
    for (text, expected) in [
        ("", WeakSecret::Short),
        ("short", WeakSecret::Short),
        ("aaaaaaaaaaaaaaaaaaaaaaaa", WeakSecret::Guessable),
        ("changeme-changeme-1", WeakSecret::Guessable),
        ("password12345678", WeakSecret::Guessable),
        ("SECRETsecretTOKEN", WeakSecret::Guessable),
        ("ababababababababab", WeakSecret::Guessable),
    ] {
        assert_eq!(Secret::strong(text.into()).err(), Some(expected), "{text}");
    }
    for text in [
        "N7vQ2m9xKp4LrT8sWz3YbC6dFg1HjE5a",
        "correct horse battery",
        "9f86d081884c7d659a2feaa0c55ad015",
    ] {
        assert!(Secret::strong(text.into()).is_ok(), "{text}");
    }
}

#[test]
fn a_secret_is_not_printed_and_only_itself_matches_its_digest() {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"the gateway's own key");
    let secret = Secret::presented("N7vQ2m9xKp4LrT8sWz3Y".into());
    let digest = SecretDigest::of(&secret, &key);
    assert!(!format!("{secret:?}{digest:?}").contains("N7vQ"));
    assert!(digest.is_of(&secret, &key));
    assert!(!digest.is_of(&Secret::presented("N7vQ2m9xKp4LrT8sWz3y".into()), &key));
    let other = hmac::Key::new(hmac::HMAC_SHA256, b"another key");
    assert!(
        !digest.is_of(&secret, &other),
        "a stolen digest is useless without the key"
    );
}
