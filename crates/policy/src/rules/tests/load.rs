//! What is refused at load, where it stands, and what to do about it.

use crate::rules::{RuleSet, RuleSource};

fn errors(text: &str) -> Vec<String> {
    let source = RuleSource {
        name: "hospital.cedar".into(),
        text: text.into(),
    };
    match RuleSet::parse(&[source]) {
        Ok(_) => Vec::new(),
        Err(errors) => errors
            .diagnostics()
            .iter()
            .map(|d| format!("{}:{}: {} ({})", d.line, d.column, d.message, d.remedy))
            .collect(),
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_a_remedy() {
    for (text, expected) in [
        (
            "permit(principal, action, resource)",
            "1:36: unexpected end of input: expected `;` or identifier",
        ),
        (
            "permit(principal, action);",
            "1:25: this policy is missing the `resource` variable in the scope",
        ),
        (
            "permit(principal == ?principal, action, resource);",
            "1:21: expected a static policy, got a template containing the slot ?principal",
        ),
        (
            "// a comment; with \"signs\n\n  permit(principal in Rol::\"doctor\", action, resource);",
            "3:23: there is no entity type `Rol` (did you mean `Role`?)",
        ),
        (
            "permit(principal, action == Action::\"invoce\", resource);",
            "1:37: there is no action `invoce` (did you mean `invoke`?)",
        ),
        (
            "permit(principal, action, resource) when { context.purpos == \"x\" };",
            "1:52: `context` has no `purpos` (did you mean `purpose`?)",
        ),
        (
            "permit(principal, action, resource) when { context has args.x && resource.sinc == \"x\" };",
            "1:75: `resource` has no `sinc` (did you mean `sink`?)",
        ),
        (
            "forbid(principal, action, resource) when { context.labels.integrty == \"x\" };",
            "1:59: `context.labels` has no `integrty` (did you mean `integrity`?)",
        ),
        (
            "forbid(principal, action, resource) when { resource.sink == \"egres\" };",
            "1:61: `egres` is never the case here (did you mean `egress`?)",
        ),
        (
            "forbid(principal, action, resource) when { [\"read\", \"right\"].contains(resource.sink) };",
            "1:53: `right` is never the case here (the words are read, write,",
        ),
        (
            "forbid(principal, action, resource) when { context.findings.contains(\"pii\") };",
            "1:70: `pii` is never the case here (the words are injection,",
        ),
        (
            "forbid(principal, action, resource) when { ip(\"10.0.0\") == ip(\"::1\") };",
            "1:47: this rule would always fail: `10.0.0` is not an address such as `10.0.0.0/8`",
        ),
        (
            "forbid(principal, action, resource) when { resource.hasTag(\"x\") };",
            "1:53: `hasTag` is not part of the policy language here",
        ),
        (
            "@aprove(\"role:x\") permit(principal, action, resource);",
            "1:1: there is no annotation `@aprove` (did you mean `@approve`?)",
        ),
        (
            "@id(\"x\")\n@redact(\"secret\") forbid(principal, action, resource);",
            "2:1: `@redact` means nothing on a `forbid`",
        ),
        (
            "@approve(\"doctor\") permit(principal, action, resource);",
            "1:1: `doctor` does not say who",
        ),
        (
            "@approve(\"role:x 0\") permit(principal, action, resource);",
            "1:1: `role:x 0` does not say who approves and how many",
        ),
        (
            "@approve(\"role:x 99\") permit(principal, action, resource);",
            "1:1: `role:x 99` does not say who approves",
        ),
        (
            "@redact(\"pii\") permit(principal, action, resource);",
            "1:1: `pii` is not a list of kinds of findings",
        ),
        (
            "@fields(\"name\") permit(principal, action, resource);",
            "1:1: `name` is not a list of JSON pointers",
        ),
        (
            "@fields(\"/a~2\") permit(principal, action, resource);",
            "1:1: `/a~2` is not a list of JSON pointers",
        ),
        (
            "@label(\"secret\") permit(principal, action, resource);",
            "1:1: `secret` is not a list of labels",
        ),
        (
            "@scope(\"a b\") permit(principal, action, resource);",
            "1:1: `a b` is not one OAuth scope",
        ),
        (
            "@step_up(\"\") permit(principal, action, resource);",
            "1:1: `` is not one word",
        ),
        (
            "@step_up(\"mfa soon\") permit(principal, action, resource);",
            "1:1: `mfa soon` does not say how somebody logs in",
        ),
        (
            "@step_up(\"mfa 0\") permit(principal, action, resource);",
            "1:1: `mfa 0` does not say how somebody logs in",
        ),
        (
            "@step_up(\"mfa 300 1\") permit(principal, action, resource);",
            "1:1: `mfa 300 1` does not say how somebody logs in",
        ),
        (
            "@limit(\"\") permit(principal, action, resource);",
            "1:1: `` is not one word",
        ),
        (
            "@id(\"\") permit(principal, action, resource);",
            "1:1: `` is not a rule's name",
        ),
    ] {
        let got = errors(text);
        assert!(
            got.iter().any(|error| error.starts_with(expected)),
            "{text}\n{got:#?}"
        );
    }
}

#[test]
fn one_run_reports_everything_in_every_source() {
    let source = |name: &str, text: &str| RuleSource {
        name: name.into(),
        text: text.into(),
    };
    let errors = RuleSet::parse(&[
        source(
            "a",
            "permit(principal, action, resource) when { context.x };\npermit(;\nallow(principal);",
        ),
        source("b", "permit(principal, action, resource) when { resource.y };"),
    ])
    .expect_err("wrong");
    let places: Vec<_> = errors
        .diagnostics()
        .iter()
        .map(|d| (d.source.as_str(), d.line))
        .collect();
    let mut once = places.clone();
    once.dedup();
    assert_eq!(once, [("a", 1), ("a", 2), ("a", 3), ("b", 1)]);
    assert!(
        errors.to_string().contains("a:1:52: `context` has no `x`"),
        "{errors}"
    );
}

#[test]
fn two_rules_of_one_name_are_refused_and_both_places_named() {
    let rule = "@id(\"x\") permit(principal, action, resource);";
    assert_eq!(
        errors(&format!("{rule}\n{rule}")),
        ["2:1: rule `x` stands at hospital.cedar:1 already (give each rule an `@id` of its own)"]
    );
}

#[test]
fn what_is_too_long_or_too_deep_is_refused_before_any_parser_recurses() {
    let nested = format!(
        "permit(principal, action, resource) when {{ {}true{} }};",
        "(".repeat(900),
        ")".repeat(900)
    );
    assert!(
        errors(&nested)[0].contains("nested more than"),
        "{:?}",
        errors(&nested)
    );
    let long = format!(
        "permit(principal, action, resource) when {{ {} }};",
        "true || ".repeat(5000)
    );
    assert!(errors(&long)[0].contains("more than 16384 bytes"));
    let wordy = format!(
        "permit(principal, action, resource) when {{ {}true }};",
        "true||".repeat(1500)
    );
    assert!(
        errors(&wordy)[0].contains("more than 2000 words"),
        "{:?}",
        errors(&wordy)
    );
    let chain = format!(
        "permit(principal, action, resource) when {{ {}true }};",
        "true || ".repeat(650)
    );
    assert_eq!(errors(&chain), [""; 0]);
    let dots = format!(
        "permit(principal, action, resource) when {{ principal{} }};",
        ".a".repeat(980)
    );
    assert!(
        errors(&dots)[0].contains("nested more than 100 deep"),
        "{:?}",
        errors(&dots)
    );
    let sum = format!(
        "permit(principal, action, resource) when {{ 0 == {}0 }};",
        "1 + ".repeat(980)
    );
    assert!(
        errors(&sum)[0].contains("nested more than 100 deep"),
        "{:?}",
        errors(&sum)
    );
}

#[test]
fn the_digest_is_of_the_meaning() {
    let digest = |text: &str| {
        let source = RuleSource {
            name: "s".into(),
            text: text.into(),
        };
        RuleSet::parse(&[source]).expect(text).digest().to_owned()
    };
    let rule = r#"@id("a") permit(principal, action, resource) when { context.args.x == 1 };"#;
    let other = r#"@id("b") forbid(principal, action, resource);"#;
    let both = digest(&format!("{rule}{other}"));
    assert!(both.starts_with("sha256:") && both.len() == 71);
    assert_eq!(both, digest(&format!("// comment\n{other}\n  {rule}")));
    assert_eq!(both, digest(&format!("{}{other}", rule.replace(' ', "\n "))));
    assert_ne!(both, digest(&format!("{}{other}", rule.replace("== 1", "== 2"))));
    assert_ne!(
        both,
        digest(&format!("{}{other}", rule.replace("\"a\"", "\"c\"")))
    );
    assert_ne!(both, digest(rule));
}
