//! An MCP server for tests and the bench: it keeps a journal of what it executed, and misbehaves on demand.
//!
//! `e2e-stub stdio [JOURNAL]` serves standard input and output; `e2e-stub http` serves a port of its own and
//! prints its URL, and keeps its journal in the file named by STUB_JOURNAL; `e2e-stub unix PATH` serves a Unix socket. `e2e-stub raw FOLDER` answers what lies in a folder, byte
//! for byte, and keeps what it heard there; `e2e-stub http FOLDER` does so over HTTP. It knows nothing of the gateway.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::exit,
    reason = "a program of the tests; what is not as expected ends it"
)]

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{BufRead, Write},
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock},
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Request, Response, body::Incoming, header::CONTENT_TYPE, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

/// What it executed, one trace id a line.
static JOURNAL: Mutex<Option<File>> = Mutex::new(None);
/// Where its answers over HTTP lie, if it does not make them itself.
static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// Streams of subscriptions that are open: their ids and the resources they are for.
static LISTENING: Mutex<Vec<(Value, Vec<String>)>> = Mutex::new(Vec::new());

/// The texts of all calls that became tasks.
static TASKS: Mutex<Vec<Value>> = Mutex::new(Vec::new());

/// Every subscription to a resource, and every end of one.
static SUBSCRIPTIONS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("stdio") => {
            if let Some(path) = args.get(1) {
                keep_journal(Path::new(path));
            }
            stdio();
        }
        Some("http") => {
            if let Some(folder) = args.get(1) {
                FOLDER.set(folder.into()).expect("once");
            }
            if let Some(path) = std::env::var_os("STUB_JOURNAL") {
                keep_journal(Path::new(&path));
            }
            http();
        }
        Some("raw") => raw(Path::new(args.get(1).expect("a folder"))),
        Some("unix") => unix(args.get(1).expect("a path")),
        _ => {
            println!("usage: e2e-stub stdio [JOURNAL] | http [FOLDER] | unix PATH | raw FOLDER");
            std::process::exit(2);
        }
    }
}

fn keep_journal(path: &Path) {
    let file = OpenOptions::new().create(true).append(true).open(path);
    *JOURNAL.lock().expect("one thread") = Some(file.expect("a journal"));
}

/// Each connection is served by a process of its own, which has it for its standard input and output.
fn unix(path: &str) {
    use std::{
        os::fd::OwnedFd,
        process::{Command, Stdio},
    };
    let listener = std::os::unix::net::UnixListener::bind(path).expect("a socket");
    println!("{path}");
    for stream in listener.incoming() {
        let input = OwnedFd::from(stream.expect("a connection"));
        let output = input.try_clone().expect("a descriptor");
        let mut child = Command::new(std::env::current_exe().expect("a program"))
            .arg("stdio")
            .stdin(Stdio::from(input))
            .stdout(Stdio::from(output))
            .spawn()
            .expect("the stub starts");
        std::thread::spawn(move || child.wait());
    }
}

fn stdio() {
    // The call that waits for an answer of the client, if one does.
    let mut asking = None;
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let message: Value = serde_json::from_str(&line).expect("the gateway sends JSON");
        if message["params"]["name"] == json!("ask_user") {
            println!("{}", question());
            asking = Some(message["id"].clone());
            continue;
        }
        if message["id"] == json!("name?") {
            let text = format!("{}", message["result"]);
            let result = json!({"content": [{"type": "text", "text": text}]});
            println!(
                "{}",
                json!({"jsonrpc": "2.0", "id": asking.take(), "result": result})
            );
            continue;
        }
        if let Some(acknowledged) = listens(&message) {
            println!("{acknowledged}");
            continue;
        }
        match misbehave(&message) {
            Some(Ok(instead)) => println!("{instead}"),
            Some(Err(())) => {}
            None => {
                if let Some(answer) = answer(&message) {
                    print_line(&answer);
                }
            }
        }
    }
}

