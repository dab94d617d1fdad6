//! One child process and its pipes, supervised as a group.

use std::{
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStderr, ChildStdin, ChildStdout},
    sync::{mpsc, watch},
};
use wire::{
    bounds::ANSWER,
    framing::{Line, Lines},
};

use super::environment;
use crate::{Command, LinkError, inbox::Inbox};

/// Messages that may wait to be written.
const QUEUE_MESSAGES_MAX: usize = 64;
/// Lines that are no messages until a server is given up: it logs to the wrong stream, or it is hostile.
const GARBAGE_LINES_MAX: u32 = 10_000;
/// How much of the error stream is kept for people.
const STDERR_BYTES_KEPT: usize = 8 * 1024;
/// How long a child may take to end: after its input closed, and again after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// The pipes of one child. Dropping it ends the child and everything the child started.
#[derive(Debug)]
pub(crate) struct Pipe {
    queue: mpsc::Sender<Vec<u8>>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    /// Why it is over; empty while it is not.
    over: watch::Sender<Option<String>>,
    stderr: Mutex<Vec<u8>>,
}

impl Pipe {
    /// Starts the child.
    pub(crate) fn spawn(command: &Command, inbox: Arc<Inbox>) -> Result<Self, LinkError> {
        let unreachable = |why: String| LinkError::Unreachable(why);
        let mut child = tokio::process::Command::new(&command.program)
            .args(&command.args)
            .env_clear()
            .envs(environment::of(&command.env, std::env::vars()))
            .current_dir(
                command
                    .directory
                    .as_deref()
                    .unwrap_or_else(|| std::path::Path::new(".")),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that whatever it starts ends with it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| unreachable(explain(&command.program, &error)))?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(unreachable("the child has no pipes".into()));
        };
        let (queue, queued) = mpsc::channel(QUEUE_MESSAGES_MAX);
        let state = Arc::new(State {
            over: watch::channel(None).0,
            stderr: Mutex::default(),
        });
        let answers = queue.clone();
        inbox.answer_with(Arc::new(move |bytes| {
            // A server that asks faster than it reads loses answers, not our memory.
            let _ = answers.try_send(bytes);
        }));
        tokio::spawn(keep_stderr(stderr, Arc::clone(&state)));
        tokio::spawn(supervise(child, stdin, stdout, queued, inbox, Arc::clone(&state)));
        Ok(Self { queue, state })
    }

    /// Queues a message to be written.
    pub(crate) async fn send(&self, body: Vec<u8>) -> Result<(), LinkError> {
        self.queue
            .send(body)
            .await
            .map_err(|_| LinkError::Closed(self.closed().unwrap_or_else(|| "its input is closed".to_owned())))
    }

    /// Why it is over, if it is.
    pub(crate) fn closed(&self) -> Option<String> {
        self.state.over.borrow().clone()
    }

    /// The end of what the child wrote to its error stream.
    pub(crate) fn stderr(&self) -> String {
        let kept = self.state.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).into_owned()
    }

    /// Ends the child.
    pub(crate) fn close(&self, why: &str) {
        self.state.end(why.to_owned());
    }
}

impl State {
    /// The first reason stays.
    fn end(&self, why: String) {
        self.over.send_if_modified(|over| {
            let first = over.is_none();
            if first {
                *over = Some(why);
            }
            first
        });
    }
}

fn explain(program: &str, error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    let kind = error.kind();
    if kind == ErrorKind::NotFound {
        format!("`{program}` was not found; install it, or write its full path in `command`")
    } else if kind == ErrorKind::PermissionDenied {
        format!("`{program}` may not be executed; check its permissions (`chmod +x`)")
    } else {
        format!("`{program}` could not be started: {error}")
    }
}

