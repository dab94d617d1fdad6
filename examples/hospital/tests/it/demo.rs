//! `sallyport demo`, as a newcomer runs it: every scene, and what is left afterwards.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::place::{Place, kill, objects, sallyport, wait};

/// What has to become of every call: scene, then verdict and code of each of its calls.
const SCENES: [(&str, &[(&str, &str)]); 8] = [
    ("own-patient", &[("allowed", "ok")]),
    ("other-patient", &[("refused", "not-permitted")]),
    ("sql-write", &[("allowed", "ok"), ("refused", "not-permitted")]),
    (
        "puppet",
        &[
            ("allowed", "ok"),
            ("allowed", "ok"),
            ("allowed", "ok"),
            ("refused", "target-unknown"),
        ],
    ),
    (
        "rug-pull",
        &[
            ("allowed", "ok"),
            ("refused", "target-changed"),
            ("refused", "target-held"),
        ],
    ),
    ("forged-token", &[("refused", "credential-invalid")]),
    ("expired-token", &[("refused", "credential-invalid")]),
    ("bad-argument", &[("refused", "arguments-invalid")]),
];

#[test]
fn every_scene_ends_as_described_and_nothing_is_left() {
    let place = Place::new();
    let began = Instant::now();
    let output = place.run(&sallyport(), &["demo", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let lines = objects(&output);
    let names: Vec<&str> = lines.iter().map(|line| line["scene"].as_str().unwrap()).collect();
    let expected: Vec<&str> = SCENES
        .iter()
        .map(|(name, _)| *name)
        .chain(["ledger", "tampered-ledger"])
        .collect();
    assert_eq!(names, expected);
    for (line, (name, calls)) in lines.iter().zip(SCENES) {
        assert_eq!(line["as_described"], true, "{line}");
        let text = |call: &Value, key: &str| call[key].as_str().unwrap().to_owned();
        let came: Vec<_> = line["calls"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| (text(c, "verdict"), text(c, "code")))
            .collect();
        let expected: Vec<_> = calls
            .iter()
            .map(|(v, c)| ((*v).to_owned(), (*c).to_owned()))
            .collect();
        assert_eq!(came, expected, "{name}");
    }
    let by = |name: &str| lines.iter().find(|line| line["scene"] == name).unwrap();
    assert!(
        by("own-patient")["summary"]
            .as_str()
            .unwrap()
            .contains("blood pressure 148/92")
    );
    for (scene, reason) in [
        ("other-patient", "healthcare.minimum"),
        ("sql-write", "hospital.query-reads"),
        ("puppet", "baseline.puppet"),
        ("rug-pull", "changed after approval"),
        ("forged-token", "signature"),
        ("expired-token", "expired"),
        ("bad-argument", "pattern"),
    ] {
        let last = by(scene)["calls"].as_array().unwrap().last().unwrap().clone();
        assert!(last["reason"].as_str().unwrap().contains(reason), "{last}");
    }
    for scene in ["forged-token", "expired-token"] {
        assert_eq!(by(scene)["calls"][0]["http"], 401);
    }
    // Nobody sees another doctor's chart, whatever else is said.
    assert!(!String::from_utf8_lossy(&output.stdout).contains("Ines Calder"));
    let theft = by("puppet")["calls"].as_array().unwrap().last().unwrap()["index"]
        .as_u64()
        .unwrap();
    assert_eq!(by("ledger")["verdict"], "holds");
    let tampered = by("tampered-ledger");
    assert_eq!(tampered["verdict"], "does not hold");
    assert_eq!(tampered["fault"], "entry-altered");
    assert_eq!(tampered["index"], theft.to_string());
    place.is_empty();
}

#[test]
fn people_read_call_verdict_reason_and_index() {
    let place = Place::new();
    let output = place.run(&sallyport(), &["demo"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "scribe for alice -> charts__read_chart {\"patient\":\"p3\"}",
        "refused  not-permitted at `authorize`  ledger ",
        "reason: rule `healthcare.minimum` forbids it",
        "All 10 scenes ended as described.",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    // Colour is for terminals.
    assert!(!text.contains('\u{1b}'));
    place.is_empty();
}

/// Regression: printing into a closed pipe was a panic, for every command.
#[test]
fn nobody_has_to_read_to_the_end() {
    let place = Place::new();
    let mut demo = place.start(&sallyport(), &["demo"]);
    let mut line = String::new();
    BufReader::new(demo.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let output = demo.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    place.is_empty();
}

#[test]
fn a_demo_that_is_stopped_leaves_nothing() {
    for signal in ["-INT", "-TERM"] {
        let place = Place::new();
        let demo = place.start(&sallyport(), &["demo"]);
        // Somewhere in the middle, with servers running.
        wait("the charts", || {
            place
                .house()
                .is_some_and(|house| house.join("charts/charts.sqlite").exists())
        });
        kill(signal, &demo);
        let output = demo.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains("stopped"),
            "{output:?}"
        );
        place.is_empty();
    }
}

#[test]
fn a_kept_hospital_can_be_used_until_it_is_stopped() {
    let place = Place::new();
    let mut demo = place.start(&sallyport(), &["demo", "--keep", "--json"]);
    let lines = BufReader::new(demo.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let kept = lines
        .map(|line| serde_json::from_str::<Value>(&line).unwrap())
        .find(|line| line["event"] == "kept");
    let kept = kept.expect("the demo says what it keeps");
    let config = kept["config"].as_str().unwrap();
    let shown = place.run(
        &sallyport(),
        &["--config", config, "server", "show", "lab", "--json"],
    );
    assert!(shown.status.success(), "{shown:?}");
    assert!(
        String::from_utf8_lossy(&shown.stdout).contains("quarantined"),
        "{shown:?}"
    );
    let hospital = Path::new(env!("CARGO_BIN_EXE_sallyport-hospital"));
    let (mcp, house) = (kept["mcp"].as_str().unwrap(), kept["directory"].as_str().unwrap());
    let issuer = mcp.replace("/mcp", "/oauth/token");
    let play = [
        "play",
        "expired-token",
        "--mcp",
        mcp,
        "--issuer",
        &issuer,
        "--house",
        house,
    ];
    let mut command = place.command(hospital, &play);
    // The token that was printed is good, so this is no scene of an expired one.
    let played = command
        .env("HOSPITAL_TOKEN", kept["token"].as_str().unwrap())
        .output()
        .unwrap();
    assert_eq!(objects(&played)[0]["verdict"], "allowed", "{played:?}");
    kill("-INT", &demo);
    assert_eq!(demo.wait().unwrap().code(), Some(0));
    place.is_empty();
}

/// An installed Sallyport, without a checkout, whose hospital plays something else than it is asked.
#[test]
fn a_scene_that_ends_otherwise_is_named_and_fails_the_demo() {
    let place = Place::new();
    let installed = place.folder().join("bin");
    fs::create_dir(&installed).unwrap();
    let install = |from: &Path, name: &str| {
        let to = installed.join(name);
        fs::hard_link(from, &to)
            .or_else(|_| fs::copy(from, &to).map(|_| ()))
            .unwrap();
        to
    };
    let program = install(&sallyport(), "sallyport");
    let missing = place.run(&program, &["demo"]);
    assert_eq!(missing.status.code(), Some(2), "{missing:?}");
    assert!(
        String::from_utf8_lossy(&missing.stderr).contains("needs `sallyport-hospital`"),
        "{missing:?}"
    );
    let script = format!(
        "#!/bin/sh\nif [ \"$1 $2\" = 'play other-patient' ]; then shift 2;\n\
         set -- play own-patient \"$@\"; fi\n\
         exec '{}' \"$@\"\n",
        // Beside the script: a box shows a program the directory it is in, and not where another one is.
        install(Path::new(env!("CARGO_BIN_EXE_sallyport-hospital")), "itself").display()
    );
    fs::write(installed.join("sallyport-hospital"), script).unwrap();
    assert!(
        Command::new("chmod")
            .arg("755")
            .arg(installed.join("sallyport-hospital"))
            .status()
            .unwrap()
            .success()
    );
    let output = place.run(&program, &["demo", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr, "sallyport: not as described: other-patient\n");
    let differing: Vec<Value> = objects(&output)
        .into_iter()
        .filter(|line| line["as_described"] == false)
        .collect();
    assert_eq!(differing.len(), 1, "{differing:?}");
    assert!(
        differing[0]["differs"]
            .as_str()
            .unwrap()
            .contains("was allowed, and should have been refused")
    );
    fs::remove_dir_all(installed).unwrap();
    place.is_empty();
}
