//! Forms that ask a person for a secret: a password, a key, a number of a card. Such a question has no secret in it
//! yet, and is how one gets out (MCP 2025-11-25, elicitation: servers must not ask for secrets in a form).

use std::{collections::BTreeSet, sync::LazyLock};

use regex::Regex;
use wire::{
    bounds::POINTER_BYTES_MAX,
    json::{Kind, Node, Pointer},
};

use super::forms::begins_credential;
use crate::{
    Finding, FindingKind, Findings, Location, Part, Score,
    view::{compatible, look_alike},
};

/// What names a secret, in words that are apart.
const NAMES: &str = r"(?x) \b(?:
    pass[\ .]?(?:words?|wd|wort|phrases?|codes?|keys?)
    | mot\ de\ passe | contrase(?:n|ñ)a | kennwort | pwd | passw
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
    let schemas = params.get("requestedSchema").into_iter().flat_map(Node::walk);
    let schemas: Vec<_> = schemas.filter(|schema| schema.kind() == Kind::Object).collect();
    // Wherever they stand: clients show what revisions do not have, too.
    let fields = schemas.iter().filter_map(|schema| schema.get("properties"));
    let open: Vec<_> = fields
        .flat_map(Node::members)
        .filter(|(_, field)| is_open(*field))
        .collect();
    if open.is_empty() {
        return Findings::default();
    }
    let whole = schemas.iter().filter(|schema| schema.get("properties").is_some());
    let titled = open.iter().map(|(_, field)| field).chain(whole);
    let mut found = Vec::new();
    for (key, field) in &open {
        let is_named = words.name(&key.as_str().unwrap_or_default());
        found.extend(is_named.then_some((*key, Part::Key)));
        found.extend(shaped(*field).map(|node| (node, Part::Value)));
    }
    for said in titled {
        let said = ["title", "description"].map(|name| said.get(name));
        let said = said.into_iter().flatten();
        let named = said.filter(|node| node.as_str().is_some_and(|text| words.name(&text)));
        found.extend(named.map(|node| (node, Part::Value)));
    }
    let message = params.get("message");
    let asking = message.filter(|message| words.ask(&message.as_str().unwrap_or_default()));
    found.extend(asking.map(|message| (message, Part::Value)));
    // A field may hold further ones.
    let mut seen = BTreeSet::new();
    found.retain(|(node, ..)| seen.insert(node.place()));
    let places = found.iter().map(|(node, ..)| node.place());
    let pointers = Pointer::to_each(params, places, POINTER_BYTES_MAX);
    let finding = |(node, part): (Node<'_>, Part)| Finding {
        kind: FindingKind::Secret,
        detector: ASKED_FOR.into(),
        location: Location {
            pointer: pointers.get(&node.place()).cloned().unwrap_or_default(),
            part,
            place: node.place(),
            span: 0..node.as_str().unwrap_or_default().len(),
        },
        score: Score::new(0.8),
        note: "the form asks a person for a secret".into(),
    };
    Findings::new(found.into_iter().map(finding).collect())
}

/// What such a finding is called. There is nothing to cut out: it is what the form is for.
pub const ASKED_FOR: &str = "secret/asked-for";

impl Words {
    /// Whether a text names a secret.
    fn name(&self, text: &str) -> bool {
        readings(text).iter().any(|text| {
            let first = self.names.find(text);
            first.is_some_and(|name| !self.spare(text, name.start()))
        })
    }

    /// Whether a text asks its reader for a secret.
    fn ask(&self, text: &str) -> bool {
        readings(text).iter().any(|text| {
            let mut named = self.names.find_iter(text).map(|name| name.start());
            named.any(|at| self.asking.is_match(text.get(..at).unwrap_or_default()) && !self.spare(text, at))
        })
    }

    fn spare(&self, text: &str, at: usize) -> bool {
        self.sparing.is_match(text.get(..at).unwrap_or_default())
    }
}

/// What in a field says by its form that a secret is to be typed.
fn shaped(field: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    let format = field.get("format").filter(|format| format.is_str("password"));
    let is_credential = |pattern: &Node<'_>| pattern.as_str().is_some_and(|text| begins_credential(&text));
    format
        .into_iter()
        .chain(field.get("pattern").filter(is_credential))
}

