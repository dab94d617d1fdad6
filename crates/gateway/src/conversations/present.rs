//! How an outcome is said: as a result, as an error, as a tool result a model can read, or as an HTTP status
//! with a challenge.

use identity::oauth::Challenge;
use pipeline::{
    Body, Refusal, Reply,
    refusal::{Code, Manner, Stronger},
};
use wire::{
    json::{Edits, object},
    jsonrpc::{self, Answer, Id},
    mcp::{Era, Method, Revision, code, meta, shape},
};

/// What is to be answered.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The id to answer under; none for notifications and answers.
    pub(crate) id: Option<Id>,
    /// The method; none where it is not known.
    pub(crate) method: Option<Method>,
    /// The revision the client speaks.
    pub(crate) revision: Revision,
}

/// An answer, ready for any transport.
#[derive(Debug)]
pub(crate) struct Said {
    /// The HTTP status it goes out with, where the transport is HTTP.
    pub(crate) status: u16,
    /// The JSON-RPC message; none for notifications that were taken.
    pub(crate) message: Option<Vec<u8>>,
    /// A session that was opened with it.
    pub(crate) session: Option<std::sync::Arc<str>>,
    /// When to try again, in milliseconds.
    pub(crate) retry_after_ms: Option<u64>,
    /// The challenge to send, if a credential or scope would cure the refusal.
    pub(crate) challenge: Option<Cure>,
}

/// What would cure a refusal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Cure {
    /// A credential; whether one was presented.
    Credential {
        /// A credential was presented and not accepted.
        presented: bool,
    },
    /// A proof with a nonce of ours (RFC 9449).
    Nonce,
    /// A token that says more.
    Stronger(Stronger),
}

impl Cure {
    /// What is told in `WWW-Authenticate`, with where the resource's metadata is.
    pub(crate) fn challenge(&self, resource_metadata: String) -> Challenge {
        match self {
            Cure::Nonce => Challenge {
                scheme: "DPoP",
                resource_metadata,
                scope: identity::token::SCOPE.to_owned(),
                error: Some("use_dpop_nonce"),
                description: Some("the proof needs the nonce of the DPoP-Nonce header"),
                login: None,
            },
            Cure::Credential { presented } => Challenge {
                scheme: "Bearer",
                resource_metadata,
                scope: identity::token::SCOPE.to_owned(),
                error: presented.then_some("invalid_token"),
                description: presented.then_some("the token is not accepted for this resource"),
                login: None,
            },
            Cure::Stronger(Stronger::Login { level, max_age_s }) => Challenge {
                scheme: "Bearer",
                resource_metadata,
                scope: identity::token::SCOPE.to_owned(),
                error: Some("insufficient_user_authentication"),
                description: Some("the person has to log in so"),
                login: Some((level.clone(), *max_age_s)),
            },
            Cure::Stronger(Stronger::Scope(scope)) => Challenge {
                scheme: "Bearer",
                resource_metadata,
                scope: scope.clone(),
                error: Some("insufficient_scope"),
                description: Some("this needs more scope"),
                login: None,
            },
        }
    }
}

/// Says an outcome.
pub(crate) fn outcome(asked: &Asked, outcome: Result<Reply, Refusal>, call: &str) -> Said {
    match outcome {
        Ok(reply) => answer(asked, reply),
        Err(refusal) => self::refusal(asked, &refusal, call),
    }
}

fn answer(asked: &Asked, reply: Reply) -> Said {
    let mut said = Said {
        status: 200,
        message: None,
        session: None,
        retry_after_ms: None,
        challenge: None,
    };
    let (Some(id), Some(method)) = (&asked.id, asked.method) else {
        said.status = 202;
        return said;
    };
    let result = match &reply.body {
        Body::Accepted => shape::own(b"{}", asked.revision, method),
        Body::Listed(result) => shape::own(result, asked.revision, method),
        Body::Own(own) => {
            said.session.clone_from(&own.session);
            if own.asks {
                own.result.clone()
            } else {
                shape::own(&own.result, asked.revision, method)
            }
        }
        Body::Foreign(response, edits, era) => {
            let edits = &unmarked(response, edits);
            match response.answer() {
                Answer::Result(result) => shape::result(result, edits, *era, asked.revision, method),
                Answer::Error(error) => {
                    let code = foreign_code(asked, error, *era);
                    said.status = error_status(asked.revision.era(), code);
                    said.message = Some(foreign_error(id, code, error, edits));
                    return said;
                }
            }
        }
    };
    said.message = Some(jsonrpc::result(id, &result));
    said
}

