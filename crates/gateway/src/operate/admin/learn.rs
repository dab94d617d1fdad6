//! `server learn`: what a server asks for, and the least that would have to be granted.

use std::{collections::BTreeSet, net::IpAddr};

use upstream::{
    Sandbox,
    sandbox::{Least, Wishes, plan},
};
use wire::{json::object, mcp::ServerName};

use super::{Args, count};
use crate::{
    failure::Failure,
    listen::House,
    outside::{
        addresses::{Kind, kind},
        egress::{Came, Host},
    },
    registry::keeper::KeeperError,
};

/// Longest record that is read.
const ASKED_BYTES_MAX: u64 = 64 << 20;

/// Begins to learn a server, or ends it and proposes.
pub(super) fn learn(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let name = args.needed("name")?;
    let engines = &house.engines;
    let room = engines.upstreams.room();
    if args.text("done").is_some() {
        let (server, command) = engines.keeper.learnt(&name)?;
        let asked = room.asked(&server).ok_or_else(nowhere)?;
        let too_long = std::fs::metadata(&asked).is_ok_and(|found| found.len() > ASKED_BYTES_MAX);
        let asked = match std::fs::read(&asked) {
            Ok(asked) if !too_long => String::from_utf8_lossy(&asked).into_owned(),
            Ok(_) | Err(_) => String::new(),
        };
        if asked.is_empty() {
            let why = "did not run since; use it, and ask again after `sallyport server learn`";
            return Err(KeeperError::Unlearnable(name, why).into());
        }
        let least = Least::of(&server, &command, room, &asked);
        let least = least.map_err(|refused| Failure::configuration(refused.to_string()))?;
        let hosts = Hosts::of(house, &server);
        return Ok(proposed(house, &server, &command, (&asked, &least, &hosts)));
    }
    let server = engines.keeper.learn(&name)?;
    let asked = room.asked(&server).ok_or_else(nowhere)?;
    engines
        .egress
        .forget(&server, &asked)
        .map_err(|error| Failure::other(format!("`{}`: {error}", asked.display())))?;
    Ok(object(|out| {
        out.string("name", server.as_str());
        out.boolean("learning", true);
    }))
}

fn nowhere() -> Failure {
    Failure::other("there is no place to write down what it asks for")
}

/// The hosts it wanted to reach.
#[derive(Default)]
struct Hosts {
    network: BTreeSet<String>,
    private: BTreeSet<String>,
    withheld: Vec<String>,
}

impl Hosts {
    fn of(house: &House, server: &ServerName) -> Self {
        let engines = &house.engines;
        let granted = engines
            .keeper
            .meant(server)
            .map(|meant| meant.egress)
            .unwrap_or_default();
        let mut hosts = Self::default();
        for ((host, port), came) in engines.egress.wanted(server) {
            let text = match (host.contains(':'), port) {
                (false, 80 | 443) => host.clone(),
                (false, port) => format!("{host}:{port}"),
                (true, port) => format!("[{host}]:{port}"),
            };
            let is_private = granted.iter().any(|granted| granted.is_private_for(&host, port));
            let is_inside = host
                .parse::<IpAddr>()
                .is_ok_and(|address| kind(address) != Kind::Public);
            if Host::parse(&text, false).is_err() {
                hosts
                    .withheld
                    .push(format!("{}: it is no host", host.escape_debug()));
            } else if is_private && came == Came::There {
                hosts.private.insert(text);
            } else if is_inside || host == "localhost" {
                hosts
                    .withheld
                    .push(format!("{text}: it is of this machine or a private network"));
            } else {
                hosts.network.insert(text);
            }
        }
        hosts
    }
}

fn proposed(
    house: &House,
    server: &ServerName,
    command: &upstream::Command,
    (asked, least, hosts): (&str, &Least, &Hosts),
) -> Vec<u8> {
    let wishes = match &command.sandbox {
        Sandbox::On(wishes) => wishes.as_ref().clone(),
        Sandbox::Off => Wishes::default(),
    };
    let had_network = !wishes.network.is_empty();
    let wishes = Wishes {
        read: least.read.clone(),
        execute: least.execute.clone(),
        write: least.write.clone(),
        network: hosts.network.iter().chain(&hosts.private).cloned().collect(),
        learn: false,
        ..wishes
    };
    let words = plan(server, command, &wishes, house.engines.upstreams.room());
    let paths = |paths: &[std::path::PathBuf]| paths.iter().map(|path| path.display().to_string()).collect();
    let lists: [(&str, Vec<String>); 5] = [
        ("read", paths(&least.read)),
        ("execute", paths(&least.execute)),
        ("write", paths(&least.write)),
        ("network", hosts.network.iter().cloned().collect()),
        ("private", hosts.private.iter().cloned().collect()),
    ];
    let mut yaml = String::new();
    for (key, list) in &lists {
        if !list.is_empty() {
            let list = serde_json::to_string(list).unwrap_or_default();
            yaml.push_str(&format!("\n  {key}: {list}"));
        } else if *key == "network" && had_network {
            yaml.push_str("\n  network: none");
        }
    }
    let yaml = if yaml.is_empty() { " on".to_owned() } else { yaml };
    object(|out| {
        out.string("name", server.as_str());
        out.integer("asked", count(asked.lines().count()));
        out.string("proposal", &format!("sandbox:{yaml}\n"));
        match words {
            Ok(profile) => out.string("words", &profile.words()),
            Err(refused) => out.string("words", &format!("it cannot be boxed so: {refused}")),
        }
        out.array("withheld", |list| {
            least
                .withheld
                .iter()
                .chain(&hosts.withheld)
                .for_each(|one| list.string(one));
        });
    })
}
