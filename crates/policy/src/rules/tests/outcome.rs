//! Refusing by default, obligations, scopes, parties, and the order of verdicts.

use std::collections::BTreeSet;

use super::scene::{Scene, party, rules, sink, tool};
use crate::{
    Action, Confidentiality, Decision, Denial, Labels, Obligation, PartyKind, Resource, Reviewers, Sink,
    Source, Subject, rules::RuleSet,
};

fn refusal(scene: &Scene, rules: &RuleSet) -> Denial {
    match scene.decide(rules) {
        Decision::Refuse(denial) => denial,
        Decision::Permit(permit) => panic!("permitted by {:?}", permit.rules()),
    }
}

fn obligations(scene: &Scene, rules: &RuleSet) -> Vec<Obligation> {
    match scene.decide(rules) {
        Decision::Permit(permit) => permit.obligations().to_vec(),
        Decision::Refuse(denial) => panic!("{denial:?}"),
    }
}

#[test]
fn no_rule_means_no() {
    assert_eq!(refusal(&Scene::default(), &rules("")), Denial::default());
}

#[test]
fn a_rule_that_fails_refuses_even_where_another_permits() {
    for text in [
        r#"@id("bad") forbid(principal, action, resource) when { context.args.x == 1 };"#,
        r#"@id("bad") permit(principal, action, resource) when { context.args.x == 1 };"#,
        r#"@id("bad") permit(principal, action, resource) when { principal.level + 9223372036854775807 > 0 };"#,
        r#"@id("bad") permit(principal, action, resource) when { principal.name > 1 };"#,
        r#"@id("bad") permit(principal, action, resource) when { principal.name };"#,
        r#"@id("bad") permit(principal, action, resource) unless { User::"bob".name == "b" };"#,
    ] {
        let set = rules(&format!(
            "@id(\"yes\") permit(principal, action, resource); {text}"
        ));
        let denial = refusal(&Scene::default(), &set);
        assert_eq!(denial.errors.len(), 1, "{text}");
        assert_eq!(denial.errors[0].0.to_string(), "bad", "{text}");
    }
}

