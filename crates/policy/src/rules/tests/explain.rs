use super::scene::{Scene, rules};
use crate::rules::{Finding, RuleSet};

fn lines(scene: &Scene, set: &RuleSet) -> Vec<String> {
    let explanation = set.explain(&scene.subject, scene.action, &scene.resource, &scene.facts());
    explanation.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn every_rule_about_the_call_is_accounted_for_in_a_sentence() {
    let set = rules(
        r#"@id("own") permit(principal in Role::"doctor", action == Action::"invoke", resource == Tool::"charts__read")
           when { context.purpose == "treatment" && principal.patients.contains(context.args.patient) };
           @id("nurse") permit(principal in Role::"nurse", action, resource in Server::"charts");
           @id("mail") permit(principal, action, resource in Server::"mail");
           @id("read") permit(principal, action == Action::"read", resource);
           @id("night") @reason("not at night") forbid(principal, action, resource) unless { context.tls.pq };
           @id("bad") forbid(principal, action, resource) when { context.args.count > 3 };"#,
    );
    let mut scene = Scene::default().with_args(r#"{"patient":"p9"}"#);
    scene.purpose = Some("treatment".into());
    assert_eq!(
        lines(&scene, &set),
        [
            "refused: a rule could not be evaluated",
            "- `own` (test:1) says nothing for User::\"alice\", because this is not so: \
             `principal.patients.contains(context.args.patient)`; here `principal.patients` is [\"p1\", \"p2\"], \
             `context.args.patient` is \"p9\"",
            "- `nurse` (test:3) says nothing for User::\"alice\", because this is not so: \
             `principal in Role::\"nurse\"`",
            "- `night` (test:6) forbids it for User::\"alice\": not at night",
            "- `bad` (test:7) refuses it for User::\"alice\", because it fails: `context.args.count > 3`: \
             the arguments' object has no `count`; here `context.args.count` is absent",
        ]
    );
}

#[test]
fn an_agent_and_its_user_are_accounted_for_apart() {
    let set = rules(r#"@id("own") permit(principal == User::"alice", action, resource);"#);
    let scene = Scene::default().by_agent();
    assert_eq!(
        lines(&scene, &set),
        [
            "permitted",
            "- `own` (test:1) permits it for User::\"alice\"",
            "- `own` (test:1) says nothing for Agent::\"scribe\", because this is not so: \
             `principal == User::\"alice\"`",
        ]
    );
}

#[test]
fn long_values_are_cut() {
    let set = rules(r#"permit(principal, action, resource) when { context.args.text == "x" };"#);
    let scene = Scene::default().with_args(&format!(r#"{{"text":"{}"}}"#, "é".repeat(10_000)));
    let explanation = set.explain(&scene.subject, scene.action, &scene.resource, &scene.facts());
    let Finding::Unmatched { values, .. } = &explanation.rules[0].finding else {
        panic!("{explanation:?}");
    };
    assert_eq!(values[0].1.chars().count(), 81);
}

#[test]
fn the_reasons_for_no_are_told_apart() {
    for (text, first) in [
        ("", "refused: no rule permits it"),
        (
            "forbid(principal, action, resource);",
            "refused: a rule forbids it",
        ),
        (
            "@scope(\"x\") permit(principal, action, resource);",
            "refused: only the scope `x` is missing",
        ),
    ] {
        assert_eq!(lines(&Scene::default(), &rules(text))[0], first);
    }
}
