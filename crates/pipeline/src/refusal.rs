//! Why a message was turned back: the list of all refusals, and what each side learns.
//!
//! Outside: a stable code, a bland sentence, a remedy. Inside, for the ledger and the operator: the whole
//! reason. `docs/reference/refusals.md` is generated from [`REFUSALS`].

use std::{borrow::Cow, fmt};

use wire::mcp::code;

use crate::Stage;

/// Whose fault it is; what an operator asks first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The caller's.
    Caller,
    /// The upstream server's.
    Upstream,
    /// Ours, or of the machine we run on.
    Us,
}

/// How a refusal is said where the protocol leaves a choice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Manner {
    /// Not a refusal for good: a result that asks for input, which is the objection's `data`.
    Ask,
    /// HTTP 401 with a challenge: a credential would cure it.
    Challenge,
    /// HTTP 401 with a challenge: the person logging in as it says would cure it (RFC 9470).
    LogIn,
    /// HTTP 403 with a challenge: more scope would cure it.
    StepUp,
    /// A tool result with `isError`, which models can read; a JSON-RPC error for everything but tool calls.
    Tell,
    /// A JSON-RPC error.
    Error,
}

/// One row of the list.
#[derive(Debug)]
pub struct Code {
    /// The stable name.
    pub name: &'static str,
    /// Whose fault.
    pub fault: Fault,
    /// How it is said.
    pub manner: Manner,
    /// HTTP status, where the transport is HTTP and the answer is not a plain JSON-RPC one.
    pub http: u16,
    /// JSON-RPC error code.
    pub rpc: i64,
    /// What the caller learns.
    pub outside: &'static str,
    /// What the caller, or whoever runs this, can do.
    pub remedy: &'static str,
}