/// Whether anything can be typed into a field: nothing can where there is a choice, or yes and no.
fn is_open(field: Node<'_>) -> bool {
    let kind = field.get("type").and_then(Node::as_str).unwrap_or_default();
    let is_choice = |field: Node<'_>| {
        ["enum", "oneOf", "const"]
            .iter()
            .any(|name| field.get(name).is_some())
    };
    let is_closed = match kind.as_ref() {
        "boolean" => true,
        // Of a list it is the elements that may be typed.
        "array" => field
            .get("items")
            .is_none_or(|items| is_choice(items) || items.get("anyOf").is_some()),
        _ => is_choice(field),
    };
    field.kind() == Kind::Object && !is_closed
}

/// How a text may be read: as it is written, and as people read what only looks like it.
fn readings(text: &str) -> Vec<String> {
    let written = apart(text);
    let seen = text.chars().filter(|c| !shows_nothing(*c));
    let seen: String = seen
        .map(|c| compatible(c).or_else(|| look_alike(c)).unwrap_or(c))
        .collect();
    let seen = apart(&seen);
    let spelled: Vec<String> = seen.split(' ').map(spelled).collect();
    let spelled = joined(&spelled);
    let mut readings = vec![written];
    for reading in [seen, spelled] {
        if !readings.contains(&reading) {
            readings.push(reading);
        }
    }
    readings
}

/// A word with the letters that its digits and signs stand for, where it has letters, too: `p4ssw0rd`.
fn spelled(word: &str) -> String {
    let is_mixed = word.contains(|c: char| c.is_ascii_alphabetic());
    let letter = |c: char| match c {
        '0' => 'o',
        '1' | '!' | '|' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        c => c,
    };
    match is_mixed {
        true => word.chars().map(letter).collect(),
        false => word.to_owned(),
    }
}

/// Words with those of one letter joined: `p a s s w o r d`.
fn joined(words: &[String]) -> String {
    let mut text = String::new();
    let mut was_letter = false;
    for word in words {
        let is_letter = word.chars().count() == 1;
        if !(text.is_empty() || was_letter && is_letter) {
            text.push(' ');
        }
        text.push_str(word);
        was_letter = is_letter;
    }
    text
}

fn shows_nothing(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e0fff}'
    )
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

    /// Regression: a name that only looks like one, or stands where revisions have none, was asked for.
    #[test]
    fn a_secret_is_asked_for_however_and_wherever_it_is_named() {
        for title in [
            "p\u{430}ssword",
            "pass\u{200b}word",
            "P4ssw0rd",
            "pass word",
            "pass.word",
            "p a s s w o r d",
            "\u{ff50}\u{ff41}\u{ff53}\u{ff53}word",
            "\u{1d429}assword",
            "Pa$$word",
            "ap\u{456} key",
        ] {
            let params = form("Go", "x", &format!(r#"{{"type":"string","title":"{title}"}}"#));
            assert_eq!(asked(&params), ["/requestedSchema/properties/x/title"], "{title}");
        }
        for (schema, at) in [
            (
                r#""title":"Your password","properties":{"x":{"type":"string"}}"#,
                "/title",
            ),
            (
                r#""properties":{"x":{"type":"object","properties":{"password":{"type":"string"}}}}"#,
                "/properties/x/properties/password",
            ),
            (
                r#""anyOf":[{"properties":{"password":{"type":"string"}}}],"properties":{}"#,
                "/anyOf/0/properties/password",
            ),
            (
                r#""properties":{"x":{"type":"string","format":"password"}}"#,
                "/properties/x/format",
            ),
            (
                r#""properties":{"x":{"type":"string","pattern":"^ghp_[A-Za-z0-9]{36}$"}}"#,
                "/properties/x/pattern",
            ),
            (
                r#""properties":{"passwords":{"type":"array","items":{"type":"string"}}}"#,
                "/properties/passwords",
            ),
        ] {
            let params = format!(r#"{{"message":"Go","requestedSchema":{{"type":"object",{schema}}}}}"#);
            assert_eq!(asked(&params), [format!("/requestedSchema{at}")]);
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
