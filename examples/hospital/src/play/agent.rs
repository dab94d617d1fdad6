//! An agent: gets its own token, opens a session, calls tools, and tells what came of it.

use std::{error::Error, path::Path};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use rmcp::{
    RoleClient, ServiceExt,
    model::{CallToolRequestParams, CallToolResult},
    service::{ClientInitializeError, RunningService, ServiceError},
    transport::{
        StreamableHttpClientTransport,
        streamable_http_client::{AuthRequiredError, StreamableHttpClientTransportConfig},
    },
};
use serde_json::{Value, json};
use thiserror::Error;

use super::{Play, say};

/// The member of `_meta` in which the gateway says why it refused.
const REFUSAL: &str = "io.sallyport/call";

/// Who an agent is and whom it works for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who {
    pub(crate) agent: &'static str,
    pub(crate) user: &'static str,
}

/// Alice's assistant.
pub(crate) const SCRIBE: Who = Who {
    agent: "scribe",
    user: "alice",
};
/// Bob's assistant.
pub(crate) const PORTER: Who = Who {
    agent: "porter",
    user: "bob",
};

/// Why a scene cannot be played.
#[derive(Debug, Error)]
pub(crate) enum PlayError {
    /// A file of the house.
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    /// No session, for another reason than the token.
    #[error("no session with the gateway: {0}")]
    NoSession(Box<ClientInitializeError>),
    /// No token.
    #[error("no token from the gateway: {0}")]
    NoToken(String),
    /// A call was neither answered nor refused.
    #[error("the gateway does not answer: {0}")]
    Unanswered(Box<ServiceError>),
}

/// An agent with an open session.
#[derive(Debug)]
pub(crate) struct Agent {
    who: Who,
    session: RunningService<RoleClient, ()>,
}

impl Agent {
    /// Gets a token and opens a session.
    pub(crate) async fn arrive(play: &Play, who: Who) -> Result<Self, PlayError> {
        let token = token(play, who).await?;
        let session = connect(play, &token)
            .await
            .map_err(|error| PlayError::NoSession(Box::new(error)))?;
        Ok(Self { who, session })
    }

    /// Calls a tool, prints what came of it, and gives the text of the answer, if there was one.
    pub(crate) async fn call(
        &self,
        tool: &'static str,
        arguments: Value,
    ) -> Result<Option<String>, PlayError> {
        let params = CallToolRequestParams::new(tool);
        let params = params.with_arguments(arguments.as_object().cloned().unwrap_or_default());
        let mut line = json!({
            "agent": self.who.agent,
            "user": self.who.user,
            "tool": tool,
            "arguments": arguments,
        });
        let answered = match self.session.call_tool(params).await {
            Ok(result) => read(&result, &mut line),
            Err(ServiceError::McpError(error)) => {
                refused(error.data.as_ref(), &mut line);
                note(&mut line, "text", json!(error.message));
                None
            }
            Err(error) => return Err(PlayError::Unanswered(Box::new(error))),
        };
        say(&line);
        Ok(answered)
    }

    /// Ends the session.
    pub(crate) async fn leave(self) {
        // The gateway ends sessions nobody uses by itself.
        let _ = self.session.cancel().await;
    }
}

/// Tries to open a session with a token that should not be good, and prints what came of it.
pub(crate) async fn knock(play: &Play, who: Who, token: &str) -> Result<(), PlayError> {
    let mut line = json!({ "agent": who.agent, "user": who.user, "tool": "initialize", "arguments": {} });
    match connect(play, token).await {
        Ok(session) => {
            let _ = session.cancel().await;
            note(&mut line, "verdict", json!("allowed"));
        }
        Err(error) => {
            let Some(challenge) = challenge(&error) else {
                return Err(PlayError::NoSession(Box::new(error)));
            };
            note(&mut line, "verdict", json!("refused"));
            note(&mut line, "http", json!(401));
            note(&mut line, "text", json!(challenge));
        }
    }
    say(&line);
    Ok(())
}

/// A token of the gateway's own issuer: client credentials, with the purpose declared.
pub(crate) async fn token(play: &Play, who: Who) -> Result<String, PlayError> {
    let path = play.house.join(format!("{}.secret", who.agent));
    let secret = read_file(&path)?;
    let details = json!([{ "type": "sallyport_context", "purpose": "treatment" }]).to_string();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", who.agent),
        ("client_secret", secret.trim()),
        ("resource", &play.mcp),
        ("authorization_details", &details),
    ];
    let missing = |why: String| PlayError::NoToken(why);
    let answer = client().post(&play.issuer).form(&form).send().await;
    let answer: Value = async { answer?.json().await }
        .await
        .map_err(|error| missing(chain(&error)))?;
    let token = answer.get("access_token").and_then(Value::as_str);
    token
        .map(str::to_owned)
        .ok_or_else(|| missing(answer.to_string()))
}

/// The same token with another subject, under the old signature.
pub(crate) fn forged(token: &str, as_agent: &str) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    if let Some(payload) = parts.get_mut(1) {
        let mut claims: Value = BASE64
            .decode(payload.as_bytes())
            .ok()
            .and_then(|b| serde_json::from_slice(&b).ok())
            .unwrap_or_default();
        for name in ["sub", "client_id"] {
            note(&mut claims, name, json!(as_agent));
        }
        *payload = BASE64.encode(claims.to_string());
    }
    parts.join(".")
}

pub(crate) fn read_file(path: &Path) -> Result<String, PlayError> {
    std::fs::read_to_string(path).map_err(|error| PlayError::File(path.display().to_string(), error))
}

async fn connect(play: &Play, token: &str) -> Result<RunningService<RoleClient, ()>, ClientInitializeError> {
    let config = StreamableHttpClientTransportConfig::with_uri(play.mcp.as_str()).auth_header(token);
    ().serve(StreamableHttpClientTransport::with_client(
        reqwest::Client::new(),
        config,
    ))
    .await
}

/// A client for this machine: a proxy of the environment has no part in it.
fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap_or_default()
}

/// Reads a result: an answer, or a refusal that a model can read.
fn read(result: &CallToolResult, line: &mut Value) -> Option<String> {
    let text: Vec<&str> = result
        .content
        .iter()
        .filter_map(|block| Some(block.as_text()?.text.as_str()))
        .collect();
    let text = text.join("\n");
    note(line, "text", json!(text));
    if let Some(why) = result.meta.as_ref().and_then(|meta| meta.get(REFUSAL)) {
        refused(Some(why), line);
        return None;
    }
    let failed = result.is_error == Some(true);
    note(line, "verdict", json!(if failed { "failed" } else { "allowed" }));
    (!failed).then_some(text)
}

fn refused(why: Option<&Value>, line: &mut Value) {
    note(line, "verdict", json!("refused"));
    for name in ["code", "reference"] {
        if let Some(value) = why.and_then(|why| why.get(name)) {
            note(line, name, value.clone());
        }
    }
}

fn note(line: &mut Value, name: &str, value: Value) {
    if let Some(line) = line.as_object_mut() {
        line.insert(name.to_owned(), value);
    }
}

/// The challenge of an HTTP 401, wherever the SDK has put it.
fn challenge(error: &ClientInitializeError) -> Option<String> {
    let ClientInitializeError::TransportError { error, .. } = error else {
        return None;
    };
    let mut cause: Option<&(dyn Error + 'static)> = Some(error.error.as_ref());
    while let Some(error) = cause {
        if let Some(required) = error.downcast_ref::<AuthRequiredError>() {
            return Some(required.www_authenticate_header.clone());
        }
        cause = error.source();
    }
    None
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
