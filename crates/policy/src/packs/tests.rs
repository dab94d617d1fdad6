use std::collections::BTreeSet;

use super::{PACKS, UnknownPack, sources};
use crate::{
    Action, Categories, Confidentiality, Decision, Integrity, Labels, Obligation, PartyKind, Resource,
    Reviewers, Sink, Source, Subject, ToolFacts, Trust,
    rules::{
        RuleSet, RuleSource,
        tests::scene::{Scene, party, tool},
    },
};

/// Permits every tool, so that only what a pack forbids is seen.
const ALL: &str = r#"@id("all") permit(principal, action, resource);"#;

fn pack(name: &str, further: &str) -> RuleSet {
    let mut all = sources([name]).expect(name);
    all.push(RuleSource {
        name: "further".into(),
        text: further.into(),
    });
    RuleSet::parse(&all).unwrap_or_else(|errors| panic!("{errors}"))
}

fn to(sink: Sink) -> Scene {
    Scene::default().on(Resource::Tool(ToolFacts {
        sink,
        trust: Trust::Untrusted,
        labels: Labels::none(),
        ..tool("mail", "send")
    }))
}

/// The scene in a context that has read this.
fn having_read(mut scene: Scene, integrity: Integrity, level: Confidentiality, category: &str) -> Scene {
    scene.labels = Labels {
        integrity,
        confidentiality: level,
        categories: category.split_whitespace().map(str::to_owned).collect(),
    };
    scene
}

fn with_words_of(mut scene: Scene, server: &str, trusted: bool) -> Scene {
    scene.labels.integrity = if trusted {
        Integrity::Trusted
    } else {
        Integrity::Untrusted
    };
    scene.sources.push(Source {
        argument: Some("/to".into()),
        server: server.into(),
        tool: "fetch".into(),
        trusted,
    });
    scene
}

fn finding(mut scene: Scene, kind: &'static str) -> Scene {
    scene.findings.insert(kind);
    scene
}

fn check(rules: &RuleSet, cases: impl IntoIterator<Item = (&'static str, Scene, &'static str)>) {
    for (what, scene, verdict) in cases {
        assert_eq!(scene.verdict(rules), verdict, "{what}");
    }
}

#[test]
fn every_pack_is_read_alone_and_with_every_other() {
    for one in PACKS {
        for other in PACKS {
            let sources = sources([one.name, other.name]).expect("known");
            RuleSet::parse(&sources).unwrap_or_else(|errors| panic!("{errors}"));
        }
    }
    let unknown = sources(["basline"]).expect_err("misspelt");
    assert_eq!(
        unknown,
        UnknownPack {
            name: "basline".into()
        }
    );
    assert!(
        unknown
            .to_string()
            .contains("baseline, developer-workstation, finance")
    );
}

#[test]
fn every_rule_of_a_pack_has_a_name_and_every_forbid_a_reason() {
    for pack in PACKS {
        let rules = RuleSet::parse(&sources([pack.name]).expect("known")).expect("good");
        for (id, effect, text) in rules.rules() {
            assert!(
                !id.to_string().starts_with("pack:"),
                "{}:{} has no @id",
                text.source,
                text.line
            );
            let explained = effect == crate::rules::Effect::Permit || rules.reason(id).is_some();
            assert!(explained, "{id} has no @reason");
        }
    }
}

/// Every conversation has somebody else's words in it, and where a model is, the operator has said. What its data is
/// still counts.
#[test]
fn a_model_is_no_puppet_but_patients_data_stays() {
    let model = |sink| {
        let facts = ToolFacts {
            sink,
            trust: Trust::Trusted,
            labels: Labels::none(),
            ..tool("", "fast")
        };
        Scene {
            action: Action::Generate,
            ..Scene::default().on(Resource::Model(facts))
        }
    };
    let read = |scene| having_read(scene, Integrity::Untrusted, Confidentiality::Restricted, "phi");
    let puppet = |scene| finding(with_words_of(scene, "web", false), "secret");
    check(
        &pack("baseline", ALL),
        [
            ("a model", puppet(read(model(Sink::Egress))), "permit: all"),
            (
                "one nobody classified",
                puppet(model(Sink::Unknown)),
                "permit: all",
            ),
        ],
    );
    let clinic = |scene| Scene {
        purpose: Some("treatment".to_owned()),
        ..read(scene)
    };
    check(
        &pack("healthcare", ALL),
        [
            (
                "outside",
                clinic(model(Sink::Egress)),
                "forbid: healthcare.phi-stays",
            ),
            ("inside", clinic(model(Sink::Read)), "permit: all"),
        ],
    );
    check(
        &pack("baseline", ""),
        [("not by itself", model(Sink::Read), "no")],
    );
}

