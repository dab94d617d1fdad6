//! The test vectors of `docs/ledger-format.md`: what stands in the file must hold, and what is altered must not.
//!
//! They are made anew only when told to (`SALLYPORT_GENERATE=1`), since a signature by ML-DSA-44 is never the same twice.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::{
    digest::{from_hex, hex},
    ledger::{entry::Finding, merkle::empty_root, note::VerifierKey, proof::Proof, tile::TileId},
};

fn place() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/ledger-vectors.json")
}

fn samples() -> Vec<Entry> {
    let intent = entry(Kind::Intent, "c1");
    vec![
        intent.clone(),
        Entry {
            reason: Some("a \"quote\", a line\nand \u{1f980}".to_owned()),
            ..entry(Kind::Refusal, "c2")
        }
        .with("number", 7_u64)
        .with("text", "seven"),
        Entry {
            findings: vec![Finding {
                kind: "secret".to_owned(),
                score_millis: Some(925),
                ..Finding::default()
            }],
            code: Some("ok".to_owned()),
            ..entry(Kind::Outcome, "c1")
        },
    ]
}

fn generate() -> Value {
    let disk = SimDisk::new();
    let ledger = open(&disk);
    for sample in samples() {
        ledger.append_durable(&sample).wait().unwrap();
    }
    // More than a tile has places.
    for n in 0..256 {
        ledger.append_soon(&entry(Kind::Finding, &format!("f{n}")));
    }
    ledger.close().unwrap();
    let reader = ledger.reader();
    let head = reader.head().unwrap();
    let mut stored = Vec::new();
    while (stored.len() as u64) < head.size {
        stored.extend(reader.page(stored.len() as u64..head.size, 1_000).unwrap());
    }
    let (mut edge, mut roots) = (Edge::default(), vec![hex(&empty_root())]);
    let mut entries = Vec::new();
    for Stored { bytes, .. } in &stored {
        edge.push(leaf_hash(bytes));
        roots.push(hex(&edge.root()));
        entries
            .push(json!({"text": String::from_utf8(bytes.clone()).unwrap(), "leaf": hex(&leaf_hash(bytes))}));
    }
    let is_public = |path: &str| path.starts_with("/ledger/tile/");
    let files: serde_json::Map<_, _> = disk
        .paths()
        .iter()
        .map(|path| path.display().to_string())
        .filter(|path| is_public(path))
        .map(|path| {
            let bytes = disk.bytes(std::path::Path::new(&path)).unwrap();
            (path.trim_start_matches("/ledger/").to_owned(), json!(hex(&bytes)))
        })
        .collect();
    let proofs = [0, 2, 255, head.size - 1].map(|index| reader.proof(index).unwrap().to_string());
    let consistent = reader.consistency(100, head.size).unwrap();
    json!({
        "origin": ORIGIN,
        "keys": keys().known().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "entries": entries,
        "roots": roots,
        "checkpoint": reader.checkpoint().unwrap(),
        "proofs": proofs,
        "consistency": {"old": 100, "new": head.size, "path": consistent.iter().map(|hash| hex(hash)).collect::<Vec<_>>()},
        "files": files,
    })
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap()
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().unwrap()
}

#[test]
fn the_vectors_of_the_format_hold_and_altered_ones_do_not_generated() {
    if std::env::var_os("SALLYPORT_GENERATE").is_some() && !place().is_file() {
        let made = serde_json::to_string_pretty(&generate()).unwrap();
        std::fs::write(place(), made + "\n").unwrap();
    }
    let vectors: Value = serde_json::from_str(&std::fs::read_to_string(place()).unwrap()).unwrap();
    let known: Vec<_> = list(&vectors, "keys")
        .iter()
        .map(|key| VerifierKey::from_text(key.as_str().unwrap()).unwrap())
        .collect();
    assert_eq!(known, keys().known(), "of the seeds in the page");
    let origin = text(&vectors, "origin");

    let (mut edge, mut bundle) = (Edge::default(), Vec::new());
    let (entries, roots) = (list(&vectors, "entries"), list(&vectors, "roots"));
    assert_eq!(roots[0], json!(hex(&empty_root())));
    let mut leaves = Vec::new();
    for (n, entry) in entries.iter().enumerate() {
        let bytes = text(entry, "text").as_bytes();
        assert_eq!(
            Entry::read(bytes).unwrap().encode().bytes(),
            bytes,
            "one text each"
        );
        assert_eq!(text(entry, "leaf"), hex(&leaf_hash(bytes)));
        edge.push(leaf_hash(bytes));
        leaves.push(leaf_hash(bytes));
        assert_eq!(roots[n + 1], json!(hex(&edge.root())));
        if n < 256 {
            bundle.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
            bundle.extend_from_slice(bytes);
        }
    }
    let files = vectors["files"].as_object().unwrap();
    assert_eq!(files["tile/entries/000"], json!(hex(&bundle)));
    assert_eq!(files["tile/0/000"], json!(hex(leaves[..256].as_flattened())));
    assert!(files.keys().all(|path| TileId::from_path(path).is_some()));

    let checkpoint = text(&vectors, "checkpoint");
    let (head, vouched) = Checkpoint::verify(checkpoint.as_bytes(), origin, &known).unwrap();
    assert_eq!((head.size, head.root), (edge.size(), edge.root()));
    assert_eq!(vouched.len(), 2, "both keys signed");
    let altered = checkpoint.replacen(
        &format!("\n{}\n", head.size),
        &format!("\n{}\n", head.size - 1),
        1,
    );
    assert_ne!(altered, checkpoint);
    Checkpoint::verify(altered.as_bytes(), origin, &known).unwrap_err();
    for proof in list(&vectors, "proofs") {
        let proof = Proof::from_text(proof.as_str().unwrap()).unwrap();
        let index = usize::try_from(proof.index).unwrap();
        proof.verify(&leaves[index], origin, &known).unwrap();
        proof
            .verify(&leaves[(index + 1) % leaves.len()], origin, &known)
            .unwrap_err();
    }
    let path: Vec<_> = list(&vectors["consistency"], "path")
        .iter()
        .map(|hash| from_hex(hash.as_str().unwrap()).unwrap().try_into().unwrap())
        .collect();
    let old = from_hex(roots[100].as_str().unwrap())
        .unwrap()
        .try_into()
        .unwrap();
    let found = crate::ledger::merkle::roots_from_consistency(100, head.size, &old, &path);
    assert_eq!(found, Some((old, head.root)));
}
