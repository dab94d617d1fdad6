//! The control map: which entries of the ledger speak to which control of which law or standard. Each control has a
//! tag, and `cargo xtask tidy` demands a test that carries it (`CONTROL: tag`).
//!
//! What a report may say is that there is evidence, or that there is none. Whether somebody complies is for people
//! to judge who see more than a gateway does; that is why every control lists what the ledger cannot show.

use records::ledger::{Decision, Entry, Kind};

/// A law or standard.
pub(super) struct Framework {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) controls: &'static [Control],
}

/// One of its controls.
pub(super) struct Control {
    /// Links to the tests that show the mechanism.
    pub(super) tag: &'static str,
    /// Where it stands.
    pub(super) id: &'static str,
    /// What the gateway does about it.
    pub(super) statement: &'static str,
    pub(super) measures: &'static [Measure],
    /// What entries cannot show.
    pub(super) gaps: &'static [&'static str],
}

/// What is counted.
#[derive(Clone, Copy)]
pub(super) struct Measure {
    pub(super) what: &'static str,
    /// The same in terms of the exported entries.
    pub(super) query: &'static str,
    pub(super) counts: fn(&Entry) -> bool,
}

const fn measure(what: &'static str, query: &'static str, counts: fn(&Entry) -> bool) -> Measure {
    Measure { what, query, counts }
}

fn found(entry: &Entry, kind: &str) -> bool {
    entry.kind.ends_call() && entry.findings.iter().any(|finding| finding.kind == kind)
}

fn did(entry: &Entry, kind: Kind, action: &str) -> bool {
    entry.kind == kind && entry.action.as_deref() == Some(action)
}

fn sinks(entry: &Entry, sink: &str) -> bool {
    entry.kind == Kind::Intent && entry.text("sink") == Some(sink)
}

