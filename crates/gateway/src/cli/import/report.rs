//! What an import tells: for people in lines, for programs as one JSON object.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Onboarded, Rewrite};
use crate::clients::{ClientFile, Plan, Planned, Saved, Undone};

/// See the module.
#[derive(Debug)]
pub(super) struct Report {
    config: PathBuf,
    begins: bool,
    clients: Vec<OfClient>,
    servers: Vec<Planned>,
    agents: Vec<String>,
    pub(super) changes_config: bool,
    pub(super) dry_run: bool,
    pub(super) carried_out: bool,
    pub(super) onboarded: Vec<Onboarded>,
    /// Changed files and their copies.
    pub(super) copies: Vec<(PathBuf, PathBuf)>,
}

#[derive(Debug)]
struct OfClient {
    id: &'static str,
    title: &'static str,
    path: PathBuf,
    left: Vec<(String, String)>,
    rewrites: bool,
}

impl Report {
    pub(super) fn new(
        config: &Path,
        begins: bool,
        files: &[ClientFile],
        plan: &Plan,
        agents: &[&str],
        rewrites: &[Rewrite],
    ) -> Self {
        let clients = files.iter().map(|file| OfClient {
            id: file.client.id,
            title: file.client.title,
            path: file.path.clone(),
            left: file
                .left()
                .map(|(label, why)| (label.to_owned(), why.to_owned()))
                .collect(),
            rewrites: rewrites.iter().any(|rewrite| rewrite.file.path == file.path),
        });
        Self {
            config: config.to_path_buf(),
            begins,
            clients: clients.collect(),
            servers: plan.servers.clone(),
            agents: agents.iter().map(|name| (*name).to_owned()).collect(),
            changes_config: false,
            dry_run: false,
            carried_out: false,
            onboarded: Vec::new(),
            copies: Vec::new(),
        }
    }

    pub(super) fn changes_anything(&self) -> bool {
        self.changes_config || self.clients.iter().any(|client| client.rewrites)
    }

    /// What would change.
    pub(super) fn planned(&self) -> String {
        let mut lines = Vec::new();
        for client in &self.clients {
            let what = if client.rewrites { "" } else { " (stays as it is)" };
            lines.push(format!("found {}: {}{what}", client.title, client.path.display()));
            for (label, why) in &client.left {
                lines.push(format!("  not taken over: {label}: {why}"));
            }
        }
        for server in &self.servers {
            let clients: Vec<_> = server.clients.iter().map(|client| client.title).collect();
            let clients = clients.join(", ");
            lines.push(match &server.fields {
                None => format!("  server {} is there already ({clients})", server.name),
                Some(_) => format!("  server {}: {} (from {clients})", server.name, server.shown),
            });
            if !server.secrets.is_empty() {
                lines.push(format!(
                    "    secrets into files of their own: {}",
                    server.secrets.join(", ")
                ));
            }
        }
        if self.changes_config {
            let what = if self.begins { "a new file" } else { "added to" };
            lines.push(format!("configuration: {} ({what})", self.config.display()));
        }
        if !self.agents.is_empty() {
            lines.push(format!("agents: {} (role `owner`)", self.agents.join(", ")));
        }
        if !self.changes_anything() {
            lines.push("nothing to do".to_owned());
        }
        lines.join("\n")
    }

    /// What was done, and what comes next.
    pub(super) fn done(&self) -> String {
        if !self.carried_out {
            return if self.dry_run {
                "nothing was changed (--dry-run)"
            } else {
                "nothing was changed"
            }
            .to_owned();
        }
        let mut lines = Vec::new();
        for server in &self.onboarded {
            lines.push(match &server.trouble {
                None if server.held == 0 => format!("{}: approved with {} tools", server.name, server.tools),
                None => format!(
                    "{}: approved with {} tools; {} held back, see `sallyport server show {}`",
                    server.name, server.tools, server.held, server.name
                ),
                Some(trouble) => format!("{}: could not be looked at: {trouble}", server.name),
            });
            lines.extend(server.sandbox.iter().map(|words| format!("  its box: {words}")));
        }
        if self.changes_config {
            lines.push(format!("wrote {}", self.config.display()));
        }
        for (path, copy) in &self.copies {
            lines.push(format!(
                "changed {}; a copy is {}",
                path.display(),
                copy.display()
            ));
        }
        lines.push(self.next().join("\n"));
        lines.join("\n")
    }

    fn next(&self) -> Vec<String> {
        let config = self.config.display();
        let mut next = Vec::new();
        if !self.copies.is_empty() {
            next.push("next: restart the clients; each starts Sallyport by itself".to_owned());
        } else {
            next.push(format!("next: sallyport serve --config {config}"));
        }
        if self.onboarded.iter().any(|server| server.trouble.is_some()) {
            next.push(format!(
                "see what is wrong: sallyport server list --config {config}"
            ));
        }
        next.push(format!(
            "put everything back: sallyport import --undo --config {config}"
        ));
        next
    }

    /// The same for programs.
    pub(super) fn json(&self) -> String {
        let clients = self.clients.iter().map(|client| {
            let copy = self
                .copies
                .iter()
                .find(|(path, _)| *path == client.path)
                .map(|(_, copy)| copy);
            let left = client
                .left
                .iter()
                .map(|(name, why)| json!({ "name": name, "why": why }));
            json!({
                "client": client.id, "title": client.title, "path": client.path, "rewritten": client.rewrites,
                "left": left.collect::<Vec<_>>(), "backup": copy,
            })
        });
        let servers = self.servers.iter().map(|server| self.server(server));
        let value = json!({
            "config": self.config, "created": self.begins && self.changes_config, "dry_run": self.dry_run,
            "changed": self.carried_out, "clients": clients.collect::<Vec<_>>(),
            "servers": servers.collect::<Vec<_>>(), "agents": self.agents,
            "next": if self.carried_out { self.next() } else { Vec::new() },
        });
        value.to_string()
    }

    fn server(&self, server: &Planned) -> Value {
        let clients: Vec<_> = server.clients.iter().map(|client| client.id).collect();
        let seen = self
            .onboarded
            .iter()
            .find(|onboarded| onboarded.name == server.name.as_str());
        json!({
            "name": server.name.as_str(), "clients": clients, "secrets": server.secrets,
            "action": if server.fields.is_some() { "add" } else { "none" },
            "launch": server.shown, "disabled": server.disabled,
            "approved": seen.is_some_and(|seen| seen.trouble.is_none()),
            "tools": seen.map(|seen| seen.tools), "held": seen.map(|seen| seen.held),
            "sandbox": seen.and_then(|seen| seen.sandbox.as_deref()),
            "trouble": seen.and_then(|seen| seen.trouble.as_deref()),
        })
    }
}

/// What undoing did.
pub(super) fn undone(done: &[(Saved, Undone)], json: bool) -> String {
    let word = |what: Undone| match what {
        Undone::Restored => "restored",
        Undone::Stays => "stays",
    };
    if json {
        let files = done
            .iter()
            .map(|(saved, what)| json!({ "path": saved.path, "client": saved.client, "what": word(*what) }));
        return json!({ "undone": files.collect::<Vec<_>>() }).to_string();
    }
    let lines = done.iter().map(|(saved, what)| match what {
        Undone::Restored => format!("restored {}", saved.path.display()),
        Undone::Stays => format!(
            "{} was changed since the import and stays as it is",
            saved.path.display()
        ),
    });
    lines.collect::<Vec<_>>().join("\n")
}