/// The changes with which an answer of a server has none of the gateway's marks, however deep in it they are.
fn unmarked(response: &jsonrpc::Response, edits: &Edits) -> Edits {
    let text = response.document().text();
    let mut edits = edits.clone();
    // A name may be written with escapes.
    if !text.contains("sallyport") && !text.contains("\\u") {
        return edits;
    }
    let (Answer::Result(said) | Answer::Error(said)) = response.answer();
    for given in said.walk().filter_map(meta::of) {
        let ours = given
            .members()
            .filter(|(key, _)| key.as_str().is_some_and(|key| meta::is_ours(&key)));
        ours.for_each(|(_, value)| edits.remove(value));
    }
    edits
}

/// The code of an upstream's error. What one means differs between eras.
///
/// THREAT: the gateway's own codes, and those of what is agreed between two that speak, are said by the gateway of itself. A
/// client that hears them of a server takes a forged remedy for ours, or falls back to an older revision.
fn foreign_code(asked: &Asked, error: wire::json::Node<'_>, from: Era) -> i64 {
    let code = error
        .get("code")
        .and_then(wire::json::Node::as_number)
        .and_then(|n| n.as_i64())
        .unwrap_or(code::INTERNAL_ERROR);
    let to = asked.revision.era();
    let names_capabilities = || {
        error
            .get("data")
            .and_then(|data| data.get("requiredCapabilities"))
            .is_some()
    };
    match code {
        code::REFUSED | code::HEADER_MISMATCH | code::UNSUPPORTED_PROTOCOL_VERSION => {
            return code::INTERNAL_ERROR;
        }
        code::MISSING_CLIENT_CAPABILITY if !names_capabilities() => {
            return code::INTERNAL_ERROR;
        }
        _ => {}
    }
    if asked.method != Some(Method::ResourcesRead) || from == to {
        return code;
    }
    match (code, to) {
        (code::RESOURCE_NOT_FOUND, Era::Modern) => code::INVALID_PARAMS,
        (code::INVALID_PARAMS, Era::Legacy) => code::RESOURCE_NOT_FOUND,
        (other, Era::Legacy | Era::Modern) => other,
    }
}

/// The HTTP status the modern era gives an error (2026-07-28, streamable HTTP).
fn error_status(era: Era, code: i64) -> u16 {
    match (era, code) {
        (Era::Modern, code::METHOD_NOT_FOUND) => 404,
        (
            Era::Modern,
            code::HEADER_MISMATCH | code::MISSING_CLIENT_CAPABILITY | code::UNSUPPORTED_PROTOCOL_VERSION,
        ) => 400,
        (Era::Legacy | Era::Modern, _) => 200,
    }
}

/// An upstream's error, written anew. What explains a code that it may not say goes with it, and so does what the gateway's
/// own refusals say of themselves.
fn foreign_error(id: &Id, code: i64, error: wire::json::Node<'_>, edits: &Edits) -> Vec<u8> {
    let said = error.get("code").and_then(wire::json::Node::as_number);
    let is_other = said
        .and_then(|said| said.as_i64())
        .is_none_or(|said| said != code);
    let data = error.get("data");
    let is_as_ours = data
        .and_then(|data| data.get("code")?.as_str())
        .is_some_and(|name| is_refusal(&name));
    let mut edits = edits.clone();
    if let Some(data) = data.filter(|_| is_as_ours || (is_other && code == code::INTERNAL_ERROR)) {
        edits.remove(data);
    }
    let edits = &edits;
    object(|out| {
        out.string("jsonrpc", "2.0");
        id.write("id", out);
        out.object("error", |out| {
            out.integer("code", code);
            out.members_except(error, &["code"], edits);
        });
    })
}

/// Whether the gateway's refusals have such a name, as readers compare them.
fn is_refusal(name: &str) -> bool {
    let name = name.trim();
    pipeline::refusal::REFUSALS
        .iter()
        .any(|code| code.name.eq_ignore_ascii_case(name))
}