/// Runs the pipes until either side ends, then ends the whole group.
async fn supervise(
    mut child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    queued: mpsc::Receiver<Vec<u8>>,
    inbox: Arc<Inbox>,
    state: Arc<State>,
) {
    let group = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    let mut over = state.over.subscribe();
    let writing = write(stdin, queued);
    let reading = read(stdout, Arc::clone(&inbox));
    // The writer ends when its queue is gone; dropping the future closes the child's input.
    tokio::select! {
        why = writing => state.end(why),
        why = reading => state.end(why),
        _ = over.wait_for(Option::is_some) => {}
    }
    let status = end(&mut child, group).await;
    let why = state.over.borrow().clone().unwrap_or_default();
    let why = match status {
        Some(status) if !status.success() => format!("{why} ({status})"),
        Some(_) | None => why,
    };
    state.over.send_replace(Some(why.clone()));
    inbox.pending.fail(&LinkError::Closed(why));
}

/// Writes each message as a line. Here and nowhere else, so that no sender can forget the newline.
async fn write(mut stdin: ChildStdin, mut queued: mpsc::Receiver<Vec<u8>>) -> String {
    while let Some(mut body) = queued.recv().await {
        body.push(b'\n');
        let written = async {
            stdin.write_all(&body).await?;
            stdin.flush().await
        };
        if let Err(error) = written.await {
            return format!("its input is closed: {error}");
        }
    }
    "no longer needed".to_owned()
}

async fn read(mut stdout: ChildStdout, inbox: Arc<Inbox>) -> String {
    let mut lines = Lines::new(ANSWER.text_bytes_max);
    let mut buffer = vec![0; 64 * 1024];
    let mut garbage = 0_u32;
    loop {
        match stdout.read(&mut buffer).await {
            Ok(0) => return "it ended its output".to_owned(),
            Ok(read) => lines.push(buffer.get(..read).unwrap_or_default()),
            Err(error) => return format!("its output cannot be read: {error}"),
        }
        while let Some(line) = lines.next_line() {
            match line {
                Line::Whole(line) if looks_like_json(&line) => inbox.take(line, None).await,
                Line::Whole(line) => {
                    garbage += 1;
                    let start: String = String::from_utf8_lossy(&line).chars().take(60).collect();
                    inbox.noise(format!("a line that is no message: {}", start.escape_debug()));
                }
                Line::TooLong => {
                    garbage += 1;
                    inbox.noise("a line longer than the limit".to_owned());
                }
            }
            if garbage > GARBAGE_LINES_MAX {
                return "it writes more garbage than messages to its output".to_owned();
            }
        }
    }
}

fn looks_like_json(line: &[u8]) -> bool {
    line.iter()
        .find(|b| !b.is_ascii_whitespace())
        .is_some_and(|first| matches!(first, b'{' | b'['))
}

/// Keeps the end of the error stream, whatever its length, so that the child never blocks on it.
async fn keep_stderr(mut stderr: ChildStderr, state: Arc<State>) {
    let mut buffer = vec![0; 8 * 1024];
    while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
        let mut kept = state.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(buffer.get(..read).unwrap_or_default());
        let excess = kept.len().saturating_sub(STDERR_BYTES_KEPT);
        kept.drain(..excess);
    }
}

/// Input is closed; then SIGTERM, then SIGKILL, to the whole group. Returns how the child ended.
async fn end(child: &mut Child, group: Option<Pid>) -> Option<ExitStatus> {
    let mut status = tokio::time::timeout(GRACE, child.wait())
        .await
        .ok()
        .and_then(Result::ok);
    if status.is_none() {
        signal(group, Signal::TERM);
        status = tokio::time::timeout(GRACE, child.wait())
            .await
            .ok()
            .and_then(Result::ok);
    }
    // Always: the child may have ended and left others behind.
    signal(group, Signal::KILL);
    match status {
        Some(status) => Some(status),
        None => child.wait().await.ok(),
    }
}

fn signal(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        // The group may be gone already, which is what we want.
        let _ = kill_process_group(group, signal);
    }
}
