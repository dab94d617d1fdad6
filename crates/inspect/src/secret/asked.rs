//! Forms that ask a person for a secret: a password, a key, a number of a card. Such a question has no secret in it
//! yet, and is how one gets out (MCP 2025-11-25, elicitation: servers must not ask for secrets in a form).

use std::sync::LazyLock;

use regex::Regex;
use wire::{
    bounds::POINTER_BYTES_MAX,
    json::{Kind, Node, Pointer},
};

use crate::{Finding, FindingKind, Findings, Location, Part, Score};

/// What names a secret, in words that are apart.
const NAMES: &str = r"(?x) \b(?:
    pass(?:word|words|wd|wort|phrase|code|key)s? | mot\ de\ passe | contrase(?:n|ñ)a | kennwort | pwd | passw
    | (?:api|access|secret|private|signing|encryption|ssh|account|auth|master|recovery|license)\ ?keys?
    | secret(?:s|\ value)? | client\ secret
    | (?:api|access|auth|bearer|refresh|session|id|security|personal\ access|oauth)\ ?tokens?
    | credentials? | session\ cookies?
    | (?:seed|recovery|backup|mnemonic)\ (?:phrase|words?|codes?) | mnemonic
    | (?:one\ time|verification|security|authenticator|authentication|2fa|mfa|otp|totp|sms|login)
      \ ?(?:pass)?codes?
    | otp | totp
    | pin | pin\ (?:code|number)
    | cvv2? | cvc2? | (?:credit|debit|payment|bank)\ ?card(?:\ number)? | card\ number
    | (?:social\ security|ssn)(?:\ number)?
)\b";

/// Words by which a text asks its reader to say something.
const ASKING: &str = r"(?xi) \b(?:
    enter | type | provide | give | send | share | tell | confirm | supply | paste | submit | input | need
    | re-?enter | what\ is | what's | fill\ in | put\ in
)\b [^.!?\n]{0,80}$";

/// Words that say the opposite.
const SPARING: &str = r"(?i)(?:\bnot|\bnever|n't|\bwithout)\b[^.!?\n]{0,24}$";

struct Words {
    names: Regex,
    asking: Regex,
    sparing: Regex,
}

static WORDS: LazyLock<Option<Words>> = LazyLock::new(|| {
    Some(Words {
        names: Regex::new(NAMES).ok()?,
        asking: Regex::new(ASKING).ok()?,
        sparing: Regex::new(SPARING).ok()?,
    })
});

/// The secrets that a form asks a person for: `params` of `elicitation/create`.
#[must_use]
pub fn asked_for(params: Node<'_>) -> Findings {
    let Some(words) = &*WORDS else {
        return Findings::default();
    };
    let properties = params
        .get("requestedSchema")
        .and_then(|schema| schema.get("properties"));
    let fields = properties.into_iter().flat_map(Node::members);
    let open: Vec<_> = fields.filter(|(_, field)| is_open(*field)).collect();
    let mut found = Vec::new();
    for (key, field) in &open {
        let said = ["title", "description"].map(|name| field.get(name));
        let said = said.into_iter().flatten();
        let texts = std::iter::once(*key).chain(said);
        for node in texts {
            let is_name = node.place() == key.place();
            let text = node.as_str().unwrap_or_default();
            if words
                .names
                .find(&apart(&text))
                .is_some_and(|name| !is_spared(words, &apart(&text), name.start()))
            {
                let part = if is_name { Part::Key } else { Part::Value };
                found.push((node, part, text.len()));
            }
        }
    }
    if let (false, Some(message)) = (open.is_empty(), params.get("message")) {
        let text = message.as_str().unwrap_or_default();
        let plain = apart(&text);
        let asks = |at: usize| {
            let before = plain.get(..at).unwrap_or_default();
            words.asking.is_match(before) && !is_spared(words, &plain, at)
        };
        if words.names.find_iter(&plain).any(|name| asks(name.start())) {
            found.push((message, Part::Value, text.len()));
        }
    }
    let places = found.iter().map(|(node, ..)| node.place());
    let pointers = Pointer::to_each(params, places, POINTER_BYTES_MAX);
    let finding = |(node, part, length): (Node<'_>, Part, usize)| Finding {
        kind: FindingKind::Secret,
        detector: ASKED_FOR.into(),
        location: Location {
            pointer: pointers.get(&node.place()).cloned().unwrap_or_default(),
            part,
            place: node.place(),
            span: 0..length,
        },
        score: Score::new(0.8),
        note: "the form asks a person for a secret".into(),
    };
    Findings::new(found.into_iter().map(finding).collect())
}

