//! The demo's house: a temporary directory with configuration, secrets and data, and the gateway that runs
//! there. It is gone when this is dropped.

use std::{
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use records::{digest::hex, disk::RealDisk, ledger::Reader};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use wire::json::{Document, Node, object};

use super::{super::ledger, program};
use crate::{ambient::Ambient, failure::Failure, operate::admin::control, storage::vault::Layout};

/// The configuration of the hospital, as anybody would write it.
const CONFIGURATION: &str = include_str!("../../../../../examples/hospital/sallyport.yaml");
/// The agents, each with a secret of its own.
const AGENTS: [&str; 2] = ["scribe", "porter"];
/// How long the gateway may take to start, and to stop.
const GATEWAY_WAIT: Duration = Duration::from_secs(15);

/// See the module.
#[derive(Debug)]
pub(super) struct House {
    directory: PathBuf,
    hospital: PathBuf,
    gateway: Option<Gateway>,
}

#[derive(Debug)]
struct Gateway {
    process: Child,
    endpoints: Endpoints,
}

/// Where a gateway says it can be reached.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Endpoints {
    pub(super) mcp: String,
    pub(super) token: String,
}

#[derive(Deserialize)]
struct Ready {
    endpoints: Endpoints,
}

impl House {
    /// Makes the directory.
    pub(super) fn build(hospital: &Path) -> Result<Self, Failure> {
        let ambient = Ambient::system();
        let directory = std::env::temp_dir().join(format!("sallyport-demo-{}", hex(&ambient.bytes::<4>())));
        let failed = |error: std::io::Error| {
            Failure::configuration(format!(
                "cannot use {}: {error}; set TMPDIR to a directory that can be written",
                directory.display()
            ))
        };
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&directory)
            .map_err(failed)?;
        // From here on the directory goes with the house.
        let house = Self {
            directory: directory.clone(),
            hospital: hospital.to_path_buf(),
            gateway: None,
        };
        write(&house.configuration(), CONFIGURATION).map_err(failed)?;
        for agent in AGENTS {
            write(&directory.join(format!("{agent}.secret")), &ambient.secret()).map_err(failed)?;
        }
        for own in ["charts", "outbox"] {
            std::fs::create_dir(directory.join(own)).map_err(failed)?;
        }
        std::os::unix::fs::symlink(hospital, directory.join("sallyport-hospital")).map_err(failed)?;
        Ok(house)
    }

    /// Starts the gateway and waits until it listens and has looked at its servers.
    pub(super) async fn open(&mut self) -> Result<(), Failure> {
        let log = self.directory.join("gateway.log");
        let opened = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&log);
        let errors = opened.map_err(|error| Failure::configuration(format!("{}: {error}", log.display())))?;
        let mut command = Command::new(program::own()?);
        command
            .arg("--config")
            .arg(self.configuration())
            .args(["serve", "--ready-json"]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .kill_on_drop(true);
        let started = command.spawn();
        let mut process =
            started.map_err(|error| Failure::other(format!("the gateway cannot be started: {error}")))?;
        let ready = match process.stdout.take() {
            Some(stdout) => {
                let mut line = String::new();
                let mut stdout = BufReader::new(stdout);
                let read = tokio::time::timeout(GATEWAY_WAIT, stdout.read_line(&mut line)).await;
                read.ok()
                    .and_then(Result::ok)
                    .and_then(|_| serde_json::from_str::<Ready>(&line).ok())
            }
            None => None,
        };
        let Some(ready) = ready else {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            return Err(Failure::other(format!(
                "the gateway does not start; it said: {}",
                said.trim()
            )));
        };
        self.gateway = Some(Gateway {
            process,
            endpoints: ready.endpoints,
        });
        Ok(())
    }

    /// Stops the gateway properly: its servers end, and its ledger is closed.
    pub(super) async fn stop(&mut self) {
        let Some(mut gateway) = self.gateway.take() else {
            return;
        };
        let id = gateway
            .process
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
        if tokio::time::timeout(GATEWAY_WAIT, gateway.process.wait())
            .await
            .is_err()
        {
            let _ = gateway.process.kill().await;
        }
    }

    /// Stops the gateway and removes the directory.
    pub(super) async fn close(mut self) {
        self.stop().await;
    }

    /// Where the gateway can be reached.
    pub(super) fn endpoints(&self) -> Endpoints {
        self.gateway
            .as_ref()
            .map(|gateway| gateway.endpoints.clone())
            .unwrap_or_default()
    }

    /// A token for Alice's agent, as whoever may open the control socket can have it. A lifetime in the past
    /// gives one that has expired.
    pub(super) async fn token(&self, seconds: &str) -> Result<String, Failure> {
        let args = object(|out| {
            out.string("agent", "scribe");
            out.string("purpose", "treatment");
            out.string("seconds", seconds);
        });
        let answer = self.ask("token", &args).await?;
        let token = answer.root().get("access_token").and_then(Node::as_str);
        token
            .map(std::borrow::Cow::into_owned)
            .ok_or_else(|| Failure::other("the gateway issues no token"))
    }

    /// How many entries the ledger has, all of them published.
    pub(super) async fn size(&self) -> Result<u64, Failure> {
        let answer = self.ask("ledger.settle", b"{}").await?;
        let size = answer
            .root()
            .get("size")
            .and_then(Node::as_number)
            .and_then(|number| number.as_u64());
        size.ok_or_else(|| Failure::other("the gateway does not say how long its ledger is"))
    }

    /// The ledger's entries from an index on, all that were written so far.
    pub(super) async fn entries(&self, from: u64) -> Result<Vec<Entry>, Failure> {
        self.size().await?;
        let reader = Reader::new(std::sync::Arc::new(RealDisk), &self.layout().ledger());
        let mut entries = Vec::new();
        ledger::each(&reader, from, None, |stored| {
            entries.extend(serde_json::from_str::<Entry>(&ledger::line(stored)).ok());
        })?;
        Ok(entries)
    }

    async fn ask(&self, operation: &str, args: &[u8]) -> Result<Document, Failure> {
        let answer = control::ask(&self.layout().control(), operation, args).await?;
        answer.ok_or_else(|| Failure::unreachable("the gateway of the demo is gone"))
    }

    /// The program of the servers and the agents.
    pub(super) fn hospital(&self) -> &Path {
        &self.hospital
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn configuration(&self) -> PathBuf {
        self.directory.join("sallyport.yaml")
    }

    pub(super) fn layout(&self) -> Layout {
        Layout::new(&self.directory.join("state"))
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // A gateway that still runs here is killed first, so that it does not write again.
        self.gateway = None;
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// An entry of the ledger, as far as it is shown.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Entry {
    pub(super) index: u64,
    pub(super) kind: String,
    pub(super) call: String,
    pub(super) server: String,
    pub(super) tool: String,
    pub(super) code: String,
    pub(super) stage: String,
    pub(super) reason: String,
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}
