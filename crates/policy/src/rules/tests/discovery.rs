//! A tool is listed exactly when some call to it could be permitted.

use proptest::prelude::*;

use super::scene::{Scene, rules, tool};
use crate::{
    Action, Decision, Resource, Source,
    rules::{Discovery, RuleSet},
};

#[test]
fn what_could_be_permitted_is_listed_and_nothing_else() {
    use Discovery::{Hidden, Listed};
    for (text, expected) in [
        ("", Hidden),
        ("permit(principal, action, resource);", Listed),
        ("permit(principal, action == Action::\"read\", resource);", Hidden),
        ("permit(principal in Role::\"nurse\", action, resource);", Hidden),
        (
            "permit(principal, action, resource) when { context.args.patient == \"p1\" };",
            Listed,
        ),
        (
            "permit(principal, action, resource) when { context.args has patient };",
            Listed,
        ),
        (
            "permit(principal, action, resource) unless { context.findings.contains(\"secret\") };",
            Listed,
        ),
        (
            "permit(principal, action, resource) when { context.purpose == \"treatment\" };",
            Hidden,
        ),
        (
            "permit(principal, action, resource) when { false && context.args.x == 1 };",
            Hidden,
        ),
        (
            "permit(principal, action, resource) when { context.args.x == 1 && false };",
            Hidden,
        ),
        (
            "permit(principal, action, resource) when { context.args.x == 1 || true };",
            Listed,
        ),
        // Every call fails, and a failure refuses.
        (
            "permit(principal, action, resource) when { context.agent.name == context.args.x };",
            Hidden,
        ),
        (
            "permit(principal, action, resource); forbid(principal, action, resource);",
            Hidden,
        ),
        (
            "permit(principal, action, resource); forbid(principal, action, resource) when { 1 == 1 };",
            Hidden,
        ),
        (
            "permit(principal, action, resource); forbid(principal, action, resource) when { context.args.x == 1 };",
            Listed,
        ),
        (
            "permit(principal, action, resource); forbid(principal, action, resource) unless { context.args.x == 1 };",
            Listed,
        ),
        (
            "permit(principal, action, resource); forbid(principal, action, resource) when { context.agent.name == \"\" };",
            Hidden,
        ),
        (
            "permit(principal, action, resource); @approve(\"role:owner\") forbid(principal, action, resource);",
            Listed,
        ),
        ("@scope(\"more\") permit(principal, action, resource);", Listed),
        (
            "permit(principal, action, resource) when { if context.args.x then principal.level == 2 else 1 == 2 };",
            Listed,
        ),
        (
            "permit(principal, action, resource) when { if context.args.x then principal.level == 3 else 1 == 2 };",
            Hidden,
        ),
        (
            "permit(principal, action, resource) when { (if true then context else context).args has x };",
            Listed,
        ),
    ] {
        assert_eq!(Scene::default().discovery(&rules(text)), expected, "{text}");
    }
}

#[test]
fn conditions_that_exclude_each_other_leave_nothing_to_list() {
    use Discovery::{Hidden, Listed};
    let permit = |condition: &str| format!("permit(principal, action, resource) when {{ {condition} }};");
    let forbid = |condition: &str| format!("forbid(principal, action, resource) when {{ {condition} }};");
    let a = |value: &str| format!("context.args.a == \"{value}\"");
    for (text, expected) in [
        (permit(&format!("{} && {}", a("1"), a("2"))), Hidden),
        (permit(&format!("{} || {}", a("1"), a("2"))), Listed),
        (permit(&a("1")) + &forbid(&a("1")), Hidden),
        (permit(&a("1")) + &forbid(&a("2")), Listed),
        (permit(&a("1")) + &forbid(&format!("!({})", a("2"))), Hidden),
        (
            permit("context.args has a") + &forbid("context.args has a"),
            Hidden,
        ),
        (permit("!(context.args has a)") + &permit(&a("1")), Listed),
        (permit("!(context.args has a)") + &forbid(&a("1")), Hidden),
        (permit("context.args.a > 1 && context.args.a < 2"), Hidden),
        (permit("context.args.a > 1 && context.args.a < 3"), Listed),
        (permit("context.args.a >= 1 && context.args.a <= 1"), Listed),
        (permit("context.args.a > 1 && context.args.a == \"x\""), Hidden),
        (permit("context.args.a > 9223372036854775807"), Listed),
        (
            permit("context.args.a > 9223372036854775807 && context.args.a < 9223372036854775807"),
            Hidden,
        ),
        (
            permit("context.args.a like \"/data/*\"") + &forbid("context.args.a like \"/data/*\""),
            Hidden,
        ),
        (
            permit("context.args.a == \"/data/x\"") + &forbid("context.args.a like \"/data/*\""),
            Hidden,
        ),
        (
            permit("context.args.a == \"/etc/x\"") + &forbid("context.args.a like \"/data/*\""),
            Listed,
        ),
        (
            permit(
                "context.args.a.lessThan(decimal(\"1.0\")) && context.args.a.greaterThan(decimal(\"0.9999\"))",
            ),
            Hidden,
        ),
        (
            permit("context.args.a") + &forbid("context.args.a == true"),
            Hidden,
        ),
        (
            permit("context.findings.contains(\"secret\")")
                + &forbid("context.findings.contains(\"secret\")"),
            Hidden,
        ),
        // Taken for possible: two patterns no text fits, and sums.
        (
            permit("context.args.a like \"a*\" && context.args.a like \"b*\""),
            Listed,
        ),
        (
            permit("context.args.a + 1 == 5 && context.args.a + 2 == 5"),
            Listed,
        ),
        (
            permit("context.args.a == context.args.b && context.args.a == 1 && context.args.b == 2"),
            Listed,
        ),
    ] {
        assert_eq!(Scene::default().discovery(&rules(&text)), expected, "{text}");
    }
    // What one of the two of an agent and its user excludes, the other cannot bring back.
    let text = r#"permit(principal is User, action, resource) when { context.args.a == "1" };
                  forbid(principal is Agent, action, resource) when { context.args.a == "1" };"#;
    assert_eq!(Scene::default().by_agent().discovery(&rules(text)), Hidden);
    assert_eq!(Scene::default().discovery(&rules(text)), Listed);
}