impl PartialEq for Code {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
impl Eq for Code {}

macro_rules! refusals {
    ($($constant:ident $name:literal $fault:ident $manner:ident $http:literal $rpc:path,
       $outside:literal, $remedy:literal;)*) => {
        $(#[doc = concat!("`", $name, "`: ", $outside)]
        pub static $constant: Code = Code {
            name: $name,
            fault: Fault::$fault,
            manner: Manner::$manner,
            http: $http,
            rpc: $rpc,
            outside: $outside,
            remedy: $remedy,
        };)*

        /// Every refusal there is.
        pub static REFUSALS: &[&Code] = &[$(&$constant,)*];
    };
}

refusals! {
    // At the gate, before the road.
    HOST_REFUSED "host-refused" Caller Error 403 code::REFUSED,
        "this host name is not served here",
        "use an address listed under `hosts`, or add this one";
    MESSAGE_BATCH "message-batch" Caller Error 400 code::INVALID_REQUEST,
        "several messages in one array",
        "send one message per request; only revision 2025-03-26 has batches";
    MESSAGE_MALFORMED "message-malformed" Caller Error 400 code::PARSE_ERROR,
        "not a message two parsers would read the same way",
        "send strict UTF-8 JSON without duplicate keys, within the limits";
    MESSAGE_INVALID "message-invalid" Caller Error 400 code::INVALID_REQUEST,
        "not a JSON-RPC 2.0 message",
        "send exactly one of method, result and error, and no member JSON-RPC does not have";
    REQUEST_INVALID "request-invalid" Caller Error 400 code::INVALID_REQUEST,
        "the request cannot be taken as it is",
        "change what is named, and send it again";
    MESSAGE_TOO_LARGE "message-too-large" Caller Error 413 code::INVALID_REQUEST,
        "the message is larger than the limit",
        "send less at once";
    ENDPOINT_UNKNOWN "endpoint-unknown" Caller Error 404 code::INVALID_REQUEST,
        "there is no such endpoint",
        "use `/mcp`, or the endpoint of a server or group there is";
    METHOD_UNKNOWN "method-unknown" Caller Error 404 code::METHOD_NOT_FOUND,
        "there is no such method in this revision and direction",
        "use a method of the negotiated revision";
    HEADER_MISMATCH "header-mismatch" Caller Error 400 code::HEADER_MISMATCH,
        "a header and the body do not agree",
        "mirror the body in the headers exactly, or use a client that does";
    MEDIA_TYPE "media-type" Caller Error 415 code::INVALID_REQUEST,
        "the content type is not application/json",
        "send `Content-Type: application/json`";
    CONTENT_CODED "content-coded" Caller Error 415 code::INVALID_REQUEST,
        "the body is not sent as it is",
        "send it as UTF-8, uncompressed: without `Content-Encoding`, and with no other `charset`";
    NOT_ACCEPTABLE "not-acceptable" Caller Error 406 code::INVALID_REQUEST,
        "the client does not accept what this endpoint sends",
        "send `Accept: application/json, text/event-stream`";
    ORIGIN_REFUSED "origin-refused" Caller Error 403 code::REFUSED,
        "this origin may not call",
        "list the origin under `origins` if it is yours";
    VERSION_UNSUPPORTED "version-unsupported" Caller Error 400 code::UNSUPPORTED_PROTOCOL_VERSION,
        "this protocol version is not spoken here",
        "use one of the supported versions";

    // admit
    CREDENTIAL_MISSING "credential-missing" Caller Challenge 401 code::REFUSED,
        "a credential is required",
        "get a token from the authorization server named in the challenge";
    CREDENTIAL_INVALID "credential-invalid" Caller Challenge 401 code::REFUSED,
        "the credential is not accepted",
        "get a new token for this resource";
    NONCE_MISSING "nonce-missing" Caller Challenge 401 code::REFUSED,
        "the proof of possession needs a nonce of this server's",
        "make a new proof with the nonce of the `DPoP-Nonce` header";
    SCOPE_MISSING "scope-missing" Caller StepUp 403 code::REFUSED,
        "the credential does not carry the scope this needs",
        "ask for the scope named in the challenge";
    SESSION_MISSING "session-missing" Caller Error 400 code::INVALID_REQUEST,
        "this revision needs a session",
        "send `initialize` first, then its session id with every request";
    SESSION_UNKNOWN "session-unknown" Caller Error 404 code::INVALID_REQUEST,
        "there is no such session",
        "start again with `initialize`";
    EVENTS_GONE "events-gone" Us Error 410 code::INVALID_REQUEST,
        "what came after that event is not kept any more",
        "listen anew without `Last-Event-ID`; look what became of what was not answered before you send it again";
    CONTEXT_INVALID "context-invalid" Caller Error 400 code::INVALID_PARAMS,
        "the declared context is malformed",
        "declare purpose, entity, trust, classes and task as short texts";
    PURPOSE_REFUSED "purpose-refused" Caller Tell 200 code::REFUSED,
        "this purpose may not be declared here",
        "declare a purpose the operator allows for this agent";

    HALTED "halted" Us Error 403 code::REFUSED,
        "the operator has stopped this",
        "the operator can say what is stopped, and lift it: sallyport stop --list";

    // decide
    PARAMS_INVALID "params-invalid" Caller Error 200 code::INVALID_PARAMS,
        "the parameters do not fit the method",
        "send the parameters the specification has for this method";
    TARGET_UNKNOWN "target-unknown" Caller Error 200 code::INVALID_PARAMS,
        "there is nothing of that name",
        "list what there is";
    TARGET_AMBIGUOUS "target-ambiguous" Caller Error 200 code::INVALID_PARAMS,
        "several things could be meant",
        "use the full name as listed, or the endpoint of one server";
    TARGET_HELD "target-held" Upstream Tell 200 code::REFUSED,
        "this is held back: it is new, or it changed since it was approved",
        "the operator can review it: sallyport server diff; of what is wrapped: sallyport wrap --diff";
    ARGUMENTS_INVALID "arguments-invalid" Caller Tell 200 code::INVALID_PARAMS,
        "the arguments do not fit the approved schema",
        "send arguments as the tool's input schema has them";
    NOT_PERMITTED "not-permitted" Caller Tell 200 code::REFUSED,
        "policy does not permit this",
        "the operator can say why: sallyport policy explain";
    NOT_GRANTED "not-granted" Caller StepUp 403 code::REFUSED,
        "this needs more scope",
        "ask for the scope named in the challenge";
    LOGIN_INSUFFICIENT "login-insufficient" Caller LogIn 401 code::REFUSED,
        "this needs its person to log in more strongly, or anew",
        "let the person log in again as the challenge says (`acr_values`, `max_age`)";
    RULE_FAILED "rule-failed" Us Tell 200 code::REFUSED,
        "a rule could not be evaluated, so the answer is no",
        "the operator can see which: sallyport policy explain";
    OVER_LIMIT "over-limit" Caller Error 429 code::REFUSED,
        "too much at once",
        "try again after the time given";
    JUDGE_REFUSED "judge-refused" Caller Tell 200 code::REFUSED,
        "a second opinion was against this",
        "do only what the declared purpose needs; the operator can read why in the ledger";
    JUDGE_SILENT "judge-silent" Us Tell 200 code::REFUSED,
        "a second opinion is demanded here and could not be had",
        "try again; the operator can read why in the ledger";
    NOT_APPROVED "not-approved" Caller Tell 200 code::REFUSED,
        "nobody agreed to this",
        "ask somebody who may: sallyport approvals list";

    // forward
    LEDGER_UNAVAILABLE "ledger-unavailable" Us Error 503 code::REFUSED,
        "what cannot be recorded is not done",
        "the operator must make room for the ledger and the tables; nothing was sent";
    STATE_UNAVAILABLE "state-unavailable" Us Error 503 code::REFUSED,
        "what is known of this cannot be asked now",
        "try again after the time given; the operator must see to the database";
    TARGET_CHANGED "target-changed" Upstream Tell 200 code::REFUSED,
        "this changed since it was approved and is held back now",
        "the operator can review it: sallyport server diff; of what is wrapped: sallyport wrap --diff";
    CAPABILITY_MISSING "capability-missing" Upstream Error 200 code::METHOD_NOT_FOUND,
        "the client did not declare that it can do this",
        "declare the capability, or do without";
    URL_REFUSED "url-refused" Upstream Error 200 code::REFUSED,
        "the server wants its user to open an address that may not be what it looks like",
        "the server has to name a host by https, as it is known, and nothing before it";
    CLIENT_GONE "client-gone" Caller Error 200 code::REFUSED,
        "the client does not listen any more",
        "nothing";
    WITHDRAWN "withdrawn" Caller Error 200 code::REFUSED,
        "the caller withdrew it",
        "nothing";
    CONSENT_NEEDED "consent-needed" Caller Tell 200 code::REFUSED,
        "the server wants its user's consent first",
        "open the link, agree, and make the call again";
    UPSTREAM_UNAUTHORIZED "upstream-unauthorized" Upstream Tell 200 code::REFUSED,
        "the server does not take the gateway's credential",
        "the operator can see why: sallyport oauth doctor";
    CURSOR_REFUSED "cursor-refused" Caller Error 400 code::INVALID_PARAMS,
        "the cursor was not given for this list, or the list has changed",
        "ask for the list again without `cursor`";
    STATE_REFUSED "state-refused" Caller Error 400 code::INVALID_PARAMS,
        "the request state is not one that was given for this call, or it was used or is over",
        "send the call again without `requestState` and `inputResponses`";
    UPSTREAM_UNREACHABLE "upstream-unreachable" Upstream Tell 502 code::INTERNAL_ERROR,
        "the server cannot be reached",
        "the operator can look: sallyport server show";
    UPSTREAM_GARBLED "upstream-garbled" Upstream Tell 502 code::INTERNAL_ERROR,
        "the server's answer is not an answer",
        "the operator can look: sallyport server show";
    UPSTREAM_BUSY "upstream-busy" Upstream Error 503 code::INTERNAL_ERROR,
        "the model's provider has no room now",
        "try again after the time given";
    UPSTREAM_DOUBTFUL "upstream-doubtful" Upstream Tell 504 code::INTERNAL_ERROR,
        "the request was sent and not answered; whether it was done is not known",
        "find out whether it was done before it is called again; the gateway does not send it again";
    UPSTREAM_TIMEOUT "upstream-timeout" Upstream Tell 504 code::INTERNAL_ERROR,
        "the server did not answer in time",
        "try again, or raise the server's `timeout`";

    // release
    ANSWER_INVALID "answer-invalid" Upstream Tell 200 code::INTERNAL_ERROR,
        "the answer does not fit the approved schema",
        "the operator can review the tool: sallyport server diff";
    ANSWER_WITHHELD "answer-withheld" Upstream Tell 200 code::REFUSED,
        "the answer is withheld",
        "the operator can say why: sallyport ledger show";
    OBLIGATION_UNMET "obligation-unmet" Us Tell 200 code::REFUSED,
        "what the permit demands cannot be done, so the answer is withheld",
        "the operator must change the rule or the set-up";
    OUTCOME_UNRECORDED "outcome-unrecorded" Us Error 503 code::REFUSED,
        "what became of this cannot be recorded, so it is not told",
        "it may have been done: look before you send it again; the operator must make room for the ledger and the tables";
    INTERNAL "internal" Us Error 500 code::INTERNAL_ERROR,
        "something failed here",
        "report it with the reference";
}

/// When to come again where something is away for now, and nothing says how long: a database or a disk is tried anew once
/// a second.
const AGAIN_MS: u64 = 1_000;

/// What a token would have to say that got past a refusal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Stronger {
    /// That its person logged in so.
    Login {
        /// The level (`acr`), or the method (`amr`).
        level: String,
        /// How long ago at most, in seconds.
        max_age_s: Option<u32>,
    },
    /// That it has this scope.
    Scope(String),
}

