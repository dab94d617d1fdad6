//! One child process and its pipes, supervised as a group.

use std::{
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{
    environment,
    lines::{read, write},
};
use crate::{
    Command, LinkError, Sandbox,
    inbox::Inbox,
    sandbox::{self, NO_BOX, Room},
};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStderr, ChildStdin, ChildStdout},
    sync::{mpsc, watch},
    task::JoinHandle,
};
use wire::mcp::ServerName;
use zeroize::{Zeroize, Zeroizing};

/// Messages that may wait to be written.
const QUEUE_MESSAGES_MAX: usize = 64;
/// How much of the error stream is kept for people.
const STDERR_BYTES_KEPT: usize = 8 * 1024;
/// How long a child may take to end: after its input closed, and again after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);
/// How long its error stream is read on after it ended: somebody it left behind may hold that.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A command with the secrets of whoever it is started for, wiped when it was started.
pub(crate) struct Given(Command);

impl Given {
    pub(crate) fn new(command: &Command, secrets: Vec<(String, Zeroizing<String>)>) -> Self {
        let mut command = command.clone();
        for (name, value) in secrets {
            command.env.retain(|(other, _)| *other != name);
            command.env.push((name, value.to_string()));
        }
        Self(command)
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        self.0.env.iter_mut().for_each(|(_, value)| value.zeroize());
    }
}

/// The pipes of one child. Dropping it ends the child and everything the child started.
#[derive(Debug)]
pub(crate) struct Pipe {
    queue: mpsc::Sender<Vec<u8>>,
    state: Arc<State>,
    /// The TLS of the connection it goes over, if it goes over one.
    tls: Option<pipeline::Tls>,
}

#[derive(Debug)]
struct State {
    /// Why it is over; empty while it is not.
    over: watch::Sender<Option<String>>,
    stderr: Mutex<Vec<u8>>,
}

impl Pipe {
    /// Starts the child: in its box, or as the operator said without one.
    pub(crate) fn spawn(
        name: &ServerName,
        given: &Given,
        room: &Room,
        inbox: Arc<Inbox>,
    ) -> Result<Self, LinkError> {
        let command = &given.0;
        let unreachable = |why: String| LinkError::Unreachable(why);
        let (mut starting, profile) = match &command.sandbox {
            Sandbox::Off => (bare(command), None),
            Sandbox::On(wishes) => {
                let profile = sandbox::plan(name, command, wishes, room);
                let profile = profile.map_err(|refused| unreachable(refused.to_string()))?;
                if profile.has_network() {
                    inbox.open_egress().map_err(unreachable)?;
                }
                (boxed(), Some(profile))
            }
        };
        let mut child = starting
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
        let (pipe, queued) = Self::new(&inbox);
        let first = profile.map(|profile| profile.introduction()).unwrap_or_default();
        let keeping = tokio::spawn(keep_stderr(stderr, Arc::clone(&pipe.state)));
        tokio::spawn(supervise(
            (child, keeping),
            (stdin, first),
            stdout,
            queued,
            inbox,
            Arc::clone(&pipe.state),
        ));
        Ok(pipe)
    }

    /// Over a connection that stands. `run` writes what is queued and reads what comes until either ends, and says
    /// why it did.
    pub(crate) fn over<F>(inbox: Arc<Inbox>, run: impl FnOnce(mpsc::Receiver<Vec<u8>>) -> F) -> Self
    where
        F: Future<Output = String> + Send + 'static,
    {
        let (pipe, queued) = Self::new(&inbox);
        let (running, state) = (run(queued), Arc::clone(&pipe.state));
        tokio::spawn(async move {
            let mut over = state.over.subscribe();
            tokio::select! {
                why = running => state.end(why),
                _ = over.wait_for(Option::is_some) => {}
            }
            let why = state.over.borrow().clone().unwrap_or_default();
            inbox.pending.fail(&LinkError::Closed(why));
        });
        pipe
    }

    fn new(inbox: &Inbox) -> (Self, mpsc::Receiver<Vec<u8>>) {
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
        let tls = None;
        (Self { queue, state, tls }, queued)
    }

    /// The same, over a connection with this TLS.
    pub(crate) fn secured(mut self, tls: Option<pipeline::Tls>) -> Self {
        self.tls = tls;
        self
    }

    /// The TLS of its connection.
    pub(crate) const fn tls(&self) -> Option<&pipeline::Tls> {
        self.tls.as_ref()
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

/// The program itself, with all rights of the gateway's user.
fn bare(command: &Command) -> tokio::process::Command {
    let here = std::path::Path::new(".");
    let mut starting = tokio::process::Command::new(&command.program);
    starting
        .args(&command.args)
        .env_clear()
        .envs(environment::of(&command.env, std::env::vars()))
        .current_dir(command.directory.as_deref().unwrap_or(here));
    starting
}

/// Our own binary as the box's helper, even when its file was replaced since.
fn boxed() -> tokio::process::Command {
    sandbox::helper("/proc/self/exe").into()
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
    (mut child, keeping): (Child, JoinHandle<()>),
    (mut stdin, first): (ChildStdin, Zeroizing<Vec<u8>>),
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
    let writing = async move {
        let written = stdin.write_all(&first).await;
        drop(first);
        match written {
            Ok(()) => write(stdin, queued).await,
            Err(error) => format!("its input is closed: {error}"),
        }
    };
    let reading = read(stdout, Arc::clone(&inbox));
    let mut by_itself = false;
    // The writer ends when its queue is gone; dropping the future closes the child's input.
    tokio::select! {
        why = writing => state.end(why),
        // Whoever ends by itself says nothing more.
        why = reading => {
            state.end(why);
            by_itself = true;
        }
        _ = over.wait_for(Option::is_some) => {}
    }
    let status = end(&mut child, group).await;
    // Why it ended is on its error stream, and whoever asks next is to read it there.
    let _ = tokio::time::timeout(LAST_WORDS, keeping).await;
    let why = state.over.borrow().clone().unwrap_or_default();
    let why = match status {
        Some(status) if !status.success() => format!("{why} ({status})"),
        Some(_) | None => why,
    };
    state.over.send_replace(Some(why.clone()));
    let no_box = Some(i32::from(NO_BOX));
    if by_itself && status.is_some_and(|status| !status.success() && status.code() != no_box) {
        inbox.crashed(&why);
    }
    inbox.pending.fail(&LinkError::Closed(why));
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
