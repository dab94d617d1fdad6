//! A list that is kept is that of who asked, and of how things stand.

use std::{
    io::{self, Write},
    sync::Arc,
};

use super::scene::{Scene, rules, tool};
use crate::{
    Action, Confidentiality, Integrity, PartyKind, Resource,
    rules::{Discovery, Lists, RuleSet},
};

const RULES: &str = r#"
permit(principal in Role::"doctor", action, resource)
when { context.labels.integrity == "trusted" && context.labels.level < 3 };
permit(principal in Role::"assistant", action, resource) when { context.purpose == "treatment" };
permit(principal, action, resource) when { context.task == "round" };
permit(principal, action, resource) when { context.scopes.contains("read") };
permit(principal, action, resource) when { context.tls.pq };
"#;

fn tools() -> Vec<Arc<Resource>> {
    let tools = ["read", "write"].into_iter();
    tools
        .map(|name| Arc::new(Resource::Tool(tool("charts", name))))
        .collect()
}

fn ask(lists: &Lists, rules: &RuleSet, scene: &Scene, resources: &[Arc<Resource>]) -> Vec<Discovery> {
    let found = lists.could_permit_each(rules, &scene.subject, Action::Discover, resources, &scene.facts());
    let plain = resources.iter().map(AsRef::as_ref);
    let anew = rules.could_permit_each(&scene.subject, Action::Discover, plain, &scene.facts());
    assert_eq!(*found, *anew, "what is kept is what would be worked out");
    found.to_vec()
}

#[test]
fn whatever_decides_changes_the_list_at_once() {
    let (lists, set, tools) = (Lists::default(), rules(RULES), tools());
    let first = ask(&lists, &set, &Scene::default(), &tools);
    assert_eq!(first, [Discovery::Listed; 2]);
    let change = |what: &dyn Fn(&mut Scene)| {
        let mut scene = Scene::default();
        what(&mut scene);
        ask(&lists, &set, &scene, &tools)
    };
    // In between and after each, it is again what it was.
    let gone: [&dyn Fn(&mut Scene); 6] = [
        &|scene| scene.labels.integrity = Integrity::Untrusted,
        &|scene| scene.labels.confidentiality = Confidentiality::Restricted,
        &|scene| scene.subject.actor.roles.clear(),
        &|scene| scene.subject.actor = super::scene::party(PartyKind::User, "bob", &["nurse"]),
        &|scene| scene.subject.actor = super::scene::party(PartyKind::Agent, "alice", &[]),
        &|scene| scene.subject.for_user = None,
    ];
    for (n, what) in gone.into_iter().enumerate() {
        let expected = if n == 5 {
            Discovery::Listed
        } else {
            Discovery::Hidden
        };
        assert_eq!(change(what), [expected; 2], "change {n}");
        assert_eq!(change(&|_| {}), first, "after change {n}");
    }
    // What brings it back for somebody who is shown nothing.
    let nobody = |scene: &mut Scene| scene.subject.actor.roles.clear();
    let back: [&dyn Fn(&mut Scene); 3] = [
        &|scene| scene.task = Some("round".into()),
        &|scene| scene.scopes = ["read".to_owned()].into(),
        &|scene| scene.tls = Some(("TLSv1.3".into(), "X25519MLKEM768".into())),
    ];
    for (n, what) in back.into_iter().enumerate() {
        assert_eq!(change(&nobody), [Discovery::Hidden; 2]);
        let with = change(&|scene| {
            nobody(scene);
            what(scene);
        });
        assert_eq!(with, [Discovery::Listed; 2], "change {n}");
    }
    // Another purpose, other rules, other resources.
    let treatment = |scene: &mut Scene| {
        scene.subject.actor.roles = vec!["assistant".into()];
        scene.purpose = Some("treatment".into());
    };
    assert_eq!(change(&treatment), [Discovery::Listed; 2]);
    let research = change(&|scene| {
        treatment(scene);
        scene.purpose = Some("research".into());
    });
    assert_eq!(research, [Discovery::Hidden; 2]);
    let none = rules("");
    assert_eq!(
        ask(&lists, &none, &Scene::default(), &tools),
        [Discovery::Hidden; 2]
    );
    assert_eq!(
        ask(&lists, &set, &Scene::default(), &tools[..1]),
        [Discovery::Listed]
    );
    let one = rules(&format!(
        r#"{RULES} forbid(principal, action, resource == Tool::"charts__write");"#
    ));
    assert_eq!(
        ask(&lists, &one, &Scene::default(), &tools),
        [Discovery::Listed, Discovery::Hidden]
    );
}

