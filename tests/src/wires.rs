//! Bare clients of the legacy era: what goes over the wire is what the test says, right or wrong.

use std::{
    io::{BufRead, BufReader, Write},
    net::{Shutdown, TcpStream},
    sync::mpsc,
    time::Duration,
};

use serde_json::{Value, json};

/// How long a message may take to come before a test gives up. No test asserts a time.
const PATIENCE: Duration = Duration::from_secs(30);

/// Text a client sends over Streamable HTTP, and the session it does it in.
#[derive(Clone, Debug)]
pub struct Http {
    url: String,
    /// Headers of every request; the session's is added when one is opened.
    pub headers: Vec<(String, String)>,
    /// What it accepts, in the order of its preference.
    pub accept: String,
    agent: ureq::Agent,
}

/// An answer of HTTP.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub text: String,
}

impl Answer {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The ids of the events of a stream.
    #[must_use]
    pub fn events(&self) -> Vec<String> {
        let ids = self.text.lines().filter_map(|line| line.strip_prefix("id: "));
        ids.map(str::to_owned).collect()
    }

    /// The body as JSON; of a stream, all its messages.
    #[must_use]
    pub fn json(&self) -> Value {
        if self.text.starts_with('{') || self.text.starts_with('[') {
            return serde_json::from_str(&self.text).unwrap_or(Value::Null);
        }
        let data = self.text.lines().filter_map(|line| line.strip_prefix("data:"));
        data.filter_map(|data| serde_json::from_str(data).ok())
            .collect::<Vec<Value>>()
            .into()
    }
}

impl Http {
    /// For this endpoint and token.
    #[must_use]
    pub fn new(url: &str, token: &str) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        Self {
            url: url.to_owned(),
            headers: vec![("Authorization".to_owned(), format!("Bearer {token}"))],
            accept: "application/json, text/event-stream".to_owned(),
            agent: config.into(),
        }
    }

    /// Opens a session of a revision; gives the answer to `initialize`.
    ///
    /// # Panics
    /// When none is opened.
    pub fn open(&mut self, revision: &str) -> Value {
        self.open_with(&initialize(revision))
    }

    /// Opens a session with this first message; gives the answer to it.
    ///
    /// # Panics
    /// When none is opened.
    pub fn open_with(&mut self, opening: &Value) -> Value {
        let answer = self.post(opening);
        let session = answer.header("mcp-session-id").expect("a session").to_owned();
        self.headers.push(("Mcp-Session-Id".to_owned(), session));
        let done = self.post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        assert_eq!(done.status, 202, "{done:?}");
        answer.json()
    }

    /// Posts a message.
    ///
    /// # Panics
    /// When the connection breaks.
    #[must_use]
    pub fn post(&self, message: &Value) -> Answer {
        self.post_bytes(message.to_string().as_bytes())
    }

    /// Posts anything.
    ///
    /// # Panics
    /// When the connection breaks.
    #[must_use]
    pub fn post_bytes(&self, body: &[u8]) -> Answer {
        let mut request = self
            .agent
            .post(&self.url)
            .header("Content-Type", "application/json")
            .header("Accept", &self.accept);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        read(request.send(body).expect("an answer"))
    }

    /// Comes back to a stream, and reads it to its end.
    ///
    /// # Panics
    /// When the connection breaks, or the stream does not end.
    #[must_use]
    pub fn come_back(&self, last_event: &str) -> Answer {
        let mut request = self
            .agent
            .get(&self.url)
            .config()
            .timeout_global(Some(PATIENCE))
            .build()
            .header("Accept", "text/event-stream")
            .header("Last-Event-ID", last_event);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        read(request.call().expect("an answer"))
    }

    /// Opens the stream of what belongs to no call.
    ///
    /// # Panics
    /// When the connection breaks.
    #[must_use]
    pub fn listen(&self) -> Heard {
        let accept = ("Accept".to_owned(), "text/event-stream".to_owned());
        Heard::open("GET", &self.url, self.headers.iter().chain([&accept]), "")
    }

    /// Posts a message, and hears what comes before its answer as it comes.
    ///
    /// # Panics
    /// When the connection breaks.
    #[must_use]
    pub fn post_and_hear(&self, message: &Value) -> Heard {
        let own = [
            ("Accept", self.accept.as_str()),
            ("Content-Type", "application/json"),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Heard::open(
            "POST",
            &self.url,
            self.headers.iter().chain(&own),
            &message.to_string(),
        )
    }

    /// Ends the session.
    ///
    /// # Panics
    /// When the connection breaks.
    #[must_use]
    pub fn delete(&self) -> Answer {
        let mut request = self.agent.delete(&self.url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        read(request.call().expect("an answer"))
    }
}

/// Messages on a stream, as they come; the connection is closed with it.
#[derive(Debug)]
pub struct Heard {
    connection: TcpStream,
    messages: mpsc::Receiver<Value>,
}

impl Heard {
    fn open<'h>(
        verb: &str,
        url: &str,
        headers: impl Iterator<Item = &'h (String, String)>,
        body: &str,
    ) -> Self {
        let (host, path) = url
            .strip_prefix("http://")
            .and_then(|rest| rest.split_once('/'))
            .expect("a URL");
        let mut connection = TcpStream::connect(host).expect("a connection");
        let headers: String = headers
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let length = body.len();
        let head =
            format!("{verb} /{path} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {length}\r\n\r\n");
        connection
            .write_all((head + body).as_bytes())
            .expect("it is sent");
        let (heard, messages) = mpsc::channel();
        let mut lines = BufReader::new(connection.try_clone().expect("a socket")).lines();
        let status = lines.next().expect("an answer").expect("an answer");
        assert!(status.contains(" 200 "), "{status}");
        std::thread::spawn(move || {
            // Each event is one chunk, so its data is one line.
            for line in lines.map_while(Result::ok) {
                // A chunk of no length is the last one; the connection may stand for another request.
                if line == "0" {
                    return;
                }
                let message = line
                    .strip_prefix("data:")
                    .and_then(|data| serde_json::from_str(data).ok());
                if let Some(message) = message
                    && heard.send(message).is_err()
                {
                    return;
                }
            }
        });
        Self { connection, messages }
    }

    /// The next message.
    ///
    /// # Panics
    /// When none comes.
    #[must_use]
    pub fn next(&self) -> Value {
        self.messages.recv_timeout(PATIENCE).expect("a message")
    }

    /// Waits for the end of the stream; whether it came.
    #[must_use]
    pub fn ends(&self) -> bool {
        loop {
            match self.messages.recv_timeout(PATIENCE) {
                Ok(_) => {}
                Err(why) => return why == mpsc::RecvTimeoutError::Disconnected,
            }
        }
    }

    /// Whether the stream stands now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        loop {
            match self.messages.try_recv() {
                Ok(_) => {}
                Err(why) => return why == mpsc::TryRecvError::Empty,
            }
        }
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        let _ = self.connection.shutdown(Shutdown::Both);
    }
}