fn refusal(asked: &Asked, refusal: &Refusal, call: &str) -> Said {
    let code = refusal.code();
    let objection = refusal.objection();
    let mut said = Said {
        status: status(asked, code),
        message: None,
        session: None,
        retry_after_ms: objection.retry_after_ms,
        challenge: None,
    };
    match code.manner {
        Manner::Challenge if code.name == pipeline::refusal::NONCE_MISSING.name => {
            said.challenge = Some(Cure::Nonce);
        }
        Manner::Challenge => {
            let presented = code.name != pipeline::refusal::CREDENTIAL_MISSING.name;
            said.challenge = Some(Cure::Credential { presented });
        }
        Manner::LogIn | Manner::StepUp => {
            said.challenge = objection.stronger.as_deref().cloned().map(Cure::Stronger)
        }
        Manner::Tell if asked.method == Some(Method::ToolsCall) => {
            said.status = 200;
            said.message = asked.id.as_ref().map(|id| tool_error(id, asked, refusal, call));
            return said;
        }
        Manner::Ask => {
            said.status = 200;
            let result = objection.data.as_deref().unwrap_or(b"{}");
            said.message = asked.id.as_ref().map(|id| jsonrpc::result(id, result));
            return said;
        }
        Manner::Error | Manner::Tell => {}
    }
    // What was taken has no body (streamable HTTP): an error in it would say otherwise.
    if said.status == 202 {
        return said;
    }
    let data = error_data(refusal, call);
    said.message = Some(jsonrpc::error(
        asked.id.as_ref(),
        code.rpc,
        &refusal.outside(),
        Some(&data),
    ));
    said
}

/// In the legacy era a 404 means that the session is gone, so nothing else may say it.
fn status(asked: &Asked, code: &Code) -> u16 {
    let legacy = asked.revision.era() == Era::Legacy;
    // An endpoint that is not there has no sessions either.
    let is_gone = [
        &pipeline::refusal::SESSION_UNKNOWN,
        &pipeline::refusal::ENDPOINT_UNKNOWN,
    ]
    .contains(&code);
    let status = if code.http == 404 && legacy && !is_gone {
        200
    } else {
        code.http
    };
    // A late answer: the question was withdrawn, or its time is over. Some clients end on anything but "taken".
    if asked.id.is_none() && asked.method.is_none() && *code == pipeline::refusal::TARGET_UNKNOWN {
        return 202;
    }
    match (&asked.id, status) {
        // Whoever wants no answer reads the status alone: taken is 202, and 200 is nothing else (streamable HTTP).
        (None, 200) if code.rpc == wire::mcp::code::REFUSED => 403,
        (None, 200) => 400,
        (Some(_) | None, status) => status,
    }
}

/// A refusal as a tool result: models read it, and go on with something else.
fn tool_error(id: &Id, asked: &Asked, refusal: &Refusal, call: &str) -> Vec<u8> {
    let code = refusal.code();
    let text = format!(
        "Refused by Sallyport: {}. What can be done: {}. Code: {}. Reference: {call}.",
        refusal.outside(),
        refusal.remedy(),
        code.name
    );
    let result = object(|out| {
        out.array("content", |content| {
            content.object(|block| {
                block.string("type", "text");
                block.string("text", &text);
            });
        });
        out.boolean("isError", true);
        out.object("_meta", |out| out.json(meta::CALL, &error_data(refusal, call)));
    });
    jsonrpc::result(id, &shape::own(&result, asked.revision, Method::ToolsCall))
}

fn error_data(refusal: &Refusal, call: &str) -> Vec<u8> {
    let objection = refusal.objection();
    let given = objection.data.as_deref();
    if let Some(given) = given {
        // The specification has its own `data` for this error; nothing may be added to it.
        return given.to_vec();
    }
    object(|out| {
        out.string("code", refusal.code().name);
        out.string("remedy", refusal.remedy());
        out.string("reference", call);
        if let Some(approval) = &objection.approval {
            out.string("approval", approval);
        }
        if let Some(Stronger::Login { level, max_age_s }) = objection.stronger.as_deref() {
            out.string("acr_values", level);
            if let Some(max_age_s) = max_age_s {
                out.integer("max_age", i64::from(*max_age_s));
            }
        }
        if let Some(after) = objection.retry_after_ms {
            out.integer("retryAfterMs", after);
        }
    })
}
