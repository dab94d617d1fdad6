//! Random rules and calls, put to us and to Cedar.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{
    oracle::{Arg, Number, judge, policies},
    scene::{Scene, party, tool},
};
use crate::{
    Action, Confidentiality, Decision, Facts, Integrity, Labels, Obligation, PartyKind, Resource, Sink,
    Source, Subject, ToolFacts, Trust,
    rules::{Coverage, Discovery, Foresight, RuleSet, RuleSource, Unseen, decide::Verdict},
};

/// Texts that occur on both sides, so that comparisons are sometimes true.
const TEXTS: [&str; 9] = [
    "p1",
    "p2",
    "alice",
    "charts",
    "",
    "a*b",
    "10.0.0.7",
    "2026-11-20",
    "north",
];
const ENTITIES: [&str; 14] = [
    r#"User::"alice""#,
    r#"User::"bob""#,
    r#"Agent::"scribe""#,
    r#"Role::"doctor""#,
    r#"Role::"assistant""#,
    r#"Group::"staff""#,
    r#"Tenant::"clinic""#,
    r#"Tool::"charts__read""#,
    r#"Tool::"mail__send""#,
    r#"Prompt::"charts__read""#,
    r#"Server::"charts""#,
    r#"Gateway::"sallyport""#,
    r#"Resource::"file:///notes/a.txt""#,
    r#"Action::"invoke""#,
];
const PATHS: [&str; 38] = [
    "principal.name",
    "principal.level",
    "principal.patients",
    "principal.tenant",
    "principal.ward",
    "principal.ward.name",
    "principal.missing",
    "resource.server",
    "resource.name",
    "resource.level",
    "resource.categories",
    "resource.path",
    "resource.tenant",
    "resource.uri",
    "context.args",
    "context.args.patient",
    "context.args.count",
    "context.args.amount",
    "context.args.tags",
    "context.args.nested",
    "context.args.nested.x",
    "context.args.huge",
    "context.purpose",
    "context.task",
    "context.labels",
    "context.labels.level",
    "context.labels.categories",
    "context.sources",
    "context.sources.untrusted",
    "context.sources.servers",
    "context.scopes",
    "context.tls.pq",
    "context.tls.version",
    "context.time",
    "context.agent",
    "context.agent.name",
    "context.user",
    "context",
];

fn constant() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(&TEXTS[..]).prop_map(|text| format!("{text:?}")),
        2 => prop::sample::select(vec!["0", "1", "2", "3", "7", "-1", "9223372036854775807"])
            .prop_map(str::to_owned),
        1 => any::<bool>().prop_map(|truth| truth.to_string()),
        3 => prop::sample::select(&ENTITIES[..]).prop_map(str::to_owned),
        1 => prop::sample::select(vec![
            r#"decimal("1.5")"#, r#"decimal("-0.0001")"#, r#"ip("10.0.0.0/8")"#, r#"ip("::1")"#,
            r#"datetime("2026-11-21T08:00:00Z")"#, r#"datetime("2026-11-20")"#, r#"duration("1d2h")"#,
            r#"duration("-5ms")"#,
        ]).prop_map(str::to_owned),
    ]
}

fn leaf() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => constant(),
        5 => prop::sample::select(&PATHS[..]).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["principal", "action", "resource"]).prop_map(str::to_owned),
    ]
}

