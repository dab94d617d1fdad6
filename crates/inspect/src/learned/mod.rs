//! A small learned model: a weight for each hashed feature, summed over windows of words.
//!
//! Reading is linear: each word is looked at once, and a window is the difference of two running sums. The
//! weights are data (`data/*.model`), made by `examples/train.rs` from development data alone. This module
//! must not know what the model was trained for.

mod features;
mod lexicon;
mod noted;
mod words;

use std::{borrow::Cow, cell::OnceCell, ops::Range, sync::OnceLock};

use features::{ATTACKS_AROUND, BUCKETS, LENGTHS, Memory, attacks_sort, length_sort, of_attacks, of_length};
pub use features::{BUCKET_BITS, NARROW_WORDS, PRIOR, STRIDE_WORDS, WINDOW_WORDS};
pub(crate) use lexicon::{
    ABOUT, ATTACKS, CONCEAL, Class, DROP, EVERYTHING, INSTRUCTIONS, Lexicon, ME, NEW, NOT, PRETEND, PREVIOUS,
    REVEAL, SECRET, SYSTEM, USER, YOU,
};
pub(crate) use noted::Sort;
pub(crate) use words::{
    CALLS, CAPITALS, DIGITS, Gap, QUOTED, Word, Words, hash_bytes, hash_of, hashes, stands_alone, words,
};

use crate::{Passage, Surface, injection, personal};

/// Most words read of one text; a window of text of the scanner holds fewer.
pub(crate) const WORDS_MAX: usize = 1 << 20;

/// The words known in every text, and those that detectors want to see.
pub(crate) fn lexicon() -> &'static Lexicon {
    static LEXICON: OnceLock<Lexicon> = OnceLock::new();
    LEXICON.get_or_init(|| {
        let mut lexicon = Lexicon::new();
        injection::want(&mut lexicon);
        personal::want(&mut lexicon);
        lexicon
    })
}

/// A text as a model sees it, for training.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The features of each word.
    pub words: Vec<Vec<u32>>,
    /// The bytes of each word.
    pub places: Vec<Range<usize>>,
    /// Windows: a range of words, and what is said by the window as a whole.
    pub windows: Vec<(Range<usize>, [u32; 2])>,
}

impl Sample {
    /// Reads a text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let passage = Passage::new(text, Surface::Result);
        let mut sample = Self {
            words: Vec::new(),
            places: Vec::new(),
            windows: Vec::new(),
        };
        for view in passage.views() {
            let first = sample.words.len();
            let (words, data) = (view.words(), is_data(view.text()));
            let mut memory = Memory::new();
            sample.words.extend(memory.read(words, data));
            sample
                .places
                .extend(words.iter().map(|word| view.written(place(word))));
            let attacks = attacks(words);
            sample.windows.extend(windows(words.len()).map(|window| {
                let around = attacks_sort(around(&attacks, &window));
                let whole = [of_length(length_sort(window.len())), of_attacks(around)];
                (window.start + first..window.end + first, whole)
            }));
        }
        sample
    }
}

/// Whether a text looks like data rather than prose.
pub(crate) fn is_data(text: &str) -> bool {
    matches!(text.trim_start().bytes().next(), Some(b'{' | b'[' | b'<' | b'|'))
}

pub(crate) fn place(word: &Word) -> Range<usize> {
    let start = usize::try_from(word.start).unwrap_or(usize::MAX);
    start..usize::try_from(word.end).unwrap_or(usize::MAX)
}

/// Wide windows, and narrow ones for what stands alone in a text of another sort: their words, and those from one to
/// the next.
const SIZES: [(usize, usize); 2] = [(WINDOW_WORDS, STRIDE_WORDS), (NARROW_WORDS, NARROW_WORDS / 4)];

/// The sizes that a text of so many words is looked at in: it has no narrow window if it is one.
fn sizes(words: usize) -> impl Iterator<Item = (usize, usize)> {
    SIZES
        .into_iter()
        .filter(move |(size, _)| *size == WINDOW_WORDS || words > *size)
}

/// All windows of so many words.
fn windows(words: usize) -> impl Iterator<Item = Range<usize>> {
    sizes(words).flat_map(move |(size, stride)| {
        let whole = (size..=words).step_by(stride).map(move |end| end - size..end);
        whole.chain(last_window(words, size, stride))
    })
}

/// The window at the end, if none that is whole ends there. What is too short for a wide window is one.
fn last_window(words: usize, size: usize, stride: usize) -> Option<Range<usize>> {
    match words.checked_sub(size) {
        Some(rest) => (!rest.is_multiple_of(stride)).then_some(rest..words),
        None => (words > 0 && size == WINDOW_WORDS).then_some(0..words),
    }
}

