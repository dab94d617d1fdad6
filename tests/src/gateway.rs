//! A gateway under test.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    sync::mpsc,
    time::{Duration, Instant},
};

use serde_json::Value;

/// The secret of the agent `tester`.
pub const SECRET: &str = "tester-0f3a9c5d7e1b2468ace0";

/// How long a gateway may take to be ready before a test gives up. No test asserts a time.
const READY: Duration = Duration::from_secs(60);

/// Who may do what in most tests: one agent, everything.
pub const OPEN_TO_TESTER: &str = r#"
approve: all
agents: [ { name: tester, secret: "env:TESTER_SECRET", roles: [tester] } ]
policy: { packs: [baseline], rules: [ "permit(principal in Role::\"tester\", action, resource);" ] }
"#;

/// Where this build's programs are.
///
/// # Panics
/// When there is no such program: `cargo xtask test` builds them first.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let here = std::env::current_exe().expect("a test knows its own path");
    let folder = here
        .parent()
        .and_then(Path::parent)
        .expect("target/<profile>/deps");
    let found = [
        folder.join(name),
        folder.join("deps").join(name),
        here.with_file_name(name),
    ];
    let found = found.into_iter().find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not built; run `cargo xtask test`"))
}

/// A directory that is removed with the test.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new one.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sallyport-e2e-{}-{n}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A directory with a configuration, and perhaps a gateway that runs from it.
#[derive(Debug)]
pub struct Gateway {
    scratch: Scratch,
    running: Option<Running>,
    variables: Vec<(&'static str, &'static str)>,
    user: Option<u32>,
    /// Where what it complains of goes, if not to the test's own errors.
    complaints: Option<PathBuf>,
    starter: Vec<std::ffi::OsString>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    endpoints: Value,
}

