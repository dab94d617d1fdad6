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
            argument: "/a".into(),
            server: "web".into(),
            tool: "get".into(),
            trusted: false,
        });
    }
    scene
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
}
