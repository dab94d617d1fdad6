//! A mailer. What it sends stays in a file, one line of JSON for each mail.

use std::{fs::OpenOptions, io::Write, path::PathBuf};

use rmcp::model::{JsonObject, Tool};
use serde_json::json;

use crate::desk::{Desk, text, tool};

/// See the module.
#[derive(Debug)]
pub(crate) struct Mailer {
    outbox: PathBuf,
}

impl Mailer {
    pub(crate) fn new(outbox: PathBuf) -> Self {
        Self { outbox }
    }

    fn send(&self, to: &str, subject: &str, body: &str) -> std::io::Result<()> {
        let line = json!({ "to": to, "subject": subject, "body": body });
        // One write, so that lines of several processes do not mix.
        let mut outbox = OpenOptions::new().create(true).append(true).open(&self.outbox)?;
        outbox.write_all(format!("{line}\n").as_bytes())
    }
}

impl Desk for Mailer {
    const NAME: &'static str = "mailer";

    fn tools(&self) -> Vec<Tool> {
        let to = json!({ "type": "string", "pattern": "^[^@,; ]+@[^@,; ]+$", "description": "One address" });
        vec![tool(
            "send",
            "Sends a mail.",
            false,
            json!({
                "to": to,
                "subject": { "type": "string", "maxLength": 200 },
                "body": { "type": "string", "maxLength": 20_000 },
            }),
        )]
    }

    fn call(&self, tool: &str, arguments: &JsonObject) -> Result<String, String> {
        if tool != "send" {
            return Err(format!("there is no tool `{tool}`"));
        }
        let (to, subject) = (text(arguments, "to")?, text(arguments, "subject")?);
        let sent = self.send(to, subject, text(arguments, "body")?);
        sent.map_err(|error| format!("{}: {error}", self.outbox.display()))?;
        Ok(format!("sent to {to}"))
    }
}