#[test]
fn what_is_no_argument_of_a_tool_leaves_all_the_same() {
    use Confidentiality::{Public, Restricted};
    use Integrity::{Trusted, Untrusted};
    let made = |sink, action, integrity, level| {
        let facts = ToolFacts {
            sink,
            trust: Trust::Untrusted,
            ..tool("ext", "ext://x/q")
        };
        let uri = facts.name.clone();
        let scene = to(sink).on(Resource::Resource { uri, facts });
        having_read(Scene { action, ..scene }, integrity, level, "")
    };
    let asks = |action, trust, sink, integrity, level| {
        let facts = ToolFacts {
            sink,
            trust,
            ..tool("ext", "")
        };
        let scene = to(sink).on(Resource::Server(facts));
        having_read(Scene { action, ..scene }, integrity, level, "")
    };
    for (pack_name, id) in [("baseline", "baseline"), ("developer-workstation", "workstation")] {
        let rules = pack(pack_name, ALL);
        let verdict = |scene: Scene| scene.verdict(&rules);
        let held = format!("permit: all {id}.trifecta");
        for action in [Action::Read, Action::Subscribe, Action::Complete] {
            assert_eq!(
                verdict(made(Sink::Unknown, action, Untrusted, Restricted)),
                held,
                "{action}"
            );
            assert_eq!(
                verdict(made(Sink::Read, action, Untrusted, Restricted)),
                "permit: all"
            );
            let own = with_words_of(made(Sink::Unknown, action, Untrusted, Public), "ext", false);
            assert_eq!(verdict(own), "permit: all", "its own link");
            let foreign = with_words_of(made(Sink::Unknown, action, Untrusted, Public), "web", false);
            assert_eq!(
                verdict(foreign),
                format!("permit: all {id}.puppet-unknown"),
                "{action}"
            );
        }
        let held = format!("permit: all {id}.answer");
        for action in [Action::Elicit, Action::Sample] {
            let asked = |trust, sink| asks(action, trust, sink, Untrusted, Restricted);
            assert_eq!(verdict(asked(Trust::Untrusted, Sink::Read)), held, "{action}");
            assert_eq!(verdict(asked(Trust::Trusted, Sink::Unknown)), held, "{action}");
            assert_eq!(
                verdict(asked(Trust::Trusted, Sink::Read)),
                "permit: all",
                "{action}"
            );
            let secret = |trust| finding(asks(action, trust, Sink::Unknown, Trusted, Public), "secret");
            let refused = format!("forbid: baseline.hostile-question {id}.secret-answer");
            assert_eq!(verdict(secret(Trust::Untrusted)), refused, "{action}");
            let trusted = "forbid: baseline.hostile-question";
            assert_eq!(verdict(secret(Trust::Trusted)), trusted, "{action}");
        }
    }
}

#[test]
fn no_pack_but_the_workstations_owner_grants_a_tool() {
    for pack in PACKS {
        let rules = RuleSet::parse(&sources([pack.name]).expect("known")).expect("good");
        for action in Action::ALL {
            let mut scene = to(Sink::Read);
            scene.action = action;
            scene.purpose = Some("treatment".into());
            let talks = matches!(action, Action::Connect | Action::Notify | Action::Release);
            let permitted = matches!(scene.decide(&rules), Decision::Permit(_));
            assert_eq!(permitted, talks, "{} {action}", pack.name);
        }
    }
}

