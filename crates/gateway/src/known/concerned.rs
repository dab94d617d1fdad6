//! Whom a call is about: the people the operator's configuration says its arguments name, and those whose
//! identifiers inspection found. The ledger gets keyed digests of them, so that a person's calls can be found
//! by whoever knows the identifier and has the keys, and by nobody else.

use std::collections::BTreeSet;

use aws_lc_rs::hmac;
use inspect::{Finding, FindingKind, Findings, Part, SUSPECT_MIN, Texts, plain};
use pipeline::{Concerned, Resolution};
use records::digest::hex;
use wire::{
    json::{Node, Pointer},
    jsonrpc::Message,
    mcp::{Target, target},
};

/// What is personal and yet names no one person: many share it, or it names a machine or a firm.
const SHARED: [&str; 13] = [
    "personal/address",
    "personal/au-abn",
    "personal/birth-date",
    "personal/de-practice",
    "personal/in-gstin",
    "personal/ip-address",
    "personal/it-vat",
    "personal/kr-business",
    "personal/mac-address",
    "personal/name",
    "personal/postcode",
    "personal/se-organisation",
    "personal/us-aba-routing",
];

/// The person the arguments name, where the operator said which of them does.
pub(crate) fn declared(resolution: &Resolution, message: &Message) -> Option<Concerned> {
    let server = resolution.server()?;
    let item = resolution.item()?;
    let pointer = Pointer::parse(&server.server().manifest.tool(item.name()).subject?)?;
    let Ok(Target::Tool { arguments, .. }) = target(message) else {
        return None;
    };
    let pointed = pointer.find(arguments?)?;
    let text = pointed.as_str().unwrap_or_else(|| pointed.written().into());
    Some(named(&text)).filter(|person| !person.as_str().is_empty())
}

/// The people whose identifiers were found in a document.
pub(crate) fn found(findings: &Findings, root: Node<'_>) -> BTreeSet<Concerned> {
    let names_one = |finding: &&Finding| {
        finding.kind == FindingKind::Personal
            && finding.location.part == Part::Value
            && finding.score >= SUSPECT_MIN
            && !SHARED.contains(&finding.detector.as_ref())
    };
    let mut texts = Texts::of(root);
    let identifier = |finding: &Finding| texts.found(finding).map(|found| Concerned::new(same(found)));
    findings.iter().filter(names_one).filter_map(identifier).collect()
}

/// A person as configuration names them: letter by letter, but for the case of an address of mail.
pub(crate) fn named(identifier: &str) -> Concerned {
    let name = identifier.trim();
    Concerned::new(if name.contains('@') {
        same(name)
    } else {
        name.to_owned()
    })
}

/// What is equal for equal values. In an address of mail every character counts but for its case.
pub(crate) fn same(value: &str) -> String {
    if value.contains('@') {
        return value.trim().to_lowercase();
    }
    plain(value)
}

/// Every way in which calls may have named a person.
pub(crate) fn spellings(identifier: &str) -> BTreeSet<String> {
    let plainly = [identifier.to_owned(), identifier.trim().to_owned()];
    let known = [named(identifier).as_str().to_owned(), same(identifier)];
    let all = plainly.into_iter().chain(known);
    all.filter(|spelling| !spelling.is_empty()).collect()
}

/// Makes keyed digests of people, and finds those made with earlier keys.
#[derive(Clone)]
pub(crate) struct SubjectDigests {
    /// The newest first.
    keys: Vec<hmac::Key>,
}

impl std::fmt::Debug for SubjectDigests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SubjectDigests(keys hidden)")
    }
}

impl SubjectDigests {
    /// Digests with these keys, the newest first.
    pub(crate) fn new(keys: Vec<hmac::Key>) -> Self {
        Self { keys }
    }

    /// What stands for a person in the ledger.
    pub(crate) fn of(&self, tenant: &str, person: &Concerned) -> Option<String> {
        self.keys.first().map(|key| digest(key, tenant, person.as_str()))
    }

    /// Everything that may stand for an identifier in the ledger.
    pub(crate) fn all(&self, tenant: &str, identifier: &str) -> BTreeSet<String> {
        let spellings = spellings(identifier);
        let each = spellings.iter();
        each.flat_map(|one| self.keys.iter().map(|key| digest(key, tenant, one)))
            .collect()
    }
}

fn digest(key: &hmac::Key, tenant: &str, identifier: &str) -> String {
    let mut context = hmac::Context::with_key(key);
    for part in [tenant, identifier] {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part.as_bytes());
    }
    format!("hmac-sha256:{}", hex(context.sign().as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(keys: &[u8]) -> SubjectDigests {
        let key = |byte: &u8| hmac::Key::new(hmac::HMAC_SHA256, &[*byte; 32]);
        SubjectDigests::new(keys.iter().map(key).collect())
    }

    #[test]
    fn a_person_is_found_however_they_were_written() {
        let digests = digests(&[1]);
        let card = Concerned::new(same("4111-1111 1111.1111"));
        let made = digests.of("north", &card).unwrap();
        assert!(digests.all("north", "4111 1111 1111 1111").contains(&made));
        let mail = digests.of("", &named(" Ann@X.org ")).unwrap();
        assert!(digests.all("", "ann@x.ORG").contains(&mail));
        let id = digests.of("", &named("P-1")).unwrap();
        assert!(digests.all("", "P-1").contains(&id));
        assert!(
            !digests.all("", "p1").contains(&id),
            "declared identifiers count letter by letter"
        );
    }

    #[test]
    fn tenants_and_keys_share_nobody() {
        let (one, other) = (digests(&[1]), digests(&[2]));
        let ann = named("ann@x.org");
        assert_ne!(one.of("north", &ann), one.of("south", &ann));
        assert_ne!(one.of("north", &ann), other.of("north", &ann));
        // The border between tenant and person cannot be moved.
        assert_ne!(one.of("a", &named("bc")), one.of("ab", &named("c")));
        let both = digests(&[2, 1]);
        let all = both.all("north", "ann@x.org");
        assert!(
            all.contains(&one.of("north", &ann).unwrap()),
            "made before a rotation"
        );
        assert_eq!(both.of("north", &ann), other.of("north", &ann), "made after it");
    }

    #[test]
    fn nobody_is_printed() {
        let shown = format!("{:?} {:?}", named("ann@x.org"), digests(&[1]));
        assert!(!shown.contains("ann"), "{shown}");
    }
}