const CALLS: Measure = measure("calls sent", "kind = intent", |e| e.kind == Kind::Intent);
const ENDED: Measure = measure("endings of calls", "kind in (outcome, refusal)", |e| {
    e.kind.ends_call()
});
const REFUSED: Measure = measure("refusals", "kind = refusal", |e| e.kind == Kind::Refusal);
const DENIED: Measure = measure(
    "refusals by policy",
    "kind = refusal and stage = authorize",
    |e| e.kind == Kind::Refusal && e.stage.as_deref() == Some("authorize"),
);
const UNAUTHENTICATED: Measure = measure(
    "callers who proved nothing",
    "kind = refusal and stage = authenticate",
    |e| e.kind == Kind::Refusal && e.stage.as_deref() == Some("authenticate"),
);
const NAMED: Measure = measure(
    "calls of a named agent or user",
    "kind = intent and (principal.agent or principal.user)",
    |e| e.kind == Kind::Intent && (e.principal.agent.is_some() || e.principal.user.is_some()),
);
const DELEGATED: Measure = measure(
    "calls of an agent for a user",
    "kind = intent and principal.agent and principal.user",
    |e| e.kind == Kind::Intent && e.principal.agent.is_some() && e.principal.user.is_some(),
);
const CHANGED: Measure = measure(
    "calls in which something was redacted, masked, disguised or left out",
    "kind = outcome and detail.changed",
    |e| e.kind == Kind::Outcome && e.text("changed").is_some(),
);
const PERSONAL: Measure = measure(
    "calls in which personal data was found",
    "kind in (outcome, refusal) and findings.kind = personal",
    |e| found(e, "personal"),
);
const SECRETS: Measure = measure(
    "calls in which a secret was found",
    "kind in (outcome, refusal) and findings.kind = secret",
    |e| found(e, "secret"),
);
const HOSTILE: Measure = measure(
    "calls in which injection or poisoning was found",
    "kind in (outcome, refusal) and findings.kind in (injection, poisoning)",
    |e| found(e, "injection") || found(e, "poisoning"),
);
const SCHEMA: Measure = measure(
    "calls that did not fit the approved schema",
    "kind in (outcome, refusal) and findings.kind = schema",
    |e| found(e, "schema"),
);
const PURPOSE: Measure = measure("calls for a declared purpose", "kind = intent and purpose", |e| {
    e.kind == Kind::Intent && e.purpose.is_some()
});
const NO_PURPOSE: Measure = measure("calls without a purpose", "kind = intent and not purpose", |e| {
    e.kind == Kind::Intent && e.purpose.is_none()
});
const SUBJECTS: Measure = measure(
    "calls found to concern a person",
    "kind in (outcome, refusal) and subjects",
    |e| e.kind.ends_call() && !e.subjects.is_empty(),
);
const LOOKED_UP: Measure = measure(
    "looks at what is known of a person",
    "kind = subject and action = looked-up",
    |e| did(e, Kind::Subject, "looked-up"),
);
const ERASED: Measure = measure("erasures", "kind = subject and action = erased", |e| {
    did(e, Kind::Subject, "erased")
});
const HELD: Measure = measure(
    "legal holds",
    "kind = subject and action in (held, released)",
    |e| did(e, Kind::Subject, "held") || did(e, Kind::Subject, "released"),
);
const EXPIRED: Measure = measure(
    "payloads whose time was over",
    "kind = subject and action = expired",
    |e| did(e, Kind::Subject, "expired"),
);
const EGRESS: Measure = measure(
    "calls that carried data out",
    "kind = intent and detail.sink = egress",
    |e| sinks(e, "egress"),
);
const DISCLOSED: Measure = measure(
    "calls that carried data of a person out",
    "kind = intent and detail.sink = egress and subjects",
    |e| sinks(e, "egress") && !e.subjects.is_empty(),
);
const ASKED: Measure = measure("decisions and questions of people", "kind = approval", |e| {
    e.kind == Kind::Approval
});
const APPROVED: Measure = measure(
    "approvals granted",
    "kind = approval and decision = permit",
    |e| e.kind == Kind::Approval && e.decision == Some(Decision::Permit),
);
const POLICY: Measure = measure(
    "policies put in force",
    "kind = policy and action = in-force",
    |e| did(e, Kind::Policy, "in-force"),
);
const DECIDED: Measure = measure(
    "calls that name the policy that decided",
    "kind = intent and policy",
    |e| e.kind == Kind::Intent && e.policy.is_some(),
);
const REGISTRY: Measure = measure("changes of servers and their tools", "kind = registry", |e| {
    e.kind == Kind::Registry
});
const QUARANTINED: Measure = measure(
    "servers and tools held back",
    "kind = registry and action = quarantined",
    |e| e.kind == Kind::Registry && e.action.as_deref().is_some_and(|a| a.starts_with("quarantine")),
);
const PINNED: Measure = measure("calls on an approved definition", "kind = intent and pin", |e| {
    e.kind == Kind::Intent && e.pin.is_some()
});
const SESSIONS: Measure = measure(
    "sessions opened and ended, tokens issued",
    "kind = session",
    |e| e.kind == Kind::Session,
);
const TLS: Measure = measure("calls over TLS", "kind = intent and tls.version", |e| {
    e.kind == Kind::Intent && e.tls.version.is_some()
});
const POST_QUANTUM: Measure = measure(
    "calls over post-quantum TLS",
    "kind = intent and tls.group contains MLKEM",
    |e| {
        e.kind == Kind::Intent
            && e.tls
                .group
                .as_deref()
                .is_some_and(|group| group.contains("MLKEM"))
    },
);
const KEYS: Measure = measure("key changes", "kind = key", |e| e.kind == Kind::Key);
const HEARTBEATS: Measure = measure("signs of life while nothing happened", "kind = heartbeat", |e| {
    e.kind == Kind::Heartbeat
});
const STARTS: Measure = measure("starts and ends of the ledger", "kind = shard", |e| {
    e.kind == Kind::Shard
});
const GAPS: Measure = measure(
    "times in which records were lost, each with its count",
    "kind = gap",
    |e| e.kind == Kind::Gap,
);
const INCIDENTS: Measure = measure("incidents opened", "kind = incident and action = opened", |e| {
    did(e, Kind::Incident, "opened")
});
const ANSWERED: Measure = measure(
    "incidents contained or resolved",
    "kind = incident and action in (contained, resolved)",
    |e| did(e, Kind::Incident, "contained") || did(e, Kind::Incident, "resolved"),
);
const STOPS: Measure = measure(
    "agents, users, servers and contexts stopped or let go on",
    "kind = incident and action in (stopped, lifted)",
    |e| did(e, Kind::Incident, "stopped") || did(e, Kind::Incident, "lifted"),
);
const REVIEWED: Measure = measure(
    "access certified by a person",
    "kind = policy and action = access-certified",
    |e| did(e, Kind::Policy, "access-certified"),
);
const TAKEN_AWAY: Measure = measure(
    "access taken away or given back by a person",
    "kind = policy and action in (access-revoked, access-restored)",
    |e| did(e, Kind::Policy, "access-revoked") || did(e, Kind::Policy, "access-restored"),
);
const LABELLED: Measure = measure(
    "calls in contexts that hold health data",
    "kind = intent and labels.categories has phi",
    |e| e.kind == Kind::Intent && e.labels.categories.iter().any(|category| category == "phi"),
);
const LIMITED: Measure = measure("calls over a limit", "kind = refusal and stage = limit", |e| {
    e.kind == Kind::Refusal && e.stage.as_deref() == Some("limit")
});

