//! A place for a test: temporary files and processes of its own, and nothing left of them.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// A folder for temporary files of its own. Short, since the path of a socket below it may not be long.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("hospital-test-{}-{number}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    pub(crate) fn command(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .env("TMPDIR", &self.0)
            .env_remove("SALLYPORT_ROOT_KEY")
            .current_dir(&self.0);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn start(&self, program: &Path, args: &[&str]) -> Child {
        self.command(program, args).spawn().unwrap()
    }

    pub(crate) fn run(&self, program: &Path, args: &[&str]) -> Output {
        self.command(program, args).output().unwrap()
    }

    /// The demo's directory, once there is one.
    pub(crate) fn house(&self) -> Option<PathBuf> {
        fs::read_dir(&self.0)
            .unwrap()
            .next()
            .map(|entry| entry.unwrap().path())
    }

    /// No file is left, and no process that was started from here.
    pub(crate) fn is_empty(&self) {
        assert_eq!(self.house(), None);
        // Servers get two seconds to leave by themselves.
        wait("the end of all processes", || self.processes().is_empty());
    }

    /// Processes that know this folder: by their directory, their arguments or their environment.
    fn processes(&self) -> Vec<String> {
        let own = std::process::id().to_string();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
            let id = entry.file_name().to_string_lossy().into_owned();
            if id == own || !id.chars().all(|c| c.is_ascii_digit()) {
                continue;
            }
            let mut known = fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&self.0));
            for file in ["cmdline", "environ"] {
                let mut text = Vec::new();
                let read =
                    fs::File::open(entry.path().join(file)).and_then(|mut file| file.read_to_end(&mut text));
                known |= read.is_ok() && String::from_utf8_lossy(&text).contains(self.0.to_str().unwrap());
            }
            if known {
                found.push(id);
            }
        }
        found
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The gateway's program, beside the hospital's; built if nobody has yet.
pub(crate) fn sallyport() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_sallyport-hospital")).with_file_name("sallyport");
    if !program.exists() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--package", "gateway"]);
        assert!(
            cargo
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .status()
                .unwrap()
                .success()
        );
    }
    program
}

pub(crate) fn objects(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub(crate) fn kill(signal: &str, process: &Child) {
    assert!(
        Command::new("kill")
            .args([signal, &process.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
}

pub(crate) fn wait(what: &str, done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(10), "waited for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