/// Regression: of many arguments those that could not be told were absent from what rules see, and a `forbid` about one
/// of them was silent.
#[test]
fn a_rule_that_asks_for_arguments_that_could_not_be_told_refuses() {
    let source = |argument: Option<&str>, trusted| Source {
        argument: argument.map(str::to_owned),
        server: "web".to_owned(),
        tool: "fetch".to_owned(),
        trusted,
    };
    let with = |sources: &[Source], condition: &str| {
        let text = format!(
            r#"@id("yes") permit(principal, action, resource);
            @id("no") forbid(principal, action, resource) {condition};"#
        );
        let scene = Scene {
            sources: sources.to_vec(),
            ..Scene::default()
        };
        scene.verdict(&rules(&text))
    };
    let told = [source(Some("/to"), false)];
    let more = [source(Some("/to"), false), source(None, false)];
    let more_trusted = [source(Some("/to"), false), source(None, true)];
    for condition in [
        r#"when { context.sources.tainted.contains("/cc") }"#,
        r#"unless { ["/to"].containsAll(context.sources.tainted) }"#,
        r#"when { context.sources has tainted && context.sources.tainted.contains("/cc") }"#,
        r#"when { context.sources.tainted == ["/cc"] }"#,
        r#"when { context.sources == {"tainted": []} }"#,
        r#"when { [context.sources].contains({"tainted": []}) }"#,
    ] {
        assert_eq!(with(&told, condition), "permit: yes", "{condition}");
        assert_eq!(with(&more, condition), "error: no", "{condition}");
    }
    let all = r#"unless { context.sources.arguments.contains("/to") }"#;
    assert_eq!(with(&told, all), "permit: yes");
    assert_eq!(with(&more_trusted, all), "error: no");
    // Which results they came from is known, and that none of the others was untrusted.
    assert_eq!(
        with(&more, r#"when { context.sources.untrusted.contains("web") }"#),
        "forbid: no"
    );
    assert_eq!(
        with(
            &more_trusted,
            r#"when { context.sources.tainted.contains("/cc") }"#
        ),
        "permit: yes"
    );
}

#[test]
fn numbers_without_an_exact_value_and_sets_that_hold_one_are_absent() {
    let set = rules(r#"permit(principal, action, resource) when { [1, 2].containsAll(context.args.ids) };"#);
    let with = |args: &str| Scene::default().with_args(args).verdict(&set);
    assert_eq!(with(r#"{"ids":[1,1,2]}"#), "permit: test");
    assert_eq!(with(r#"{"ids":[]}"#), "permit: test");
    assert_eq!(with(r#"{"ids":[1,3]}"#), "no");
    for odd in [
        "[1,null]",
        "[1,1e300]",
        "[1,0.00001]",
        "[1,[9223372036854775808]]",
    ] {
        assert_eq!(with(&format!(r#"{{"ids":{odd}}}"#)), "error: test", "{odd}");
    }
}

#[test]
fn a_forbid_overrides_every_permit_and_gives_its_reason() {
    let set = rules(
        r#"permit(principal, action, resource);
           @id("stop") @reason("not today") forbid(principal, action, resource in Server::"charts");"#,
    );
    let denial = refusal(&Scene::default(), &set);
    assert_eq!(denial.rules.len(), 1);
    assert_eq!(denial.reason.as_deref(), Some("not today"));
    assert_eq!(
        Scene::default()
            .on(sink("mail", "send", Sink::Egress))
            .verdict(&set),
        "permit: test#1"
    );
}

#[test]
fn an_agent_for_a_user_is_judged_as_both() {
    for (text, verdict) in [
        (
            r#"permit(principal == User::"alice", action, resource);"#,
            "permit: test",
        ),
        (
            r#"permit(principal == Agent::"scribe", action, resource);"#,
            "permit: test",
        ),
        (
            r#"permit(principal in Role::"doctor", action, resource);"#,
            "permit: test",
        ),
        (r#"permit(principal == Agent::"other", action, resource);"#, "no"),
        (
            r#"permit(principal in Role::"doctor", action, resource); forbid(principal is Agent, action, resource);"#,
            "forbid: test#2",
        ),
        (
            r#"permit(principal is Agent, action, resource); forbid(principal == User::"alice", action, resource);"#,
            "forbid: test#2",
        ),
        (
            r#"permit(principal == User::"alice", action, resource)
               when { context has agent && context.agent == Agent::"scribe" };"#,
            "permit: test",
        ),
    ] {
        assert_eq!(
            Scene::default().by_agent().verdict(&rules(text)),
            verdict,
            "{text}"
        );
    }
}

#[test]
fn a_forbid_with_approve_asks_and_permits_nothing_by_itself() {
    let hold = r#"@id("ask") @approve("role:owner 2") forbid(principal, action, resource);"#;
    assert_eq!(Scene::default().verdict(&rules(hold)), "no");
    let set = rules(&format!(
        "@id(\"yes\") permit(principal, action, resource); {hold}"
    ));
    let owner = Reviewers::Role("owner".into());
    assert_eq!(Scene::default().verdict(&set), "permit: ask yes");
    assert_eq!(
        obligations(&Scene::default(), &set),
        [Obligation::Approve { by: owner, needed: 2 }]
    );
    let set = rules(&format!(
        "permit(principal, action, resource); {hold} @id(\"no\") forbid(principal, action, resource);"
    ));
    assert_eq!(Scene::default().verdict(&set), "forbid: no");
}

#[test]
fn obligations_join_to_the_strictest() {
    let set = rules(
        r#"@approve("role:doctor") @redact("secret") @fields("/name /birth") @limit("charts")
           @label("category:phi confidentiality:confidential")
           permit(principal, action, resource);
           @approve("role:doctor 3") @pseudonymise("secret personal") @fields("/birth/year /name /other")
           @label("confidentiality:restricted") @step_up("mfa") @review("group:privacy")
           permit(principal, action, resource);
           @redact("unicode") @approve("user:bob")
           permit(principal == User::"bob", action, resource);"#,
    );
    let strings = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    let labels = Labels {
        confidentiality: Confidentiality::Restricted,
        categories: strings(&["phi"]),
        ..Labels::none()
    };
    assert_eq!(
        obligations(&Scene::default(), &set),
        [
            Obligation::Approve {
                by: Reviewers::Role("doctor".into()),
                needed: 3
            },
            Obligation::Fields(strings(&["/birth/year", "/name"]).into()),
            Obligation::Label(labels),
            Obligation::Limit("charts".into()),
            Obligation::Pseudonymise(strings(&["personal"]).into()),
            Obligation::Redact(strings(&["secret"]).into()),
            Obligation::Review(Reviewers::Group("privacy".into())),
            Obligation::StepUp {
                level: "mfa".into(),
                max_age_s: None,
            },
        ]
    );
}

#[test]
fn fields_of_two_rules_intersect_through_wildcards() {
    let strings = |words: &[&str]| words.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    for (one, other, both) in [
        ("/rows/*/id", "/rows/0", &["/rows/0/id"][..]),
        ("/rows/*/id /name", "/rows", &["/rows/*/id"]),
        ("/*/a", "/b/*", &["/b/a"]),
        ("/rows/*/id", "/rows/*/note", &[]),
    ] {
        let set = rules(&format!(
            r#"@fields("{one}") permit(principal, action, resource);
               @fields("{other}") permit(principal, action, resource);"#
        ));
        let wanted = [Obligation::Fields(strings(both).into())];
        assert_eq!(obligations(&Scene::default(), &set), wanted, "{one}, {other}");
    }
}

#[test]
fn ways_to_hide_join_to_the_one_that_shows_least() {
    let set = rules(
        r#"@mask("personal secret") @reveal("personal") permit(principal, action, resource);
           @pseudonymise("personal") @anonymise("secret") @drop("/a") @defang("images") permit(principal, action, resource);
           @redact("secret") @drop("/b") @defang("links") permit(principal, action, resource);"#,
    );
    let strings = |words: &[&str]| words.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(
        obligations(&Scene::default(), &set),
        [
            Obligation::Defang(strings(&["images", "links"]).into()),
            Obligation::Drop(strings(&["/a", "/b"]).into()),
            Obligation::Mask(strings(&["personal"]).into()),
            Obligation::Redact(strings(&["secret"]).into()),
            Obligation::Reveal(strings(&["personal"]).into()),
        ]
    );
}

#[test]
fn fields_nobody_grants_in_common_leave_nothing() {
    let set = rules(
        r#"@fields("/ab") permit(principal, action, resource);
           @fields("/a") permit(principal, action, resource);"#,
    );
    assert_eq!(
        obligations(&Scene::default(), &set),
        [Obligation::Fields(BTreeSet::new().into())]
    );
}

#[test]
fn a_missing_scope_is_named_only_where_it_would_cure_the_refusal() {
    let text = r#"@scope("charts:read") permit(principal in Role::"doctor", action, resource);"#;
    let set = rules(text);
    assert_eq!(
        refusal(&Scene::default(), &set).scope.as_deref(),
        Some("charts:read")
    );
    let mut scoped = Scene::default();
    scoped.scopes.insert("charts:read".into());
    assert_eq!(scoped.verdict(&set), "permit: test");
    let mut stranger = Scene::default();
    stranger.subject.actor.roles.clear();
    assert_eq!(refusal(&stranger, &set).scope, None);
    let set = rules(&format!("{text} forbid(principal, action, resource);"));
    assert_eq!(refusal(&Scene::default(), &set).scope, None);
}

#[test]
fn the_gateway_can_be_read_like_any_resource() {
    let set = rules(
        r#"permit(principal, action == Action::"connect", resource is Gateway);
           forbid(principal, action, resource) when { resource.sink != "read" || resource.level > 0 };"#,
    );
    let scene = Scene {
        action: Action::Connect,
        ..Scene::default()
    };
    assert_eq!(scene.on(Resource::Gateway).verdict(&set), "permit: test#1");
}

#[test]
fn a_prompt_is_not_the_tool_of_its_name() {
    let set = rules(r#"permit(principal, action, resource == Tool::"charts__read");"#);
    let scene = Scene::default().on(Resource::Prompt(tool("charts", "read")));
    assert_eq!(scene.verdict(&set), "no");
}

#[test]
fn a_service_is_neither_agent_nor_user() {
    let set = rules(
        r#"permit(principal is Service, action, resource) unless { context has agent || context has user };"#,
    );
    let scene = Scene {
        subject: Subject {
            actor: party(PartyKind::Service, "batch", &[]),
            for_user: None,
        },
        ..Scene::default()
    };
    assert_eq!(scene.verdict(&set), "permit: test");
}