/// Words on either side of a window that may say that a text is about attacks.
const AROUND_WORDS: usize = 48;

/// Up to each word, the words that a text about attacks has.
fn attacks(words: &[Word]) -> Vec<u32> {
    let mut count = 0;
    let counted = words.iter().map(|word| {
        count += u32::from(word.class == ATTACKS);
        count
    });
    std::iter::once(0).chain(counted).collect()
}

/// Such words in a window and around it.
fn around(attacks: &[u32], window: &Range<usize>) -> u32 {
    let at = |n: usize| {
        attacks
            .get(n.min(attacks.len().saturating_sub(1)))
            .copied()
            .unwrap_or(0)
    };
    at(window.end + AROUND_WORDS) - at(window.start.saturating_sub(AROUND_WORDS))
}

/// Fewer words say nothing by themselves, whatever they are.
const SAID_WORDS: usize = 3;

/// What [`factor`] is counted in.
pub const FACTOR: i32 = 256;

/// How much more a word counts in a short text: the square root of how much shorter it is.
#[must_use]
pub fn factor(words: usize) -> i32 {
    const FACTORS: [i32; WINDOW_WORDS + 1] = [
        836, 724, 648, 591, 547, 512, 483, 458, 437, 418, 402, 387, 374, 362, 351, 341, 332, 324, 316, 309,
        302, 296, 290, 284, 279, 274, 269, 264, 260, 256, 252, 248, 245,
    ];
    FACTORS.get(words).or(FACTORS.last()).copied().unwrap_or(FACTOR)
}

/// The least sum of words that comes to so much with this factor.
fn least(wanted: i32, factor: i32) -> i32 {
    // What is divided is rounded towards nothing: below nothing, more comes to it.
    let above = if wanted > 0 {
        wanted * FACTOR - 1
    } else {
        (wanted - 1) * FACTOR
    };
    above.div_euclid(factor) + 1
}

/// A window that the model has an opinion of.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// Bytes of the text.
    pub place: Range<usize>,
    /// 0 to 1; 0.5 is the shipped threshold.
    pub score: f32,
}

/// Weights.
#[derive(Clone, Debug)]
pub struct Model {
    /// The sum from which a window counts, in steps of weights.
    suspect: i32,
    /// The sum from which a window speaks for itself.
    hostile: i32,
    weights: Cow<'static, [u8]>,
}

/// What a file of weights begins with.
const MAGIC: &[u8; 8] = b"SPmodel1";

impl Model {
    /// A model made of weights, one for each bucket.
    #[must_use]
    pub fn new(suspect: i32, hostile: i32, weights: &[i8]) -> Self {
        Self {
            suspect,
            hostile,
            weights: weights.iter().map(|w| w.cast_unsigned()).collect(),
        }
    }

    /// Reads a file of weights; nothing, if it is none.
    #[must_use]
    pub fn read(bytes: &'static [u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (suspect, rest) = rest.split_first_chunk::<4>()?;
        let (hostile, weights) = rest.split_first_chunk::<4>()?;
        (weights.len() == 1 << BUCKET_BITS).then(|| Self {
            suspect: i32::from_le_bytes(*suspect),
            hostile: i32::from_le_bytes(*hostile),
            weights: Cow::Borrowed(weights),
        })
    }

