//! What is done with models, and what becomes of rules of the time when that was `complete`, as is MCP's completion.

use super::scene::{Scene, rules, tool};
use crate::{
    Action, Resource,
    rules::{RuleSet, RuleSource},
};

fn asked(action: Action) -> Scene {
    let resource = if action == Action::Generate {
        Resource::Model(tool("", "fast"))
    } else {
        Resource::Prompt(tool("charts", "summary"))
    };
    Scene {
        action,
        ..Scene::default().on(resource)
    }
}

/// What becomes of an argument that is completed, and of a model that is asked.
fn both(texts: &[&str]) -> [String; 2] {
    let rules = rules(&texts.join("\n"));
    [Action::Complete, Action::Generate].map(|action| asked(action).verdict(&rules))
}

const ALL: &str = r#"@id("all") permit(principal, action, resource);"#;

#[test]
fn a_permit_for_one_is_none_for_the_other() {
    for (rule, argument, model) in [
        (r#"action == Action::"complete", resource"#, "permit: it", "no"),
        (
            r#"action in [Action::"complete", Action::"invoke"], resource"#,
            "permit: it",
            "no",
        ),
        (
            r#"action == Action::"complete", resource is Prompt"#,
            "permit: it",
            "no",
        ),
        (r#"action == Action::"generate", resource"#, "no", "permit: it"),
        (
            r#"action in [Action::"complete", Action::"generate"], resource"#,
            "permit: it",
            "permit: it",
        ),
        (r#"action, resource"#, "permit: it", "permit: it"),
        // What could only mean models goes on to mean them.
        (
            r#"action == Action::"complete", resource == Model::"fast""#,
            "no",
            "permit: it",
        ),
        (
            r#"action == Action::"complete", resource is Model"#,
            "no",
            "permit: it",
        ),
    ] {
        let text = format!(r#"@id("it") permit(principal, {rule});"#);
        assert_eq!(both(&[&text]), [argument, model], "{text}");
    }
}

#[test]
fn a_forbid_of_before_goes_on_to_forbid_models() {
    for (rule, argument, model) in [
        (
            r#"action == Action::"complete", resource"#,
            "forbid: it",
            "forbid: it",
        ),
        (
            r#"action in [Action::"read", Action::"complete"], resource"#,
            "forbid: it",
            "forbid: it",
        ),
        (
            r#"action == Action::"complete", resource == Model::"fast""#,
            "permit: all",
            "forbid: it",
        ),
        (
            r#"action == Action::"complete", resource is Prompt"#,
            "forbid: it",
            "permit: all",
        ),
        (
            r#"action == Action::"generate", resource"#,
            "permit: all",
            "forbid: it",
        ),
    ] {
        let text = format!(r#"@id("it") forbid(principal, {rule});"#);
        assert_eq!(both(&[ALL, &text]), [argument, model], "{text}");
    }
}

#[test]
fn a_condition_that_would_turn_round_is_refused_with_its_place() {
    let fault = |text: &str| {
        let name = "old.cedar".to_owned();
        let text = text.to_owned();
        RuleSet::parse(&[RuleSource { name, text }]).err().map(|errors| {
            let first = &errors.diagnostics()[0];
            format!("{}: {} ({})", first.column, first.message, first.remedy)
        })
    };
    for (text, at) in [
        (
            r#"forbid(principal, action, resource) when { action == Action::"complete" };"#,
            "62: a condition names",
        ),
        (
            r#"permit(principal, action, resource) unless { action == Action::"complete" };"#,
            "64: a condition names",
        ),
        (
            r#"permit(principal, action, resource) when { [Action::"invoke", Action::"complete"].contains(action) };"#,
            "71: a condition names",
        ),
        (
            r#"permit(principal, action, resource in Tenant::"x") when { action == Action::"complete" };"#,
            "77: a condition names",
        ),
        (
            r#"permit(principal, action == Action::"complete", resource) when { resource is Model };"#,
            "37: a condition speaks of models",
        ),
        (
            r#"permit(principal, action == Action::"complete", resource) when { resource == Model::"fast" };"#,
            "37: a condition speaks of models",
        ),
    ] {
        let said = fault(text).unwrap_or_default();
        assert!(
            said.starts_with(at) && said.contains("name `generate`"),
            "{text}\n{said}"
        );
    }
    for text in [
        r#"forbid(principal, action, resource) when { [Action::"complete", Action::"generate"].contains(action) };"#,
        r#"forbid(principal, action, resource is Prompt) when { action == Action::"complete" };"#,
        r#"permit(principal, action, resource in Server::"x") when { action == Action::"complete" };"#,
        r#"forbid(principal, action == Action::"complete", resource) unless { resource is Model };"#,
        r#"permit(principal, action in [Action::"complete", Action::"generate"], resource) when { resource is Model };"#,
    ] {
        assert_eq!(fault(text), None, "{text}");
    }
}
