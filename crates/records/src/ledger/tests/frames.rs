//! Frames: what a crash tears and what a person edits are both found.

use crate::{
    digest::Digester,
    keys::Secret,
    ledger::{
        frame::{FRAME_BYTES, Frame, header, read_header, was_durable, write},
        merkle::leaf_hash,
    },
};

fn ours() -> Digester {
    Digester::new(&Secret::new(vec![7; 32]))
}

fn frame(index: u64, durable: u64, entry: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes, &ours(), index, durable, entry, &leaf_hash(entry));
    bytes
}

#[test]
fn a_frame_comes_back_as_it_was_with_what_follows() {
    let bytes = [frame(3, 1, b"three"), frame(4, 3, b"")].concat();
    let (three, rest) = Frame::read(&bytes).unwrap();
    assert_eq!(
        (three.index, three.durable, three.entry),
        (3, 1, b"three".as_slice())
    );
    assert_eq!(bytes.len() - rest.len(), FRAME_BYTES + 5);
    assert!(three.is_ours(&ours(), &leaf_hash(b"three")));
    let (four, rest) = Frame::read(rest).unwrap();
    assert_eq!((four.index, four.entry), (4, b"".as_slice()));
    assert!(rest.is_empty());
}

#[test]
fn a_frame_with_any_bit_changed_or_any_byte_missing_is_not_read() {
    let whole = frame(3, 1, b"three");
    for at in 0..whole.len() {
        assert!(Frame::read(&whole[..at]).is_none(), "cut at {at}");
        for bit in 0..8 {
            let mut changed = whole.clone();
            changed[at] ^= 1 << bit;
            assert!(Frame::read(&changed).is_none(), "bit {bit} of byte {at}");
        }
    }
    assert!(Frame::read(&[0; 4096]).is_none(), "zeros are no frame");
}

#[test]
fn whoever_edits_a_frame_and_mends_its_checksum_still_lacks_the_key() {
    let thief = Digester::new(&Secret::new(vec![8; 32]));
    let mut forged = Vec::new();
    write(&mut forged, &thief, 3, 1, b"forged", &leaf_hash(b"forged"));
    let (read, _) = Frame::read(&forged).unwrap();
    assert!(!read.is_ours(&ours(), &leaf_hash(b"forged")));
    let (moved, whole) = (frame(3, 1, b"three"), frame(4, 1, b"three"));
    assert_ne!(moved[24..40], whole[24..40], "the tag binds the index");
}

#[test]
fn damage_is_told_from_a_torn_tail() {
    let broken = vec![0; 50];
    let before = [broken.clone(), frame(5, 3, b"made before three was durable")].concat();
    assert!(!was_durable(&before, 3));
    let after = [broken, frame(5, 4, b"made after")].concat();
    assert!(was_durable(&after, 3));
}

#[test]
fn a_segments_header_holds_its_first_index_and_breaks_when_touched() {
    let bytes = [header(77).as_slice(), b"rest"].concat();
    assert_eq!(read_header(&bytes), Some((77, b"rest".as_slice())));
    for at in 0..header(77).len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert_eq!(read_header(&changed), None, "byte {at}");
    }
}
