//! Tree, tiles, notes, checkpoints and receipts, against naive oracles and the examples of C2SP.

use proptest::prelude::*;

use crate::{
    ambient::Random,
    keys::LogKeys,
    ledger::{
        checkpoint::{Checkpoint, CheckpointError},
        merkle::{
            Hash, consistency, empty_root, inclusion, leaf_hash, node_hash, root_from_inclusion,
            roots_from_consistency,
        },
        note::{Note, NoteError, VerifierKey},
        proof::{Proof, ProofError},
        tile::{Edge, Layer, TILE_WIDTH, TileId, TileTree, entries_of, hashes_of, tiles_between, tiles_of},
    },
};

/// RFC 6962 section 2.1, word for word.
fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves.len() {
        0 => empty_root(),
        1 => leaves[0],
        n => {
            let k = n.next_power_of_two() / 2;
            node_hash(&naive_root(&leaves[..k]), &naive_root(&leaves[k..]))
        }
    }
}

fn leaves(n: u64) -> Vec<Hash> {
    (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

/// A tree that keeps all tiles in memory, as the ledger keeps them in files.
struct Tree {
    edge: Edge,
    tiles: std::collections::HashMap<TileId, Vec<Hash>>,
}

impl Tree {
    fn of(leaves: &[Hash]) -> Self {
        let mut tree = Self {
            edge: Edge::default(),
            tiles: std::collections::HashMap::new(),
        };
        for leaf in leaves {
            tree.tiles.extend(tree.edge.push(*leaf));
        }
        tree
    }

    fn look_up(&self) -> TileTree<impl FnMut(TileId) -> Result<Vec<Hash>, TileId>> {
        TileTree::new(self.edge.size(), |id: TileId| match id.layer {
            Layer::Hashes(level) if id.width < TILE_WIDTH => {
                Ok(self.edge.partial(usize::from(level)).to_vec())
            }
            Layer::Entries | Layer::Hashes(_) => self.tiles.get(&id).cloned().ok_or(id),
        })
    }
}

#[test]
fn the_root_is_that_of_rfc_6962_at_every_size() {
    let all = leaves(700);
    let mut edge = Edge::default();
    for size in 0..all.len() {
        assert_eq!(edge.root(), naive_root(&all[..size]), "size {size}");
        edge.push(all[size]);
    }
}

#[test]
fn the_edge_of_a_large_tree_agrees_with_its_tiles() {
    let tree = Tree::of(&leaves(70_000));
    // The example of tlog-tiles: 273 full level 0 tiles and 112 more, one full level 1 tile and 17 more,
    // one hash at level 2.
    assert_eq!(
        [tiles_of(70_000, 0), tiles_of(70_000, 1), tiles_of(70_000, 2)],
        [(273, 112), (1, 17), (0, 1)]
    );
    assert_eq!(
        (0..3)
            .map(|level| tree.edge.partial(level).len())
            .collect::<Vec<_>>(),
        [112, 17, 1]
    );
    let levels = (0..3).map(|level| tree.edge.partial(level).to_vec()).collect();
    assert_eq!(Edge::from_tiles(70_000, levels).unwrap(), tree.edge);
    assert_eq!(
        Edge::from_tiles(70_001, (0..3).map(|l| tree.edge.partial(l).to_vec()).collect()),
        None
    );
    let leaf = leaf_hash(&12_345_u64.to_be_bytes());
    let path = inclusion(&mut tree.look_up(), 12_345, 70_000).unwrap();
    assert_eq!(
        root_from_inclusion(&leaf, 12_345, 70_000, &path),
        Some(tree.edge.root())
    );
}

#[test]
fn every_inclusion_proof_holds_and_no_altered_one_does() {
    for size in [1, 2, 3, 7, 8, 255, 256, 257, 300, 513] {
        let all = leaves(size);
        let tree = Tree::of(&all);
        let root = tree.edge.root();
        for (index, leaf) in (0..size).zip(&all) {
            let path = inclusion(&mut tree.look_up(), index, size).unwrap();
            assert_eq!(
                root_from_inclusion(leaf, index, size, &path),
                Some(root),
                "{index} of {size}"
            );
            let mut longer = path.clone();
            longer.push(root);
            assert_ne!(root_from_inclusion(leaf, index, size, &longer), Some(root));
            let elsewhere = root_from_inclusion(leaf, (index + 1) % size, size, &path);
            assert!(size == 1 || elsewhere != Some(root));
            if let Some((_, shorter)) = path.split_last() {
                assert_ne!(root_from_inclusion(leaf, index, size, shorter), Some(root));
            }
        }
        assert_eq!(
            root_from_inclusion(&all[0], size, size, &[]),
            None,
            "beyond the end"
        );
    }
}

#[test]
fn every_consistency_proof_holds_and_no_altered_one_does() {
    let all = leaves(300);
    for new in [1, 2, 3, 8, 13, 256, 257, 300] {
        let tree = Tree::of(&all[..new]);
        for old in 1..=new {
            let old_root = naive_root(&all[..old]);
            let (old, new) = (old as u64, new as u64);
            let path = consistency(&mut tree.look_up(), old, new).unwrap();
            let held = roots_from_consistency(old, new, &old_root, &path);
            assert_eq!(held, Some((old_root, tree.edge.root())), "{old} to {new}");
            let mut altered = path.clone();
            if let Some(first) = altered.first_mut() {
                first[0] ^= 1;
                assert_ne!(roots_from_consistency(old, new, &old_root, &altered), held);
            }
            let longer = [path, vec![old_root]].concat();
            assert_ne!(roots_from_consistency(old, new, &old_root, &longer), held);
        }
    }
}

#[test]
fn tile_paths_are_those_of_the_specification_and_no_others_are_read() {
    let tile = |layer, n, width| TileId { layer, n, width };
    for (id, path) in [
        (tile(Layer::Hashes(0), 0, 256), "tile/0/000"),
        (tile(Layer::Hashes(0), 1_234_067, 256), "tile/0/x001/x234/067"),
        (tile(Layer::Entries, 1_234, 17), "tile/entries/x001/234.p/17"),
        (tile(Layer::Hashes(63), 999, 255), "tile/63/999.p/255"),
    ] {
        assert_eq!(id.path(), path);
        assert_eq!(TileId::from_path(path), Some(id));
    }
    for wrong in [
        "tile/0/0",
        "tile/00/000",
        "tile/64/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/x001/x000",
        "tile/-1/000",
        "tile/0/+01",
        "tile/data/000",
        "tile/0/../000",
        "tile/0/999999999999999999999999",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0/0000",
    ] {
        assert_eq!(TileId::from_path(wrong), None, "{wrong}");
    }
}

#[test]
fn a_bundle_is_read_as_far_as_it_is_whole() {
    let bundle = [0, 2, b'h', b'i', 0, 0, 0, 1, b'x'];
    assert_eq!(entries_of(&bundle), (vec![b"hi".as_slice(), b"", b"x"], true));
    assert_eq!(entries_of(&bundle[..8]), (vec![b"hi".as_slice(), b""], false));
    assert_eq!(hashes_of(&[0; 33]), None);
}

/// The example of C2SP signed-note.
const NOTE: &str = "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
const KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";

#[test]
fn the_example_of_the_specification_is_read_and_its_signature_holds() {
    let note = Note::from_bytes(NOTE.as_bytes()).unwrap();
    assert_eq!(note.text, "This is an example message.\n");
    assert_eq!(note.to_string(), NOTE);
    let key = VerifierKey::from_text(KEY).unwrap();
    assert_eq!(key.to_string(), KEY);
    assert!(note.signatures[0].is_by(&key));
    let public = aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, key.public());
    public
        .verify(note.text.as_bytes(), &note.signatures[0].bytes)
        .unwrap();
}

#[test]
fn what_is_no_note_and_no_key_is_refused() {
    let long = format!("{}\n\n— a AAAAAAA=\n", "x".repeat(200_000));
    for (text, error) in [
        ("text\n", NoteError::Form),
        ("text\n\n", NoteError::Form),
        ("text\n\n— a AAAAAAA=", NoteError::Form),
        ("text\n\n- a AAAAAAA=\n", NoteError::Form),
        ("text\n\n— a AAAAAA==\n", NoteError::Form),
        ("text\r\n\n— a AAAAAAA=\n", NoteError::Bytes),
        (&long, NoteError::TooLong),
    ] {
        assert_eq!(Note::from_bytes(text.as_bytes()), Err(error), "{:.40}", text);
    }
    for key in [
        "example.com/foo",
        "example.com/foo+530d903b+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/bar+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3Q==",
        "example.com/foo+530d903a+CekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
        " +530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
    ] {
        VerifierKey::from_text(key).unwrap_err();
    }
}

fn signed() -> (LogKeys, Checkpoint, String) {
    let keys = LogKeys::generate("log.example/1", &Random::system()).unwrap();
    let checkpoint = Checkpoint {
        origin: "log.example/1".to_owned(),
        size: 3,
        root: naive_root(&leaves(3)),
    };
    let note = checkpoint.sign(&keys, 1_763_712_000).unwrap().to_string();
    (keys, checkpoint, note)
}

#[test]
fn a_signed_checkpoint_is_vouched_for_by_both_keys() {
    let (keys, checkpoint, note) = signed();
    let (read, vouched) = Checkpoint::verify(note.as_bytes(), "log.example/1", &keys.known()).unwrap();
    assert_eq!(read, checkpoint);
    let times: Vec<_> = vouched.iter().map(|one| one.time_s).collect();
    assert_eq!(times, [None, Some(1_763_712_000)]);
}

#[test]
fn a_checkpoint_is_refused_when_altered_foreign_or_signed_by_a_stranger() {
    let (keys, _, note) = signed();
    let known = keys.known();
    let verify = |text: &str, origin| Checkpoint::verify(text.as_bytes(), origin, &known).unwrap_err();
    let larger = note.replacen("\n3\n", "\n4\n", 1);
    assert!(matches!(
        verify(&larger, "log.example/1"),
        CheckpointError::BadSignature(_)
    ));
    assert!(matches!(
        verify(&note, "log.example/2"),
        CheckpointError::Origin { .. }
    ));
    assert!(matches!(
        verify(&note.replacen("\n3\n", "\n03\n", 1), "log.example/1"),
        CheckpointError::Form
    ));
    let stranger = LogKeys::generate("log.example/1", &Random::system()).unwrap();
    let error = Checkpoint::verify(note.as_bytes(), "log.example/1", &stranger.known()).unwrap_err();
    assert!(matches!(error, CheckpointError::Unknown(_)), "{error}");
    // Each signature binds alone: with the Ed25519 line gone, the other still refuses another size.
    let (text, lines) = larger.split_once("\n\n").unwrap();
    let cosigned = format!("{text}\n\n{}\n", lines.lines().nth(1).unwrap());
    assert!(matches!(
        verify(&cosigned, "log.example/1"),
        CheckpointError::BadSignature(_)
    ));
}

#[test]
fn a_witness_of_either_kind_is_heard() {
    let (keys, checkpoint, note) = signed();
    let witness = LogKeys::generate("witness.example", &Random::system()).unwrap();
    let cosigned = checkpoint.sign(&witness, 5).unwrap();
    let both = format!("{note}{}", cosigned.signatures[1]);
    let known = [keys.known(), witness.known()].concat();
    let (_, vouched) = Checkpoint::verify(both.as_bytes(), "log.example/1", &known).unwrap();
    assert_eq!(
        vouched.last().map(|one| (one.key.name().to_owned(), one.time_s)),
        Some(("witness.example".to_owned(), Some(5)))
    );
}

#[test]
fn a_proof_proves_its_entry_and_no_other() {
    let (keys, _, note) = signed();
    let all = leaves(3);
    let path = inclusion(&mut Tree::of(&all).look_up(), 1, 3).unwrap();
    let text = Proof {
        index: 1,
        path,
        checkpoint: note,
    }
    .to_string();
    let proof = Proof::from_text(&text).unwrap();
    assert_eq!(proof.to_string(), text);
    proof.verify(&all[1], "log.example/1", &keys.known()).unwrap();
    assert_eq!(
        proof.verify(&all[0], "log.example/1", &keys.known()),
        Err(ProofError::Other(1))
    );
    let with_extra = text.replacen("index", "extra AAAA\nindex", 1);
    assert_eq!(Proof::from_text(&with_extra).unwrap(), proof);
    for (from, to, line) in [
        ("@v1", "@v2", 1),
        ("index 1", "index 01", 2),
        ("index 1\n", "index 1\nzz\n", 3),
    ] {
        assert_eq!(
            Proof::from_text(&text.replacen(from, to, 1)),
            Err(ProofError::Form(line)),
            "{to}"
        );
    }
}

proptest! {
    #[test]
    fn no_text_makes_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let text = String::from_utf8_lossy(&bytes);
        let _ = Note::from_bytes(&bytes);
        let _ = Proof::from_text(&text);
        let _ = Proof::from_text(&format!("c2sp.org/tlog-proof@v1\n{text}"));
        let _ = Checkpoint::from_text(&text);
        let _ = VerifierKey::from_text(&text);
        let _ = TileId::from_path(&text);
        let _ = entries_of(&bytes);
        let _ = crate::ledger::frame::Frame::read(&bytes);
    }
}

#[test]
fn a_copy_that_grows_by_steps_has_every_tile_of_the_tree() {
    let all = |size| tiles_between(0, size).collect::<std::collections::BTreeSet<_>>();
    for (old, new) in [
        (0, 1),
        (1, 255),
        (255, 256),
        (256, 257),
        (300, 70_000),
        (65_535, 65_536),
    ] {
        let added: Vec<_> = tiles_between(old, new).collect();
        let have: std::collections::BTreeSet<_> = all(old).into_iter().chain(added).collect();
        assert!(all(new).is_subset(&have), "{old} to {new}");
    }
    assert_eq!(tiles_between(7, 7).count(), 0);
    let (full, edge): (Vec<_>, Vec<_>) = tiles_between(0, 300).partition(|id| id.width == 256);
    let paths = |ids: Vec<TileId>| ids.into_iter().map(TileId::path).collect::<Vec<_>>();
    assert_eq!(paths(full), ["tile/entries/000", "tile/0/000"]);
    assert_eq!(
        paths(edge),
        ["tile/entries/001.p/44", "tile/0/001.p/44", "tile/1/000.p/1"]
    );
}
