//! The server: interceptors of SEP-2624 on standard input and output, one message a line.
//!
//! One thread reads and answers what needs no model; another asks the model, one question after the other. Questions
//! that wait are few, and each has its time from when it came: what nobody waits for any more is not worked on.

use std::{
    io::{self, BufRead, Write},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::{Duration, Instant},
};

use wire::{
    bounds::ANSWER,
    framing::{Line, each_line},
    json::{Document, Keys, Kind, Node, object},
    jsonrpc::{self, Id},
    mcp::{Era, Revision, code},
};

use crate::pieces::pieces;

/// The validator's name.
pub(crate) const NAME: &str = "sallyport/classifier";
/// The extension, as servers declare it.
const EXTENSION: &str = "io.modelcontextprotocol/interceptors";
/// What is looked at.
const EVENTS: [&str; 6] = [
    "tools/call",
    "prompts/get",
    "resources/read",
    "sampling/createMessage",
    "elicitation/create",
    "llm/completion",
];
/// Questions that wait for the model.
const WAITING_MAX: usize = 16;
/// The time a question has that says none, and the most that one can have.
const WAIT: Duration = Duration::from_secs(5);
const WAIT_MS_MAX: u64 = 60_000;
/// Errors: the time is over, too many wait, and there is no score.
const TIMED_OUT: i64 = -32000;
const BUSY: i64 = -32001;
const FAILED: i64 = -32002;

/// What the model said of a piece of text, in words for operators.
pub(crate) struct Said {
    /// Whether it is against it.
    pub(crate) against: bool,
    /// How sure it is.
    pub(crate) score: f32,
}

/// What asks the model about one piece, until a time.
pub(crate) trait Judge {
    /// Its answer, or why there is none.
    fn judge(&self, text: &str, until: Instant) -> Result<Said, String>;
    /// What it is, in words.
    fn is(&self) -> String;
}

/// A question for the model.
struct Question {
    id: Id,
    phase: String,
    pieces: Vec<String>,
    came: Instant,
    until: Instant,
}

/// Where answers go, a line each.
type Out<W> = Arc<Mutex<W>>;

/// Serves until there is no more input. The model is made beside that, so that a client need not wait to say hello.
///
/// # Errors
/// Why there is no model.
pub(crate) fn serve<J: Judge, E>(
    model: impl FnOnce() -> Result<J, E>,
    lines: impl BufRead + Send + 'static,
    out: impl Write + Send + 'static,
) -> Result<(), E> {
    let out = Arc::new(Mutex::new(out));
    let (ask, asked) = sync_channel(WAITING_MAX);
    let reader_out = Arc::clone(&out);
    std::thread::spawn(move || {
        // Whoever reads our answers has had enough, or whoever asks has gone: either way it is over.
        let _ = read(lines, &reader_out, &ask);
    });
    let judge = model()?;
    answer_all(&judge, &asked, &out);
    Ok(())
}

fn read(lines: impl BufRead, out: &Out<impl Write>, ask: &SyncSender<Question>) -> io::Result<()> {
    each_line(lines, ANSWER.text_bytes_max, |line| {
        let answer = match line {
            Line::Whole(line) => heard(line, ask),
            Line::TooLong => {
                let why = format!("a message is longer than {} bytes", ANSWER.text_bytes_max);
                Some(jsonrpc::error(None, code::INVALID_REQUEST, &why, None))
            }
        };
        answer.map_or(Ok(()), |answer| write(out, answer))
    })
}

fn write(out: &Out<impl Write>, mut answer: Vec<u8>) -> io::Result<()> {
    answer.push(b'\n');
    let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
    out.write_all(&answer)?;
    out.flush()
}

/// An error's code, and its words.
type Refusal = (i64, String);

/// The answer to a message, if it is one that is answered now.
fn heard(line: Vec<u8>, ask: &SyncSender<Question>) -> Option<Vec<u8>> {
    let message = match Document::parse(line, Keys::Exact, &ANSWER) {
        Ok(message) => message,
        Err(error) => return Some(jsonrpc::error(None, code::PARSE_ERROR, &error.to_string(), None)),
    };
    let root = message.root();
    let method = root.get("method").and_then(Node::as_str)?;
    let id = Id::read(root.get("id")?)?;
    let params = root.get("params").filter(|params| params.kind() == Kind::Object);
    let result = match (method.as_ref(), params) {
        ("initialize", params) => Ok(initialized(params)),
        ("ping", _) => Ok(b"{}".to_vec()),
        ("interceptors/list", _) => Ok(listed()),
        ("interceptor/invoke", Some(params)) => match question(&id, params) {
            Ok(question) => match ask.try_send(question) {
                Ok(()) => return None,
                Err(TrySendError::Full(_)) => Err((BUSY, format!("{WAITING_MAX} questions wait already"))),
                Err(TrySendError::Disconnected(_)) => Err((FAILED, "there is no model".to_owned())),
            },
            Err(refusal) => Err(refusal),
        },
        ("interceptor/invoke", None) => Err((code::INVALID_PARAMS, "there are no `params`".to_owned())),
        (other, _) => Err((
            code::METHOD_NOT_FOUND,
            format!("there is no method `{}`", other.escape_debug()),
        )),
    };
    Some(match result {
        Ok(result) => jsonrpc::result(&id, &result),
        Err((code, why)) => jsonrpc::error(Some(&id), code, &why, None),
    })
}

