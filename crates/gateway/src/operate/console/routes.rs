//! Everything the API offers, as one table: the listener, the console's forms and the OpenAPI description are read
//! from it.
//!
//! Not in it, on purpose: adding a server (what runs on this machine is said on this machine), keys, back-ups, and what
//! is kept of people (`sallyport subject`).

use super::Right;

/// How an operation is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verb {
    Get,
    Post,
}

/// What a parameter takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Takes {
    Text,
    Texts,
    Number,
}

/// A parameter. Those whose name is in the path come from there, others from the query or the body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) takes: Takes,
    pub(crate) is_needed: bool,
    /// Whether the ledger says what it was.
    pub(crate) is_noted: bool,
    pub(crate) about: &'static str,
}

/// One operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    /// As [`crate::operate::admin::run`] knows it.
    pub(crate) name: &'static str,
    pub(crate) verb: Verb,
    /// Below `/api/v1`.
    pub(crate) path: &'static str,
    pub(crate) right: Right,
    /// Whether only a person can do it.
    pub(crate) needs_person: bool,
    pub(crate) about: &'static str,
    pub(crate) parameters: &'static [Parameter],
}

impl Operation {
    /// The operation of a name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        OPERATIONS.iter().find(|one| one.name == name)
    }

    /// What a path says, if it is this operation's: the values of its parameters.
    pub(crate) fn matches<'p>(&self, path: &'p str) -> Option<Vec<(&'static str, &'p str)>> {
        let (mut ours, mut theirs) = (self.path.split('/'), path.split('/'));
        let mut values = Vec::new();
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return Some(values),
                (Some(ours), Some(theirs)) => match placeholder(ours) {
                    Some(name) if !theirs.is_empty() => values.push((name, theirs)),
                    Some(_) => return None,
                    None if ours == theirs => {}
                    None => return None,
                },
                (Some(_), None) | (None, Some(_)) => return None,
            }
        }
    }

    /// Whether a parameter is part of the path.
    pub(crate) fn has_in_path(&self, parameter: &str) -> bool {
        self.path
            .split('/')
            .any(|part| placeholder(part) == Some(parameter))
    }
}