/// Prints a message: at once, or with STUB_SPLIT in pieces, each written by itself.
fn print_line(message: &Value) {
    let line = format!("{message}\n");
    let mut out = std::io::stdout().lock();
    for piece in pieces(&line) {
        out.write_all(piece).expect("somebody reads");
        out.flush().expect("somebody reads");
    }
}

/// A text as it is written: whole, or with STUB_SPLIT in pieces of 1 to 13 bytes, so that hardly a value in it is
/// left whole.
fn pieces(text: &str) -> Vec<&[u8]> {
    let mut rest = text.as_bytes();
    let mut pieces = Vec::new();
    if std::env::var_os("STUB_SPLIT").is_some() {
        while rest.len() > 13 {
            let (piece, after) = rest.split_at(1 + (rest.len() * 7 + 3) % 13);
            pieces.push(piece);
            rest = after;
        }
    }
    pieces.push(rest);
    pieces
}

/// Answers over its pipes what lies in a folder. If `question` lies there, it is asked before a call is answered.
fn raw(folder: &Path) {
    let mut waiting: Option<(Value, String)> = None;
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("text");
        let Some(answer) = raw_answer(folder, &line) else {
            // What is no request may be the answer to the question.
            let said: Value = serde_json::from_str(&line).expect("the gateway sends JSON");
            if let Some((_, answer)) = waiting.take_if(|(id, _)| *id == said["id"]) {
                println!("{answer}");
            }
            continue;
        };
        match std::fs::read_to_string(folder.join("question")) {
            Ok(question) if line.contains("\"tools/call\"") => {
                println!("{question}");
                let asked = question.lines().last().map(serde_json::from_str::<Value>);
                let asked = asked.expect("a question").expect("JSON");
                waiting = Some((asked["id"].clone(), answer));
            }
            _ => println!("{answer}"),
        }
    }
}

