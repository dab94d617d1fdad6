//! Fingerprints in order. They are hashes, so nearly all are where they belong once they are sorted by their upper bits.

use super::sketch::Mark;

/// Most [`place`]s that marks are told apart by.
pub(super) const PLACES_MAX: usize = 1 << 17;

/// Sorts marks, of which none is above `most`, and leaves each once.
pub(super) fn sort(marks: &mut Vec<Mark>, most: Mark) {
    /// Below it the standard library is as quick.
    const MANY: usize = 256;
    let zeros = most.max(1).leading_zeros();
    if marks.len() >= MANY {
        drop_repeated(marks, zeros);
    }
    if marks.len() < MANY || !sort_mixed(marks, zeros) {
        marks.sort_unstable();
    }
    marks.dedup();
}

/// Drops most of the marks that came before, where a text repeats itself so much that it is worth the look.
fn drop_repeated(marks: &mut Vec<Mark>, zeros: u32) {
    /// Marks after which that is known.
    const TRIED: usize = 128;
    const PLACES: usize = 1024;
    let mut last = [None; PLACES];
    let (mut asked, mut dropped) = (0, 0);
    marks.retain(|mark| {
        if asked >= TRIED && dropped < asked / 2 {
            return true;
        }
        asked += 1;
        let last = last.get_mut(place(*mark << zeros, PLACES));
        let is_repeated = last.is_some_and(|last| last.replace(*mark) == Some(*mark));
        dropped += usize::from(is_repeated);
        !is_repeated
    });
}

/// Sorts marks that are well mixed below so many upper bits that are zero: the bits after these bring nearly all of them to
/// where they belong. Gives up on others: marks can be made that begin alike.
fn sort_mixed(marks: &mut Vec<Mark>, zeros: u32) -> bool {
    /// For each mark, what others take to be sorted.
    const SWAPS_MAX: usize = 4;
    let places = (marks.len().next_power_of_two() / 2).clamp(1, PLACES_MAX);
    *marks = by_upper_bits(marks, zeros, places);
    let mut swaps = SWAPS_MAX * marks.len();
    for mut at in 1..marks.len() {
        while at > 0 && marks.get(at - 1) > marks.get(at) {
            if swaps == 0 {
                return false;
            }
            swaps -= 1;
            marks.swap(at - 1, at);
            at -= 1;
        }
    }
    true
}

/// Marks in the order of their [`place`]s.
fn by_upper_bits(marks: &[Mark], zeros: u32, places: usize) -> Vec<Mark> {
    let mut begins = vec![0_usize; places + 1];
    for mark in marks {
        if let Some(count) = begins.get_mut(place(*mark << zeros, places) + 1) {
            *count += 1;
        }
    }
    let mut sum = 0;
    for begin in &mut begins {
        sum += *begin;
        *begin = sum;
    }
    let mut sorted = vec![0; marks.len()];
    for mark in marks {
        if let Some(begin) = begins.get_mut(place(*mark << zeros, places)) {
            if let Some(free) = sorted.get_mut(*begin) {
                *free = *mark;
            }
            *begin += 1;
        }
    }
    sorted
}

/// The place of a mark among so many, which are a power of two: by its upper bits.
pub(super) fn place(mark: Mark, places: usize) -> usize {
    ((u64::from(mark) * places as u64) >> Mark::BITS) as usize
}

#[cfg(test)]
mod tests {
    use super::{super::sketch::mark, *};

    #[test]
    fn marks_are_sorted_whatever_they_are() {
        let mut marks: Vec<Mark> = (0..3_000).map(|n: u32| mark(&n.to_string())).collect();
        marks.extend([0, 0, 1, Mark::MAX, Mark::MAX, Mark::MAX - 1]);
        let alike = marks.iter().map(|mark| mark >> 20).collect::<Vec<_>>();
        let over_and_over = (0..4_000).map(|n| marks[n % 40]).collect();
        let at_first = (0..4_000)
            .map(|n| marks[if n < 500 { n % 7 } else { n % 3_000 }])
            .collect();
        let falling = (0..3_000).rev().collect();
        for length in [0, 1, 2, 255, 256, 257, 1_700, 3_006] {
            for marks in [&marks, &alike, &over_and_over, &at_first, &falling] {
                let mut sorted: Vec<Mark> = marks.iter().copied().take(length).collect();
                let mut plain = sorted.clone();
                let most = plain.iter().copied().max().unwrap_or(0);
                sort(&mut sorted, most);
                plain.sort_unstable();
                plain.dedup();
                assert_eq!(sorted, plain);
            }
        }
    }
}