/// Any expression; most of them fail, which must be a failure for both.
fn expression() -> impl Strategy<Value = String> {
    leaf().prop_recursive(4, 24, 3, |inner| {
        let pair = (inner.clone(), inner.clone());
        let infix = prop::sample::select(vec![
            "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "in", "&&", "||",
        ]);
        let method = prop::sample::select(vec![
            "contains",
            "containsAll",
            "containsAny",
            "lessThan",
            "greaterThanOrEqual",
            "isInRange",
            "offset",
            "durationSince",
        ]);
        let nullary = prop::sample::select(vec![
            "isEmpty",
            "isIpv4",
            "isLoopback",
            "toDate",
            "toTime",
            "toHours",
            "toMilliseconds",
        ]);
        let reader = prop::sample::select(vec!["decimal", "ip", "datetime", "duration"]);
        let kind = prop::sample::select(vec!["User", "Agent", "Tool", "Role"]);
        let name = prop::sample::select(vec!["patient", "name", "x", "level", "missing"]);
        prop_oneof![
            6 => (pair.clone(), infix).prop_map(|((a, b), op)| format!("(({a}) {op} ({b}))")),
            3 => (pair.clone(), method).prop_map(|((a, b), op)| format!("({a}).{op}({b})")),
            1 => (inner.clone(), nullary).prop_map(|(a, op)| format!("({a}).{op}()")),
            1 => (prop::sample::select(&PATHS[..]), reader).prop_map(|(a, op)| format!("{op}({a})")),
            1 => inner.clone().prop_map(|a| format!("(!({a}))")),
            1 => inner.clone().prop_map(|a| format!("(-({a}))")),
            1 => (inner.clone(), kind).prop_map(|(a, kind)| format!("(({a}) is {kind})")),
            1 => (inner.clone(), name).prop_map(|(a, name)| format!("(({a}) has {name})")),
            1 => inner.clone().prop_map(|a| format!("(({a}) like \"*1*\")")),
            1 => (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("(if ({a}) then ({b}) else ({c}))")),
            1 => prop::collection::vec(inner.clone(), 0..3).prop_map(|all| format!("[{}]", all.join(", "))),
            1 => pair.prop_map(|(a, b)| format!("{{x: {a}, name: {b}}}")),
        ]
    })
}

/// Conditions that mean something and mostly do not fail.
fn sensible() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "principal.patients.contains(context.args.patient)",
            "context.args has patient && context.args.patient == \"p1\"",
            "context.args has nested.x && context.args.nested.x > 1",
            "context.args.count < principal.level",
            "context.args has tags && context.args.tags.containsAny([\"p1\", \"p9\"])",
            "context.args has tags && principal.patients.containsAll(context.args.tags)",
            "context.args has amount && context.args.amount.lessThan(decimal(\"1.5\"))",
            "context.args == {\"patient\": \"p1\"}",
            "resource.sink == \"egress\"",
            "[\"egress\", \"unknown\"].contains(resource.sink)",
            "context.labels.integrity == \"untrusted\" && context.labels.level >= 2",
            "context.findings.contains(\"secret\")",
            "!context.sources.untrusted.isEmpty()",
            "![resource.server].containsAll(context.sources.untrusted)",
            "context has agent && context.agent == Agent::\"scribe\"",
            "context has agent && context.agent in Role::\"assistant\"",
            "principal in Role::\"doctor\"",
            "principal in [Role::\"nurse\", Role::\"doctor\"]",
            "resource in Server::\"charts\"",
            "resource.server == \"charts\"",
            "resource has path && resource.path like \"/notes/*\"",
            "context.time < datetime(\"2026-11-22\")",
            "context.purpose == \"treatment\"",
            "context.tls.pq",
            "context.scopes.contains(\"read\")",
        ])
        .prop_map(str::to_owned),
        constant()
            .prop_map(|constant| format!("context.args has patient && context.args.patient == {constant}")),
    ]
}