fn placeholder(part: &'static str) -> Option<&'static str> {
    part.strip_prefix('{')?.strip_suffix('}')
}

const fn text(name: &'static str, about: &'static str) -> Parameter {
    Parameter {
        name,
        takes: Takes::Text,
        is_needed: false,
        is_noted: true,
        about,
    }
}

const fn needed(name: &'static str, about: &'static str) -> Parameter {
    Parameter {
        is_needed: true,
        ..text(name, about)
    }
}

const fn texts(name: &'static str, about: &'static str) -> Parameter {
    Parameter {
        takes: Takes::Texts,
        ..text(name, about)
    }
}

const fn number(name: &'static str, about: &'static str) -> Parameter {
    Parameter {
        takes: Takes::Number,
        ..text(name, about)
    }
}

const fn unnoted(parameter: Parameter) -> Parameter {
    Parameter {
        is_noted: false,
        ..parameter
    }
}

const fn get(
    name: &'static str,
    path: &'static str,
    about: &'static str,
    parameters: &'static [Parameter],
) -> Operation {
    Operation {
        name,
        verb: Verb::Get,
        path,
        right: Right::See,
        needs_person: false,
        about,
        parameters,
    }
}

const fn post(
    name: &'static str,
    path: &'static str,
    about: &'static str,
    parameters: &'static [Parameter],
) -> Operation {
    Operation {
        verb: Verb::Post,
        right: Right::Operate,
        ..get(name, path, about, parameters)
    }
}

const fn by_person(operation: Operation) -> Operation {
    Operation {
        needs_person: true,
        ..operation
    }
}

const NAME: Parameter = needed("name", "The name.");
const ID: Parameter = needed("id", "The id.");
const WHY: Parameter = text("why", "Why, for the record.");
const WHAT: &str = "`all`, `agent`, `user`, `server` or `context`.";

/// All of them.
pub(crate) const OPERATIONS: &[Operation] = &[
    get("status", "/status", "How the gateway is doing, in numbers.", &[]),
    get("server.list", "/servers", "The servers and their states.", &[]),
    get(
        "server.show",
        "/servers/{name}",
        "A server, its tools and their pins.",
        &[NAME],
    ),
    get(
        "server.diff",
        "/servers/{name}/diff",
        "What a server offers that differs from what was approved.",
        &[NAME],
    ),
    get(
        "server.sbom",
        "/servers/{name}/sbom",
        "What a server is made of (CycloneDX).",
        &[NAME],
    ),
    post(
        "server.approve",
        "/servers/{name}/approve",
        "Approve a server as it is now, or one of its items.",
        &[
            NAME,
            text(
                "item",
                "A tool, prompt or resource; the server itself without it.",
            ),
        ],
    ),
    post(
        "server.quarantine",
        "/servers/{name}/quarantine",
        "Take a server, or one of its items, out of use.",
        &[
            NAME,
            text(
                "item",
                "A tool, prompt or resource; the server itself without it.",
            ),
            WHY,
        ],
    ),
    post(
        "server.retire",
        "/servers/{name}/retire",
        "Retire a server for good.",
        &[NAME],
    ),
    post(
        "server.rollback",
        "/servers/{name}/rollback",
        "Go back to what was approved of a server before; what is something else now is held back.",
        &[
            NAME,
            number(
                "to",
                "The version, as the server's page numbers them; the one before unless told.",
            ),
        ],
    ),
    get("agent.list", "/agents", "The agents and services.", &[]),
    post(
        "agent.revoke",
        "/agents/{name}/revoke",
        "Revoke an agent: its tokens and sessions end.",
        &[NAME],
    ),
    get("approvals.list", "/approvals", "What waits for people.", &[]),
    get("approvals.show", "/approvals/{id}", "One question.", &[ID]),
    by_person(post(
        "approvals.approve",
        "/approvals/{id}/approve",
        "Agree to exactly this call, once, or to similar ones within bounds.",
        &[
            ID,
            texts("let", "Bounds such as `amount=0..100`: similar calls pass, too."),
            number("uses", "How many similar calls; 10 unless told."),
            number("seconds", "For how long, in seconds; 3600 unless told."),
        ],
    )),
    by_person(post(
        "approvals.deny",
        "/approvals/{id}/deny",
        "Say no.",
        &[ID, WHY],
    )),
    get(
        "context.list",
        "/contexts",
        "The contexts and what they have read.",
        &[],
    ),
    by_person(post(
        "context.declassify",
        "/contexts/{id}/declassify",
        "Take labels off a context.",
        &[
            ID,
            needed("why", "Why, for the record."),
            text("integrity", "`trusted`."),
            text("confidentiality", "The level it comes down to."),
            texts("categories", "Categories to take off."),
        ],
    )),
    get("incident.list", "/incidents", "What was noticed.", &[]),
    get("incident.show", "/incidents/{id}", "One incident.", &[ID]),
    post(
        "incident.contain",
        "/incidents/{id}/contain",
        "Stop whoever set it off, or what is named.",
        &[ID, text("what", WHAT), text("name", "Its name.")],
    ),
    post(
        "incident.resolve",
        "/incidents/{id}/resolve",
        "Close it.",
        &[ID, needed("why", "How it was resolved.")],
    ),
    get("halt.list", "/stops", "What is stopped.", &[]),
    post(
        "halt.put",
        "/stops",
        "Stop everything, an agent, a user, a server or a context, at once and over restarts.",
        &[needed("what", WHAT), text("name", "Its name."), WHY],
    ),
    post(
        "halt.lift",
        "/stops/lift",
        "Let it go on.",
        &[needed("what", WHAT), text("name", "Its name."), WHY],
    ),
    get(
        "ledger.entries",
        "/ledger/entries",
        "Entries of the ledger, the newest first.",
        &[
            number(
                "before",
                "Only entries with a lower index: `next` of the answer before.",
            ),
            number("limit", "How many at most; 50 unless told, 200 at most."),
            text("call", "Of this call alone."),
            text("kind", "Of this kind alone."),
            text(
                "decision",
                "With this decision alone: `permit`, `refuse` or `hold`.",
            ),
            text("agent", "Of this agent alone."),
            text("server", "About this server alone."),
        ],
    ),
    get(
        "policy.explain",
        "/policy/explain",
        "Rule by rule, what would become of a call.",
        &[
            text("agent", "The agent."),
            text("user", "The user it acts for."),
            needed("tool", "The tool, as `server__tool`."),
            text("args", "Its arguments, as a JSON object in a text."),
            text("purpose", "The declared purpose."),
        ],
    ),
    get("policy.matrix", "/policy/matrix", "Who may call what.", &[]),
    get(
        "review.show",
        "/reviews",
        "What agents may do, and whether they did.",
        &[text("agent", "Of this agent alone.")],
    ),
    by_person(post(
        "review.certify",
        "/reviews/certify",
        "Say that an agent's grants are as they should be.",
        &[needed("agent", "The agent.")],
    )),
    by_person(post(
        "review.revoke",
        "/reviews/revoke",
        "Take grants from an agent.",
        &[
            needed("agent", "The agent."),
            texts("targets", "Which; every unused one without it."),
        ],
    )),
    get(
        "user.grants",
        "/users/{user}/grants",
        "Whom a user let in.",
        &[needed("user", "The user.")],
    ),
    post(
        "user.logout",
        "/users/{user}/logout",
        "End everything a user let in.",
        &[needed("user", "The user.")],
    ),
    post(
        "agent.add",
        "/agents",
        "Add an agent. The answer has its secret, once, unless it has keys.",
        &[
            NAME,
            texts("roles", "Its roles."),
            texts("groups", "Its groups."),
            texts("purposes", "Purposes it may declare."),
            texts("for", "Users it may act for."),
            text("model", "The model it runs on."),
            text("tenant", "Its tenant."),
            unnoted(text(
                "keys",
                "A JSON Web Key Set of public keys, as a text, instead of a secret.",
            )),
        ],
    ),
    post(
        "agent.rotate",
        "/agents/{name}/rotate",
        "Give an agent a new secret, or new keys.",
        &[
            NAME,
            unnoted(text("keys", "A JSON Web Key Set of public keys, as a text.")),
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_operations_answer_the_same_request_and_paths_name_their_parameters() {
        for (n, one) in OPERATIONS.iter().enumerate() {
            for part in one.path.split('/').filter_map(placeholder) {
                let named = one.parameters.iter().find(|parameter| parameter.name == part);
                assert!(named.is_some_and(|parameter| parameter.is_needed), "{}", one.path);
            }
            // Nobody acts as somebody else.
            assert!(
                one.parameters.iter().all(|parameter| parameter.name != "as"),
                "{}",
                one.name
            );
            let sample = one.path.replace(['{', '}'], "");
            let found: Vec<_> = OPERATIONS
                .iter()
                .filter(|other| other.verb == one.verb && other.matches(&sample).is_some())
                .map(|other| other.name)
                .collect();
            assert_eq!(found, [one.name], "{sample}");
            assert!(OPERATIONS.iter().skip(n + 1).all(|other| other.name != one.name));
        }
    }

    #[test]
    fn whatever_changes_something_is_posted_by_who_may() {
        for one in OPERATIONS {
            assert_eq!(
                one.verb == Verb::Post,
                one.right == Right::Operate,
                "{}",
                one.name
            );
        }
    }
}
