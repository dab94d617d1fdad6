//! What is said of a server's box.

use std::{collections::BTreeSet, path::PathBuf};

use upstream::{
    Command, Sandbox,
    sandbox::{Caps, Room, Wall, Wishes, fetches_from},
};
use wire::json::ObjectWriter;

use super::{
    Problem, packs,
    reference::Lookup,
    said::{SaidBox, SaidHosts, SaidSandbox, SaidSize},
};
use crate::outside::egress::Host;

/// The box of a server that is a process, and the hosts its broker lets it reach.
pub(super) fn mean(
    at: &str,
    said: Option<&SaidSandbox>,
    command: &Command,
    lookup: &Lookup<'_>,
) -> Result<(Sandbox, Vec<Host>), Problem> {
    let at = format!("{at}.sandbox");
    let granted = match said {
        None => &SaidBox::default(),
        Some(SaidSandbox::Word(word)) if word == "on" => &SaidBox::default(),
        Some(SaidSandbox::Word(word)) if word == "off" => return Ok((Sandbox::Off, Vec::new())),
        Some(SaidSandbox::Word(word)) => {
            let why = format!("`{word}` says nothing of a sandbox");
            return Err(Problem::new(at, why, "write `on`, `off`, or what is granted"));
        }
        Some(SaidSandbox::Granted(granted)) => granted,
    };
    let pack = packs::of(command);
    let hosts = hosts(&at, granted, command)?;
    let keeps = match granted.home.as_deref() {
        // What is fetched once need not be fetched at each start.
        None => !fetches_from(&command.program).is_empty() || pack.is_some_and(|pack| pack.keeps),
        Some("kept") => true,
        Some("private") => false,
        Some(word) => {
            let why = format!("`{word}` is no home");
            return Err(Problem::new(
                format!("{at}.home"),
                why,
                "write `private` or `kept`",
            ));
        }
    };
    let paths = |paths: &[String]| {
        paths
            .iter()
            .map(|path| lookup.path(path))
            .collect::<Vec<PathBuf>>()
    };
    let wishes = Wishes {
        read: paths(&granted.read),
        execute: paths(&granted.execute),
        write: paths(&granted.write),
        network: hosts.iter().map(ToString::to_string).collect(),
        caps: caps(&at, granted)?,
        keep: keeps,
        variables: pack.map_or(&[], |pack| pack.variables),
        without: without(&at, &granted.without)?,
        learn: false,
    };
    // Where the gateway's own places are is not known here; it is asked again at each start, with them.
    if let Err(refused) = wishes.check(&Room::default()) {
        return Err(Problem::new(at, refused.what, refused.remedy));
    }
    Ok((Sandbox::On(Box::new(wishes)), hosts))
}

fn hosts(at: &str, granted: &SaidBox, command: &Command) -> Result<Vec<Host>, Problem> {
    let listed: Vec<String> = match &granted.network {
        None => {
            let pack = packs::of(command).map_or(&[][..], |pack| pack.network);
            let fetched = fetches_from(&command.program).iter();
            fetched.chain(pack).map(|host| (*host).to_owned()).collect()
        }
        Some(SaidHosts::Word(word)) if word == "none" => Vec::new(),
        Some(SaidHosts::Word(word)) => {
            let why = format!("`{word}` is no list of hosts");
            return Err(Problem::new(
                format!("{at}.network"),
                why,
                "write `none`, or hosts in `[ ]`",
            ));
        }
        Some(SaidHosts::Listed(hosts)) => hosts.clone(),
    };
    let mut hosts = Vec::new();
    for (key, list, is_private) in [("network", &listed, false), ("private", &granted.private, true)] {
        for text in list {
            let host = Host::parse(text, is_private);
            hosts.push(host.map_err(|why| {
                let remedy =
                    "write a name such as `api.github.com`, `*.example.com` or `example.com:8443`; `*` is any public host";
                Problem::new(format!("{at}.{key}"), why, remedy)
            })?);
        }
    }
    Ok(hosts)
}

fn caps(at: &str, granted: &SaidBox) -> Result<Caps, Problem> {
    let usual = Caps::default();
    let size = |key: &str, said: &Option<SaidSize>, usual: u64| match said {
        None => Ok(usual),
        Some(said) => bytes(said).filter(|bytes| *bytes >= 1 << 20).ok_or_else(|| {
            let remedy = "write bytes, or a number with K, M or G; at least 1M";
            Problem::new(format!("{at}.{key}"), "it is no size", remedy)
        }),
    };
    let cpu_percent = match granted.cpu {
        None => usual.cpu_percent,
        Some(cpu) if (0.01..=1024.0).contains(&cpu) => {
            // Bounded above, so nothing is lost.
            format!("{:.0}", cpu * 100.0).parse().unwrap_or(usual.cpu_percent)
        }
        Some(_) => {
            let remedy = "write how many processors, from 0.01 to 1024";
            return Err(Problem::new(
                format!("{at}.cpu"),
                "it is no number of processors",
                remedy,
            ));
        }
    };
    Ok(Caps {
        memory_bytes: size("memory", &granted.memory, usual.memory_bytes)?,
        cpu_percent,
        pids: granted.pids.unwrap_or(usual.pids).max(1),
        open_files: granted.files.unwrap_or(usual.open_files).max(16),
        file_bytes: size("output", &granted.output, usual.file_bytes)?,
        tmp_bytes: size("tmp", &granted.tmp, usual.tmp_bytes)?,
    })
}

fn bytes(said: &SaidSize) -> Option<u64> {
    let text = match said {
        SaidSize::Bytes(bytes) => return Some(*bytes),
        SaidSize::Text(text) => text.trim().to_ascii_uppercase(),
    };
    let text = text.strip_suffix('B').unwrap_or(&text);
    let text = text.strip_suffix('I').unwrap_or(text);
    let (number, unit) = match text.strip_suffix(['K', 'M', 'G']) {
        Some(number) if text.ends_with('K') => (number, 1 << 10),
        Some(number) if text.ends_with('M') => (number, 1 << 20),
        Some(number) => (number, 1 << 30),
        None => (text, 1),
    };
    number.trim().parse::<u64>().ok()?.checked_mul(unit)
}

fn without(at: &str, words: &[String]) -> Result<BTreeSet<Wall>, Problem> {
    let wall = |word: &String| {
        Wall::parse(word).ok_or_else(|| {
            let why = format!("`{word}` is no wall that a sandbox can do without");
            Problem::new(format!("{at}.without"), why, "use one of: landlock, seccomp")
        })
    };
    words.iter().map(wall).collect()
}

/// What was said is approved with the server: whoever widens it may make another of it.
pub(super) fn pin(said: Option<&SaidSandbox>, out: &mut ObjectWriter<'_>) {
    let granted = match said {
        None => return,
        Some(SaidSandbox::Word(word)) => return out.string("sandbox", word),
        Some(SaidSandbox::Granted(granted)) => granted,
    };
    out.object("sandbox", |out| {
        let network: &[String] = match &granted.network {
            Some(SaidHosts::Listed(hosts)) => hosts,
            Some(SaidHosts::Word(_)) | None => &[],
        };
        for (key, list) in [
            ("read", granted.read.as_slice()),
            ("execute", &granted.execute),
            ("write", &granted.write),
            ("network", network),
            ("private", &granted.private),
            ("without", &granted.without),
        ] {
            out.array(key, |out| list.iter().for_each(|text| out.string(text)));
        }
        if let Some(home) = &granted.home {
            out.string("home", home);
        }
    });
}
