//! Rules in view of the people there are.

use std::collections::BTreeMap;

use super::scene::rules;
use crate::{
    Party, PartyKind,
    rules::{People, RuleSet, RuleSource, Value},
};

fn people() -> People {
    let party = |kind, name: &str, role: &str, attributes: &[&str]| Party {
        kind,
        name: name.to_owned(),
        roles: vec![role.to_owned()],
        groups: vec!["ward".to_owned()],
        tenant: None,
        attributes: attributes
            .iter()
            .map(|name| ((*name).to_owned(), Value::Bool(true)))
            .collect::<BTreeMap<_, _>>(),
    };
    let mut people = People::default();
    people.party(&party(PartyKind::User, "alice", "doctor", &["patients"]));
    people.party(&party(PartyKind::Agent, "scribe", "assistant", &[]));
    people.party(&party(PartyKind::Service, "nightly", "batch", &[]));
    people.purpose("treatment");
    people
}

fn told(text: &str, people: &People) -> Vec<(usize, String, String)> {
    let told = rules(text).strangers(people).into_iter();
    told.map(|one| (one.line, one.message, one.remedy)).collect()
}

#[test]
fn rules_of_people_there_are_are_not_remarked_upon() {
    for text in [
        "permit(principal, action, resource);",
        r#"permit(principal == Agent::"scribe", action, resource);"#,
        r#"permit(principal in Role::"doctor", action, resource) when { context.purpose == "treatment" };"#,
        r#"permit(principal in Group::"ward", action, resource) when { context.purpose == "" };"#,
        r#"permit(principal, action, resource) when { ["", "treatment"].contains(context.purpose) };"#,
        r#"permit(principal, action, resource) when { principal == Service::"nightly" };"#,
        r#"permit(principal is User, action, resource) when { principal.patients };"#,
        r#"permit(principal, action, resource) when { principal has ward && principal.ward == 1 };"#,
        r#"permit(principal, action, resource) when { context has user && context.user.mfa };"#,
        // Tenants are of servers, too.
        r#"permit(principal in Tenant::"north", action, resource);"#,
    ] {
        assert_eq!(told(text, &people()), [], "{text}");
    }
}

/// Regression: agents, users, roles and purposes that nobody knows, and attributes nobody has, passed for rules that mean
/// something.
#[test]
fn what_a_rule_says_of_nobody_is_named_with_its_place_and_a_remedy() {
    for (text, line, message, remedy) in [
        (
            "permit(principal == Agent::\"scrib\", action, resource);",
            1,
            "there is no agent `scrib`",
            "did you mean `scribe`?",
        ),
        (
            "permit(principal == Agent::\"somebody\", action, resource);",
            1,
            "there is no agent `somebody`",
            "add it under `agents`, or with `sallyport agent add`",
        ),
        (
            "permit(principal, action, resource)\nwhen { principal == User::\"bob\" };",
            2,
            "there is no user `bob`",
            "add it under `users`",
        ),
        (
            "permit(principal, action, resource)\nwhen { principal in [Role::\"doctor\", Role::\"stuff\"] };",
            2,
            "there is no user or agent in the role `stuff`",
            "give the role to somebody: `roles: [...]`",
        ),
        (
            "permit(principal in Group::\"north\", action, resource);",
            1,
            "there is no user or agent in the group `north`",
            "put somebody in it: `groups: [...]`",
        ),
        (
            "@approve(\"role:docter 2\")\npermit(principal, action, resource);",
            1,
            "there is no user or agent in the role `docter`",
            "did you mean `doctor`?",
        ),
        (
            "permit(principal, action, resource) when { context.purpose == \"nopurpose\" };",
            1,
            "there is no purpose `nopurpose`",
            "declare it under `purposes`",
        ),
        (
            "forbid(principal, action, resource) unless { [\"treatment\", \"tretment\"].contains(context.purpose) };",
            1,
            "there is no purpose `tretment`",
            "did you mean `treatment`?",
        ),
        (
            "permit(principal, action, resource) when { principal.nosuch == 1 };",
            1,
            "nobody has the attribute `nosuch`",
            "give it to somebody under `attributes`, or ask first: `has nosuch &&`",
        ),
        (
            "permit(principal, action, resource) when { context has user && context.user.patient };",
            1,
            "nobody has the attribute `patient`",
            "did you mean `patients`?",
        ),
    ] {
        let expected = (line, message.to_owned(), remedy.to_owned());
        assert_eq!(told(text, &people()), [expected], "{text}");
    }
}

/// Regression: of a list only the first was told.
#[test]
fn each_of_a_list_is_told() {
    let text = r#"permit(principal, action, resource) when { principal in [Role::"zz", Agent::"scrib"] };"#;
    let told = told(text, &people()).into_iter().map(|(_, message, _)| message);
    let expected = [
        "there is no agent `scrib`",
        "there is no user or agent in the role `zz`",
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

#[test]
fn whom_others_vouch_for_need_not_be_known_here_and_packs_are_for_whoever_has_their_people() {
    let mut people = people();
    people.others_vouch();
    let from_elsewhere = r#"permit(principal == User::"there:bob", action, resource)
        when { principal in Role::"stuff" && principal in Group::"north" };"#;
    assert_eq!(told(from_elsewhere, &people), []);
    let agent = r#"permit(principal == Agent::"somebody", action, resource);"#;
    assert_eq!(told(agent, &people).len(), 1, "agents are known here");
    let text = r#"permit(principal, action, resource) when { context.purpose == "nopurpose" };"#;
    let of_pack = RuleSource {
        name: "pack:healthcare.cedar".to_owned(),
        text: text.to_owned(),
    };
    let set = RuleSet::parse(&[of_pack]).unwrap();
    assert_eq!(set.strangers(&people), []);
}