    /// The file.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.suspect.to_le_bytes());
        bytes.extend(self.hostile.to_le_bytes());
        bytes.extend_from_slice(&self.weights);
        bytes
    }

    #[inline]
    fn weight(&self, bucket: u32) -> i32 {
        let at = usize::try_from(bucket).unwrap_or(usize::MAX);
        self.weights
            .get(at)
            .map_or(0, |weight| i32::from(weight.cast_signed()))
    }

    /// The windows that count: of those that overlap, the best.
    pub(crate) fn hits(&self, words: &[Word], data: bool) -> Vec<Scored> {
        let mut found: Vec<(i32, Range<usize>)> = Vec::new();
        self.each(words, data, |sum, window| {
            if sum >= self.suspect && window.len() >= SAID_WORDS {
                found.push((sum, window));
            }
        });
        found.sort_by_key(|(_, window)| window.start);
        let mut hits: Vec<(i32, Range<usize>)> = Vec::new();
        for (sum, window) in found {
            match hits.last_mut() {
                Some((most, last)) if last.end > window.start => {
                    if sum > *most {
                        (*most, *last) = (sum, window);
                    }
                }
                Some(_) | None => hits.push((sum, window)),
            }
        }
        hits.into_iter()
            .map(|(sum, window)| self.scored(sum, words, window))
            .collect()
    }

    /// All windows that may count.
    fn each(&self, words: &[Word], data: bool, mut found: impl FnMut(i32, Range<usize>)) {
        let Some(weights) = self.weights.first_chunk::<BUCKETS>() else {
            return;
        };
        let mut memory = Memory::new();
        let mut sums = Vec::with_capacity(words.len() + 1);
        let mut sum = 0_i32;
        sums.push(0);
        memory.weigh(words, data, weights, |weight| {
            sum = sum.wrapping_add(weight);
            sums.push(sum);
        });
        let weight = |bucket| self.weight(bucket);
        let by_length: [i32; LENGTHS] = std::array::from_fn(|sort| weight(of_length(sort)));
        let by_attacks: [i32; ATTACKS_AROUND] = std::array::from_fn(|sort| weight(of_attacks(sort)));
        let most_by_attacks = by_attacks.iter().copied().max().unwrap_or(0);
        let attacks = OnceCell::new();
        let mut counted = |sum: i32, window: Range<usize>| {
            let around = around(attacks.get_or_init(|| self::attacks(words)), &window);
            let attacks = by_attacks.get(attacks_sort(around));
            found(sum + attacks.copied().unwrap_or(0), window);
        };
        for (size, stride) in sizes(words.len()) {
            let length = by_length.get(length_sort(size)).copied().unwrap_or(0);
            // Most windows are far from counting, whatever stands around them.
            let least = least(self.suspect - most_by_attacks - length, factor(size));
            let (from, to) = (sums.iter(), sums.get(size..).unwrap_or_default().iter());
            let windows = from.step_by(stride).zip(to.step_by(stride));
            for (n, difference) in windows.map(|(from, to)| to.wrapping_sub(*from)).enumerate() {
                if difference >= least {
                    let sum = difference * factor(size) / FACTOR + length;
                    counted(sum, n * stride..n * stride + size);
                }
            }
            let Some(window) = last_window(words.len(), size, stride) else {
                continue;
            };
            if let (Some(from), Some(to)) = (sums.get(window.start), sums.get(window.end)) {
                let length = by_length.get(length_sort(window.len())).copied().unwrap_or(0);
                let sum = (to - from) * self::factor(window.len()) / FACTOR + length;
                if sum + most_by_attacks >= self.suspect {
                    counted(sum, window);
                }
            }
        }
    }

    fn scored(&self, sum: i32, words: &[Word], window: Range<usize>) -> Scored {
        let start = words.get(window.start).map_or(0, |word| place(word).start);
        let end = words
            .get(window.end.saturating_sub(1))
            .map_or(start, |word| place(word).end);
        Scored {
            place: start..end,
            score: self.score(sum),
        }
    }

    /// Half at the first threshold, 0.8 at the second, near 1 well above, near 0 well below.
    fn score(&self, sum: i32) -> f32 {
        #[expect(clippy::cast_precision_loss, reason = "sums of a window are far below 2^24")]
        let (above, between) = (
            (sum - self.suspect) as f32,
            (self.hostile - self.suspect).max(1) as f32,
        );
        let times = above / between;
        if times >= 1.0 {
            1.0 - 0.2 / times
        } else if times >= 0.0 {
            0.5 + 0.3 * times
        } else {
            0.5 / (1.0 - times)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_sum_is_the_least() {
        for (wanted, factor) in
            (-40..40).flat_map(|wanted| [201, 256, 387, 836].map(|factor| (wanted, factor)))
        {
            let least = least(wanted, factor);
            assert!(least * factor / FACTOR >= wanted, "{wanted} {factor}");
            assert!((least - 1) * factor / FACTOR < wanted, "{wanted} {factor}");
        }
    }

    /// What is summed are the windows that were trained on, whatever the length of the text.
    #[test]
    fn every_window_is_summed() {
        let text = "one word after another ".repeat(25);
        let read = words(&text, lexicon(), WORDS_MAX);
        let everything = Model::new(-1_000_000, 0, &vec![0; 1 << BUCKET_BITS]);
        for count in 0..=100 {
            let mut summed = Vec::new();
            everything.each(&read.all[..count], false, |sum, window| {
                summed.push((sum, window))
            });
            let all: Vec<_> = windows(count).map(|window| (0, window)).collect();
            assert_eq!(summed, all, "{count} words");
            let ends = |size: usize| all.iter().filter(|(_, window)| window.len() == size).count();
            assert_eq!(ends(NARROW_WORDS) > 0, count >= NARROW_WORDS, "{count} words");
            assert_eq!(all.last().map_or(0, |(_, window)| window.end), count);
        }
    }
}
