//! One deed at a time: found as what it is, where it is.

use super::*;

/// A deed, the fault it must be found as, the file that must be named (a beginning), and the entry.
type Deed = (&'static str, fn(&Case), Fault, &'static str, Option<u64>);

const DEEDS: &[Deed] = &[
    (
        "a byte flipped in an entry",
        |case| case.flip("tile/entries/000", 5_000),
        Fault::EntryAltered,
        "tile/entries/000",
        Some(60),
    ),
    (
        "a byte flipped in an entry of the partial bundle",
        |case| case.flip("tile/entries/002.p/189", 40),
        Fault::EntryAltered,
        "tile/entries/002.p/189",
        Some(512),
    ),
    (
        "a byte flipped in a leaf tile",
        |case| case.flip("tile/0/001", 32 * 7 + 3),
        Fault::TileAltered,
        "tile/0/001",
        Some(256 + 7),
    ),
    (
        "a byte flipped in a partial leaf tile",
        |case| case.flip("tile/0/002.p/189", 32 * 9),
        Fault::TileAltered,
        "tile/0/002.p/189",
        Some(512 + 9),
    ),
    (
        "a byte flipped in an upper tile",
        |case| case.flip("tile/1/000.p/2", 33),
        Fault::TileAltered,
        "tile/1/000.p/2",
        Some(256),
    ),
    (
        "a byte flipped in the checkpoint's root",
        |case| {
            let text = String::from_utf8(case.bytes("checkpoint")).unwrap();
            let root = text.lines().nth(2).unwrap().to_owned();
            let first = if root.starts_with('A') { "B" } else { "A" };
            let altered = first.chars().chain(root.chars().skip(1)).collect::<String>();
            case.write("checkpoint", text.replacen(&root, &altered, 1).into_bytes());
        },
        Fault::CheckpointAltered,
        "checkpoint",
        None,
    ),
    (
        "a checkpoint that claims another size",
        |case| {
            let text = String::from_utf8(case.bytes("checkpoint")).unwrap();
            case.write("checkpoint", text.replacen("\n701\n", "\n700\n", 1).into_bytes());
        },
        Fault::CheckpointAltered,
        "checkpoint",
        None,
    ),
    (
        "garbage for a checkpoint",
        |case| case.write("checkpoint", b"hello\n".to_vec()),
        Fault::CheckpointMalformed,
        "checkpoint",
        None,
    ),
    (
        "no checkpoint",
        |case| case.remove("checkpoint"),
        Fault::CheckpointMissing,
        "checkpoint",
        None,
    ),
    (
        "a checkpoint signed with a wrong key",
        |case| {
            let head = Checkpoint {
                origin: ORIGIN.to_owned(),
                size: 701,
                root: [7; 32],
            };
            case.write(
                "checkpoint",
                head.sign(&keys_of(ORIGIN, 9), 5)
                    .unwrap()
                    .to_string()
                    .into_bytes(),
            );
        },
        Fault::CheckpointUnknownKey,
        "checkpoint",
        None,
    ),
    (
        "a checkpoint without its post-quantum signature",
        |case| {
            let text = String::from_utf8(case.bytes("checkpoint")).unwrap();
            let (rest, _) = text.trim_end().rsplit_once('\n').unwrap();
            case.write("checkpoint", format!("{rest}\n").into_bytes());
        },
        Fault::CheckpointUnknownKey,
        "checkpoint",
        None,
    ),
    (
        "a removed entry",
        |case| {
            let mut entries = case.entries("tile/entries/000");
            entries.remove(17);
            case.set_entries("tile/entries/000", &entries);
        },
        Fault::EntryRemoved,
        "tile/entries/000",
        Some(17),
    ),
    (
        "a removed entry, the rest moved up through all bundles",
        |case| {
            let files = ["tile/entries/000", "tile/entries/001", "tile/entries/002.p/189"];
            let mut all: Vec<_> = files.iter().flat_map(|file| case.entries(file)).collect();
            all.remove(17);
            for (file, part) in files.iter().zip(all.chunks(256)) {
                case.set_entries(file, part);
            }
        },
        Fault::EntryRemoved,
        "tile/entries/000",
        Some(17),
    ),
    (
        "two entries exchanged",
        |case| {
            let mut entries = case.entries("tile/entries/001");
            entries.swap(3, 200);
            case.set_entries("tile/entries/001", &entries);
        },
        Fault::EntriesSwapped,
        "tile/entries/001",
        Some(256 + 3),
    ),
    (
        "a duplicated entry",
        |case| {
            let mut entries = case.entries("tile/entries/001");
            entries.insert(8, entries[7].clone());
            entries.pop();
            case.set_entries("tile/entries/001", &entries);
        },
        Fault::EntryAdded,
        "tile/entries/001",
        Some(256 + 8),
    ),
    (
        "a bundle cut short",
        |case| {
            let mut entries = case.entries("tile/entries/002.p/189");
            entries.truncate(100);
            case.set_entries("tile/entries/002.p/189", &entries);
        },
        Fault::Truncated,
        "tile/entries/002.p/189",
        Some(612),
    ),
    (
        "a bundle cut inside an entry",
        |case| {
            let mut bytes = case.bytes("tile/entries/001");
            bytes.truncate(bytes.len() - 5);
            case.write("tile/entries/001", bytes);
        },
        Fault::Truncated,
        "tile/entries/001",
        Some(511),
    ),
    (
        "a missing bundle",
        |case| case.remove("tile/entries/001"),
        Fault::Truncated,
        "tile/entries/001",
        Some(256),
    ),
    (
        "a missing tile",
        |case| case.remove("tile/0/000"),
        Fault::TileMissing,
        "tile/0/000",
        None,
    ),
    (
        "a cut tile",
        |case| {
            let mut bytes = case.bytes("tile/0/000");
            bytes.truncate(1000);
            case.write("tile/0/000", bytes);
        },
        Fault::TileMissing,
        "tile/0/000",
        None,
    ),
    (
        "a forged partial tile",
        |case| case.write("tile/0/002.p/3", vec![9; 96]),
        Fault::PartialTileForged,
        "tile/0/002.p/3",
        None,
    ),
    (
        "a forged partial bundle",
        |case| {
            case.set_entries("tile/entries/002.p/1", &[b"{}".to_vec()]);
        },
        Fault::PartialTileForged,
        "tile/entries/002.p/1",
        None,
    ),
    (
        "an entry replaced and its tile made to fit",
        |case| {
            let mut entries = case.entries("tile/entries/000");
            entries[30] = entries[32].clone();
            case.set_entries("tile/entries/000", &entries);
            let leaves: Vec<_> = entries.iter().map(|entry| leaf_hash(entry)).collect();
            case.write("tile/0/000", leaves.concat());
        },
        Fault::TileAltered,
        "tile/0/000",
        Some(0),
    ),
    (
        "an edited entry in the segment that a checkpoint covers",
        |case| {
            let segment = case.segment();
            let place = case.bytes(&segment).len() / 2;
            case.flip(&segment, place);
        },
        Fault::WalAltered,
        "wal/",
        Some(351),
    ),
    (
        "a replaced entry in the segment, its checksum mended",
        |case| {
            let segment = case.segment();
            let bytes = case.bytes(&segment);
            let (_, mut frames) = frame::read_header(&bytes).unwrap();
            let mut forged = frame::header(0).to_vec();
            let key = Digester::new(&crate::keys::Secret::new(vec![9; 32]));
            while let Some((read, rest)) = frame::Frame::read(frames) {
                let entry = if read.index == 400 { b"{}" } else { read.entry };
                frame::write(
                    &mut forged,
                    &key,
                    read.index,
                    read.durable,
                    entry,
                    &leaf_hash(entry),
                );
                frames = rest;
            }
            case.write(&segment, forged);
        },
        Fault::WalAltered,
        "wal/",
        Some(400),
    ),
    (
        "an edited entry in the unsigned tail",
        |case| {
            let segment = case.segment();
            let (from_end, length) = (frame_bytes("torn") + 20, case.bytes(&segment).len());
            case.flip(&segment, length - from_end);
        },
        Fault::WalAltered,
        "wal/",
        Some(701),
    ),
];

// CONTROL: integrity
#[test]
fn every_kind_of_tampering_is_found_and_located() {
    for (what, deed, fault, file, index) in DEEDS {
        let case = Case::new();
        deed(&case);
        let report = case.verify();
        let named = report.problems.iter().any(|problem| {
            let is_in = problem.file.as_deref().is_some_and(|name| name.starts_with(file));
            problem.fault == *fault && is_in && (index.is_none() || problem.index == *index)
        });
        assert!(
            named,
            "{what}: expected {} in {file} at {index:?}\n{report}",
            fault.as_str()
        );
        let count = report.problems.len();
        assert!(count <= 4, "{what}: one deed, {count} problems\n{report}");
    }
}
