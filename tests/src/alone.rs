//! Servers of HTTP that know one era alone.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use crate::gateway::program;

/// See the module.
#[derive(Debug)]
pub struct Alone {
    child: Child,
    url: String,
}

impl Alone {
    /// A server of the modern era (`e2e-modern`).
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::run(&mut Command::new(program("e2e-modern")))
    }

    /// A server of sessions that has tasks, and does not ask whose they are (`e2e-stub http`).
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn of_sessions() -> Self {
        Self::run(
            Command::new(program("e2e-stub"))
                .arg("http")
                .env("STUB_TASKS", "1"),
        )
    }

    fn run(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the server starts");
        let mut url = String::new();
        let output = child.stdout.take().expect("it has an output");
        BufReader::new(output).read_line(&mut url).expect("a line");
        let url = url.trim().to_owned();
        Self { child, url }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