fn read(answer: ureq::http::Response<ureq::Body>) -> Answer {
    let headers = answer
        .headers()
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        })
        .collect();
    Answer {
        status: answer.status().as_u16(),
        headers,
        text: answer.into_body().read_to_string().unwrap_or_default(),
    }
}

/// A client of the modern era: each request stands alone.
#[derive(Clone, Debug)]
pub struct Modern {
    http: Http,
    /// What it declares with each request.
    pub capabilities: Value,
}

impl Modern {
    /// For this endpoint and token.
    #[must_use]
    pub fn new(url: &str, token: &str) -> Self {
        Self {
            http: Http::new(url, token),
            capabilities: json!({}),
        }
    }

    /// Calls a tool; `more` goes beside its name and arguments.
    #[must_use]
    pub fn call(&self, id: i64, tool: &str, arguments: &Value, more: &Value) -> Answer {
        let mut message = call(id, tool, arguments);
        if let Some(more) = more.as_object() {
            for (key, value) in more {
                message["params"][key] = value.clone();
            }
        }
        let http = self.stamped(&mut message, tool);
        http.post(&message)
    }

    /// The same, and hears what comes before the answer as it comes.
    ///
    /// # Panics
    /// When the connection breaks.
    #[must_use]
    pub fn call_and_hear(&self, tool: &str, meta: &Value) -> Heard {
        let mut message = call(1, tool, &json!({}));
        message["params"]["_meta"] = meta.clone();
        let http = self.stamped(&mut message, tool);
        http.post_and_hear(&message)
    }

    /// Any request that names nothing.
    #[must_use]
    pub fn ask(&self, method: &str) -> Answer {
        let mut message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {}});
        let mut http = self.stamped(&mut message, "");
        http.headers.retain(|(name, _)| name != "Mcp-Name");
        http.post(&message)
    }

    /// Sends a request about a task.
    #[must_use]
    pub fn about_task(&self, id: i64, method: &str, task: &str) -> Answer {
        self.about_task_with(id, method, &json!({"taskId": task}))
    }

    /// The same, and more.
    #[must_use]
    pub fn about_task_with(&self, id: i64, method: &str, params: &Value) -> Answer {
        let task = params["taskId"].as_str().unwrap_or_default();
        let mut message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let http = self.stamped(&mut message, task);
        http.post(&message)
    }

    /// Asks what there is.
    #[must_use]
    pub fn discover(&self) -> Value {
        let mut message = json!({"jsonrpc": "2.0", "id": 0, "method": "server/discover", "params": {}});
        let mut http = self.stamped(&mut message, "");
        http.headers.retain(|(name, _)| name != "Mcp-Name");
        http.post(&message).json()
    }

    /// Opens a stream of subscriptions.
    ///
    /// # Panics
    /// When the connection breaks.
    #[must_use]
    pub fn listen(&self, id: &Value, notifications: &Value) -> Heard {
        let params = json!({"notifications": notifications});
        let mut message =
            json!({"jsonrpc": "2.0", "id": id, "method": "subscriptions/listen", "params": params});
        let mut http = self.stamped(&mut message, "");
        http.headers.retain(|(name, _)| name != "Mcp-Name");
        let own = [
            ("Accept", http.accept.as_str()),
            ("Content-Type", "application/json"),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Heard::open(
            "POST",
            &http.url,
            http.headers.iter().chain(&own),
            &message.to_string(),
        )
    }

    /// Puts on what each request of the era says of itself.
    fn stamped(&self, message: &mut Value, name: &str) -> Http {
        let meta = &mut message["params"]["_meta"];
        meta["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
        meta["io.modelcontextprotocol/clientCapabilities"] = self.capabilities.clone();
        let mut http = self.http.clone();
        let method = message["method"].as_str().unwrap_or_default();
        for (header, value) in [
            ("MCP-Protocol-Version", "2026-07-28"),
            ("Mcp-Method", method),
            ("Mcp-Name", name),
        ] {
            http.headers.push((header.to_owned(), value.to_owned()));
        }
        http
    }
}

/// The first message of a session.
#[must_use]
pub fn initialize(revision: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": revision,
        "capabilities": {},
        "clientInfo": {"name": "e2e", "version": "1"},
    }})
}

/// `tools/call`.
#[must_use]
pub fn call(id: i64, tool: &str, arguments: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
}
