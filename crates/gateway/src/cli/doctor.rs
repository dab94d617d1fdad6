//! `sallyport doctor`: is everything as it should be, and what to do where it is not.

mod classifiers;

use clap::Args;
use upstream::{Reach, sandbox::Kernel};
use wire::json::{Node, object};

use super::{Common, ledger, say, serve::load};
use crate::{
    assemble,
    config::{Meant, servers::MeantServer},
    failure::Failure,
    operate::admin::control,
    registry::boxes,
    storage::vault::{Layout, keys_of},
};

/// Check configuration, keys, ledger and servers.
#[derive(Args, Debug)]
pub(crate) struct Doctor {}

/// What one check found.
struct Finding {
    what: &'static str,
    state: State,
    text: String,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum State {
    Bad,
    Good,
    Note,
}

impl Doctor {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        let mut found = Vec::new();
        match load(common) {
            Err(failure) => found.push(Finding::bad("configuration", failure.to_string())),
            Ok(meant) => {
                found.push(Finding::good(
                    "configuration",
                    format!("{} servers", meant.servers.len()),
                ));
                examine(&meant, &mut found);
            }
        }
        if common.json {
            let answer = object(|out| {
                out.array("checks", |list| {
                    for finding in &found {
                        list.object(|out| {
                            out.string("what", finding.what);
                            out.string("state", finding.state.as_str());
                            out.string("text", &finding.text);
                        });
                    }
                });
            });
            say(&String::from_utf8_lossy(&answer));
        } else {
            for finding in &found {
                say(&format!(
                    "{:<5} {:<14} {}",
                    finding.state.as_str(),
                    finding.what,
                    finding.text
                ));
            }
        }
        if found.iter().any(|finding| finding.state == State::Bad) {
            return Err(Failure::does_not_hold("something is not as it should be"));
        }
        Ok(())
    }
}

fn examine(meant: &Meant, found: &mut Vec<Finding>) {
    match assemble::rules(meant) {
        Ok(rules) => found.push(Finding::good(
            "policy",
            format!("{} rules", rules.rules().count()),
        )),
        Err(failure) => found.push(Finding::bad("policy", failure.to_string())),
    }
    meant
        .servers
        .iter()
        .for_each(|server| examine_server(server, found));
    classifiers::examine(meant, found);
    examine_boxes(meant, found);
    let layout = Layout::of(meant);
    let asked = super::block_on(async { control::ask(&layout.control(), "status", b"{}").await });
    found.push(match asked {
        Ok(Some(status)) => Finding::good("gateway", format!("runs: {}", status.text())),
        Ok(None) => Finding::note(
            "gateway",
            "does not run; start it with `sallyport serve`".to_owned(),
        ),
        Err(failure) => Finding::bad("gateway", failure.to_string()),
    });
    found.extend(overdue(&layout));
    if !layout.ledger().join("checkpoint").exists() {
        found.push(Finding::note(
            "ledger",
            format!("none yet in {}", layout.ledger().display()),
        ));
        return;
    }
    let checked = keys_of(&layout)
        .and_then(|own| ledger::check(&layout.ledger(), &own, &[], records::verify::Witnesses::default()));
    found.push(match checked {
        Ok(report) if report.holds() => Finding::good("ledger", format!("{} entries, all hold", report.size)),
        Ok(report) => {
            let first = report
                .problems
                .first()
                .map(|problem| problem.text.clone())
                .unwrap_or_default();
            Finding::bad(
                "ledger",
                format!("does not hold: {first}; see `sallyport ledger verify`"),
            )
        }
        Err(failure) => Finding::bad("keys", failure.to_string()),
    });
}

fn examine_server(server: &MeantServer, found: &mut Vec<Finding>) {
    let name = &server.spec.name;
    let finding = match &server.spec.reach {
        Reach::Http(target) | Reach::Sse(target) | Reach::WebSocket(target) => {
            Finding::note("server", format!("{name}: {}", target.url))
        }
        Reach::Rest(target) => {
            let left_out = target.description.left_out().iter();
            found.extend(left_out.map(|one| Finding::note("server", format!("{name}: without {one}"))));
            let (url, offered) = (&target.http.url, target.description.offered());
            Finding::note("server", format!("{name}: {url}, {offered} operations as tools"))
        }
        Reach::Unix(path) => Finding::note("server", format!("{name}: {}", path.display())),
        Reach::Stdio(command) => match program(&command.program) {
            Some(path) => Finding::good("server", format!("{name}: {}", path.display())),
            None => Finding::bad(
                "server",
                format!(
                    "{name}: `{}` was not found; install it or write its full path",
                    command.program
                ),
            ),
        },
    };
    found.push(finding);
}

/// The agents whose access review is overdue, as the gateway that runs says.
fn overdue(layout: &Layout) -> Option<Finding> {
    let reviews = super::block_on(async { control::ask(&layout.control(), "review.show", b"{}").await });
    let reviews = reviews.ok().flatten()?;
    let agents = reviews.root().get("agents").into_iter().flat_map(Node::elements);
    let late = agents.filter(|agent| agent.get("overdue").and_then(Node::as_bool) == Some(true));
    let late: Vec<_> = late.filter_map(|agent| agent.get("agent")?.as_str()).collect();
    let text = format!("overdue for {}; see `sallyport review`", late.join(", "));
    (!late.is_empty()).then(|| Finding::note("review", text))
}

/// What the kernel gives to boxes, and what each server's is.
fn examine_boxes(meant: &Meant, found: &mut Vec<Finding>) {
    let kernel = Kernel::look();
    found.push(match kernel.lacks().as_slice() {
        [] => Finding::good("sandbox", kernel.to_string()),
        lacks => {
            let lacks: Vec<_> = lacks.iter().map(ToString::to_string).collect();
            Finding::bad("sandbox", lacks.join("; "))
        }
    });
    let room = assemble::room(meant);
    for server in &meant.servers {
        let name = &server.spec.name;
        if boxes::is_off(server) {
            found.push(Finding::note("sandbox", format!("{name}: {}", boxes::OFF)));
            continue;
        }
        match boxes::profile(server, &room) {
            None => {}
            Some(Ok(profile)) => found.push(Finding::good("sandbox", format!("{name}: {}", profile.words()))),
            Some(Err(why)) => found.push(Finding::bad("sandbox", format!("{name}: {why}"))),
        }
    }
}

/// Where a program is found.
pub(super) fn program(name: &str) -> Option<std::path::PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let runs = |path: &std::path::Path| {
        std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        let path = std::path::PathBuf::from(name);
        return runs(&path).then_some(path);
    }
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths)
        .map(|directory| directory.join(name))
        .find(|path| runs(path))
}

impl Finding {
    fn bad(what: &'static str, text: String) -> Self {
        Self {
            what,
            state: State::Bad,
            text,
        }
    }

    fn good(what: &'static str, text: String) -> Self {
        Self {
            what,
            state: State::Good,
            text,
        }
    }

    fn note(what: &'static str, text: String) -> Self {
        Self {
            what,
            state: State::Note,
            text,
        }
    }
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Good => "good",
            Self::Note => "note",
        }
    }
}
