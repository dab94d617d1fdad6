//! Many principals at once, who all count their requests from 1: whose answer comes to whom.
//!
//! `e2e-crowd calls BASE PRINCIPALS CALLS TOOL...` has the agents `agent-0`, `agent-1`, ... call the tools in turn, each
//! over one connection of the modern era and one session, and looks into each answer for what that very call sent.
//! `e2e-crowd sessions BASE PRINCIPALS SESSIONS` opens sessions, and leaves them open. Both print one line of JSON. The
//! agents' secret is in `CROWD_SECRET`.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program of the tests; what is not as expected ends it"
)]

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

/// Requests that are let go for another reason than their answer, in a row, until a client gives up.
const TRIES: u32 = 3;

/// What came of all calls.
#[derive(Debug, Default)]
struct Tally {
    good: AtomicU64,
    /// Answers with another call's text or id in them.
    wrong: AtomicU64,
    failed: AtomicU64,
}

/// One client: an agent's connection, in one era.
struct Client {
    host: String,
    agent: String,
    is_modern: bool,
    token: String,
    session: Option<String>,
    connection: SendRequest<Full<Bytes>>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let host = args[1].strip_prefix("http://").expect("an http URL").to_owned();
    let principals: usize = args[2].parse().expect("a number");
    let total: usize = args[3].parse().expect("a number");
    let tally = Arc::new(Tally::default());
    if args[0] == "sessions" {
        let mut opened = 0;
        for principal in 0..principals {
            let mut client = Client::open(&host, principal, false).await;
            for _ in principal * total / principals..(principal + 1) * total / principals {
                client.begin().await;
                opened += u64::from(client.session.is_some());
            }
        }
        println!("{}", json!({"sessions": opened}));
        return;
    }
    let tools: Arc<[String]> = args[4..].into();
    let each = total / (2 * principals);
    let workers: Vec<_> = (0..2 * principals)
        .map(|n| {
            let (host, tools, tally) = (host.clone(), Arc::clone(&tools), Arc::clone(&tally));
            tokio::spawn(async move {
                let mut client = Client::open(&host, n / 2, n % 2 == 0).await;
                for id in 1..=each {
                    let tool = &tools[id % tools.len()];
                    client.call(id, tool, &tally).await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.expect("a worker ends");
    }
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (good, wrong, failed) = (read(&tally.good), read(&tally.wrong), read(&tally.failed));
    println!("{}", json!({"good": good, "wrong": wrong, "failed": failed}));
}

impl Client {
    async fn open(host: &str, principal: usize, is_modern: bool) -> Self {
        let agent = format!("agent-{principal}");
        let token = token(host, &agent).await;
        let connection = connect(host).await;
        let mut client = Self {
            host: host.to_owned(),
            agent,
            is_modern,
            token,
            session: None,
            connection,
        };
        if !is_modern {
            client.begin().await;
        }
        client
    }

    /// A new session.
    async fn begin(&mut self) {
        self.session = None;
        let params = json!({
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "crowd", "version": "1"},
        });
        let message = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let answer = self.send("initialize", None, &message).await.expect("an answer");
        let session = answer.headers().get("mcp-session-id").expect("a session");
        self.session = Some(session.to_str().expect("a name").to_owned());
        answer.into_body().collect().await.expect("an answer");
        let done = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let answer = self
            .send("notifications/initialized", None, &done)
            .await
            .expect("an answer");
        answer.into_body().collect().await.expect("an answer");
    }

    async fn call(&mut self, id: usize, tool: &str, tally: &Tally) {
        let era = if self.is_modern { "modern" } else { "session" };
        let text = format!("{} {era} {id}", self.agent);
        let mut params = json!({"name": tool, "arguments": {"text": text}});
        if self.is_modern {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
            });
        }
        let message = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        for _ in 0..TRIES {
            let Ok(answer) = self.send("tools/call", Some(tool), &message).await else {
                self.connection = connect(&self.host).await;
                continue;
            };
            // Tokens live for minutes, and a million calls take longer.
            if answer.status() == 401 {
                self.token = token(&self.host, &self.agent).await;
                continue;
            }
            let Ok(body) = answer.into_body().collect().await else {
                continue;
            };
            let answer: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
            let said = &answer["result"]["content"][0]["text"];
            let count = match said.as_str() {
                Some(said) if said == text && answer["id"] == json!(id) => &tally.good,
                Some(said) if said.starts_with("agent-") => &tally.wrong,
                Some(_) | None => &tally.failed,
            };
            count.fetch_add(1, Ordering::Relaxed);
            return;
        }
        tally.failed.fetch_add(1, Ordering::Relaxed);
    }

    async fn send(
        &mut self,
        method: &str,
        name: Option<&str>,
        message: &Value,
    ) -> Result<Response<hyper::body::Incoming>, hyper::Error> {
        let mut request = Request::post("/mcp")
            .header("Host", &self.host)
            .header("Content-Type", "application/json")
            .header("Accept", "application/json, text/event-stream")
            .header("Authorization", format!("Bearer {}", self.token));
        if self.is_modern {
            request = request
                .header("MCP-Protocol-Version", "2026-07-28")
                .header("Mcp-Method", method)
                .header("Mcp-Name", name.unwrap_or_default());
        }
        if let Some(session) = &self.session {
            request = request
                .header("MCP-Protocol-Version", "2025-11-25")
                .header("Mcp-Session-Id", session);
        }
        let body = Full::new(Bytes::from(message.to_string()));
        self.connection.ready().await?;
        self.connection
            .send_request(request.body(body).expect("a request"))
            .await
    }
}

async fn connect(host: &str) -> SendRequest<Full<Bytes>> {
    let stream = tokio::net::TcpStream::connect(host).await.expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = handshake.expect("a connection");
    tokio::spawn(connection);
    sender
}

/// A token from the embedded issuer.
async fn token(host: &str, agent: &str) -> String {
    let (base, agent) = (format!("http://{host}"), agent.to_owned());
    let secret = std::env::var("CROWD_SECRET").expect("a secret");
    let asking = tokio::task::spawn_blocking(move || {
        let answer = ureq::post(format!("{base}/oauth/token"))
            .send_form([
                ("grant_type", "client_credentials"),
                ("client_id", &agent),
                ("client_secret", &secret),
                ("resource", &format!("{base}/mcp")),
            ])
            .expect("a token");
        answer.into_body().read_to_string().expect("a body")
    });
    let answer: Value = serde_json::from_str(&asking.await.expect("an answer")).expect("JSON");
    answer["access_token"].as_str().expect("a token").to_owned()
}
