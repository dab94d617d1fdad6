//! The load generator of the bench: `tools/call` over Streamable HTTP from many connections at once.
//!
//! `e2e-load URL TOOL BYTES CONNECTIONS SECONDS [TOKEN [RATE]]` prints one line of JSON: calls, seconds, p50 and
//! p99 in microseconds, failures. With a RATE calls come at so many a second, whatever those before them do: one
//! that finds no connection free has waited since its time. The text of a call is prose, or that of the file
//! `LOAD_TEXT`, and in each another word stands every four thousand letters, so that nobody who remembers what was said before has
//! less to do; with `LOAD_SAME` all are the same. It knows nothing of what answers.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program of the bench; what is not as expected ends it"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::json;

const REVISION: &str = "2026-07-28";

struct Work {
    host: String,
    path: String,
    tool: String,
    token: Option<String>,
    /// The message, in parts, and between them what makes it another one each time.
    body: Vec<String>,
    /// Messages so far, if each is to be another one.
    said: Option<AtomicU32>,
    start: Instant,
    until: Instant,
    /// Between two calls, where they come at their own pace.
    gap: Option<Duration>,
    /// Calls that have come so.
    come: AtomicU32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let url = args[0].strip_prefix("http://").expect("an http URL");
    let (host, path) = url.split_once('/').expect("a path");
    let bytes: usize = args[2].parse().expect("bytes");
    let connections: usize = args[3].parse().expect("connections");
    let seconds: f64 = args[4].parse().expect("seconds");
    let start = Instant::now();
    let work = Arc::new(Work {
        host: host.to_owned(),
        path: format!("/{path}"),
        tool: args[1].clone(),
        token: args.get(5).cloned(),
        body: body(&args[1], bytes),
        said: std::env::var("LOAD_SAME").is_err().then(|| AtomicU32::new(0)),
        start,
        until: start + Duration::from_secs_f64(seconds),
        gap: args
            .get(6)
            .map(|rate| Duration::from_secs_f64(1.0 / rate.parse::<f64>().expect("a rate"))),
        come: AtomicU32::new(0),
    });
    let workers: Vec<_> = (0..connections)
        .map(|_| tokio::spawn(worker(Arc::clone(&work))))
        .collect();
    let (mut times, mut failures) = (Vec::new(), 0_u64);
    for worker in workers {
        let (own, failed) = worker.await.expect("a worker ends");
        times.extend(own);
        failures += failed;
    }
    let elapsed = start.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |part: usize| {
        times
            .get(times.len() * part / 1000)
            .map_or(0, Duration::as_micros)
    };
    let (calls, p50, p99) = (times.len(), at(500), at(990));
    println!(
        "{}",
        json!({"calls": calls, "seconds": elapsed, "p50_us": p50, "p99_us": p99, "failures": failures})
    );
}

/// A word of seven letters for each number.
fn word(number: u32) -> String {
    (0..7_u32)
        .map(|place| char::from(b'a' + u8::try_from(number / 26_u32.pow(place.min(6)) % 26).unwrap_or(0)))
        .collect()
}

/// Letters from one such word to the next: each stretch of a text that is looked at by itself has one.
const STRETCH: usize = 4_000;

fn body(tool: &str, bytes: usize) -> Vec<String> {
    // Prose of the size wanted: what inspection has to read.
    let prose = std::env::var("LOAD_TEXT").map_or_else(
        |_| {
            "The quarterly report lists revenue by region and compares it with the plan of last spring. "
                .to_owned()
        },
        |file| std::fs::read_to_string(file).expect("a text"),
    );
    let first = word(0);
    let mut prose = prose.chars().cycle();
    let mut text = String::with_capacity(bytes);
    while text.len() < bytes {
        let rest = (bytes - text.len()).min(STRETCH);
        let prose = prose.by_ref().take(rest.saturating_sub(first.len() + 2));
        text.extend(first.chars().chain([' ']).chain(prose).chain([' ']));
    }
    let message = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {
            "name": tool,
            "arguments": {"text": text},
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": REVISION,
                "io.modelcontextprotocol/clientInfo": {"name": "load", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    });
    let message = message.to_string();
    message.split(&first).map(str::to_owned).collect()
}

impl Work {
    fn message(&self) -> Bytes {
        let number = self
            .said
            .as_ref()
            .map_or(0, |said| said.fetch_add(1, Ordering::Relaxed));
        Bytes::from(self.body.join(&word(number)))
    }
}

async fn worker(work: Arc<Work>) -> (Vec<Duration>, u64) {
    let mut times = Vec::new();
    let mut failures = 0;
    let mut connection = connect(&work).await;
    while Instant::now() < work.until {
        let begun = turn(&work).await;
        match call(&mut connection, &work).await {
            Ok(true) => times.push(begun.elapsed()),
            Ok(false) => failures += 1,
            Err(_) => {
                failures += 1;
                connection = connect(&work).await;
            }
        }
    }
    (times, failures)
}

/// Waits for the time of the next call, and says since when it waits.
async fn turn(work: &Work) -> Instant {
    let now = Instant::now();
    let Some(gap) = work.gap else {
        return now;
    };
    let due = work.start + gap * work.come.fetch_add(1, Ordering::Relaxed);
    if due <= now {
        return due;
    }
    tokio::time::sleep_until(due.into()).await;
    // What the timer is late by is no time of the call's.
    Instant::now()
}

async fn connect(work: &Work) -> SendRequest<Full<Bytes>> {
    let stream = tokio::net::TcpStream::connect(&work.host)
        .await
        .expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("a connection");
    tokio::spawn(connection);
    sender
}

async fn call(connection: &mut SendRequest<Full<Bytes>>, work: &Work) -> Result<bool, hyper::Error> {
    let mut request = Request::post(&work.path)
        .header("Host", &work.host)
        .header("Content-Type", "application/json")
        .header("Accept", "application/json, text/event-stream")
        .header("MCP-Protocol-Version", REVISION)
        .header("Mcp-Method", "tools/call")
        .header("Mcp-Name", &work.tool);
    if let Some(token) = &work.token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    connection.ready().await?;
    let request = request.body(Full::new(work.message())).expect("a request");
    let answer = connection.send_request(request).await?;
    let is_ok = answer.status().is_success();
    let body = answer.into_body().collect().await?.to_bytes();
    // An answer that refuses is no call.
    let refused = [&b"\"isError\":true"[..], b"\"error\":"];
    let head = &body[..body.len().min(400)];
    Ok(is_ok
        && !refused
            .iter()
            .any(|mark| head.windows(mark.len()).any(|part| part == *mark)))
}
