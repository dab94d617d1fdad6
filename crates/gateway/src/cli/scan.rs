//! `sallyport scan`: judges what servers say of themselves, without running a gateway.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    path::Path,
    sync::Arc,
};

use clap::{Args, ValueEnum};
use inspect::{FindingKind, Findings, Inspector, SUSPECT_MIN, Settings, Surface, Verdict};
use upstream::{NoCredentials, Reach, Upstreams, sandbox::Room};
use wire::{
    bounds::ANSWER,
    json::{ArrayWriter, Document, Keys, Kind, Node, ObjectWriter, object},
};

use super::{Common, block_on, say, serve::load};
use crate::{
    config::servers::MeantServer, conversations::behind::Behind, failure::Failure, operate::admin,
    registry::supply, visible::visible,
};

/// Judge tool definitions: of a server, of all servers in a configuration, or in a list of tools.
///
/// Servers that a configuration starts are started, asked what they offer, and stopped. Exit code 1 if
/// anything is suspect.
#[derive(Args, Debug)]
pub(crate) struct Scan {
    /// A URL, a configuration such as mcp.json, a JSON file with tools, or - for tools on standard input.
    /// Without it, the servers of the own configuration.
    target: Option<String>,
    /// How to say it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Format {
    /// One JSON object.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// For people.
    Text,
}

/// A definition and who offers it.
struct Offered {
    /// Where it was read: the file as it was named, or the server.
    source: String,
    server: String,
    name: String,
    document: Arc<Document>,
}

/// Something to say of a definition.
struct Remark {
    source: String,
    server: String,
    item: String,
    at: String,
    kind: &'static str,
    detector: String,
    score: f32,
    verdict: Verdict,
    note: String,
}

/// What was looked at, and what of it could not be.
#[derive(Default)]
struct Seen {
    offered: Vec<Offered>,
    /// Servers whose package could be mistaken for another, and what to say of that.
    doubtful: Vec<(String, String)>,
    unreachable: Vec<(String, String)>,
}

