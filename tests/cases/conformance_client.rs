//! The official suite's client scenarios, with a client of the Python SDK directly at the suite's server and with
//! a gateway between: what a client does right, the gateway does right towards its servers. No count may drop
//! below the committed table (`tests/conformance-client.tsv`).

use std::{fmt::Write as _, path::Path, process::Command};

use e2e::{
    gateway::{Scratch, program},
    peers,
};

/// How many checks of a scenario passed, and how many failed.
fn passed(peers: &Path, scenario: &str, gateway: Option<&Path>) -> (u32, u32, String) {
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
    let failed = counted.and_then(|counted| counted.split(", ").nth(1)?.split(' ').next()?.parse().ok());
    (passed.unwrap_or(0), failed.unwrap_or(u32::MAX), whole)
}

/// Runs a scenario, and once more if it falls short: the suite has time limits of its own.
fn run(peers: &Path, scenario: &str, gateway: Option<&Path>, wanted: (u32, u32)) -> (u32, u32, String) {
    let first = passed(peers, scenario, gateway);
    if first.0 >= wanted.0 && first.1 <= wanted.1 {
        return first;
    }
    passed(peers, scenario, gateway)
}

/// The rows of the table whose scenario is one of these.
fn rows(which: impl Fn(usize, &str) -> bool) -> Vec<Vec<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance-client.tsv");
    let table = std::fs::read_to_string(path).expect("the table");
    let rows = table.lines().skip(1).enumerate();
    rows.filter(|(n, row)| which(*n, row))
        .map(|(_, row)| row.split('\t').map(str::to_owned).collect())
        .collect()
}

/// Runs them; the table says how many checks pass directly (`-`: not run) and with the gateway, and how many fail there.
#[expect(clippy::print_stderr, reason = "the table is what this test is run for")]
fn compare(rows: &[Vec<String>]) {
    let Some(peers) = peers::directory() else { return };
    let peers = peers.canonicalize().expect("a directory");
    let sallyport = program("sallyport");
    let (mut shown, mut lost) = (String::from("scenario\tdirect\tgateway\tfailed\n"), String::new());
    for row in rows {
        let [scenario, direct, gateway, failed] = row.as_slice() else {
            panic!("{row:?} has not four cells");
        };
        let count = |cell: &String| cell.parse::<u32>().expect("a number");
        let wanted = (count(gateway), count(failed));
        let with = run(&peers, scenario, Some(&sallyport), wanted);
        let mut without = String::from("-");
        if direct != "-" {
            let found = run(&peers, scenario, None, (count(direct), u32::MAX));
            if found.0 < count(direct) {
                let _ = writeln!(lost, "{row:?}: {} passed directly\n{}", found.0, found.2);
            }
            without = found.0.to_string();
        }
        let _ = writeln!(shown, "{scenario}\t{without}\t{}\t{}", with.0, with.1);
        if with.0 < wanted.0 || with.1 > wanted.1 {
            let _ = writeln!(lost, "{row:?}: {} passed, {} failed\n{}", with.0, with.1, with.2);
        }
    }
    eprintln!("{shown}");
    assert!(lost.is_empty(), "{lost}");
}

#[test]
fn what_a_client_does_right_is_done_right_behind_the_gateway() {
    compare(&rows(|_, row| !row.starts_with("auth/")));
}

/// The gateway as the client of an authorization server. Each test is a part of the scenarios, so that they run side by
/// side.
macro_rules! let_in {
    ($($name:ident $part:literal)*) => {$(
        #[test]
        fn $name() {
            let rows = rows(|n, row| row.starts_with("auth/") && n % 11 == $part);
            assert_eq!(rows.len(), 3);
            compare(&rows);
        }
    )*};
}

let_in! {
    the_gateway_is_let_in_0 0
    the_gateway_is_let_in_1 1
    the_gateway_is_let_in_2 2
    the_gateway_is_let_in_3 3
    the_gateway_is_let_in_4 4
    the_gateway_is_let_in_5 5
    the_gateway_is_let_in_6 6
    the_gateway_is_let_in_7 7
    the_gateway_is_let_in_8 8
    the_gateway_is_let_in_9 9
    the_gateway_is_let_in_10 10
}
