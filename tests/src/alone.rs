//! A server that knows the modern era alone (`e2e-modern`).

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
    /// Starts it.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start() -> Self {
        let mut child = Command::new(program("e2e-modern"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
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