impl Scan {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        let seen = self.look(common)?;
        let inspector =
            Inspector::new(&Settings::default()).map_err(|error| Failure::other(error.to_string()))?;
        let mut remarks: Vec<Remark> = Vec::new();
        for offered in &seen.offered {
            let findings = inspector.inspect_node(offered.document.root(), Surface::Definition);
            remarks.extend(remarks_of(offered, &findings));
        }
        remarks.extend(references(&seen.offered));
        remarks.extend(seen.doubtful.iter().map(doubt));
        let worst = remarks
            .iter()
            .map(|remark| remark.verdict)
            .max()
            .unwrap_or(Verdict::Clean);
        match (self.format, common.json) {
            (Format::Json, _) | (Format::Text, true) => say(&text(json(&seen, &remarks, worst))),
            (Format::Sarif, _) => say(&text(sarif(&remarks))),
            (Format::Text, false) => tell(&seen, &remarks),
        }
        if let Some((server, why)) = seen.unreachable.first() {
            return Err(Failure::unreachable(format!(
                "`{server}` cannot be asked what it offers: {why}"
            )));
        }
        if worst == Verdict::Clean {
            return Ok(());
        }
        Err(Failure::does_not_hold(format!(
            "the worst of it is {}",
            worst.as_str()
        )))
    }

    fn look(&self, common: &Common) -> Result<Seen, Failure> {
        let Some(target) = &self.target else {
            let servers = load(common)?.servers;
            if servers.is_empty() {
                return Err(Failure::configuration(
                    "there is nothing to scan: no configuration was found that has servers; name a URL, an mcp.json or a \
                     file of tools, or `--config FILE`",
                ));
            }
            return ask(servers);
        };
        if target == "-" {
            let mut bytes = Vec::new();
            let read = std::io::stdin().lock().read_to_end(&mut bytes);
            read.map_err(|error| Failure::configuration(format!("standard input: {error}")))?;
            return listed("standard input", bytes);
        }
        if target.starts_with("http://") || target.starts_with("https://") {
            let said = object(|out| {
                out.object("mcpServers", |out| {
                    out.object("target", |out| out.string("url", target))
                });
            });
            return ask(admin::parse_added(&text(said))?);
        }
        let bytes = std::fs::read(target)
            .map_err(|error| Failure::configuration(format!("{target}: {error}; name a file or a URL")))?;
        let document = Document::parse(bytes.clone(), Keys::Exact, &ANSWER);
        if document.is_ok_and(|document| tools(document.root()).is_some()) {
            return listed(target, bytes);
        }
        let named = |failure: Failure| Failure::configuration(format!("{target}: {failure}"));
        ask(admin::parse_added(&text(bytes)).map_err(named)?)
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The tools of a list, of `{"tools": [...]}`, or of a whole answer to `tools/list`.
fn tools(root: Node<'_>) -> Option<Node<'_>> {
    let lists = [
        Some(root),
        root.get("tools"),
        root.get("result").and_then(|result| result.get("tools")),
    ];
    lists
        .into_iter()
        .flatten()
        .find(|list| list.kind() == Kind::Array)
}

fn listed(name: &str, bytes: Vec<u8>) -> Result<Seen, Failure> {
    let wrong = |why: String| Failure::configuration(format!("{name}: {why}"));
    let document = Document::parse(bytes, Keys::Exact, &ANSWER).map_err(|error| wrong(error.to_string()))?;
    let list = tools(document.root()).ok_or_else(|| {
        wrong("there are no tools; give a list of definitions, or an object with `tools`".to_owned())
    })?;
    let server = Path::new(name)
        .file_name()
        .map_or(name.to_owned(), |n| n.to_string_lossy().into_owned());
    let mut seen = Seen::default();
    for tool in list.elements() {
        let bytes = tool.written().as_bytes().to_vec();
        let own = Document::parse(bytes, Keys::Exact, &ANSWER).map_err(|error| wrong(error.to_string()))?;
        let named = own
            .root()
            .get("name")
            .and_then(|name| Some(name.as_str()?.into_owned()));
        seen.offered.push(Offered {
            source: name.to_owned(),
            server: server.clone(),
            name: named.unwrap_or_else(|| "(no name)".to_owned()),
            document: Arc::new(own),
        });
    }
    Ok(seen)
}

/// Starts or reaches each server, and asks what it offers.
fn ask(servers: Vec<MeantServer>) -> Result<Seen, Failure> {
    block_on(async {
        let (behind, credentials) = (Arc::new(Behind::default()), Arc::new(NoCredentials));
        let upstreams = Upstreams::new(behind, credentials, Room::default());
        let upstreams = upstreams.map_err(|error| Failure::other(error.to_string()))?;
        let mut seen = Seen::default();
        for server in servers {
            let name = server.spec.name.clone();
            if let Reach::Stdio(command) = &server.spec.reach
                && let Some(note) = supply::doubtful(command)
            {
                seen.doubtful.push((name.to_string(), note));
                // Whoever asks first wants to know before it runs.
                continue;
            }
            upstreams.place(server.spec, None);
            match upstreams.catalogue(&name).await {
                Ok(catalogue) => seen
                    .offered
                    .extend(catalogue.offer().items.into_iter().map(|(_, item)| Offered {
                        source: name.to_string(),
                        server: name.to_string(),
                        name: item.name().to_owned(),
                        document: Arc::clone(item.document()),
                    })),
                Err(error) => seen.unreachable.push((name.to_string(), error.to_string())),
            }
        }
        upstreams.shut_down().await;
        Ok(seen)
    })
}

/// A package that could be mistaken for another is not started.
fn doubt((server, note): &(String, String)) -> Remark {
    Remark {
        source: server.clone(),
        server: server.clone(),
        item: "command".to_owned(),
        at: String::new(),
        kind: FindingKind::Poisoning.as_str(),
        detector: "supply/name".to_owned(),
        score: 0.6,
        verdict: Verdict::Suspect,
        note: note.clone(),
    }
}

fn remarks_of(offered: &Offered, findings: &Findings) -> Vec<Remark> {
    let counting = findings.iter().filter(|finding| finding.score >= SUSPECT_MIN);
    counting
        .map(|finding| Remark {
            source: offered.source.clone(),
            server: offered.server.clone(),
            item: offered.name.clone(),
            at: finding.location.pointer.to_string(),
            kind: finding.kind.as_str(),
            detector: finding.detector.to_string(),
            score: finding.score.get(),
            verdict: Verdict::of(&Findings::new(vec![finding.clone()])).0,
            note: finding.note.to_string(),
        })
        .collect()
}

/// Definitions that speak of another server's tools: what one server says of another is not its to say.
fn references(offered: &[Offered]) -> Vec<Remark> {
    let mut owners: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for one in offered {
        owners.entry(&one.name).or_default().insert(&one.server);
    }
    let mut remarks = Vec::new();
    for one in offered {
        let Some(said) = one.document.root().get("description").and_then(Node::as_str) else {
            continue;
        };
        let words: BTreeSet<&str> = said
            .split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-')
            .collect();
        for (name, servers) in &owners {
            // A plain word may be a word of the language.
            let telling = name.contains(['_', '-']) && name.len() >= 6;
            if telling && words.contains(name) && !servers.contains(one.server.as_str()) {
                remarks.push(Remark {
                    source: one.source.clone(),
                    server: one.server.clone(),
                    item: one.name.clone(),
                    at: "/description".to_owned(),
                    kind: FindingKind::Poisoning.as_str(),
                    detector: "poisoning/other-server".to_owned(),
                    score: 0.6,
                    verdict: Verdict::Suspect,
                    note: format!("speaks of `{name}`, which another server offers"),
                });
            }
        }
    }
    remarks
}

fn tell(seen: &Seen, remarks: &[Remark]) {
    for remark in remarks {
        let line = format!(
            "{:<8} {}/{} {}: {} ({} {:.2})",
            remark.verdict.as_str(),
            remark.server,
            remark.item,
            remark.at,
            remark.note,
            remark.detector,
            remark.score
        );
        // Names and places are the server's words.
        say(&visible(&line));
    }
    let touched: BTreeSet<_> = remarks
        .iter()
        .map(|remark| (&remark.server, &remark.item))
        .collect();
    say(&format!(
        "{} definitions, {} with something to say",
        seen.offered.len(),
        touched.len()
    ));
}

fn json(seen: &Seen, remarks: &[Remark], worst: Verdict) -> Vec<u8> {
    object(|out| {
        // Where a server could not be asked, nothing worse than what was seen is known, and nothing better.
        let verdict = if worst == Verdict::Clean && !seen.unreachable.is_empty() {
            "unknown"
        } else {
            worst.as_str()
        };
        out.string("verdict", verdict);
        out.integer(
            "definitions",
            i128::try_from(seen.offered.len()).unwrap_or(i128::MAX),
        );
        out.array("findings", |list| {
            for remark in remarks {
                list.object(|out| {
                    out.string("server", &remark.server);
                    out.string("item", &remark.item);
                    out.string("pointer", &remark.at);
                    out.string("kind", remark.kind);
                    out.string("detector", &remark.detector);
                    out.json("score", format!("{:.4}", remark.score).as_bytes());
                    out.string("verdict", remark.verdict.as_str());
                    out.string("note", &remark.note);
                });
            }
        });
        out.array("unreachable", |list| {
            for (server, why) in &seen.unreachable {
                list.object(|out| {
                    out.string("server", server);
                    out.string("why", why);
                });
            }
        });
    })
}

/// Static Analysis Results Interchange Format 2.1.0 (OASIS).
fn sarif(remarks: &[Remark]) -> Vec<u8> {
    let rules: BTreeMap<&str, &str> = remarks
        .iter()
        .map(|remark| (remark.detector.as_str(), remark.note.as_str()))
        .collect();
    object(|out| {
        out.string("$schema", "https://json.schemastore.org/sarif-2.1.0.json");
        out.string("version", "2.1.0");
        out.array("runs", |runs| {
            runs.object(|run| {
                run.object("tool", |tool| {
                    tool.object("driver", |driver| write_driver(driver, &rules))
                });
                run.array("results", |results| {
                    remarks.iter().for_each(|remark| write_result(results, remark));
                });
            });
        });
    })
}

fn write_driver(driver: &mut ObjectWriter<'_>, rules: &BTreeMap<&str, &str>) {
    driver.string("name", "sallyport");
    driver.string("version", env!("CARGO_PKG_VERSION"));
    driver.array("rules", |list| {
        for (id, note) in rules {
            list.object(|rule| {
                rule.string("id", id);
                rule.object("shortDescription", |out| out.string("text", note));
            });
        }
    });
}

fn write_result(results: &mut ArrayWriter<'_>, remark: &Remark) {
    results.object(|out| {
        out.string("ruleId", &remark.detector);
        let level = match remark.verdict {
            Verdict::Hostile => "error",
            Verdict::Suspect => "warning",
            Verdict::Clean => "note",
        };
        out.string("level", level);
        out.object("message", |out| out.string("text", &remark.note));
        out.array("locations", |list| {
            list.object(|location| {
                location.object("physicalLocation", |out| {
                    out.object("artifactLocation", |out| out.string("uri", &remark.source));
                });
                location.array("logicalLocations", |list| {
                    list.object(|out| {
                        let name = format!("{}/{}{}", remark.server, remark.item, remark.at);
                        out.string("fullyQualifiedName", &name);
                    });
                });
            });
        });
    });
}
