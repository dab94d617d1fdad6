//! The official suite's client scenarios, with a client of the Python SDK directly at the suite's server and with
//! a gateway between: what a client does right, the gateway does right towards its servers. No count may drop
//! below the committed table (`tests/conformance-client.tsv`).

use std::{fmt::Write as _, path::Path, process::Command};

use e2e::{
    gateway::{Scratch, program},
    peers,
};

/// How many checks of a scenario passed.
fn passed(peers: &Path, scenario: &str, gateway: Option<&Path>) -> (u32, String) {
    let client = peers.join("py2/bin/python");
    let script = peers::script("conformance_client.py");
    let scratch = Scratch::new();
    let mut command = Command::new("timeout");
    command
        .arg("60")
        .arg(peers::node(peers))
        .arg(peers::npm(
            peers,
            "@modelcontextprotocol/conformance/dist/index.js",
        ))
        .args(["client", "--scenario", scenario, "--command"])
        .arg(format!("{} {}", client.display(), script.display()))
        .current_dir(scratch.path());
    if let Some(gateway) = gateway {
        command.env("SALLYPORT", gateway);
    }
    let output = command.output().expect("the suite starts");
    let whole =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let counted = whole.lines().find_map(|line| line.strip_prefix("Passed: "));
    let passed = counted.and_then(|counted| counted.split('/').next()?.parse().ok());
    (passed.unwrap_or(0), whole)
}

/// Runs a scenario, and once more if less passed than wanted: the suite has time limits of its own.
fn run(peers: &Path, scenario: &str, gateway: Option<&Path>, wanted: u32) -> (u32, String) {
    let first = passed(peers, scenario, gateway);
    if first.0 >= wanted {
        return first;
    }
    passed(peers, scenario, gateway)
}

#[test]
#[expect(clippy::print_stderr, reason = "the table is what this test is run for")]
fn what_a_client_does_right_is_done_right_behind_the_gateway() {
    let Some(peers) = peers::directory() else { return };
    let peers = peers.canonicalize().expect("a directory");
    let sallyport = program("sallyport");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance-client.tsv");
    let table = std::fs::read_to_string(path).expect("the table");
    let (mut shown, mut lost) = (String::from("scenario\tdirect\tgateway\n"), String::new());
    for row in table.lines().skip(1) {
        let cells: Vec<_> = row.split('\t').collect();
        let count = |cell: usize| cells[cell].parse().expect("a number");
        let (scenario, direct, gateway): (_, u32, u32) = (cells[0], count(1), count(2));
        let without = run(&peers, scenario, None, direct);
        let with = run(&peers, scenario, Some(&sallyport), gateway);
        let _ = writeln!(shown, "{scenario}\t{}\t{}", without.0, with.0);
        if without.0 < direct || with.0 < gateway {
            let said = if without.0 < direct { without } else { with };
            let _ = writeln!(lost, "{row}: {} passed\n{}", said.0, said.1);
        }
    }
    eprintln!("{shown}");
    assert!(lost.is_empty(), "{lost}");
}