/// The result, or the error, in the file named like the request's method (`tools_call`). What was heard is kept in `heard`.
fn raw_answer(folder: &Path, line: &str) -> Option<String> {
    let heard = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("heard"));
    let message: Value = serde_json::from_str(line).expect("the gateway sends JSON");
    writeln!(heard.expect("a file"), "{line}").expect("it can be written");
    let (id, method) = (message.get("id")?, message["method"].as_str()?);
    match std::fs::read_to_string(folder.join(method.replace('/', "_"))) {
        Ok(said) => {
            let kind = if said.starts_with(r#"{"code":"#) {
                "error"
            } else {
                "result"
            };
            Some(format!(r#"{{"jsonrpc":"2.0","id":{id},"{kind}":{said}}}"#))
        }
        Err(_) => {
            let error = json!({"code": -32601, "message": "Method not found"});
            Some(json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string())
        }
    }
}

/// Opens a stream of subscriptions, or ends one (modern era).
fn listens(message: &Value) -> Option<Value> {
    let mut listening = LISTENING.lock().expect("one thread");
    listening.retain(|(id, _)| *id != message["params"]["requestId"]);
    if message["method"] != json!("subscriptions/listen") {
        return None;
    }
    let (id, asked) = (&message["id"], &message["params"]["notifications"]);
    let uris = serde_json::from_value(asked["resourceSubscriptions"].clone()).unwrap_or_default();
    listening.push((id.clone(), uris));
    let meta = json!({"io.modelcontextprotocol/subscriptionId": id});
    let params = json!({"notifications": asked, "_meta": meta});
    let method = "notifications/subscriptions/acknowledged";
    Some(json!({"jsonrpc": "2.0", "method": method, "params": params}))
}

/// What it asks the user while a call runs.
fn question() -> Value {
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    let params = json!({"message": "What is your name?", "requestedSchema": schema});
    json!({"jsonrpc": "2.0", "id": "name?", "method": "elicitation/create", "params": params})
}

/// What a bad server does when one of its bad tools is called: prints something else, or nothing.
fn misbehave(message: &Value) -> Option<Result<String, ()>> {
    let tool = message["params"]["name"].as_str()?;
    match tool {
        "garbage" => {
            println!("Listening on port 3000 ...");
            println!("{{\"jsonrpc\": \"2.0\", \"id\": ");
            Some(Ok(answer(message)?.to_string()))
        }
        "wrong_id" => {
            let mut answer = answer(message)?;
            answer["id"] = json!("nobody asked");
            Some(Ok(answer.to_string()))
        }
        "ask" => {
            println!(
                "{}",
                json!({"jsonrpc": "2.0", "id": "a question", "method": "ping"})
            );
            None
        }
        "touch" => {
            let uri = &message["params"]["arguments"]["text"];
            let params = json!({"uri": uri});
            println!(
                "{}",
                json!({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": params})
            );
            None
        }
        "mutter" => {
            let params = &message["params"];
            let (text, token) = (&params["arguments"]["text"], &params["_meta"]["progressToken"]);
            let progress = json!({"progressToken": token, "progress": 1, "message": text});
            let log = json!({"level": "info", "data": {"text": text}});
            for (method, params) in [("progress", progress), ("message", log)] {
                let method = format!("notifications/{method}");
                print_line(&json!({"jsonrpc": "2.0", "method": method, "params": params}));
            }
            None
        }
        "twice" => {
            let answer = answer(message)?;
            println!("{answer}");
            Some(Ok(answer.to_string()))
        }
        "other_type" => {
            let mut answer = answer(message)?;
            answer["id"] = json!(message["id"].to_string());
            Some(Ok(answer.to_string()))
        }
        "long_line" => {
            let long = "x".repeat(20 * 1024 * 1024);
            println!("{long}");
            println!(
                "{}",
                json!({"jsonrpc": "2.0", "id": message["id"], "result": {"content": long}})
            );
            Some(Ok(answer(message)?.to_string()))
        }
        "flood" => {
            let line = "x".repeat(64 * 1024);
            for _ in 0..500 {
                let _ = writeln!(std::io::stderr(), "{line}");
            }
            None
        }
        "never" => Some(Err(())),
        "die" => std::process::exit(1),
        _ => None,
    }
}

fn answer(message: &Value) -> Option<Value> {
    let id = message.get("id")?;
    let good = |result: Value| json!({"jsonrpc": "2.0", "id": id, "result": result});
    let version = std::env::var("STUB_VERSION").unwrap_or_else(|_| "1".to_owned());
    let info = json!({"name": "stub", "version": version});
    if std::env::var_os("STUB_MODERN").is_some() {
        return Some(modern(message, id, &info));
    }
    Some(match message["method"].as_str().unwrap_or_default() {
        "initialize" => {
            let mut capabilities = json!({"tools": {}, "logging": {}});
            if std::env::var_os("STUB_RESOURCES").is_some() {
                capabilities["resources"] = json!({"subscribe": true});
            }
            if std::env::var_os("STUB_TASKS").is_some() {
                let calls = json!({"tools": {"call": {}}});
                capabilities["tasks"] = json!({"list": {}, "cancel": {}, "requests": calls});
            }
            let version = "2025-11-25";
            good(json!({"protocolVersion": version, "capabilities": capabilities, "serverInfo": info}))
        }
        "resources/list" => good(json!({"resources": []})),
        method @ ("resources/subscribe" | "resources/unsubscribe") => {
            let uri = message["params"]["uri"].as_str().unwrap_or_default();
            let what = method.trim_start_matches("resources/");
            SUBSCRIPTIONS
                .lock()
                .expect("one thread")
                .push(format!("{what} {uri}"));
            good(json!({}))
        }
        "ping" => good(json!({})),
        "tools/list" => good(json!({"tools": tools()})),
        "tools/call" if message["params"]["task"].is_object() => {
            let text = message["params"]["arguments"]["text"]
                .as_str()
                .unwrap_or_default();
            let mut tasks = TASKS.lock().expect("one thread");
            let counts = message["params"]["name"] == json!("count");
            tasks.push(if counts {
                serde_json::from_str(text).expect("a result")
            } else {
                json!({"content": [{"type": "text", "text": text}]})
            });
            good(json!({"task": task(tasks.len())}))
        }
        "tools/call" => good(call(message)),
        "tasks/list" => {
            let tasks = TASKS.lock().expect("one thread").len();
            good(json!({"tasks": (1..=tasks).map(task).collect::<Vec<_>>()}))
        }
        method @ ("tasks/get" | "tasks/cancel" | "tasks/result") => {
            let id = message["params"]["taskId"].as_str().unwrap_or_default();
            let number: usize = id.trim_start_matches("task-").parse().expect("a task");
            let result = TASKS.lock().expect("one thread")[number - 1].clone();
            good(match method {
                "tasks/result" => result,
                _ => task(number),
            })
        }
        _ => json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "Method not found"}}),
    })
}