/// An engine's no. The stage that asked puts its name on it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Objection {
    /// Which refusal.
    pub code: &'static Code,
    /// The whole reason, for the ledger.
    pub inside: String,
    /// What of it the caller may know too: the place of a bad argument, a rule's `@reason`.
    pub shown: Option<String>,
    /// What can be done, where the cause is narrower than its code.
    pub remedy: Option<Box<Cow<'static, str>>>,
    /// When trying again makes sense, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// What a token would have to say that cured it.
    pub stronger: Option<Box<Stronger>>,
    /// The question to people that waits: the call is held, not refused for good.
    pub approval: Option<Box<str>>,
    /// JSON for the error's `data`.
    pub data: Option<Box<[u8]>>,
}

impl Objection {
    /// A no with its reason.
    #[must_use]
    pub fn new(code: &'static Code, inside: impl Into<String>) -> Self {
        Self {
            code,
            inside: inside.into(),
            shown: None,
            remedy: None,
            retry_after_ms: (code.http == 503).then_some(AGAIN_MS),
            stronger: None,
            approval: None,
            data: None,
        }
    }

    /// Shows the caller this, too.
    #[must_use]
    pub fn showing(mut self, shown: impl Into<String>) -> Self {
        self.shown = Some(shown.into());
        self
    }

