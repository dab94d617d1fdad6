//! `sallyport-verify` as an auditor runs it.

use std::{path::Path, process::Command, sync::Arc};

use records::{disk::RealDisk, ledger::Kind};

use super::*;

fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sallyport-verify"))
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A closed log of some calls, and its directory as text.
fn log(name: &str) -> String {
    let dir = fresh_dir(name);
    let ledger = open(&dir);
    for n in 0..150 {
        for kind in [Kind::Intent, Kind::Outcome] {
            let entry = Entry {
                call: Some(format!("c{n}")),
                ..Entry::new(clock().unix_ms(), kind)
            };
            drop(ledger.append(&entry));
        }
    }
    ledger.close().unwrap();
    dir.to_str().unwrap().to_owned()
}

#[test]
fn a_log_is_verified_with_public_keys_alone_and_damage_is_named() {
    let dir = log("verifier");
    let keys = keys().verifiers().clone().map(|key| key.to_string());
    let [ed25519, ml_dsa] = &keys;
    let (code, out, _) = run(&["--key", ed25519, "--key", ml_dsa, &dir]);
    assert_eq!(code, 0, "{out}");
    assert!(
        out.contains("302 entries") && out.ends_with("the log holds\n"),
        "{out}"
    );

    // The keys may come from a file; the one in the directory is as good as the directory.
    let verifiers = format!("{dir}/verifiers");
    let older = format!("{dir}/../older");
    std::fs::copy(format!("{dir}/checkpoint"), &older).unwrap();
    let (code, out, _) = run(&["--json", "--keys", &verifiers, "--older", &older, &dir]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &report["holds"], &report["older"]),
        (0, &true.into(), &1.into())
    );

    let bundle = format!("{dir}/tile/entries/000");
    let mut bytes = std::fs::read(&bundle).unwrap();
    bytes[9_000] ^= 1;
    std::fs::write(&bundle, bytes).unwrap();
    let (code, out, _) = run(&["--json", "--key", ed25519, &dir]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let altered = report["problems"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["fault"] == "entry-altered");
    assert_eq!((code, &altered.unwrap()["file"]), (1, &"tile/entries/000".into()));
    let (code, out, _) = run(&["--key", ed25519, &dir]);
    assert!(
        code == 1 && out.contains("problem    entry-altered at entry "),
        "{out}"
    );
}

#[test]
fn a_single_entry_is_verified_by_its_proof() {
    let dir = log("verifier-proof");
    let reader = Reader::new(Arc::new(RealDisk), Path::new(&dir));
    let entry = format!("{dir}/../entry.json");
    let proof = format!("{dir}/../entry.tlog-proof");
    std::fs::write(&entry, &reader.page(77..78, 1).unwrap()[0].bytes).unwrap();
    std::fs::write(&proof, reader.proof(77).unwrap().to_string()).unwrap();
    let [ed25519, _] = keys().verifiers().clone().map(|key| key.to_string());
    let (code, out, _) = run(&["--key", &ed25519, "--proof", &proof, "--entry", &entry]);
    assert_eq!(
        (code, out.as_str()),
        (0, "the proof holds: entry 77 of 302 in log.example/it\n")
    );
    std::fs::write(&entry, b"{}").unwrap();
    let (code, out, _) = run(&["--json", "--key", &ed25519, "--proof", &proof, "--entry", &entry]);
    assert!(code == 1 && out.starts_with(r#"{"holds":false"#), "{out}");
}

#[test]
fn wrong_use_is_a_sentence_and_exit_code_2() {
    let [key, _] = keys().verifiers().clone().map(|key| key.to_string());
    for (arguments, sentence) in [
        (vec!["/tmp"], "no key is trusted"),
        (vec!["--key", "nonsense", "/tmp"], "is not a verifier key"),
        (vec!["--key"], "`--key` needs a value"),
        (vec!["--key", &key], "give a directory"),
        (vec!["--key", &key, "/nowhere"], "`/nowhere` is no directory"),
        (
            vec!["--key", &key, "--fast", "/tmp"],
            "there is no option `--fast`",
        ),
        (vec!["--key", &key, "/tmp", "/tmp"], "only one directory"),
        (
            vec!["--key", &key, "--proof", "/nowhere", "--entry", "/nowhere"],
            "there is no file `/nowhere`",
        ),
        (vec!["--key", &key, "--proof", "/nowhere"], "give a directory"),
    ] {
        let (code, out, error) = run(&arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}");
        assert!(
            error.contains(sentence) && error.contains("usage:"),
            "{arguments:?}: {error}"
        );
    }
    let (code, out, _) = run(&["--help"]);
    assert!(code == 0 && out.starts_with("usage: sallyport-verify"));
}

#[test]
fn the_verifier_brings_no_database_along() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_sallyport-verify")).unwrap();
    let mark = b"SQLite format 3";
    assert!(!program.windows(mark.len()).any(|window| window == mark));
}
