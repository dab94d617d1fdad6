//! A bare MCP client of revision 2026-07-28: what it sends is what the test says, right or wrong.

use serde_json::{Value, json};

/// The revision it speaks.
pub const REVISION: &str = "2026-07-28";

/// A client.
#[derive(Clone, Debug)]
pub struct Client {
    url: String,
    token: Option<String>,
    agent: ureq::Agent,
}

/// An answer of HTTP.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The `WWW-Authenticate` header.
    pub challenge: Option<String>,
    /// The `Retry-After` header, in seconds.
    pub retry_after: Option<u64>,
    /// The body, as JSON; null if it is none. Of a stream, the last event.
    pub body: Value,
    /// The events of a stream before the last.
    pub before: Vec<Value>,
}

impl Client {
    /// For this endpoint and token.
    #[must_use]
    pub fn new(url: String, token: Option<String>) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        Self {
            url,
            token,
            agent: config.into(),
        }
    }

    /// `tools/call`.
    ///
    /// # Errors
    /// When there is no answer: the connection broke.
    pub fn call(&self, tool: &str, arguments: &Value) -> Result<Answer, String> {
        let params = json!({"name": tool, "arguments": arguments, "_meta": own_meta()});
        self.request("tools/call", Some(tool), params)
    }

    /// The same with a trace, so that the ledger and an upstream's journal can be compared.
    ///
    /// # Errors
    /// When there is no answer: the connection broke.
    pub fn call_traced(&self, tool: &str, arguments: &Value, trace: &str) -> Result<Answer, String> {
        let mut meta = own_meta();
        meta["traceparent"] = json!(format!("00-{trace}-00f067aa0ba902b7-01"));
        let params = json!({"name": tool, "arguments": arguments, "_meta": meta});
        self.request("tools/call", Some(tool), params)
    }

    /// `tools/list`: the names.
    ///
    /// # Errors
    /// When there is no answer, or it is no list.
    pub fn tools(&self) -> Result<Vec<String>, String> {
        let answer = self.request("tools/list", None, json!({"_meta": own_meta()}))?;
        let tools = answer.body["result"]["tools"]
            .as_array()
            .ok_or_else(|| answer.body.to_string())?;
        Ok(tools
            .iter()
            .filter_map(|tool| Some(tool["name"].as_str()?.to_owned()))
            .collect())
    }

    /// Any request.
    ///
    /// # Errors
    /// When there is no answer: the connection broke.
    pub fn request(&self, method: &str, name: Option<&str>, params: Value) -> Result<Answer, String> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let mut headers = vec![("Mcp-Method".to_owned(), method.to_owned())];
        headers.extend(name.map(|name| ("Mcp-Name".to_owned(), name.to_owned())));
        self.raw(&body.to_string(), &headers)
    }

    /// Any bytes with any further headers.
    ///
    /// # Errors
    /// When there is no answer: the connection broke.
    pub fn raw(&self, body: &str, headers: &[(String, String)]) -> Result<Answer, String> {
        let mut request = self
            .agent
            .post(&self.url)
            .header("Content-Type", "application/json")
            .header("Accept", "application/json, text/event-stream")
            .header("MCP-Protocol-Version", REVISION);
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.send(body).map_err(|error| error.to_string())?;
        let header = |name: &str| Some(answer.headers().get(name)?.to_str().ok()?.to_owned());
        let (status, challenge) = (answer.status().as_u16(), header("www-authenticate"));
        let retry_after = header("retry-after").and_then(|seconds| seconds.parse().ok());
        let is_stream = header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"));
        let text = answer
            .into_body()
            .read_to_string()
            .map_err(|error| error.to_string())?;
        let parsed = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
        let mut before = if is_stream {
            events(&text).map(|event| parsed(&event)).collect()
        } else {
            vec![parsed(&text)]
        };
        Ok(Answer {
            status,
            challenge,
            retry_after,
            body: before.pop().unwrap_or_default(),
            before,
        })
    }
}

impl Answer {
    /// The text of a tool's result.
    #[must_use]
    pub fn text(&self) -> &str {
        self.body["result"]["content"][0]["text"]
            .as_str()
            .unwrap_or_default()
    }

    /// Whether it is a result a tool gave without error.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.body["result"].is_object() && self.body["result"]["isError"] != json!(true)
    }
}

/// What the revision wants of every request.
#[must_use]
pub fn own_meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": REVISION,
        "io.modelcontextprotocol/clientInfo": {"name": "e2e", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

fn events(stream: &str) -> impl Iterator<Item = String> {
    stream.split("\n\n").filter_map(|event| {
        let data: Vec<_> = event
            .lines()
            .filter_map(|line| line.strip_prefix("data:"))
            .collect();
        (!data.is_empty()).then(|| data.join("\n"))
    })
}
