//! The words of a text that some detector wants to see.
//!
//! Each detector looks for some hundred words. Instead of each asking all words of a text whether they are among
//! its own, all words are asked once, many at a time and decided of none: which ones are wanted cannot be foretold.

use super::words::{Gap, Word};

/// Who wants to see a word.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sort {
    /// It may be known to the lexicon.
    Known = 0,
    /// It may be known once it is rotated, or read backwards.
    Respelled = 1,
    /// A rule may begin with it.
    Begins = 2,
    /// It may do something in a sentence, or begins one; or it is one sign of two, or a name before an at sign.
    Steers = 3,
    /// It may be a part of the name of a street.
    Street = 4,
}

const SORTS: usize = 5;

/// For what a hash comes to, who may want to see the word, one bit each. Who wants to see it has its bit there; by
/// chance others may, too.
#[derive(Clone, Debug)]
pub(super) struct Wanted(Box<[u8; WANTED]>);

/// So many that few words have a bit by chance, and that they stay close to the processor.
const WANTED: usize = 1 << WANTED_BITS;
const WANTED_BITS: u32 = 15;

impl Wanted {
    pub(super) fn new() -> Self {
        Self(Box::new([0; WANTED]))
    }

    pub(super) fn add(&mut self, hash: u32, sort: Sort) {
        if let Some(sorts) = self.0.get_mut(spread(hash, WANTED_BITS)) {
            *sorts |= 1 << sort as u8;
        }
    }

    pub(super) fn may_have(&self, hash: u32, sort: Sort) -> bool {
        self.of(hash) >> sort as u8 & 1 == 1
    }

    #[inline]
    fn of(&self, hash: u32) -> u8 {
        self.0.get(spread(hash, WANTED_BITS)).copied().unwrap_or(0)
    }
}

/// So many bits of a hash, as good as any others.
#[inline]
pub(super) fn spread(hash: u32, bits: u32) -> usize {
    usize::try_from(hash.wrapping_mul(0x85EB_CA6B) >> (32 - bits)).unwrap_or(0)
}

/// Which words of a text somebody may want to see: of each 64, one bit for each, sort by sort.
#[derive(Clone, Debug, Default)]
pub(crate) struct Noted(Vec<[u64; SORTS]>);

impl Noted {
    pub(super) fn new(words: &[Word], text: &[u8], wanted: &Wanted) -> Self {
        let addresses = memchr::memchr(b'@', text).is_some();
        let mut end = u32::MAX;
        let each = words.chunks(64).map(|words| {
            let mut flags = [0_u8; 64];
            for (flags, word) in flags.iter_mut().zip(words) {
                let stands = (word.gap != Gap::None) | (word.start == end);
                *flags = wanted.of(word.hash) | u8::from(stands) << Sort::Steers as u8;
                end = word.end;
            }
            if addresses {
                for (flags, word) in flags.iter_mut().zip(words) {
                    let after = usize::try_from(word.end).ok().and_then(|end| text.get(end));
                    *flags |= u8::from(after == Some(&b'@')) << Sort::Steers as u8;
                }
            }
            columns(&flags)
        });
        Self(each.collect())
    }

    /// The numbers of the words that are of a sort, or may be.
    pub(crate) fn places(&self, sort: Sort) -> impl Iterator<Item = usize> {
        let of_sort = self.0.iter().map(move |sorts| sorts.get(sort as usize).copied());
        of_sort.zip((0..).step_by(64)).flat_map(|(bits, first)| {
            let mut bits = bits.unwrap_or(0);
            std::iter::from_fn(move || {
                let at = usize::try_from(bits.trailing_zeros()).ok()?;
                bits = bits.checked_sub(1)? & bits;
                Some(first + at)
            })
        })
    }
}

/// What 64 bytes have in each of their lower bits, one bit for each byte.
#[inline]
fn columns<const COUNT: usize>(bytes: &[u8; 64]) -> [u64; COUNT] {
    /// The lowest bit of each byte.
    const LOWEST: u64 = 0x0101_0101_0101_0101;
    /// What brings them into the highest byte, one beside the other, if it is multiplied with.
    const TOGETHER: u64 = 0x0102_0408_1020_4080;
    let (eights, _) = bytes.as_chunks::<8>();
    let mut columns = [0; COUNT];
    for eight in eights.iter().rev() {
        let eight = u64::from_le_bytes(*eight);
        for (column, bit) in columns.iter_mut().zip(0_u32..) {
            let bits = (eight.wrapping_shr(bit) & LOWEST).wrapping_mul(TOGETHER) >> 56;
            *column = *column << 8 | bits;
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::super::{Lexicon, words};
    use super::*;

    #[test]
    fn all_that_are_wanted_are_noted_and_few_others() {
        let mut lexicon = Lexicon::empty();
        let text = "one two three four five six seven ".repeat(100);
        for (word, sort) in [
            ("two", Sort::Street),
            ("five", Sort::Street),
            ("six", Sort::Begins),
        ] {
            lexicon.want(super::super::hash_of(word), sort);
        }
        for most in (0..=200).chain([usize::MAX]) {
            let read = words(&text, &lexicon, most);
            let of = |sort| read.noted.places(sort).collect::<Vec<_>>();
            let those = |numbers: &[usize]| -> Vec<usize> {
                let all = 0..read.all.len();
                all.filter(|n| numbers.contains(&(n % 7))).collect()
            };
            assert_eq!(of(Sort::Street), those(&[1, 4]), "{most}");
            assert_eq!(of(Sort::Begins), those(&[5]), "{most}");
            assert_eq!(of(Sort::Known), those(&[]), "{most}");
        }
    }

    #[test]
    fn how_a_word_stands_makes_it_wanted() {
        let read = words(
            "so it is. then me@there \u{4e2d}\u{6587} and on",
            &Lexicon::empty(),
            99,
        );
        let steering: Vec<usize> = read.noted.places(Sort::Steers).collect();
        // What begins the text, "then", "me", the second of two signs.
        assert_eq!(steering, [0, 3, 4, 7]);
    }
}