    /// Says what can be done about this very cause.
    #[must_use]
    pub fn remedied(mut self, remedy: impl Into<Cow<'static, str>>) -> Self {
        self.remedy = Some(Box::new(remedy.into()));
        self
    }
}

/// Why a message was turned back, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    stage: &'static str,
    objection: Box<Objection>,
}

impl Refusal {
    /// A refusal by a stage.
    pub(crate) fn at<P: Stage>(objection: Objection) -> Self {
        Self {
            stage: P::NAME,
            objection: Box::new(objection),
        }
    }

    /// A refusal before the first stage.
    pub(crate) fn at_the_gate(objection: Objection) -> Self {
        Self {
            stage: "gate",
            objection: Box::new(objection),
        }
    }

    /// A refusal because the outcome itself could not be recorded, or the work was lost.
    #[must_use]
    pub fn at_the_end(objection: Objection) -> Self {
        Self {
            stage: "close",
            objection: Box::new(objection),
        }
    }

    /// Which stage refused, by its verb.
    #[must_use]
    pub fn stage(&self) -> &'static str {
        self.stage
    }

    /// Which refusal.
    #[must_use]
    pub fn code(&self) -> &'static Code {
        self.objection.code
    }

    /// The engine's no.
    #[must_use]
    pub fn objection(&self) -> &Objection {
        &self.objection
    }

    /// What the caller, or whoever runs this, can do.
    #[must_use]
    pub fn remedy(&self) -> &str {
        match &self.objection.remedy {
            Some(remedy) => remedy,
            None => self.code().remedy,
        }
    }

    /// What the caller is told.
    #[must_use]
    pub fn outside(&self) -> String {
        match &self.objection.shown {
            Some(shown) => format!("{}: {shown}", self.code().outside),
            None => self.code().outside.to_owned(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} refused ({}): {}",
            self.stage,
            self.code().name,
            self.objection.inside
        )
    }
}

impl Fault {
    /// The word records use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Upstream => "upstream",
            Self::Us => "us",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fmt::Write as _, path::Path};

    use super::{Manner, REFUSALS};

    /// `docs/reference/refusals.md` is written from the list; `cargo xtask gen` writes it anew.
    #[test]
    fn generated_page_of_refusals_is_the_list() {
        let mut page = String::from(
            "# Every refusal\n\nWritten by `cargo xtask gen` from `crates/pipeline/src/refusal.rs`. The code is stable and is in\n\
             the answer (`error.data.code`, or `_meta[\"io.sallyport/call\"]` of a tool's result) and in the ledger\n\
             (`code`). What policy refuses answers as a tool's result with `isError`, all else as shown.\n\n\
             | code | HTTP | JSON-RPC | whose fault | what it says | what to do |\n\
             | --- | --- | --- | --- | --- | --- |\n",
        );
        for code in REFUSALS {
            let status = if matches!(code.manner, Manner::Tell) {
                200
            } else {
                code.http
            };
            let (name, fault) = (code.name, code.fault.as_str());
            let _ = writeln!(
                page,
                "| `{name}` | {status} | {} | {fault} | {} | {} |",
                code.rpc, code.outside, code.remedy
            );
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/refusals.md");
        if std::env::var_os("SALLYPORT_GENERATE").is_some() {
            std::fs::write(&path, &page).expect("the page can be written");
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == page,
            "{} is not the list; run `cargo xtask gen`",
            path.display()
        );
    }

    #[test]
    fn no_two_refusals_share_a_code_and_each_has_a_remedy() {
        let names: BTreeSet<_> = REFUSALS.iter().map(|code| code.name).collect();
        assert_eq!(names.len(), REFUSALS.len());
        assert!(
            REFUSALS
                .iter()
                .all(|code| !code.remedy.is_empty() && !code.outside.is_empty())
        );
    }
}