/// What such a finding is called. There is nothing to cut out: it is what the form is for.
pub const ASKED_FOR: &str = "secret/asked-for";

fn is_spared(words: &Words, text: &str, at: usize) -> bool {
    words.sparing.is_match(text.get(..at).unwrap_or_default())
}

/// Whether anything can be typed into a field: nothing can where there is a choice, or yes and no.
fn is_open(field: Node<'_>) -> bool {
    let is_closed = |kind: &str| kind == "boolean" || kind == "array";
    let closed = field
        .get("type")
        .and_then(Node::as_str)
        .is_some_and(|kind| is_closed(&kind));
    let choice = ["enum", "oneOf", "const"]
        .iter()
        .any(|name| field.get(name).is_some());
    field.kind() == Kind::Object && !closed && !choice
}

/// A text in small letters, its words apart: `apiKey`, `api_key` and `API-Key` are `api key`.
fn apart(text: &str) -> String {
    let mut plain = String::with_capacity(text.len() + 8);
    let mut before = ' ';
    for letter in text.chars() {
        if letter.is_uppercase() && before.is_lowercase() {
            plain.push(' ');
        }
        match letter {
            '_' | '-' | '/' => plain.push(' '),
            other => plain.extend(other.to_lowercase()),
        }
        before = letter;
    }
    plain
}

#[cfg(test)]
mod tests {
    use wire::{
        bounds::REQUEST,
        json::{Document, Keys},
    };

    use super::*;

    fn asked(params: &str) -> Vec<String> {
        let document = Document::parse(params.into(), Keys::Exact, &REQUEST).unwrap();
        let findings = asked_for(document.root());
        findings
            .iter()
            .map(|one| one.location.pointer.to_string())
            .collect()
    }

    fn form(message: &str, name: &str, field: &str) -> String {
        let schema = format!(r#"{{"type":"object","properties":{{"{name}":{field}}}}}"#);
        format!(r#"{{"message":"{message}","requestedSchema":{schema}}}"#)
    }

    #[test]
    fn what_asks_for_a_secret_is_found_by_name_title_description_or_message() {
        for name in [
            "password",
            "apiKey",
            "api_key",
            "API-Key",
            "accessToken",
            "pin",
            "cvv",
            "otp",
            "client_secret",
        ] {
            let params = form("Please fill in", name, r#"{"type":"string"}"#);
            assert_eq!(asked(&params), [format!("/requestedSchema/properties/{name}")]);
        }
        let titled = form(
            "Please fill in",
            "x",
            r#"{"type":"string","title":"Your password"}"#,
        );
        assert_eq!(asked(&titled), ["/requestedSchema/properties/x/title"]);
        let described = form(
            "Go",
            "x",
            r#"{"description":"the recovery phrase of your wallet"}"#,
        );
        assert_eq!(asked(&described), ["/requestedSchema/properties/x/description"]);
        for message in [
            "Please enter your password",
            "To go on we need your GitHub access token.",
            "Never mind the rest. What is your credit card number?",
        ] {
            assert_eq!(
                asked(&form(message, "x", r#"{"type":"string"}"#)),
                ["/message"],
                "{message}"
            );
        }
    }

    #[test]
    fn what_only_speaks_of_secrets_asks_for_none() {
        for (message, name, field) in [
            ("What is your name?", "name", r#"{"type":"string"}"#),
            (
                "Your password has expired. Shall we send a link?",
                "send",
                r#"{"type":"boolean"}"#,
            ),
            ("Reset the password?", "reset_password", r#"{"type":"boolean"}"#),
            (
                "Which one?",
                "credential",
                r#"{"type":"string","enum":["work","home"]}"#,
            ),
            (
                "Your password was changed. Who are you?",
                "who",
                r#"{"type":"string"}"#,
            ),
            (
                "Name it",
                "name",
                r#"{"type":"string","description":"a name, not your password"}"#,
            ),
            (
                "Do not enter your password here. Which city?",
                "city",
                r#"{"type":"string"}"#,
            ),
            ("How many?", "max_tokens", r#"{"type":"integer"}"#),
            ("Keyboard?", "keyboard", r#"{"type":"string"}"#),
            ("Which pins are connected?", "shipping", r#"{"type":"string"}"#),
        ] {
            assert_eq!(asked(&form(message, name, field)), [""; 0], "{message} {name}");
        }
    }
}