fn task(number: usize) -> Value {
    let at = "2026-11-21T00:00:00Z";
    let id = format!("task-{number}");
    json!({"taskId": id, "status": "completed", "createdAt": at, "lastUpdatedAt": at, "ttl": null})
}

/// What it offers besides.
fn extensions() -> Value {
    let said = std::env::var("STUB_EXTENSIONS").unwrap_or_default();
    serde_json::from_str(&said).unwrap_or_else(|_| json!({}))
}

/// A server of the modern era alone.
fn modern(message: &Value, id: &Value, info: &Value) -> Value {
    let mut capabilities = json!({"tools": {}, "extensions": extensions()});
    if std::env::var_os("STUB_RESOURCES").is_some() {
        capabilities["resources"] = json!({"subscribe": true});
    }
    let whole = |mut result: Value| {
        result["resultType"] = json!("complete");
        result["_meta"] = json!({"io.modelcontextprotocol/serverInfo": info});
        json!({"jsonrpc": "2.0", "id": id, "result": result})
    };
    let kept = |mut result: Value| {
        (result["ttlMs"], result["cacheScope"]) = (json!(0), json!("private"));
        whole(result)
    };
    match message["method"].as_str().unwrap_or_default() {
        "server/discover" => kept(json!({"supportedVersions": ["2026-07-28"], "capabilities": capabilities})),
        "tools/list" => kept(json!({"tools": tools()})),
        "tools/call" => whole(call(message)),
        "resources/list" => kept(json!({"resources": []})),
        "initialize" => json!({"jsonrpc": "2.0", "id": id, "error": {
            "code": -32022, "message": "Unsupported protocol version",
            "data": {"supported": ["2026-07-28"], "requested": message["params"]["protocolVersion"]},
        }}),
        _ => json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "Method not found"}}),
    }
}

fn tools() -> Value {
    let tool = |name: &str, description: &str| {
        json!({
            "name": name,
            "description": description,
            "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}},
        })
    };
    let own = json!([
        tool("echo", "Gives back the text."),
        tool("journal", "Writes one line to the journal."),
        tool("keep", "Keeps a text in the file named by STUB_MEMORY."),
        tool("recall", "Gives back all kept texts."),
        tool("say", "Answers with the result that the text is."),
        tool("garbage", "Prints lines that are no messages, then answers."),
        tool("wrong_id", "Answers under an id nobody used."),
        tool("ask", "Asks the client something first."),
        tool(
            "mutter",
            "Says the text as progress and in its log, then gives it back."
        ),
        tool(
            "ask_user",
            "Asks the user for a name, and says what was answered."
        ),
        tool("touch", "Says that a resource changed."),
        tool(
            "subscriptions",
            "Gives back every subscription and every end of one."
        ),
        tool("twice", "Answers twice."),
        tool("other_type", "Answers under the id as a text."),
        tool("long_line", "Prints lines of 20 MiB, then answers."),
        tool("flood", "Prints 32 MiB of complaints, then answers."),
        tool("never", "Does not answer."),
        tool("die", "Ends the process."),
    ]);
    let mut tools: Vec<Value> = own.as_array().cloned().unwrap_or_default();
    if std::env::var_os("STUB_TASKS").is_some() {
        let mut count = tool(
            "count",
            "Answers with the result that the text is: a number in it.",
        );
        count["outputSchema"] = json!({
            "type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"],
        });
        tools.push(count);
    }
    // For the bench: what is measured is a call, not how much else a server offers.
    if std::env::var_os("STUB_SMALL").is_some() {
        tools.truncate(1);
    }
    // What a server of somebody else's making would call its tools.
    let further = std::env::var("STUB_TOOLS").unwrap_or_default();
    let further: BTreeMap<String, String> = serde_json::from_str(&further).unwrap_or_default();
    tools.extend(further.iter().map(|(name, description)| tool(name, description)));
    json!(tools)
}