#[test]
fn baseline_stops_the_three_attacks_and_lets_clean_contexts_be() {
    use Confidentiality::{Confidential, Internal, Public, Restricted};
    use Integrity::{Trusted, Untrusted};
    let rules = pack("baseline", ALL);
    let read = |integrity, level, sink| having_read(to(sink), integrity, level, "");
    check(
        &rules,
        [
            ("a first call to anything", to(Sink::Unknown), "permit: all"),
            ("a first call that sends", to(Sink::Egress), "permit: all"),
            (
                "sending after trusted secrets",
                read(Trusted, Restricted, Sink::Egress),
                "permit: all",
            ),
            (
                "sending after an untrusted page",
                read(Untrusted, Public, Sink::Egress),
                "permit: all",
            ),
            (
                "and with internal data",
                read(Untrusted, Internal, Sink::Egress),
                "permit: all",
            ),
            (
                "the trifecta",
                read(Untrusted, Confidential, Sink::Egress),
                "permit: all baseline.trifecta",
            ),
            (
                "destroying",
                read(Untrusted, Restricted, Sink::Destructive),
                "permit: all baseline.trifecta",
            ),
            (
                "not knowing",
                read(Untrusted, Restricted, Sink::Unknown),
                "permit: all baseline.trifecta",
            ),
            (
                "reading on",
                read(Untrusted, Restricted, Sink::Read),
                "permit: all",
            ),
            (
                "a puppet",
                with_words_of(to(Sink::Egress), "web", false),
                "forbid: baseline.puppet",
            ),
            (
                "of its own server",
                with_words_of(to(Sink::Destructive), "mail", false),
                "forbid: baseline.puppet",
            ),
            (
                "nobody knows of what",
                with_words_of(to(Sink::Unknown), "web", false),
                "permit: all baseline.puppet-unknown",
            ),
            (
                "trusted words",
                with_words_of(to(Sink::Egress), "charts", true),
                "permit: all",
            ),
            (
                "a tainted look-up",
                with_words_of(to(Sink::Read), "web", false),
                "permit: all",
            ),
            (
                "a secret sent",
                finding(to(Sink::Egress), "secret"),
                "forbid: baseline.secret",
            ),
            (
                "a secret in a clean context",
                finding(to(Sink::Unknown), "secret"),
                "permit: all",
            ),
            (
                "a secret in a tainted one",
                finding(read(Untrusted, Public, Sink::Unknown), "secret"),
                "forbid: baseline.secret",
            ),
        ],
    );
}

#[test]
fn untrusted_words_are_not_stored_where_they_would_be_trusted() {
    let rules = pack("baseline", ALL);
    let store = |trust| {
        to(Sink::Write).on(Resource::Tool(ToolFacts {
            sink: Sink::Write,
            trust,
            ..tool("memory", "put")
        }))
    };
    check(
        &rules,
        [
            (
                "relay",
                with_words_of(store(Trust::Trusted), "web", false),
                "permit: all baseline.relay",
            ),
            (
                "within one server",
                with_words_of(store(Trust::Trusted), "memory", false),
                "permit: all",
            ),
            (
                "where nothing is trusted",
                with_words_of(store(Trust::Untrusted), "web", false),
                "permit: all",
            ),
        ],
    );
}

#[test]
fn an_approval_names_who_is_asked() {
    for (name, role) in [("baseline", "approver"), ("developer-workstation", "owner")] {
        let rules = pack(name, ALL);
        let scene = having_read(
            to(Sink::Egress),
            Integrity::Untrusted,
            Confidentiality::Restricted,
            "",
        );
        let Decision::Permit(permit) = scene.decide(&rules) else {
            panic!("{name} refuses");
        };
        let by = Reviewers::Role(role.into());
        assert_eq!(
            permit.obligations(),
            [Obligation::Approve { by, needed: 1 }],
            "{name}"
        );
    }
}

#[test]
fn hostile_news_is_dropped() {
    let rules = pack("baseline", "");
    let news = Scene {
        action: Action::Notify,
        ..to(Sink::Unknown)
    };
    assert_eq!(
        finding(news, "injection").verdict(&rules),
        "forbid: baseline.hostile-news"
    );
}

#[test]
fn hostile_questions_are_refused() {
    let rules = pack("baseline", ALL);
    for action in [Action::Elicit, Action::Sample] {
        let question = |kind| {
            let question = Scene {
                action,
                ..to(Sink::Unknown)
            };
            finding(question, kind).verdict(&rules)
        };
        for kind in ["injection", "poisoning"] {
            assert_eq!(question(kind), "forbid: baseline.hostile-question");
        }
        let both = "forbid: baseline.hostile-question baseline.secret-answer";
        assert_eq!(question("secret"), both);
        assert_eq!(question("personal"), "permit: all");
    }
}

