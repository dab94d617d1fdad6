//! The official conformance suites, directly and through the gateway: what a server gets right, it gets
//! right behind the gateway, too. No count may drop below the committed table (`tests/conformance.tsv`).

use std::{fmt::Write as _, path::Path, process::Command};

use e2e::{gateway::Gateway, peers};

/// What the gateway is configured with: the suites show no credential and ask as fast as they can.
const OPEN: &str = r#"
approve: all
users: [ { name: dev, roles: [dev] } ]
anonymous: dev
limits: { default: { rate: 100000/min, burst: 100000, concurrency: 100 } }
policy: { packs: [], rules: [ "permit(principal, action, resource);" ] }
"#;

/// One row of the table.
struct Row {
    server: String,
    suite: String,
    revision: String,
    direct: u32,
    gateway: u32,
}

fn table() -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance.tsv");
    let text = std::fs::read_to_string(path).expect("the table");
    let rows = text.lines().skip(1).map(|line| {
        let cells: Vec<_> = line.split('\t').collect();
        Row {
            server: cells[0].to_owned(),
            suite: cells[1].to_owned(),
            revision: cells[2].to_owned(),
            direct: cells[3].parse().expect("a number"),
            gateway: cells[4].parse().expect("a number"),
        }
    });
    rows.collect()
}

/// What a run of a suite said: how many checks passed, and which scenarios did not.
struct Run {
    passed: u32,
    failed: Vec<String>,
    whole: String,
}

/// Runs a suite, and once more if less passed than wanted: its scenarios have time limits of their own, which a busy
/// machine misses. What is lost is lost twice.
fn run(peers: &Path, row: &Row, url: &str, wanted: u32) -> Run {
    let first = run_once(peers, row, url);
    if first.passed >= wanted {
        return first;
    }
    run_once(peers, row, url)
}

fn run_once(peers: &Path, row: &Row, url: &str) -> Run {
    let package = if row.suite.starts_with("0.1.16") {
        "conformance-legacy"
    } else {
        "@modelcontextprotocol/conformance"
    };
    let suite = row.suite.rsplit(' ').next().expect("a suite");
    let scratch = e2e::gateway::Scratch::new();
    let mut command = Command::new("timeout");
    command
        .arg("120")
        .arg(peers::node(peers))
        .arg(peers::npm(peers, &format!("{package}/dist/index.js")))
        .args(["server", "--url", url])
        .current_dir(scratch.path());
    match (package, suite) {
        ("conformance-legacy", _) => command.args(["--suite", suite]),
        (_, "requirements") => command.args(["--requirements", &row.revision]),
        (_, _) => command.args(["--suite", suite, "--spec-version", &row.revision]),
    };
    let output = command.output().expect("the suite starts");
    let whole = String::from_utf8_lossy(&output.stdout).into_owned();
    let total = whole.lines().find_map(|line| line.strip_prefix("Total: "));
    let passed = total.and_then(|total| total.split(' ').next()?.parse().ok());
    Run {
        passed: passed.unwrap_or(0),
        failed: whole
            .lines()
            .filter(|line| line.starts_with('✗'))
            .map(str::to_owned)
            .collect(),
        whole,
    }
}

#[test]
fn no_check_of_the_official_suites_is_lost_behind_the_gateway() {
    compare("both", |suite| !suite.ends_with(" requirements"));
}

#[test]
fn what_a_revision_requires_is_met_behind_the_gateway() {
    compare("both", |suite| suite.ends_with(" requirements"));
}

#[test]
fn clients_of_the_modern_era_reach_a_server_of_sessions() {
    compare("sessions", |_| true);
}

#[test]
fn clients_of_sessions_reach_a_server_of_the_modern_era() {
    compare("modern", |_| true);
}

/// Runs the rows of the table that are for a server of these eras and of these suites.
#[expect(clippy::print_stderr, reason = "the table is what this test is run for")]
fn compare(eras: &str, which: fn(&str) -> bool) {
    let Some(peers) = peers::directory() else { return };
    let peers = peers.canonicalize().expect("a directory");
    let everything = peers::everything(&peers, eras);
    let servers = format!(
        "mcpServers: {{ everything: {{ url: \"{}\", trust: trusted }} }}",
        everything.line
    );
    let gateway = Gateway::start(&format!("{servers}\n{OPEN}"));
    let behind = format!("{}/mcp/everything", gateway.base());
    let mut shown = String::from("server\tsuite\trevision\tdirect\tgateway\n");
    let mut lost = String::new();
    for row in table()
        .iter()
        .filter(|row| row.server == eras && which(&row.suite))
    {
        let direct = run(&peers, row, &everything.line, row.direct);
        let through = run(&peers, row, &behind, row.gateway);
        let counts = (direct.passed, through.passed);
        let (suite, revision) = (&row.suite, &row.revision);
        let _ = writeln!(shown, "{eras}\t{suite}\t{revision}\t{}\t{}", counts.0, counts.1);
        let _ = writeln!(shown, "{}", through.failed.join("\n"));
        if counts.0 < row.direct || counts.1 < row.gateway {
            let said = if counts.0 < row.direct { &direct } else { &through };
            let _ = writeln!(
                lost,
                "{suite} {revision}: {counts:?} passed, the table has {:?}\n{}",
                (row.direct, row.gateway),
                said.whole
            );
        }
    }
    eprintln!("{shown}");
    assert!(lost.is_empty(), "{lost}");
}