impl Gateway {
    /// A directory with this configuration; `listen` and `data` are added.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn configured(yaml: &str) -> Self {
        let scratch = Scratch::new();
        let yaml = format!("listen: \"127.0.0.1:0\"\ndata: ./state\n{yaml}");
        fs::write(scratch.path().join("sallyport.yaml"), yaml).expect("a configuration");
        Self {
            scratch,
            running: None,
            variables: Vec::new(),
            user: None,
            complaints: None,
            starter: Vec::new(),
        }
    }

    /// Gives its directory, and everything it starts, to another user. Only root can.
    ///
    /// # Panics
    /// When somebody else tries.
    #[must_use]
    pub fn owned_by(mut self, user: u32) -> Self {
        give(self.scratch.path(), user);
        self.user = Some(user);
        self
    }

    /// Keeps what the running gateway logs in this file of its directory.
    #[must_use]
    pub fn logging_to(mut self, name: &str) -> Self {
        self.complaints = Some(self.path(name));
        self
    }

    /// Has everything started by another program, which becomes what follows its arguments.
    #[must_use]
    pub fn started_by<S: Into<std::ffi::OsString>>(mut self, starter: impl IntoIterator<Item = S>) -> Self {
        self.starter = starter.into_iter().map(Into::into).collect();
        self
    }

    /// Puts further variables into the environment of everything it starts.
    #[must_use]
    pub fn with_variables(mut self, variables: &[(&'static str, &'static str)]) -> Self {
        self.variables.extend(variables);
        self
    }

    /// A gateway that is ready.
    #[must_use]
    pub fn start(yaml: &str) -> Self {
        let mut gateway = Self::configured(yaml);
        gateway.run();
        gateway
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn run(&mut self) {
        let mut command = self.command(&["serve", "--ready-json"]);
        if let Some(path) = &self.complaints {
            let file = fs::OpenOptions::new().create(true).append(true).open(path);
            command.stderr(file.expect("a file"));
        }
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the gateway starts");
        let output = child.stdout.take().expect("it has an output");
        let (send, line) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(output).read_line(&mut line);
            let _ = send.send(line);
        });
        let line = line.recv_timeout(READY).unwrap_or_default();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| {
            let _ = child.kill();
            panic!("the gateway did not get ready: {:?}", child.wait())
        });
        self.running = Some(Running {
            child,
            endpoints: ready["endpoints"].clone(),
        });
    }

    /// Waits until every server was seen. A gateway is ready before slow ones are, and announces them.
    ///
    /// # Panics
    /// When one is not seen in a minute.
    pub fn wait_for_servers(&self) {
        let begun = Instant::now();
        loop {
            let servers = self.json(&["server", "list"]);
            let servers = servers.first().and_then(|list| list["servers"].as_array());
            let servers = servers.expect("a list").iter();
            let unseen: Vec<&Value> = servers.filter(|server| server["revision"].is_null()).collect();
            if unseen.is_empty() {
                return;
            }
            if begun.elapsed() >= READY {
                let ledger = self.ledger();
                let last: Vec<&Value> = ledger.iter().rev().take(3).collect();
                panic!("{unseen:?}: {last:?}");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// A command of the binary with this configuration.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let own = program("sallyport");
        let mut command = match self.starter.split_first() {
            None => Command::new(own),
            Some((starter, rest)) => {
                let mut command = Command::new(starter);
                command.args(rest).arg(own);
                command
            }
        };
        command
            .args(args)
            .arg("--config")
            .arg(self.path("sallyport.yaml"))
            .env("TESTER_SECRET", SECRET)
            .envs(self.variables.iter().copied())
            .env("HOME", self.scratch.path())
            .stdin(Stdio::null());
        if let Some(user) = self.user {
            use std::os::unix::process::CommandExt;
            command.uid(user).gid(user);
        }
        command
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the command starts")
    }

    /// Runs a command that must succeed; its output, line by line, as JSON.
    ///
    /// # Panics
    /// When it fails or prints anything else.
    #[must_use]
    pub fn json(&self, args: &[&str]) -> Vec<Value> {
        let output = self.output(&[args, &["--json"]].concat());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{args:?} ended with {}: {errors}",
            output.status
        );
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }

    /// Every entry of the ledger.
    #[must_use]
    pub fn ledger(&self) -> Vec<Value> {
        self.json(&["ledger", "export"])
    }

    /// A file or folder of its directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// `http://127.0.0.1:port`.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn base(&self) -> String {
        let running = self.running.as_ref().expect("it runs");
        running.endpoints["base"].as_str().expect("a base").to_owned()
    }

    /// Its process.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.running.as_ref().expect("it runs").child.id()
    }

    /// Memory of the process, in kB: resident now (`VmRSS`) or at its peak (`VmHWM`).
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn memory_kb(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let size = line.and_then(|line| line.trim_start_matches(':').trim().strip_suffix(" kB"));
        size.expect("a size").parse().expect("a number")
    }

    /// A token for the agent `tester`, by client credentials as any client gets one.
    ///
    /// # Panics
    /// When it is not given one.
    #[must_use]
    pub fn token(&self) -> String {
        self.token_of("tester")
    }

    /// The same for any agent that has the tester's secret.
    ///
    /// # Panics
    /// When it is not given one.
    #[must_use]
    pub fn token_of(&self, agent: &str) -> String {
        self.token_at(agent, "/mcp")
    }

    /// The same for another door than that of all servers.
    ///
    /// # Panics
    /// When it is not given one.
    #[must_use]
    pub fn token_at(&self, agent: &str, path: &str) -> String {
        let answer = self.ask_for_token(&[
            ("grant_type", "client_credentials"),
            ("client_id", agent),
            ("client_secret", SECRET),
            ("resource", &format!("{}{path}", self.base())),
        ]);
        answer["access_token"].as_str().expect("a token").to_owned()
    }

    /// What the token endpoint answers, good or not.
    ///
    /// # Panics
    /// When it does not answer, or not in JSON.
    #[must_use]
    pub fn ask_for_token(&self, form: &[(&str, &str)]) -> Value {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let answer = agent.post(format!("{}/oauth/token", self.base()));
        let answer = answer.send_form(form.iter().copied()).expect("an answer");
        let text = answer.into_body().read_to_string().expect("a body");
        serde_json::from_str(&text).expect("JSON")
    }

    /// Ends it at once, as a power failure would.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }

    /// Ends it as an operator does, and waits.
    ///
    /// # Panics
    /// When it does not end within 20 s.
    pub fn stop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        if let Some(pid) = i32::try_from(running.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        self.running = Some(running);
        self.wait();
    }

    /// Waits until it has ended, because it was told to.
    ///
    /// # Panics
    /// When it does not end within 20 s.
    pub fn wait(&mut self) {
        let Some(mut running) = self.running.take() else {
            return;
        };
        let until = Instant::now() + Duration::from_secs(20);
        while Instant::now() < until {
            if running.child.try_wait().ok().flatten().is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = running.child.kill();
        panic!("the gateway did not end");
    }
}

/// Changes the owner of a directory and all in it.
fn give(path: &Path, user: u32) {
    std::os::unix::fs::chown(path, Some(user), Some(user)).expect("root");
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a directory").flatten() {
            give(&entry.path(), user);
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.kill();
        } else {
            self.stop();
        }
    }
}