fn head(variable: &'static str, kinds: &'static [&'static str]) -> impl Strategy<Value = String> {
    let entity = move || prop::sample::select(&ENTITIES[..13]);
    prop_oneof![
        4 => Just(variable.to_owned()),
        2 => entity().prop_map(move |entity| format!("{variable} == {entity}")),
        3 => entity().prop_map(move |entity| format!("{variable} in {entity}")),
        1 => prop::sample::select(kinds).prop_map(move |kind| format!("{variable} is {kind}")),
        1 => (prop::sample::select(kinds), entity())
            .prop_map(move |(kind, entity)| format!("{variable} is {kind} in {entity}")),
    ]
}

fn rule() -> impl Strategy<Value = String> {
    let action = prop::sample::select(vec![
        "action",
        "action == Action::\"invoke\"",
        "action == Action::\"read\"",
        "action in [Action::\"invoke\", Action::\"read\", Action::\"get\"]",
    ]);
    let condition = prop_oneof![4 => sensible(), 1 => expression()];
    let clause = (prop::sample::select(vec!["when", "unless"]), condition)
        .prop_map(|(word, condition)| format!(" {word} {{ {condition} }}"));
    (
        prop::sample::select(vec!["permit", "permit", "forbid"]),
        head("principal", &["User", "Agent", "Service"]),
        action,
        head("resource", &["Tool", "Resource", "Server"]),
        prop::collection::vec(clause, 0..3),
    )
        .prop_map(|(effect, principal, action, resource, clauses)| {
            format!("{effect}({principal}, {action}, {resource}){};", clauses.concat())
        })
}

/// Rules of the kind that no head tells apart: about anything, told apart by what they compare. Enough of them that
/// some stand behind gates; among them some that fail, and some whose comparison comes after what can fail.
fn unscoped() -> impl Strategy<Value = Vec<String>> {
    let path = prop::sample::select(vec![
        "context.args.patient",
        "context.args.count",
        "context.args.tags",
        "context.args.nested",
        "context.purpose",
        "principal.name",
        "principal.missing",
        "resource.name",
        "context.labels.level",
        "context.user",
    ]);
    let before = prop::sample::select(vec![
        "",
        "",
        "context.args has patient && ",
        "context.purpose != \"north\" && ",
        "principal in Role::\"doctor\" && ",
        "!(principal is Agent) && ",
        "context.args.count > 1 && ",
        "context.args has nested.x && ",
    ]);
    let after = prop::sample::select(vec!["", "", " && context.tls.pq", " && context.args.amount == 1"]);
    let constant = prop_oneof![
        4 => constant(),
        1 => Just("{x: 1}".to_owned()),
        1 => Just("[\"p1\"]".to_owned()),
    ];
    let test = (path, prop::collection::vec(constant, 1..3), 0..4).prop_map(|(path, constants, shape)| {
        let first = constants.first().cloned().unwrap_or_default();
        match shape {
            0 => format!("[{}].contains({path})", constants.join(", ")),
            1 => format!("{first} == {path}"),
            _ => format!("{path} == {first}"),
        }
    });
    let effect = prop::sample::select(vec!["permit", "permit", "forbid"]);
    let rule = (
        effect,
        before,
        test,
        after,
        prop::sample::select(vec!["when", "when", "when", "unless"]),
    )
        .prop_map(|(effect, before, test, after, word)| {
            format!("{effect}(principal, action, resource) {word} {{ {before}{test}{after} }};")
        });
    prop::collection::vec(rule, 30..90)
}

/// A rule, perhaps with something to be done for its yes or no.
fn annotated() -> impl Strategy<Value = String> {
    let annotation = prop::sample::select(vec![
        "",
        "",
        "@approve(\"role:owner\") ",
        "@scope(\"read\") ",
        "@redact(\"secret\") ",
    ]);
    (annotation, rule()).prop_map(|(annotation, rule)| {
        // A `forbid` can ask; other annotations are a `permit`'s.
        if rule.starts_with("forbid") && !annotation.starts_with("@approve") {
            rule
        } else {
            format!("{annotation}{rule}")
        }
    })
}

fn argument() -> impl Strategy<Value = Arg> {
    let number = prop::sample::select(vec![
        ("0", Number::Long(0)),
        ("1", Number::Long(1)),
        ("-0", Number::Long(0)),
        ("7", Number::Long(7)),
        ("9223372036854775807", Number::Long(i64::MAX)),
        ("9223372036854775808", Number::Nothing),
        ("1.5", Number::Decimal("1.5")),
        ("15e-1", Number::Decimal("1.5")),
        ("-0.0001", Number::Decimal("-0.0001")),
        ("0.00001", Number::Nothing),
        ("1e300", Number::Nothing),
        ("1e2", Number::Decimal("100.0")),
    ]);
    let leaf = prop_oneof![
        1 => Just(Arg::Null),
        1 => any::<bool>().prop_map(Arg::Bool),
        3 => number.prop_map(|(text, number)| Arg::Number(text, number)),
        5 => prop::sample::select(&TEXTS[..]).prop_map(|text| Arg::Text(text.into())),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Arg::List),
            prop::collection::btree_map(prop::sample::select(vec!["x", "name", "y"]), inner, 0..3)
                .prop_map(|fields| Arg::Object(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

fn arguments() -> impl Strategy<Value = Arg> {
    let name = prop::sample::select(vec!["patient", "count", "amount", "tags", "nested", "huge"]);
    prop::collection::btree_map(name, argument(), 0..5)
        .prop_map(|fields| Arg::Object(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()))
}

fn resource() -> impl Strategy<Value = Resource> {
    let facts = (
        prop::sample::select(vec![("charts", "read"), ("mail", "send")]),
        prop::sample::select(&Sink::ALL[..]),
        prop::sample::select(&Trust::ALL[..]),
        labels(),
        prop::option::of(prop::sample::select(vec![
            "clinic".to_owned(),
            "other".to_owned(),
        ])),
    )
        .prop_map(|((server, name), sink, trust, labels, tenant)| ToolFacts {
            sink,
            trust,
            labels,
            tenant,
            ..tool(server, name)
        });
    (0..10, facts).prop_map(|(which, facts)| match which {
        0 => Resource::Gateway,
        4 => Resource::Model(facts),
        1 => Resource::Prompt(facts),
        2 => Resource::Server(facts),
        3 => Resource::Resource {
            uri: "file:///notes/a.txt".into(),
            facts,
        },
        _ => Resource::Tool(facts),
    })
}

fn labels() -> impl Strategy<Value = Labels> {
    (
        prop::sample::select(&Integrity::ALL[..]),
        prop::sample::select(&Confidentiality::ALL[..]),
        prop::collection::btree_set(
            prop::sample::select(vec!["phi".to_owned(), "p1".to_owned()]),
            0..2,
        ),
    )
        .prop_map(|(integrity, confidentiality, categories)| Labels {
            integrity,
            confidentiality,
            categories,
        })
}

fn subject() -> impl Strategy<Value = Subject> {
    let user = prop::sample::select(vec![("alice", "doctor"), ("bob", "nurse")])
        .prop_map(|(name, role)| party(PartyKind::User, name, &[role]));
    let agent = party(PartyKind::Agent, "scribe", &["assistant"]);
    (user, 0..4).prop_map(move |(user, who)| match who {
        0 => Subject {
            actor: user,
            for_user: None,
        },
        1 => Subject {
            actor: agent.clone(),
            for_user: None,
        },
        2 => Subject {
            actor: party(PartyKind::Service, "batch", &["doctor"]),
            for_user: None,
        },
        _ => Subject {
            actor: agent.clone(),
            for_user: Some(user),
        },
    })
}

fn scene() -> impl Strategy<Value = Scene> {
    let source =
        (prop::sample::select(vec!["web", "charts"]), any::<bool>()).prop_map(|(server, trusted)| Source {
            argument: Some("/patient".into()),
            server: server.into(),
            tool: "fetch".into(),
            trusted,
        });
    let word =
        |words: Vec<&'static str>| prop::option::of(prop::sample::select(words).prop_map(str::to_owned));
    (
        (subject(), resource(), labels()),
        prop::sample::select(vec![
            Action::Invoke,
            Action::Invoke,
            Action::Read,
            Action::Connect,
        ]),
        (word(vec!["treatment", "p1"]), word(vec!["north"])),
        prop::collection::btree_set(prop::sample::select(vec!["secret", "injection"]), 0..2),
        prop::collection::vec(source, 0..3),
        prop::collection::btree_set(prop::sample::select(vec!["read".to_owned()]), 0..2),
        prop::option::of(prop::sample::select(vec!["X25519MLKEM768", "X25519"])),
    )
        .prop_map(
            |((subject, resource, labels), action, (purpose, task), findings, sources, scopes, group)| {
                Scene {
                    subject,
                    action,
                    resource,
                    purpose,
                    task,
                    labels,
                    findings,
                    sources,
                    scopes,
                    tls: group.map(|group| ("TLSv1.3".to_owned(), group.to_owned())),
                    ..Scene::default()
                }
            },
        )
}

/// The facts of a call whose circumstances are quite other ones.
fn elsewhere(scene: &Scene) -> Facts<'_> {
    Facts {
        purpose: scene.purpose.as_deref(),
        labels: &scene.labels,
        task: Some("other"),
        args: None,
        findings: BTreeSet::new(),
        sources: &[],
        scopes: &NO_SCOPES,
        tls: None,
        now_ms: 0,
    }
}

static NO_SCOPES: BTreeSet<String> = BTreeSet::new();

fn parsed(rules: &[String]) -> Option<RuleSet> {
    let sources: Vec<_> = rules
        .iter()
        .enumerate()
        .map(|(n, text)| RuleSource {
            name: format!("r{n:03}"),
            text: text.clone(),
        })
        .collect();
    // A random rule may name a word that does not exist; such rules are refused at load.
    RuleSet::parse(&sources).ok()
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn we_decide_as_cedar_does_and_refuse_where_it_reports_an_error(
        rules in prop::collection::vec(rule(), 1..12),
        scene in scene(),
        args in prop::option::of(arguments()),
    ) {
        let Some(set) = parsed(&rules) else { return Err(TestCaseError::reject("misspelt")) };
        let scene = match &args {
            Some(args) => scene.with_args(&args.json()),
            None => scene,
        };
        let expected = judge(&policies(&rules), &scene, args.as_ref()).verdict();
        prop_assert_eq!(scene.verdict(&set), expected);
    }

    #[test]
    fn an_expression_fails_for_us_exactly_when_it_fails_for_cedar(
        condition in expression(),
        scene in scene(),
        args in arguments(),
    ) {
        let rules = vec![format!("permit(principal, action, resource) when {{ {condition} }};")];
        let Some(set) = parsed(&rules) else { return Err(TestCaseError::reject("misspelt")) };
        let scene = scene.with_args(&args.json());
        let expected = judge(&policies(&rules), &scene, Some(&args)).verdict();
        prop_assert_eq!(scene.verdict(&set), expected);
    }

    #[test]
    fn whatever_is_permitted_is_listed(
        rules in prop::collection::vec(rule(), 1..8),
        scene in scene(),
        args in arguments(),
    ) {
        let Some(set) = parsed(&rules) else { return Err(TestCaseError::reject("misspelt")) };
        let called = scene.with_args(&args.json());
        if called.verdict(&set).starts_with("permit") {
            prop_assert_eq!(called.discovery(&set), Discovery::Listed);
        }
    }

    #[test]
    fn a_rule_that_is_not_asked_has_nothing_to_say(
        rules in prop::collection::vec(rule(), 20..60),
        scene in scene(),
        args in arguments(),
    ) {
        let rules: Vec<_> = rules.into_iter().filter(|rule| parsed(std::slice::from_ref(rule)).is_some()).collect();
        let set = parsed(&rules).expect("each was read");
        let scene = scene.with_args(&args.json());
        for silent in scene.not_asked(&set) {
            prop_assert_eq!(silent, Verdict::Silent);
        }
    }

    #[test]
    fn a_list_is_what_each_of_it_is(
        rules in prop::collection::vec(rule(), 1..8),
        scene in scene(),
        resources in prop::collection::vec(resource(), 0..5),
    ) {
        let Some(set) = parsed(&rules) else { return Err(TestCaseError::reject("misspelt")) };
        let facts = scene.facts();
        let each: Vec<_> = resources
            .iter()
            .map(|resource| set.could_permit(&scene.subject, scene.action, resource, &facts))
            .collect();
        prop_assert_eq!(set.could_permit_each(&scene.subject, scene.action, &resources, &facts), each);
    }

    #[test]
    fn a_list_asks_every_rule_that_matters(
        rules in prop::collection::vec(rule(), 1..60),
        scene in scene(),
        resources in prop::collection::vec(resource(), 1..6),
    ) {
        let rules: Vec<_> = rules.into_iter().filter(|rule| parsed(std::slice::from_ref(rule)).is_some()).collect();
        let set = parsed(&rules).expect("each was read");
        let facts = scene.facts();
        let plainly: Vec<_> = resources
            .iter()
            .map(|resource| set.could_permit_plainly(&scene.subject, scene.action, resource, &facts))
            .collect();
        prop_assert_eq!(set.could_permit_each(&scene.subject, scene.action, &resources, &facts), plainly);
    }

    #[test]
    fn what_is_foreseen_comes_true(
        rules in prop::collection::vec(annotated(), 1..6),
        scene in scene(),
        args in arguments(),
    ) {
        let Some(set) = parsed(&rules) else { return Err(TestCaseError::reject("misspelt")) };
        let scene = scene.with_args(&args.json());
        let decision = scene.decide(&set);
        for unseen in [Unseen::Arguments, Unseen::Call, Unseen::Circumstances] {
            let facts = match unseen {
                Unseen::Circumstances => elsewhere(&scene),
                Unseen::Arguments | Unseen::Call => Facts { args: None, ..scene.facts() },
            };
            let foreseen = set.foresee(&scene.subject, scene.action, &scene.resource, &facts, unseen);
            let held = match &decision {
                Decision::Refuse(_) => None,
                Decision::Permit(permit) => Some(permit.obligations().iter().any(|one| {
                    matches!(one, Obligation::Approve { .. } | Obligation::StepUp { .. })
                })),
            };
            match foreseen {
                Foresight::Refused => prop_assert_eq!(held, None),
                Foresight::Permitted => prop_assert_eq!(held, Some(false)),
                Foresight::Held => prop_assert_ne!(held, Some(false)),
                Foresight::Depends => {}
            }
        }
    }

    #[test]
    fn rules_that_are_covered_grant_nothing_more(
        rules in prop::collection::vec(annotated(), 1..6),
        theirs in prop::collection::vec(annotated(), 1..3),
        scene in scene(),
        args in arguments(),
    ) {
        let all: Vec<String> = rules.iter().chain(&theirs).cloned().collect();
        let open = "permit(principal, action, resource);".to_owned();
        let ours: Vec<String> = rules.iter().cloned().chain([open]).collect();
        let (Some(ours), Some(all)) = (parsed(&ours), parsed(&all)) else {
            return Err(TestCaseError::reject("misspelt"));
        };
        let scene = scene.with_args(&args.json());
        for (ours, theirs) in [(&ours, &all), (&all, &ours)] {
            let facts = elsewhere(&scene);
            let coverage = ours.covers(theirs, &scene.subject, scene.action, &scene.resource, &facts);
            if let (Coverage::Proven, Decision::Permit(theirs)) = (coverage, scene.decide(theirs)) {
                let Decision::Permit(ours) = scene.decide(ours) else {
                    return Err(TestCaseError::fail("they permit what we refuse"));
                };
                prop_assert!(ours.obligations().iter().all(|one| theirs.obligations().contains(one)));
            }
        }
    }

    #[test]
    fn where_the_same_rules_are_concerned_the_decision_is_the_same(
        rules in prop::collection::vec(annotated(), 2..8),
        scene in scene(),
        args in arguments(),
    ) {
        let (Some(all), Some(fewer)) = (parsed(&rules), parsed(rules.get(1..).unwrap_or_default())) else {
            return Err(TestCaseError::reject("misspelt"));
        };
        let concerned = |set: &RuleSet| set.concerned(&scene.subject, scene.action, &scene.resource);
        if concerned(&all) == concerned(&fewer) {
            let scene = scene.with_args(&args.json());
            let obligations = |set: &RuleSet| match scene.decide(set) {
                Decision::Refuse(_) => None,
                Decision::Permit(permit) => Some(permit.obligations().to_vec()),
            };
            prop_assert_eq!(obligations(&all), obligations(&fewer));
        }
    }
}

proptest! {
    // Each case is some sixty rules, put to Cedar twice.
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn we_decide_as_cedar_does_where_no_head_tells_rules_apart(
        rules in unscoped(),
        scene in scene(),
        args in arguments(),
    ) {
        let rules: Vec<_> = rules.into_iter().filter(|rule| parsed(std::slice::from_ref(rule)).is_some()).collect();
        let set = parsed(&rules).expect("each was read");
        let scene = scene.with_args(&args.json());
        // Errors hide what else there is, so the ones that do not fail are compared by themselves, too.
        let judgement = judge(&policies(&rules), &scene, Some(&args));
        prop_assert_eq!(scene.verdict(&set), judgement.verdict());
        let sound: Vec<_> = (0..).zip(&rules)
            .filter(|(n, _): &(usize, _)| !judgement.errors.contains(&format!("r{n:03}")))
            .map(|(_, rule)| rule.clone())
            .collect();
        let set = parsed(&sound).expect("each was read");
        prop_assert_eq!(scene.verdict(&set), judge(&policies(&sound), &scene, Some(&args)).verdict());
        for silent in scene.not_asked(&set) {
            prop_assert_eq!(silent, Verdict::Silent);
        }
        if scene.verdict(&set).starts_with("permit") {
            prop_assert_eq!(scene.discovery(&set), Discovery::Listed);
        }
    }
}
