//! A server of chat completions, as programs that run models have it. Its model refuses what holds the word
//! `sabotage` and nothing else; on demand it is slow, broken or talkative. What it was asked is kept.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};

/// How it behaves.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mood {
    /// It answers with an object that says nothing of what was asked.
    Babbling,
    /// It answers that it cannot.
    Broken,
    /// It answers.
    #[default]
    Honest,
    /// It does what the text it judges tells it: it answers with what stands between its marks.
    Obeying,
    /// It does not answer.
    Silent,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Completions {
    address: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Completions {
    /// On a port of its own.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let own = Self {
            address: listener.local_addr().expect("an address"),
            mood: Arc::default(),
            asked: Arc::default(),
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

    /// Where it is asked.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/v1/chat/completions", self.address)
    }

    /// It behaves so from now on.
    pub fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    /// What it was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn answer(&self, stream: &TcpStream) {
        let Some((head, body)) = read(stream) else { return };
        let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
        let question = asked["messages"][1]["content"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let mut kept = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(json!({"head": head, "body": asked}));
        drop(kept);
        let mood = *self.mood.lock().unwrap_or_else(PoisonError::into_inner);
        let verdict = match question.contains("sabotage") {
            true => json!({"verdict": "refuse", "reason": "that is sabotage"}),
            false => json!({"verdict": "allow"}),
        };
        let (status, said) = match mood {
            Mood::Babbling => ("200 OK", "Certainly! I would allow this.".to_owned()),
            Mood::Broken => ("503 Service Unavailable", verdict.to_string()),
            Mood::Honest => ("200 OK", verdict.to_string()),
            Mood::Obeying => ("200 OK", question.lines().nth(3).unwrap_or_default().to_owned()),
            Mood::Silent => {
                std::thread::sleep(Duration::from_secs(20));
                return;
            }
        };
        let message = json!({"role": "assistant", "content": said});
        let body = json!({
            "id": "chatcmpl-1", "object": "chat.completion", "model": asked["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        });
        let body = body.to_string();
        let length = body.len();
        let mut stream = stream;
        let _ = write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        );
    }
}

/// One request: its head in small letters, and its body.
fn read(stream: &TcpStream) -> Option<(String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))?;
    let mut body = vec![0; length.trim().parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}