fn call(message: &Value) -> Value {
    let params = &message["params"];
    if params["name"] == json!("journal") {
        let parent = params["_meta"]["traceparent"].as_str().unwrap_or("none");
        let mut journal = JOURNAL.lock().expect("one thread");
        let journal = journal.as_mut().expect("a journal");
        // One write of one line to a file opened for appending: whole or not at all.
        journal
            .write_all(format!("{parent}\n").as_bytes())
            .expect("the journal can be written");
    }
    let text = params["arguments"]["text"].as_str().unwrap_or_default();
    if ["say", "count"].iter().any(|name| params["name"] == json!(name)) {
        return serde_json::from_str(text).expect("a result");
    }
    let kept;
    let text = match params["name"].as_str() {
        Some("keep") => {
            let mut file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(memory())
                .expect("a memory");
            writeln!(file, "{text}").expect("the memory can be written");
            "kept"
        }
        Some("subscriptions") => {
            let mut told = SUBSCRIPTIONS.lock().expect("one thread").clone();
            let listening = LISTENING.lock().expect("one thread");
            let uris = listening.iter().flat_map(|(_, uris)| uris);
            told.extend(uris.map(|uri| format!("subscribe {uri}")));
            kept = told.join("\n");
            kept.as_str()
        }
        Some("recall") => {
            kept = std::fs::read_to_string(memory()).unwrap_or_default();
            kept.as_str()
        }
        _ => text,
    };
    json!({"content": [{"type": "text", "text": text}]})
}

fn memory() -> String {
    std::env::var("STUB_MEMORY").expect("STUB_MEMORY names a file")
}

#[tokio::main]
async fn http() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    println!("http://{}/mcp", listener.local_addr().expect("an address"));
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        tokio::spawn(async move {
            let service = service_fn(serve);
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// A body of several chunks, each of which goes out by itself.
struct Chunks(std::collections::VecDeque<Bytes>);

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(
            self.0
                .pop_front()
                .map(|chunk| Ok(hyper::body::Frame::data(chunk))),
        )
    }
}

async fn serve(request: Request<Incoming>) -> Result<Response<Chunks>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let text = String::from_utf8_lossy(&body);
    let answered = match FOLDER.get() {
        Some(folder) => raw_answer(folder, &text),
        None => answer(&serde_json::from_str(&text).unwrap_or(Value::Null)).map(|answer| answer.to_string()),
    };
    let split = std::env::var_os("STUB_SPLIT").is_some();
    let (status, body) = match answered {
        Some(answer) if split => (200, format!("event: message\ndata: {answer}\n\n")),
        Some(answer) => (200, answer),
        None => (202, String::new()),
    };
    let chunks = pieces(&body).into_iter().map(Bytes::copy_from_slice);
    let mut response = Response::new(Chunks(chunks.collect()));
    *response.status_mut() = hyper::StatusCode::from_u16(status).expect("a status");
    response.headers_mut().insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static(match (split, status) {
            (true, 200) => "text/event-stream",
            _ => "application/json",
        }),
    );
    Ok(response)
}
