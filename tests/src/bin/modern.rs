//! An MCP server of the modern era alone, for tests of bridging: it says what reached it, and speaks to its
//! subscribers on demand.
//!
//! `e2e-modern` serves a port of its own and prints its URL. It knows nothing of the gateway.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program of the tests; what is not as expected ends it"
)]

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Mutex,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Streams of `subscriptions/listen` that are open.
static LISTENING: Mutex<Vec<Listening>> = Mutex::new(Vec::new());

/// The texts of all calls that became tasks. Nobody is asked whose they are.
static TASKS: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// What was answered to what tasks asked, by their numbers.
static ANSWERS: Mutex<Vec<(usize, Value)>> = Mutex::new(Vec::new());

/// One of them: its id, what it asked for, and the way to it.
type Listening = (Value, Vec<String>, mpsc::UnboundedSender<Value>);

#[tokio::main]
async fn main() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    println!("http://{}/mcp", listener.local_addr().expect("an address"));
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        tokio::spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(serve))
                .await;
        });
    }
}

/// A body that is whole, or a stream of events.
enum Body {
    Events(mpsc::UnboundedReceiver<Value>),
    Whole(Option<Bytes>),
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Events(events) => events.poll_recv(cx).map(|event| {
                let text = format!("event: message\ndata: {}\n\n", event?);
                Some(Ok(Frame::data(Bytes::from(text))))
            }),
            Self::Whole(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
        }
    }
}

async fn serve(request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let message: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let (status, kind, body) = match message["method"].as_str() {
        Some("subscriptions/listen") => (200, "text/event-stream", Body::Events(listen(&message))),
        Some(_) => {
            let (status, answer) = answer(&message);
            let text = answer.to_string();
            (status, "application/json", Body::Whole(Some(Bytes::from(text))))
        }
        None => (405, "text/plain", Body::Whole(None)),
    };
    let mut response = Response::new(body);
    *response.status_mut() = hyper::StatusCode::from_u16(status).expect("a status");
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

fn listen(message: &Value) -> mpsc::UnboundedReceiver<Value> {
    let (sender, events) = mpsc::unbounded_channel();
    let asked = &message["params"]["notifications"];
    let uris: Vec<String> =
        serde_json::from_value(asked["resourceSubscriptions"].clone()).unwrap_or_default();
    // What begins with `no:` cannot be watched.
    let uris: Vec<String> = uris.into_iter().filter(|uri| !uri.starts_with("no:")).collect();
    let acknowledged = json!({"resourceSubscriptions": uris});
    let params = json!({"notifications": acknowledged, "_meta": tag(&message["id"])});
    let _ = sender.send(notification("subscriptions/acknowledged", params));
    let mut listening = LISTENING.lock().expect("nobody panics");
    listening.push((message["id"].clone(), uris, sender));
    events
}

fn tag(id: &Value) -> Value {
    json!({"io.modelcontextprotocol/subscriptionId": id})
}

fn notification(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "method": format!("notifications/{method}"), "params": params})
}