fn initialized(params: Option<Node<'_>>) -> Vec<u8> {
    let asked = params.and_then(|params| params.get("protocolVersion")?.as_str());
    let agreed = asked
        .and_then(|version| Revision::parse(&version))
        .filter(|revision| revision.era() == Era::Legacy)
        .unwrap_or(Revision::LATEST_LEGACY);
    object(|out| {
        out.string("protocolVersion", agreed.as_str());
        out.object("capabilities", |out| {
            out.object("extensions", |out| {
                out.object(EXTENSION, |out| {
                    out.array("supportedEvents", |list| {
                        EVENTS.iter().for_each(|event| list.string(event))
                    });
                });
            });
        });
        out.object("serverInfo", |out| {
            out.string("name", "sallyport-classifier");
            out.string("version", env!("CARGO_PKG_VERSION"));
        });
    })
}

fn listed() -> Vec<u8> {
    object(|out| {
        out.array("interceptors", |list| {
            list.object(|out| {
                out.string("name", NAME);
                out.string("version", env!("CARGO_PKG_VERSION"));
                out.string("description", "Asks a classifier of text from an ONNX file.");
                out.string("type", "validation");
                out.object("hook", |out| {
                    out.array("events", |list| {
                        EVENTS.iter().for_each(|event| list.string(event))
                    });
                    out.string("phase", "both");
                });
                out.string("mode", "enforce");
                out.boolean("failOpen", false);
            });
        });
    })
}

fn question(id: &Id, params: Node<'_>) -> Result<Question, Refusal> {
    let bad = |why: &str| (code::INVALID_PARAMS, why.to_owned());
    let text = |key: &str| params.get(key).and_then(Node::as_str);
    if text("name").as_deref() != Some(NAME) {
        return Err(bad("there is no interceptor of this name"));
    }
    if !text("event").is_some_and(|event| EVENTS.contains(&event.as_ref())) {
        return Err(bad("this event is not looked at"));
    }
    let phase = text("phase").filter(|phase| matches!(phase.as_ref(), "request" | "response"));
    let phase = phase.ok_or_else(|| bad("`phase` is neither `request` nor `response`"))?;
    let payload = params.get("payload").ok_or_else(|| bad("`payload` is missing"))?;
    let wait = params
        .get("timeoutMs")
        .and_then(Node::as_number)
        .and_then(|ms| ms.as_u64());
    let wait = wait.map_or(WAIT, |ms| Duration::from_millis(ms.min(WAIT_MS_MAX)));
    let came = Instant::now();
    Ok(Question {
        id: id.clone(),
        phase: phase.into_owned(),
        pieces: pieces(payload),
        came,
        until: came + wait,
    })
}

fn answer_all(judge: &impl Judge, asked: &Receiver<Question>, out: &Out<impl Write>) {
    while let Ok(question) = asked.recv() {
        let answer = if Instant::now() > question.until {
            let why = "the time was over before the model was asked";
            jsonrpc::error(Some(&question.id), TIMED_OUT, why, None)
        } else {
            match verdict(judge, &question) {
                Ok(result) => jsonrpc::result(&question.id, &result),
                Err(why) => jsonrpc::error(Some(&question.id), FAILED, &why, None),
            }
        };
        if write(out, answer).is_err() {
            return;
        }
    }
}

