//! Approving imported servers: the normal onboarding, at a running gateway or in its data directory.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::task::JoinSet;
use wire::json::{Document, Keys, Node};

use super::{Common, serve::load};
use crate::{
    ambient::Ambient,
    assemble,
    failure::Failure,
    listen::House,
    operate::admin::{self, control},
    storage::vault::{Layout, Vault},
};

/// What became of a server.
#[derive(Debug)]
pub(super) struct Onboarded {
    pub(super) name: String,
    pub(super) tools: u64,
    /// Tools inspection held back.
    pub(super) held: u64,
    /// What its box lets it do, where it has one.
    pub(super) sandbox: Option<String>,
    /// Why it could not be looked at.
    pub(super) trouble: Option<String>,
}

/// What is to be onboarded: servers with what configuration says of them, and agents.
#[derive(Debug, Default)]
pub(super) struct Newcomers {
    pub(super) servers: Vec<(String, Map<String, Value>)>,
    pub(super) agents: Vec<String>,
}

/// Approves servers and looks at each, all at the same time. A server that cannot be reached does not hold
/// the others up.
pub(super) fn onboard(common: &Common, newcomers: &Newcomers) -> Result<Vec<Onboarded>, Failure> {
    let meant = load(common)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime
        .map_err(|error| Failure::other(error.to_string()))?
        .block_on(async {
            let socket = Layout::new(&meant.data).control();
            if control::ask(&socket, "status", b"{}").await?.is_some() {
                return running(&socket, newcomers).await;
            }
            let ambient = Ambient::system();
            let vault = Vault::open(&Layout::of(&meant), &ambient)?;
            let house = assemble::assemble(&meant, meant.door.listen, ambient, &vault)?;
            let mut looks = JoinSet::new();
            for (name, _) in &newcomers.servers {
                let (name, house) = (name.clone(), Arc::clone(&house));
                looks.spawn(async move {
                    let approved = here(
                        &house,
                        "server.approve",
                        &json!({ "name": name, "pin": "as-found" }),
                    )
                    .await;
                    let shown = here(&house, "server.show", &json!({ "name": name })).await;
                    told(name, approved, shown)
                });
            }
            let mut onboarded = Vec::new();
            while let Some(look) = looks.join_next().await {
                onboarded.extend(look.ok());
            }
            house.engines.upstreams.shut_down().await;
            drop(house);
            vault.close().await;
            onboarded.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(onboarded)
        })
}

/// A running gateway has read its configuration already, so it is told what is new.
async fn running(socket: &std::path::Path, newcomers: &Newcomers) -> Result<Vec<Onboarded>, Failure> {
    for agent in &newcomers.agents {
        // One it knows already needs nothing.
        let _ = there(socket, "agent.add", &json!({ "name": agent, "roles": ["owner"] })).await;
    }
    let mut onboarded = Vec::new();
    for (name, server) in &newcomers.servers {
        let added = there(socket, "server.add", &json!({ "name": name, "server": server })).await;
        let approved = match added {
            Ok(_) => {
                there(
                    socket,
                    "server.approve",
                    &json!({ "name": name, "pin": "as-found" }),
                )
                .await
            }
            Err(failure) => Err(failure),
        };
        let shown = there(socket, "server.show", &json!({ "name": name })).await;
        onboarded.push(told(name.clone(), approved, shown));
    }
    Ok(onboarded)
}

async fn there(socket: &std::path::Path, operation: &str, args: &Value) -> Result<Document, Failure> {
    let answer = control::ask(socket, operation, args.to_string().as_bytes()).await?;
    answer.ok_or_else(|| Failure::unreachable("the running gateway has ended"))
}

async fn here(house: &Arc<House>, operation: &str, args: &Value) -> Result<Document, Failure> {
    let parse = |text: Vec<u8>| {
        Document::parse(text, Keys::Exact, &wire::bounds::ANSWER)
            .map_err(|error| Failure::other(error.to_string()))
    };
    let args = parse(args.to_string().into_bytes())?;
    parse(admin::run(house, operation, args.root()).await?)
}

fn told(name: String, approved: Result<Document, Failure>, shown: Result<Document, Failure>) -> Onboarded {
    let count = |state: &str| {
        let tools = shown.as_ref().ok().and_then(|shown| shown.root().get("tools"));
        let number = tools.and_then(|tools| tools.get(state)).and_then(Node::as_number);
        number.and_then(|number| number.as_u64()).unwrap_or(0)
    };
    let (tools, held) = (count("approved"), count("quarantined"));
    let sandbox = shown.as_ref().ok().and_then(|shown| shown.root().get("sandbox"));
    let sandbox = sandbox.and_then(Node::as_str).map(|words| words.into_owned());
    Onboarded {
        name,
        tools,
        held,
        sandbox,
        trouble: approved.err().map(|failure| failure.to_string()),
    }
}
