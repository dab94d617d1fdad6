//! A server whose answers lie in a folder, byte for byte: `e2e-stub raw` over pipes, `e2e-stub http` in the modern era.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    gateway::{Scratch, program},
    peers::Served,
};

/// See the module. Its folder is removed with it.
#[derive(Debug, Default)]
pub struct Raw(Scratch);

impl Raw {
    /// A server of sessions (2025-11-25) of this name, with these capabilities.
    #[must_use]
    pub fn of_sessions(name: &str, capabilities: &Value) -> Self {
        let server = Self::default();
        let info = json!({"name": name, "version": "1"});
        let opening =
            json!({"protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": info});
        server.answers("initialize", &opening);
        server
    }

    /// From now on it answers a method with this result, or with this error: an object that begins with its `code`.
    pub fn answers(&self, method: &str, result: &Value) {
        self.answers_in_bytes(method, &result.to_string());
    }

    /// The same with a text as it stands. A message is a line.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn answers_in_bytes(&self, method: &str, result: &str) {
        let file = self.path().join(method.replace('/', "_"));
        fs::write(file, result.replace('\n', " ")).expect("a file");
    }

    /// From now on it says these lines before it answers a call, and waits for the answer to the last.
    ///
    /// # Panics
    /// When they cannot be written.
    pub fn asks(&self, lines: &str) {
        fs::write(self.path().join("question"), lines).expect("a file");
    }

    /// All that it was told, a message in each line.
    ///
    /// # Panics
    /// When it was told nothing.
    #[must_use]
    pub fn heard(&self) -> String {
        fs::read_to_string(self.path().join("heard")).expect("it was told something")
    }

    /// How a configuration starts it.
    #[must_use]
    pub fn command(&self) -> String {
        let (stub, folder) = (program("e2e-stub"), self.path());
        format!("command: {stub:?}, args: [raw, {folder:?}]")
    }

    /// The same as a server of the modern era over HTTP, and how a configuration reaches it.
    #[must_use]
    pub fn served(&self) -> (Served, String) {
        let served = Served::start(Command::new(program("e2e-stub")).arg("http").arg(self.path()));
        let reach = format!("url: {:?}", served.line);
        (served, reach)
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}