fn answer(message: &Value) -> (u16, Value) {
    let id = &message["id"];
    let good = |result: Value| (200, json!({"jsonrpc": "2.0", "id": id, "result": result}));
    let tool = |name: &str, description: &str| {
        let text = json!({"text": {"type": "string"}});
        json!({"name": name, "description": description, "inputSchema": {"type": "object", "properties": text}})
    };
    let mut count = tool(
        "count",
        "Becomes a task whose result the text is: a number in it.",
    );
    count["outputSchema"] = json!({
        "type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"],
    });
    match message["method"].as_str().unwrap_or_default() {
        "server/discover" => good(json!({
            "resultType": "complete", "ttlMs": 0, "cacheScope": "private",
            "supportedVersions": ["2026-07-28"],
            "capabilities": {
                "tools": {}, "logging": {}, "resources": {"subscribe": true},
                "extensions": {"io.modelcontextprotocol/tasks": {}},
            },
        })),
        "tools/list" => good(
            json!({"resultType": "complete", "ttlMs": 0, "cacheScope": "private", "tools": [
                tool("meta", "Gives back what the request said of itself."),
                tool("start", "Becomes a task."),
                count,
                tool("touch", "Says that a resource changed, to those who subscribed to it."),
                tool("touch_everyone", "Says that a resource changed, to everybody."),
                tool("cut", "Ends the streams of all who subscribed."),
                tool("watched", "Gives back which resources are subscribed to on which stream."),
            ]}),
        ),
        "resources/list" => {
            let resource = |name: &str| json!({"uri": format!("test://{name}"), "name": name});
            let listed = json!([resource("one"), resource("two"), {"uri": "no:way", "name": "no"}]);
            good(json!({"resultType": "complete", "ttlMs": 0, "cacheScope": "private", "resources": listed}))
        }
        "tools/call"
            if ["start", "count"]
                .iter()
                .any(|name| message["params"]["name"] == json!(name)) =>
        {
            let text = &message["params"]["arguments"]["text"];
            let mut tasks = TASKS.lock().expect("nobody panics");
            tasks.push(text.as_str().unwrap_or_default().to_owned());
            let mut made = task(tasks.len());
            made["resultType"] = json!("task");
            good(made)
        }
        method @ ("tasks/get" | "tasks/update" | "tasks/cancel") => {
            let id = message["params"]["taskId"].as_str().unwrap_or_default();
            let number: usize = id.trim_start_matches("task-").parse().expect("a task");
            let text = TASKS.lock().expect("nobody panics")[number - 1].clone();
            let mut answers = ANSWERS.lock().expect("nobody panics");
            if method == "tasks/update" {
                answers.push((number, message["params"]["inputResponses"].clone()));
            }
            let mut answer = json!({});
            if method == "tasks/get" {
                answer = task(number);
                let answered = answers.iter().find(|(of, _)| *of == number);
                let said = answered.map_or_else(|| text.clone(), |(_, said)| said.to_string());
                if text == "ask" && answered.is_none() {
                    answer["status"] = json!("input_required");
                    answer["inputRequests"] = json!({"who": {"method": "elicitation/create", "params": {
                        "mode": "form",
                        "message": "What is your name?",
                        "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}},
                    }}});
                } else if let Ok(result @ Value::Object(_)) = serde_json::from_str(&text) {
                    answer["result"] = result;
                } else {
                    answer["result"] = json!({"content": [{"type": "text", "text": said}]});
                }
            }
            answer["resultType"] = json!("complete");
            good(answer)
        }
        "tools/call" => {
            let text = call(&message["params"]);
            good(json!({"resultType": "complete", "content": [{"type": "text", "text": text}]}))
        }
        _ => {
            let error = json!({"code": -32601, "message": "Method not found"});
            (404, json!({"jsonrpc": "2.0", "id": id, "error": error}))
        }
    }
}

fn task(number: usize) -> Value {
    let at = "2026-11-21T00:00:00Z";
    let id = format!("task-{number}");
    json!({"taskId": id, "status": "completed", "createdAt": at, "lastUpdatedAt": at, "ttlMs": null})
}

fn call(params: &Value) -> String {
    let mut listening = LISTENING.lock().expect("nobody panics");
    listening.retain(|(.., way)| !way.is_closed());
    let name = params["name"].as_str().unwrap_or_default();
    let uri = params["arguments"]["text"].as_str().unwrap_or_default();
    match name {
        "meta" => params["_meta"].to_string(),
        "cut" => {
            listening.clear();
            "cut".to_owned()
        }
        "watched" => {
            let watched = listening.iter().filter(|(_, uris, _)| !uris.is_empty());
            json!(watched.map(|(_, uris, _)| uris).collect::<Vec<_>>()).to_string()
        }
        _ => {
            for (id, uris, way) in listening.iter() {
                if name == "touch_everyone" || uris.iter().any(|watched| watched == uri) {
                    let params = json!({"uri": uri, "_meta": tag(id)});
                    let _ = way.send(notification("resources/updated", params));
                }
            }
            "said".to_owned()
        }
    }
}