#[test]
fn the_owner_uses_every_tool_and_is_asked_instead_of_refused() {
    let rules = pack("developer-workstation", "");
    let owned = |mut scene: Scene| {
        scene.subject.actor.roles = vec!["owner".into()];
        scene.by_agent()
    };
    let trifecta = having_read(
        to(Sink::Egress),
        Integrity::Untrusted,
        Confidentiality::Restricted,
        "",
    );
    check(
        &rules,
        [
            ("a tool", owned(to(Sink::Unknown)), "permit: workstation.owner"),
            ("somebody else", to(Sink::Read), "no"),
            (
                "the trifecta",
                owned(trifecta),
                "permit: workstation.owner workstation.trifecta",
            ),
            (
                "a puppet",
                owned(with_words_of(to(Sink::Egress), "web", false)),
                "permit: workstation.owner workstation.puppet",
            ),
            (
                "a secret",
                owned(finding(to(Sink::Egress), "secret")),
                "permit: workstation.owner workstation.secret",
            ),
        ],
    );
}

#[test]
fn healthcare_wants_a_purpose_and_keeps_to_own_patients() {
    let rules = pack("healthcare", ALL);
    let chart = |purpose: &str, patient: &str| {
        let mut scene = Scene::default().with_args(&format!(r#"{{"patient":"{patient}"}}"#));
        scene.purpose = Some(purpose.to_owned());
        scene.subject.actor.roles = vec!["clinician".into()];
        scene
    };
    let as_clerk = |mut scene: Scene| {
        scene.subject.actor.roles = vec!["clerk".into()];
        scene
    };
    let alone = |mut scene: Scene| {
        scene.subject = Subject {
            actor: party(PartyKind::Agent, "scribe", &[]),
            for_user: None,
        };
        scene
    };
    let mut writing = chart("emergency", "p9");
    writing.resource = Resource::Tool(ToolFacts {
        sink: Sink::Write,
        ..tool("charts", "write")
    });
    check(
        &rules,
        [
            ("her own patient", chart("treatment", "p1"), "permit: all"),
            (
                "through her agent",
                chart("treatment", "p1").by_agent(),
                "permit: all",
            ),
            (
                "another's",
                chart("treatment", "p9"),
                "forbid: healthcare.minimum",
            ),
            (
                "another's, through her agent",
                chart("treatment", "p9").by_agent(),
                "forbid: healthcare.minimum",
            ),
            (
                "no purpose",
                Scene::default(),
                "forbid: healthcare.permitted-purpose healthcare.purpose",
            ),
            (
                "another purpose",
                chart("marketing", "p1"),
                "forbid: healthcare.permitted-purpose",
            ),
            (
                "an emergency",
                chart("emergency", "p9"),
                "permit: all healthcare.break-glass",
            ),
            (
                "a clerk's emergency",
                as_clerk(chart("emergency", "p9")),
                "forbid: healthcare.emergency-is-clinical",
            ),
            ("an emergency that writes", writing, "forbid: healthcare.minimum"),
            (
                "an agent by itself",
                alone(chart("treatment", "p1")),
                "forbid: healthcare.minimum healthcare.no-agent-alone",
            ),
        ],
    );
}

#[test]
fn breaking_the_glass_is_reviewed_and_strongly_authenticated() {
    let mut scene = Scene::default().with_args(r#"{"patient":"p9"}"#);
    scene.purpose = Some("emergency".into());
    scene.subject.actor.roles = vec!["clinician".into()];
    let Decision::Permit(permit) = scene.decide(&pack("healthcare", ALL)) else {
        panic!("refused");
    };
    let privacy = Reviewers::Role("privacy_officer".into());
    assert!(permit.obligations().contains(&Obligation::Review(privacy)));
    let step_up = Obligation::StepUp {
        level: "mfa".into(),
        max_age_s: None,
    };
    assert!(permit.obligations().contains(&step_up));
}

#[test]
fn patients_data_never_leaves() {
    let rules = pack("healthcare", ALL);
    let after = |sink, categories| {
        let level = Confidentiality::Restricted;
        let mut scene = having_read(to(sink), Integrity::Trusted, level, categories);
        scene.purpose = Some("treatment".into());
        scene
    };
    check(
        &rules,
        [
            ("sent", after(Sink::Egress, "phi"), "forbid: healthcare.phi-stays"),
            (
                "to nobody knows where",
                after(Sink::Unknown, "phi pii"),
                "forbid: healthcare.phi-stays",
            ),
            ("written inside", after(Sink::Write, "phi"), "permit: all"),
            ("other data", after(Sink::Egress, "pii"), "permit: all"),
        ],
    );
}

#[test]
fn money_moves_with_four_eyes_and_never_on_anothers_word() {
    let rules = pack("finance", ALL);
    let on = |category: &str, sink| {
        let mut scene = to(sink);
        scene.purpose = Some("payments".into());
        scene.resource = Resource::Tool(ToolFacts {
            sink,
            labels: Labels {
                categories: Categories::from([category.to_owned()]),
                ..Labels::none()
            },
            ..tool("bank", "pay")
        });
        scene
    };
    let mut aimless = on("payment", Sink::Read);
    aimless.purpose = None;
    let knowing = having_read(
        on("trading", Sink::Write),
        Integrity::Trusted,
        Confidentiality::Restricted,
        "mnpi",
    );
    check(
        &rules,
        [
            ("looking", on("payment", Sink::Read), "permit: all"),
            (
                "paying",
                on("payment", Sink::Write),
                "permit: all finance.four-eyes",
            ),
            (
                "paying whom a page names",
                with_words_of(on("payment", Sink::Write), "web", false),
                "forbid: finance.payee",
            ),
            ("a person's booking", on("books", Sink::Write), "permit: all"),
            (
                "an agent's booking",
                on("books", Sink::Write).by_agent(),
                "permit: all finance.books",
            ),
            ("for nothing", aimless, "forbid: finance.purpose"),
            ("trading on what one knows", knowing, "forbid: finance.wall"),
            (
                "sending cards",
                having_read(
                    on("x", Sink::Egress),
                    Integrity::Trusted,
                    Confidentiality::Restricted,
                    "cardholder",
                ),
                "forbid: finance.cardholder-stays",
            ),
        ],
    );
}

#[test]
fn nobody_reaches_another_tenants_things() {
    let rules = pack("saas-multitenant", ALL);
    let of = |tenant: Option<&str>, args: &str| {
        let facts = ToolFacts {
            tenant: tenant.map(str::to_owned),
            ..tool("charts", "read")
        };
        Scene::default().with_args(args).on(Resource::Tool(facts))
    };
    let homeless = |mut scene: Scene| {
        scene.subject.actor.tenant = None;
        scene
    };
    let mut foreign_agent = of(None, "{}").by_agent();
    foreign_agent.subject.actor.tenant = Some("other".into());
    check(
        &rules,
        [
            ("one's own", of(Some("clinic"), "{}"), "permit: all"),
            ("shared", of(None, "{}"), "permit: all"),
            ("another's", of(Some("other"), "{}"), "forbid: tenant.resource"),
            (
                "without a tenant",
                homeless(of(Some("other"), "{}")),
                "forbid: tenant.resource",
            ),
            (
                "one's own argument",
                of(None, r#"{"tenant":"clinic"}"#),
                "permit: all",
            ),
            (
                "another's argument",
                of(None, r#"{"tenant":"other"}"#),
                "forbid: tenant.argument",
            ),
            (
                "a list of them",
                of(None, r#"{"tenant_id":["clinic"]}"#),
                "forbid: tenant.argument-id",
            ),
            ("another's agent", foreign_agent, "forbid: tenant.delegation"),
            (
                "a relay",
                with_words_of(to(Sink::Write), "web", false),
                "forbid: tenant.relay",
            ),
        ],
    );
}

#[test]
fn names_of_rules_are_unique_over_all_packs() {
    let all = RuleSet::parse(&sources(PACKS.iter().map(|pack| pack.name)).expect("known")).expect("good");
    let ids: BTreeSet<_> = all.rules().map(|(id, _, _)| id).collect();
    assert_eq!(ids.len(), all.rules().count());
}