#[test]
fn resources_that_were_made_anew_are_judged_anew() {
    let (lists, set) = (
        Lists::default(),
        rules(r#"permit(principal, action, resource) when { resource.level > 2 };"#),
    );
    let first = tools();
    assert_eq!(
        ask(&lists, &set, &Scene::default(), &first),
        [Discovery::Listed; 2]
    );
    drop(first);
    // Most likely where the others were in memory, had they not been held.
    let mut facts = tool("charts", "read");
    facts.labels.confidentiality = Confidentiality::Public;
    let others = [
        Arc::new(Resource::Tool(facts.clone())),
        Arc::new(Resource::Tool(facts)),
    ];
    assert_eq!(
        ask(&lists, &set, &Scene::default(), &others),
        [Discovery::Hidden; 2]
    );
}

#[test]
fn rules_that_read_the_time_are_asked_each_time() {
    for text in [
        r#"permit(principal, action, resource) when { context.time < datetime("2026-11-22") };"#,
        r#"permit(principal, action, resource) when { context has time && context.time < datetime("2026-11-22") };"#,
        r#"permit(principal, action, resource) when { (if true then context else context).time < datetime("2026-11-22") };"#,
    ] {
        let (lists, set, tools) = (Lists::default(), rules(text), tools());
        assert!(set.reads_time, "{text}");
        let early = Scene {
            now_ms: 1_795_000_000_000,
            ..Scene::default()
        };
        let late = Scene {
            now_ms: 1_796_000_000_000,
            ..Scene::default()
        };
        assert_ne!(
            ask(&lists, &set, &early, &tools),
            ask(&lists, &set, &late, &tools),
            "{text}"
        );
    }
    assert!(!rules(RULES).reads_time);
}

#[test]
fn what_is_kept_is_bounded_and_the_oldest_goes_first() {
    let (lists, set, tools) = (Lists::default(), rules(RULES), tools());
    let of = |n: usize| Scene {
        task: Some(format!("task {n}")),
        ..Scene::default()
    };
    let first = ask(&lists, &set, &of(0), &tools);
    let kept = || {
        let scene = of(0);
        lists.could_permit_each(&set, &scene.subject, Action::Discover, &tools, &scene.facts())
    };
    let found = kept();
    assert_eq!(*found, *first);
    for n in 1..2_000 {
        ask(&lists, &set, &of(n), &tools);
        assert!(Arc::ptr_eq(&found, &kept()), "what is used stays");
    }
    let (kept, entries) = lists.size();
    assert_eq!((kept, entries), (512, 1024));
}

/// A server that says other long URIs every time: what was kept held them all.
#[test]
fn what_is_kept_of_long_uris_is_bounded_by_their_bytes() {
    let (lists, set, scene) = (Lists::default(), rules(RULES), Scene::default());
    for round in 0..12 {
        let resources: Vec<Arc<Resource>> = (0..1_000)
            .map(|n| {
                let uri = format!("file:///{round}/{n}/{}", "x".repeat(8_000));
                let facts = tool("files", &uri);
                Arc::new(Resource::Resource { uri, facts })
            })
            .collect();
        let first = Arc::downgrade(&resources[0]);
        let facts = scene.facts();
        let found = lists.could_permit_each(&set, &scene.subject, Action::Discover, &resources, &facts);
        assert_eq!(found.len(), 1_000);
        drop(resources);
        assert!(first.upgrade().is_some(), "the last is kept");
    }
    // 16 MB each.
    assert_eq!(lists.size(), (4, 4_000));
}

/// What asking once more costs, in CPU time: `cargo test -p policy -- --ignored what_a_kept_list_costs --nocapture`.
#[test]
#[ignore = "it measures, and asserts nothing of time"]
fn what_a_kept_list_costs() {
    let on_cpu_us = || {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
        let first = stat.split(' ').next().and_then(|first| first.parse::<f64>().ok());
        first.expect("a number") / 1000.0
    };
    let tools: Vec<Arc<Resource>> = (0..1_000)
        .map(|n| {
            Arc::new(Resource::Tool(tool(
                &format!("server{}", n % 50),
                &format!("tool{n}"),
            )))
        })
        .collect();
    let (lists, set, scene) = (Lists::default(), rules(RULES), Scene::default());
    let listed = || {
        let facts = scene.facts();
        lists.could_permit_each(&set, &scene.subject, Action::Discover, &tools, &facts)
    };
    let before = on_cpu_us();
    let first = listed();
    let made = on_cpu_us() - before;
    let before = on_cpu_us();
    for _ in 0..1_000 {
        assert!(Arc::ptr_eq(&listed(), &first));
    }
    let kept = (on_cpu_us() - before) / 1_000.0;
    let said = writeln!(
        io::stdout(),
        "1,000 tools: {made:.0} us the first time, {kept:.1} us once more"
    );
    said.expect("somebody reads");
}