/// What the model thinks of the pieces. The first it is against ends it.
fn verdict(judge: &impl Judge, question: &Question) -> Result<Vec<u8>, String> {
    let (mut score, mut against) = (0.0_f32, false);
    for piece in &question.pieces {
        let said = judge.judge(piece, question.until)?;
        score = score.max(said.score);
        against = said.against;
        if against {
            break;
        }
    }
    let severity = if against { "error" } else { "info" };
    Ok(object(|out| {
        out.string("interceptor", NAME);
        out.string("type", "validation");
        out.string("phase", &question.phase);
        out.boolean("valid", !against);
        out.string("severity", severity);
        out.array("messages", |list| {
            list.object(|out| {
                out.string("message", &format!("injection/onnx ({score:.2}): {}", judge.is()));
                out.string("severity", severity);
            });
        });
        out.integer("durationMs", question.came.elapsed().as_millis().cast_signed());
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::{Value, json};

    use super::*;

    /// Is against what says so, fails where it is told to, and takes its time.
    struct Slow {
        takes: Duration,
        asked: Arc<AtomicUsize>,
    }

    impl Judge for Slow {
        fn judge(&self, text: &str, _: Instant) -> Result<Said, String> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(self.takes);
            if text.contains("broken") {
                return Err("broken".to_owned());
            }
            let against = text.contains("hostile");
            let score = if against { 0.9 } else { 0.1 };
            Ok(Said { against, score })
        }

        fn is(&self) -> String {
            "slow".to_owned()
        }
    }

    /// Says its lines and then nothing until all answers are there, as a client does that stays.
    struct Client {
        lines: io::Cursor<Vec<u8>>,
        answers: Arc<Mutex<Vec<u8>>>,
        wanted: usize,
    }

    impl io::Read for Client {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let said = self.lines.read(into)?;
            let count = || {
                self.answers
                    .lock()
                    .unwrap()
                    .iter()
                    .filter(|b| **b == b'\n')
                    .count()
            };
            while said == 0 && count() < self.wanted {
                std::thread::sleep(Duration::from_millis(5));
            }
            Ok(said)
        }
    }

    #[derive(Clone)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The answers by id, and how often the model was asked.
    fn ask(takes: Duration, messages: &[Value]) -> (Vec<Value>, usize) {
        let lines: String = messages.iter().map(|message| format!("{message}\n")).collect();
        let answers = Arc::new(Mutex::new(Vec::new()));
        let client = Client {
            lines: io::Cursor::new(lines.into_bytes()),
            answers: Arc::clone(&answers),
            wanted: messages.len(),
        };
        let asked = Arc::new(AtomicUsize::new(0));
        let judge = Slow {
            takes,
            asked: Arc::clone(&asked),
        };
        let out = Shared(Arc::clone(&answers));
        serve(|| Ok::<_, ()>(judge), io::BufReader::new(client), out).unwrap();
        let said = String::from_utf8(answers.lock().unwrap().clone()).unwrap();
        let mut said: Vec<Value> = said
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        said.sort_by_key(|answer| answer["id"].as_u64());
        (said, asked.load(Ordering::SeqCst))
    }

    fn invoke(id: u64, text: &str, wait_ms: u64) -> Value {
        let payload = json!({"content": [{"type": "text", "text": text}]});
        json!({"jsonrpc": "2.0", "id": id, "method": "interceptor/invoke", "params": {"name": NAME,
            "event": "tools/call", "phase": "response", "payload": payload, "timeoutMs": wait_ms}})
    }

    #[test]
    fn the_model_is_asked_and_what_it_cannot_say_is_an_error() {
        let questions = [
            invoke(1, "good morning", 5000),
            invoke(2, "some hostile words", 5000),
            invoke(3, "something broken", 5000),
        ];
        let (said, _) = ask(Duration::ZERO, &questions);
        assert_eq!(said[0]["result"]["valid"], true, "{said:?}");
        assert_eq!(said[1]["result"]["valid"], false, "{said:?}");
        assert_eq!(said[1]["result"]["severity"], "error");
        assert_eq!(
            said[1]["result"]["messages"][0]["message"],
            "injection/onnx (0.90): slow"
        );
        assert_eq!(said[2]["error"]["code"], FAILED);
    }

    #[test]
    fn questions_that_nobody_waits_for_are_not_worked_on() {
        let questions: Vec<Value> = (1..=4).map(|id| invoke(id, "good morning", 100)).collect();
        let (said, asked) = ask(Duration::from_millis(300), &questions);
        assert_eq!(asked, 1, "{said:?}");
        for answer in &said[1..] {
            assert_eq!(answer["error"]["code"], TIMED_OUT, "{answer}");
        }
    }

    #[test]
    fn no_more_questions_wait_than_may() {
        // The first is one the model is asked, however late it is: meanwhile the others come.
        let wait_ms = |id| if id == 1 { 60_000 } else { 1 };
        let questions: Vec<Value> = (1..=40)
            .map(|id| invoke(id, "good morning", wait_ms(id)))
            .collect();
        let (said, _) = ask(Duration::from_secs(1), &questions);
        let busy = said
            .iter()
            .filter(|answer| answer["error"]["code"] == BUSY)
            .count();
        assert!(busy >= 40 - WAITING_MAX - 1, "{busy} of {}", said.len());
        assert_eq!(said.len(), 40);
    }

    #[test]
    fn what_is_asked_wrongly_is_told() {
        let (said, asked) = ask(
            Duration::ZERO,
            &[
                json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}),
                json!({"jsonrpc": "2.0", "id": 2, "method": "interceptors/list"}),
                json!({"jsonrpc": "2.0", "id": 3, "method": "interceptor/invoke", "params": {"name": "other"}}),
                json!({"jsonrpc": "2.0", "id": 4, "method": "interceptor/invoke"}),
                json!({"jsonrpc": "2.0", "id": 5, "method": "tools/list"}),
            ],
        );
        assert_eq!(said[0]["result"]["serverInfo"]["name"], "sallyport-classifier");
        assert_eq!(said[1]["result"]["interceptors"][0]["name"], NAME);
        let codes: Vec<&Value> = said[2..].iter().map(|answer| &answer["error"]["code"]).collect();
        assert_eq!(codes, [&json!(-32602), &json!(-32602), &json!(-32601)]);
        assert_eq!(asked, 0);
    }
}