const ONLY_HERE: &str = "Only what went through this gateway is known to it.";
const NOT_LAWFUL: &str = "Whether a purpose has a legal basis is not for entries to say.";
const NO_CONTRACT: &str = "Contracts and regions of the servers are not recorded here.";

macro_rules! control {
    ($tag:literal, $id:literal, $statement:literal, [$($measure:ident),*], [$($gap:expr),*]) => {
        Control {
            tag: $tag,
            id: $id,
            statement: $statement,
            measures: &[$($measure),*],
            gaps: &[$($gap),*],
        }
    };
}

/// Every report there is.
pub(super) const FRAMEWORKS: &[Framework] = &[
    Framework {
        name: "gdpr",
        title: "General Data Protection Regulation (EU) 2016/679",
        controls: &[
            control!(
                "minimisation",
                "Art. 5(1)(c), 25",
                "Personal data is found in arguments and results; rules redact, mask or disguise it before it is released.",
                [PERSONAL, CHANGED],
                ["Personal data no detector knows passes as it is."]
            ),
            control!(
                "purpose",
                "Art. 5(1)(b)",
                "A purpose is declared for a call, from a list the operator keeps, and rules may demand it.",
                [PURPOSE, NO_PURPOSE],
                [NOT_LAWFUL]
            ),
            control!(
                "accountability",
                "Art. 5(2), 24",
                "Each call names the digest of the policy that decided; each change of policy is an entry.",
                [DECIDED, POLICY],
                ["Who wrote a rule is known to the place where rules are kept."]
            ),
            control!(
                "access",
                "Art. 15",
                "Calls are indexed by keyed digests of the people they concern; `subject access` lists them with the payloads still held.",
                [SUBJECTS, LOOKED_UP],
                ["People nothing in a call identifies cannot be found.", ONLY_HERE]
            ),
            control!(
                "erasure",
                "Art. 17",
                "`subject erase` destroys the keys of a person; entries stay and verify.",
                [ERASED, HELD, EXPIRED],
                ["Copies that were kept together with their keys are the operator's to destroy."]
            ),
            control!(
                "people-decide",
                "Art. 22, 35",
                "Rules demand a person's approval, bound to exactly one call.",
                [ASKED, APPROVED],
                ["Whether the person looked is not recorded."]
            ),
            control!(
                "recipients",
                "Art. 28, 44",
                "Every call names its server; calls that carry data out are marked.",
                [EGRESS, REGISTRY],
                [NO_CONTRACT]
            ),
            control!(
                "register",
                "Art. 30",
                "The register of processing is made from the calls: purpose, categories, recipients.",
                [CALLS, PURPOSE],
                [NOT_LAWFUL, ONLY_HERE]
            ),
            control!(
                "encryption",
                "Art. 32",
                "Connections are protected, tables and payloads sealed, keys renewed.",
                [TLS, POST_QUANTUM, KEYS],
                ["Who may read the machine's disk and memory is not known here."]
            ),
            control!(
                "incidents",
                "Art. 33, 34",
                "Hostile content and incidents are recorded with the calls they came in.",
                [HOSTILE, INCIDENTS, ANSWERED],
                ["When somebody became aware is not recorded."]
            ),
        ],
    },
    Framework {
        name: "hipaa",
        title: "HIPAA Security and Privacy Rules, 45 CFR 164",
        controls: &[
            control!(
                "activity-review",
                "164.308(a)(1)(ii)(D)",
                "All activity is in the ledger, by person, agent, purpose and tool.",
                [ENDED, REFUSED],
                ["That somebody reviewed it is not recorded."]
            ),
            control!(
                "access-control",
                "164.308(a)(4), 164.312(a)(1)",
                "Nothing is permitted that no rule permits; refusals are recorded.",
                [CALLS, DENIED, LABELLED],
                [ONLY_HERE]
            ),
            control!(
                "unique-id",
                "164.312(a)(2)(i)",
                "Every call names the agent and the user it acts for.",
                [NAMED, DELEGATED],
                ["Whether two people share a name is the identity provider's to know."]
            ),
            control!(
                "logoff",
                "164.312(a)(2)(iii)",
                "Tokens live for minutes; sessions end by themselves.",
                [SESSIONS],
                []
            ),
            control!(
                "encryption",
                "164.312(a)(2)(iv), (e)(2)(ii)",
                "Connections are protected, tables and payloads sealed, keys renewed.",
                [TLS, POST_QUANTUM, KEYS],
                []
            ),
            control!(
                "audit",
                "164.312(b)",
                "Intents are durable before anything is sent; silence is accounted for.",
                [ENDED, HEARTBEATS, STARTS, GAPS],
                []
            ),
            control!(
                "integrity",
                "164.312(c)",
                "Signed checkpoints cover every entry; anybody with the public keys can verify them.",
                [STARTS, KEYS],
                ["Without a witness, whoever has the signing keys can rewrite what nobody has seen."]
            ),
            control!(
                "authentication",
                "164.312(d)",
                "Callers prove who they are; those who do not are turned away.",
                [NAMED, UNAUTHENTICATED],
                []
            ),
            control!(
                "minimisation",
                "164.502(b), 164.514",
                "Identifiers are found and taken out or disguised where rules say so.",
                [PERSONAL, CHANGED],
                ["Identifiers no detector knows pass as they are."]
            ),
            control!(
                "disclosures",
                "164.528",
                "Calls that carry data of a person out are listed by `subject access --accounting`.",
                [DISCLOSED, EGRESS],
                ["What a tool does is as its operator declared it.", ONLY_HERE]
            ),
            control!(
                "retention",
                "164.316(b)(2)(i)",
                "Entries are never deleted; the oldest one is shown above.",
                [STARTS],
                ["That the files are kept for six years is the operator's to see to."]
            ),
        ],
    },
    Framework {
        name: "soc2",
        title: "SOC 2, Trust Services Criteria 2017",
        controls: &[
            control!(
                "access-control",
                "CC6.1, CC6.2, CC6.3",
                "Access follows rules over proven identities; grants and refusals are recorded.",
                [CALLS, DENIED, UNAUTHENTICATED, REVIEWED, TAKEN_AWAY],
                ["Reviews of access to other systems are not recorded here."]
            ),
            control!(
                "boundary",
                "CC6.6",
                "Everything between agents and servers crosses one boundary that decides.",
                [CALLS, REFUSED],
                [ONLY_HERE]
            ),
            control!(
                "leaks",
                "CC6.7",
                "What leaves is inspected for secrets and personal data.",
                [SECRETS, PERSONAL, CHANGED],
                []
            ),
            control!(
                "pins",
                "CC6.8",
                "Only approved definitions are called; what changes is held back.",
                [PINNED, QUARANTINED],
                []
            ),
            control!(
                "configuration",
                "CC7.1",
                "Drift of servers is found and held back.",
                [REGISTRY, QUARANTINED],
                ["Vulnerability lists are not matched here."]
            ),
            control!(
                "monitoring",
                "CC7.2",
                "Hostile content, limits and refusals are recorded as they happen.",
                [HOSTILE, LIMITED, REFUSED],
                []
            ),
            control!(
                "incidents",
                "CC7.3, CC7.4, CC7.5",
                "Incidents are entries.",
                [INCIDENTS, ANSWERED, STOPS, HOSTILE],
                ["What people did outside this gateway is not recorded here."]
            ),
            control!(
                "change",
                "CC8.1",
                "Changes of policy and registry are entries.",
                [POLICY, REGISTRY],
                ["Who reviewed a change is known to the place where rules are kept."]
            ),
            control!(
                "availability",
                "A1.2",
                "Silence is accounted for; lost records are counted.",
                [HEARTBEATS, STARTS, GAPS],
                ["Availability as callers saw it is measured elsewhere."]
            ),
            control!(
                "erasure",
                "C1.1, C1.2",
                "Payloads end with their time; people are erased on request.",
                [ERASED, EXPIRED],
                []
            ),
            control!(
                "schema",
                "PI1",
                "Arguments and results are checked against approved schemas.",
                [SCHEMA, PINNED],
                []
            ),
        ],
    },
    Framework {
        name: "iso27001",
        title: "ISO/IEC 27001:2022, Annex A",
        controls: &[
            control!(
                "access-control",
                "A.5.15 to A.5.18, A.8.2, A.8.3, A.8.5",
                "Access follows rules over proven identities, and people review it.",
                [CALLS, DENIED, UNAUTHENTICATED, REVIEWED, TAKEN_AWAY],
                []
            ),
            control!(
                "recipients",
                "A.5.19 to A.5.23, A.8.30",
                "Servers are onboarded, approved and held back by recorded decisions.",
                [REGISTRY, QUARANTINED],
                [NO_CONTRACT]
            ),
            control!(
                "integrity",
                "A.5.28, A.5.33",
                "The ledger is evidence that third parties can verify.",
                [ENDED, STARTS],
                []
            ),
            control!(
                "minimisation",
                "A.5.34, A.8.11, A.8.12",
                "Personal data and secrets are found, masked and kept from leaving.",
                [PERSONAL, SECRETS, CHANGED],
                []
            ),
            control!(
                "configuration",
                "A.8.8, A.8.9, A.8.32",
                "Drift and changes are recorded.",
                [REGISTRY, POLICY],
                ["Vulnerability lists are not matched here."]
            ),
            control!(
                "audit",
                "A.8.15, A.8.16, A.8.17",
                "All activity is logged; silence is accounted for; the clock is the machine's.",
                [ENDED, HEARTBEATS, GAPS],
                ["The clock's source is not recorded."]
            ),
            control!(
                "encryption",
                "A.8.20 to A.8.24",
                "Connections are protected, keys renewed.",
                [TLS, POST_QUANTUM, KEYS],
                []
            ),
        ],
    },
    Framework {
        name: "eu-ai-act",
        title: "Artificial Intelligence Act (EU) 2024/1689",
        controls: &[
            control!(
                "audit",
                "Art. 12, 19, 26(6)",
                "Events are logged automatically for as long as the ledger is kept.",
                [ENDED, HEARTBEATS],
                [
                    "That logs are kept for six months is the operator's to see to.",
                    ONLY_HERE
                ]
            ),
            control!(
                "people-decide",
                "Art. 14",
                "People approve, refuse and take labels off; each decision is an entry.",
                [ASKED, APPROVED],
                []
            ),
            control!(
                "robustness",
                "Art. 15",
                "Injection and poisoning are found; flow rules stop what detectors miss.",
                [HOSTILE, DENIED],
                ["How a model behaves is not known here."]
            ),
            control!(
                "purpose",
                "Art. 13, 26",
                "Calls are for declared purposes by named agents with their models.",
                [PURPOSE, NAMED],
                []
            ),
            control!(
                "incidents",
                "Art. 73",
                "Incidents are entries.",
                [INCIDENTS, ANSWERED, STOPS],
                []
            ),
        ],
    },
];
