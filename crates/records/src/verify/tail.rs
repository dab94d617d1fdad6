//! The write-ahead segments: whatever of them a checkpoint covers must be what was signed, and what none
//! covers yet must at least be whole.

use std::collections::BTreeMap;

use super::{
    report::{Fault, Problem, Report},
    story::Story,
};
use crate::{
    digest::Digester,
    disk::Disk,
    ledger::{
        frame::{Frame, read_header, was_durable, without_room},
        layout::{Layout, SEGMENT_BYTES_MAX, segment_first},
        merkle::{Hash, leaf_hash},
    },
};

/// What the segments hold.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Leaf hashes of entries that the checkpoint covers, and where they stand.
    pub(super) covered: BTreeMap<u64, (Hash, String)>,
    /// The entries after it.
    unsigned: Vec<Vec<u8>>,
}

/// Reads the segments as far as they are whole.
pub(super) fn read(
    disk: &dyn Disk,
    layout: &Layout,
    frames: Option<&Digester>,
    size: u64,
    report: &mut Report,
) -> Tail {
    let mut tail = Tail::default();
    let names = disk.list(&layout.wal()).unwrap_or_default();
    let firsts: Vec<_> = names.iter().filter_map(|name| segment_first(name)).collect();
    let mut next = firsts.first().copied().unwrap_or(size).min(size);
    for (n, first) in firsts.iter().enumerate() {
        let file = format!("wal/{first:020}.wal");
        let bytes = match disk.read(&layout.segment(*first), SEGMENT_BYTES_MAX) {
            Ok(bytes) => bytes.unwrap_or_default(),
            Err(error) => {
                return stop(
                    tail,
                    report,
                    Problem::new(Fault::Unreadable, &error.to_string()).file(&file),
                );
            }
        };
        let bytes = without_room(&bytes);
        if *first != next {
            let text = format!("the segments end at entry {next} and go on at {first}");
            return stop(
                tail,
                report,
                Problem::new(Fault::WalAltered, &text).file(&file).index(next),
            );
        }
        let is_last = n + 1 == firsts.len();
        let broken = tail.segment(bytes, &mut next, frames, size, &file, report);
        if let Some(place) = broken {
            let rest = bytes.get(place..).unwrap_or_default();
            let is_torn = is_last && next >= size && !goes_on(rest, next);
            if is_torn {
                report.note(format!(
                    "{file}: {} bytes after entry {next} are torn or unfinished",
                    rest.len()
                ));
                return tail;
            }
            let text = format!("what stands at byte {place} is not what was written");
            return stop(
                tail,
                report,
                Problem::new(Fault::WalAltered, &text).file(&file).index(next),
            );
        }
    }
    tail
}

fn stop(tail: Tail, report: &mut Report, problem: Problem) -> Tail {
    report.add(problem);
    tail
}

/// Whether an intact frame of a later entry follows: then a person was here, for a crash tears the end.
fn goes_on(rest: &[u8], index: u64) -> bool {
    was_durable(rest, index)
        || (1..rest.len()).any(|at| {
            let frame = Frame::read(rest.get(at..).unwrap_or_default());
            frame.is_some_and(|(frame, _)| frame.index > index)
        })
}

impl Tail {
    /// Takes in a segment. Gives the place where it breaks, if it does.
    fn segment(
        &mut self,
        bytes: &[u8],
        next: &mut u64,
        frames: Option<&Digester>,
        size: u64,
        file: &str,
        report: &mut Report,
    ) -> Option<usize> {
        let Some((_, mut rest)) = read_header(bytes).filter(|(first, _)| first == next) else {
            return Some(0);
        };
        while !rest.is_empty() {
            let read = Frame::read(rest).filter(|(frame, _)| frame.index == *next);
            let Some((frame, after)) = read else {
                return Some(bytes.len() - rest.len());
            };
            let leaf = leaf_hash(frame.entry);
            if frames.is_some_and(|key| !frame.is_ours(key, &leaf)) {
                let text = "the entry was not written with the log's keys";
                report.add(Problem::new(Fault::WalAltered, text).file(file).index(*next));
            }
            if *next < size {
                self.covered.insert(*next, (leaf, file.to_owned()));
            } else {
                self.unsigned.push(frame.entry.to_vec());
            }
            *next += 1;
            rest = after;
        }
        None
    }

    /// Lets the story go on with the entries that are not signed yet.
    pub(super) fn tell(&self, size: u64, story: &mut Story, report: &mut Report) {
        for (index, entry) in (size..).zip(&self.unsigned) {
            report.unsigned += 1;
            story.tell(index, entry, report);
        }
    }
}
