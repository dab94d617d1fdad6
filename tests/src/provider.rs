//! A provider of models, on the wire of OpenAI and of Anthropic. It says what it is told to say; every byte that reaches
//! it is kept.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};

/// What it says next, and how.
#[derive(Clone, Debug)]
pub struct Script {
    /// The words of its answers.
    pub text: String,
    /// A call of a tool besides: its name and arguments.
    pub tool: Option<(String, Value)>,
    /// The tokens it says it read.
    pub tokens: u64,
    /// How long it thinks.
    pub thinks: Duration,
    /// It answers with this status and body instead.
    pub instead: Option<(u16, String)>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            text: "good morning".to_owned(),
            tool: None,
            tokens: 7,
            thinks: Duration::ZERO,
            instead: None,
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Provider {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    received: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Provider {
    /// On a port of its own.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let own = Self {
            address: listener.local_addr().expect("an address"),
            script: Arc::default(),
            received: Arc::default(),
        };
        let server = own.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let server = server.clone();
                std::thread::spawn(move || server.answer(&stream));
            }
        });
        own
    }

    /// Where its API begins.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// It says this from now on.
    pub fn play(&self, script: Script) {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = script;
    }

    /// What reached it so far: each head with its body's text, and the body as JSON.
    #[must_use]
    pub fn received(&self) -> Vec<(String, Value)> {
        self.received
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn answer(&self, stream: &TcpStream) {
        let Some((head, body)) = read(stream) else { return };
        let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
        let whole = format!("{head}{}", String::from_utf8_lossy(&body));
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.push((whole, asked.clone()));
        drop(received);
        let script = self.script.lock().unwrap_or_else(PoisonError::into_inner).clone();
        std::thread::sleep(script.thinks);
        let (status, said) = match &script.instead {
            Some((status, body)) => (*status, body.clone()),
            None if head.starts_with("POST /v1/chat/completions ") => {
                (200, chat(&asked, &script).to_string())
            }
            None if head.starts_with("POST /v1/responses ") => (200, responses(&asked, &script).to_string()),
            None if head.starts_with("POST /v1/messages ") => (200, messages(&asked, &script).to_string()),
            None if head.starts_with("POST /v1/messages/count_tokens ") => {
                (200, json!({"input_tokens": script.tokens}).to_string())
            }
            None => (404, "{}".to_owned()),
        };
        let length = said.len();
        let mut stream = stream;
        let _ = write!(
            stream,
            "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nRetry-After: 7\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{said}"
        );
    }
}

fn chat(asked: &Value, script: &Script) -> Value {
    let mut message = json!({"role": "assistant", "content": script.text, "refusal": null});
    if let Some((name, arguments)) = &script.tool {
        let function = json!({"name": name, "arguments": arguments.to_string()});
        message["tool_calls"] = json!([{"id": "call_1", "type": "function", "function": function}]);
    }
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": asked["model"],
        "choices": [{"index": 0, "finish_reason": "stop", "logprobs": null, "message": message}],
        "usage": {"prompt_tokens": script.tokens, "completion_tokens": 3, "total_tokens": script.tokens + 3},
    })
}

fn responses(asked: &Value, script: &Script) -> Value {
    let words = json!({"type": "output_text", "text": script.text, "annotations": []});
    let message = json!({
        "type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [words],
    });
    let mut output = vec![message];
    if let Some((name, arguments)) = &script.tool {
        output.push(json!({
            "type": "function_call", "id": "fc_1", "call_id": "call_1", "status": "completed", "name": name,
            "arguments": arguments.to_string(),
        }));
    }
    json!({
        "id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": asked["model"],
        "output": output, "error": null, "incomplete_details": null, "instructions": null, "metadata": {},
        "parallel_tool_calls": true, "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0,
        "usage": {
            "input_tokens": script.tokens, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 3,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": script.tokens + 3,
        },
    })
}

fn messages(asked: &Value, script: &Script) -> Value {
    let mut content = vec![json!({"type": "text", "text": script.text})];
    if let Some((name, arguments)) = &script.tool {
        content.push(json!({"type": "tool_use", "id": "toolu_1", "name": name, "input": arguments}));
    }
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": asked["model"], "content": content,
        "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": script.tokens, "output_tokens": 3},
    })
}

/// One request: its head, and its body.
fn read(stream: &TcpStream) -> Option<(String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let lines = head.to_ascii_lowercase();
    let length = lines
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))?;
    let mut body = vec![0; length.trim().parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}
