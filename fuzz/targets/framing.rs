//! Event streams and lines: however the bytes are cut, the same comes out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::framing::{Event, EventReader, Lines, write_event};

fn events(chunks: impl Iterator<Item = Vec<u8>>) -> Option<Vec<Event>> {
    let mut reader = EventReader::new(4096);
    let mut events = Vec::new();
    for chunk in chunks {
        reader.push(&chunk, |event| events.push(event)).ok()?;
    }
    Some(events)
}

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (cut, bytes) = input;
    let size = usize::from(cut).max(1);
    let whole = events(std::iter::once(bytes.clone()));
    let pieces = events(bytes.chunks(size).map(<[u8]>::to_vec));
    assert_eq!(whole, pieces);
    for event in whole.into_iter().flatten() {
        let again = events(std::iter::once(write_event(&event))).expect("our own event");
        assert_eq!(again.len(), 1);
    }
    let lines = |chunks: &mut dyn Iterator<Item = &[u8]>| {
        let mut lines = Lines::new(512);
        let mut out = Vec::new();
        for chunk in chunks {
            lines.push(chunk);
            while let Some(line) = lines.next_line() {
                out.push(line);
            }
        }
        out
    };
    assert_eq!(lines(&mut std::iter::once(bytes.as_slice())), lines(&mut bytes.chunks(size)));
});
