//! The agents' side: one scene, played by real clients of the SDK over Streamable HTTP. What is right or
//! wrong about an answer is not judged here; it is printed.

mod agent;
mod scenes;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

pub(crate) use agent::PlayError;

/// Play one scene and print one line of JSON for each call.
#[derive(Args, Debug)]
pub(crate) struct Play {
    /// The scene.
    scene: Scene,
    /// The gateway's endpoint.
    #[arg(long, value_name = "URL")]
    mcp: String,
    /// Where tokens are issued.
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// The directory with the agents' secrets, `NAME.secret`; the laboratory's update is put there, too.
    #[arg(long, value_name = "DIR")]
    house: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Scene {
    /// An argument that does not fit the tool's pattern.
    BadArgument,
    /// A token that has expired, from the environment variable `HOSPITAL_TOKEN`.
    ExpiredToken,
    /// A token whose content was changed.
    ForgedToken,
    /// Somebody else's patient.
    OtherPatient,
    /// One's own patient.
    OwnPatient,
    /// A page that makes the agent mail a chart out.
    Puppet,
    /// A tool that is changed after it was approved.
    RugPull,
    /// SQL that writes, through a tool that reads.
    SqlWrite,
}

impl Play {
    pub(crate) fn run(self) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime
            .block_on(scenes::play(&self))
            .map_err(|error| error.to_string())
    }
}

/// Prints one line of JSON.
#[expect(clippy::print_stdout, reason = "the one place that prints")]
fn say(line: &serde_json::Value) {
    println!("{line}");
}