#[test]
fn many_rules_are_taken_one_by_one() {
    let mut text = String::from("permit(principal, action, resource) when { context.args.a == \"x\" };");
    for n in 0..64 {
        text += &format!("forbid(principal, action, resource) when {{ context.args.a == \"{n}\" }};");
    }
    text += "forbid(principal, action, resource) when { context.args.a == \"x\" };";
    assert_eq!(Scene::default().discovery(&rules(&text)), Discovery::Listed);
}

#[test]
fn what_may_not_be_discovered_may_not_be_called() {
    let set = rules(
        r#"permit(principal, action, resource);
           @id("hide") forbid(principal, action == Action::"discover", resource == Tool::"charts__read");"#,
    );
    assert_eq!(Scene::default().discovery(&set), Discovery::Hidden);
    assert_eq!(Scene::default().verdict(&set), "forbid: hide");
}

#[test]
fn a_permit_to_discover_alone_grants_nothing() {
    let set = rules(r#"permit(principal, action == Action::"discover", resource);"#);
    assert_eq!(Scene::default().discovery(&set), Discovery::Hidden);
    assert_eq!(Scene::default().verdict(&set), "no");
}

#[test]
fn to_discover_is_to_ask_whether_it_could_be_used() {
    let set = rules(
        r#"permit(principal, action == Action::"invoke", resource == Tool::"charts__read");
           permit(principal, action == Action::"get", resource == Prompt::"charts__write");
           permit(principal, action == Action::"connect", resource is Server);"#,
    );
    for (resource, expected) in [
        (Resource::Tool(tool("charts", "read")), Discovery::Listed),
        (Resource::Prompt(tool("charts", "read")), Discovery::Hidden),
        (Resource::Prompt(tool("charts", "write")), Discovery::Listed),
        (Resource::Server(tool("charts", "")), Discovery::Listed),
        (Resource::Gateway, Discovery::Hidden),
    ] {
        let scene = Scene {
            action: Action::Discover,
            ..Scene::default()
        };
        assert_eq!(
            scene.on(resource.clone()).discovery(&set),
            expected,
            "{resource:?}"
        );
    }
}

/// Conditions about independent facts: each reads something no other reads, so that what each could be is
/// what all of them could be together.
const INDEPENDENT: [&str; 8] = [
    r#"context.args.a == "1""#,
    r#"context.args has b"#,
    r#"context.args has c && context.args.c > 1"#,
    r#"context.findings.contains("secret")"#,
    r#"context.findings.contains("injection") && principal.level == 2"#,
    r#"!context.sources.untrusted.isEmpty()"#,
    r#"context.args.d == context.args.d && principal.level > 7"#,
    r#"context.labels.level >= 0 || context.args.e == 1"#,
];

/// Every combination of the facts that [`INDEPENDENT`] conditions look at.
fn every_call() -> Vec<Scene> {
    let mut calls = Vec::new();
    for a in ["", r#""a":"1","#, r#""a":"2","#] {
        for b in ["", r#""b":1,"#] {
            for c in ["", r#""c":1,"#, r#""c":2,"#, r#""c":"x","#] {
                for d in ["", r#""d":1,"#] {
                    for findings in 0..4 {
                        for untrusted in [false, true] {
                            let scene = Scene::default().with_args(&format!("{{{a}{b}{c}{d}\"z\":0}}"));
                            calls.push(known(scene, findings, untrusted));
                        }
                    }
                }
            }
        }
    }
    calls
}

fn known(mut scene: Scene, findings: u8, untrusted: bool) -> Scene {
    let kinds = ["secret", "injection"].into_iter().enumerate();
    scene.findings = kinds
        .filter(|(n, _)| findings & (1 << n) != 0)
        .map(|(_, kind)| kind)
        .collect();
    if untrusted {
        scene.sources.push(Source {
            argument: Some("/a".into()),
            server: "web".into(),
            tool: "get".into(),
            trusted: false,
        });
    }
    scene
}

/// Conditions about the same few things, that say yes and no to each other.
const CONTRARY: [&str; 24] = [
    r#"context.args.a == "1""#,
    r#"context.args.a == "2""#,
    r#"context.args.a != "1""#,
    r#"["1", "3"].contains(context.args.a)"#,
    r#"principal.patients.contains(context.args.a)"#,
    r#"context.args has a"#,
    r#"context.args has a && context.args.a == "1""#,
    r#"context.args.a like "p*""#,
    r#"context.args.a == "p1""#,
    r#"context.args.c > 1"#,
    r#"context.args.c > 2"#,
    r#"context.args.c < 2"#,
    r#"2 >= context.args.c"#,
    r#"context.args.c == 3"#,
    r#"context.args.c < principal.level"#,
    r#"context.args.e.lessThan(decimal("1.5"))"#,
    r#"context.args.e.greaterThanOrEqual(decimal("1.5"))"#,
    r#"context.args.e == decimal("1.5")"#,
    r#"context.args.b"#,
    r#"if context.args.b then context.args.c > 1 else context.args.c < 2"#,
    r#"context.findings.contains("secret")"#,
    r#"!context.sources.untrusted.isEmpty()"#,
    r#"context.args has n.x && context.args.n.x == 1"#,
    r#"context.args.n.x != 1"#,
];

/// Every combination of what the [`CONTRARY`] conditions in a text tell apart.
fn contrary_calls(text: &str) -> Vec<Scene> {
    let mut texts = vec!["{".to_owned()];
    for (name, values) in [
        (
            "args.a",
            &[
                "",
                r#""a":"1","#,
                r#""a":"2","#,
                r#""a":"3","#,
                r#""a":"p1","#,
                r#""a":"p2","#,
                r#""a":"px","#,
                r#""a":"z","#,
            ][..],
        ),
        ("args has a", &["", r#""a":"1","#]),
        (
            "args.c",
            &[
                "",
                r#""c":0,"#,
                r#""c":1,"#,
                r#""c":2,"#,
                r#""c":3,"#,
                r#""c":4,"#,
            ],
        ),
        ("args.e", &["", r#""e":1.25,"#, r#""e":1.5,"#, r#""e":2.5,"#]),
        ("args.b", &["", r#""b":true,"#, r#""b":false,"#]),
        (
            "args.n",
            &["", r#""n":{"x":1},"#, r#""n":{"x":2},"#, r#""n":{},"#],
        ),
    ] {
        let known = name == "args has a" && text.contains("args.a");
        if text.contains(name) && !known {
            let longer = texts
                .iter()
                .flat_map(|text| values.iter().map(move |value| format!("{text}{value}")));
            texts = longer.collect();
        }
    }
    let mut calls = Vec::new();
    for text in texts {
        for (findings, untrusted) in [(0, false), (1, false), (0, true), (1, true)] {
            let scene = Scene::default().with_args(&format!("{text}\"z\":0}}"));
            calls.push(known(scene, findings, untrusted));
        }
    }
    calls
}

fn some_call_is_permitted(set: &RuleSet, calls: &[Scene]) -> bool {
    calls
        .iter()
        .any(|call| matches!(call.decide(set), Decision::Permit(_)))
}

proptest! {
    #[test]
    fn discovery_and_invocation_agree(
        chosen in prop::sample::subsequence(&INDEPENDENT[..], 1..=8),
        shapes in prop::collection::vec((any::<bool>(), any::<bool>()), 8),
        discover in any::<bool>(),
    ) {
        let mut text = String::new();
        for (condition, (permit, when)) in chosen.iter().zip(shapes) {
            let effect = if permit { "permit" } else { "forbid" };
            let clause = if when { "when" } else { "unless" };
            text += &format!("{effect}(principal, action, resource) {clause} {{ {condition} }};\n");
        }
        if discover {
            text += "forbid(principal, action == Action::\"discover\", resource) when { principal.level > 2 };";
        }
        let set = rules(&text);
        let expected = some_call_is_permitted(&set, &every_call());
        let listed = Scene { action: Action::Invoke, ..Scene::default() }.discovery(&set);
        prop_assert_eq!(listed == Discovery::Listed, expected, "{}", text);
    }

    #[test]
    fn they_agree_where_conditions_are_about_the_same_things(
        chosen in prop::collection::vec(
            (prop::sample::select(&CONTRARY[..]), any::<bool>(), any::<bool>(), any::<bool>()), 1..6),
    ) {
        let mut text = String::new();
        for (condition, permit, when, more) in chosen {
            let effect = if permit { "permit" } else { "forbid" };
            let clause = if when { "when" } else { "unless" };
            let more = if more { r#" when { context.args.a != "2" }"# } else { "" };
            text += &format!("{effect}(principal, action, resource) {clause} {{ {condition} }}{more};\n");
        }
        let set = rules(&text);
        let expected = some_call_is_permitted(&set, &contrary_calls(&text));
        prop_assert_eq!(Scene::default().discovery(&set) == Discovery::Listed, expected, "{}", text);
    }
}
