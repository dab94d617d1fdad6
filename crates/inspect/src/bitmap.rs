//! Which bytes of a text are of some sort, one bit each, worked out 64 at a time. Knows nothing of what for.

use fearless_simd::{Level, Simd, SimdBase, SimdMask, dispatch, u8x64};

/// Bytes of a text that are said together.
pub(crate) const BLOCK: usize = 64;

/// From one byte to another, with both.
pub(crate) type Stretch = (u8, u8);

/// One bit for each byte of a text, set for those that lie in one of some stretches; after the last block, one without any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bitmap(Vec<u64>);

impl Bitmap {
    #[inline(always)]
    pub(crate) fn of<const COUNT: usize>(text: &[u8], sort: [Stretch; COUNT]) -> Self {
        Self(dispatch!(Level::new(), registers => blocks(registers, text, sort)))
    }

    /// The blocks, the last one as well if it is not whole, and not the one after it.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = u64> {
        self.0.iter().copied().take(self.0.len().saturating_sub(1))
    }

    /// How many bytes there are from `at` on that are of the sort, with no other between them; at most a block.
    #[inline(always)]
    pub(crate) fn following(&self, at: usize) -> usize {
        let block = |n: usize| self.0.get(n).copied().unwrap_or(0);
        let (n, within) = (at / BLOCK, at % BLOCK);
        let bits = block(n) >> within | block(n + 1) << 1 << (BLOCK - 1 - within);
        usize::try_from(bits.trailing_ones()).unwrap_or(BLOCK)
    }
}

#[inline(always)]
fn blocks<S: Simd, const COUNT: usize>(simd: S, text: &[u8], sort: [Stretch; COUNT]) -> Vec<u64> {
    let (whole, rest) = text.as_chunks::<BLOCK>();
    let mut last = [0; BLOCK];
    last.iter_mut().zip(rest).for_each(|(to, byte)| *to = *byte);
    let mut blocks = Vec::with_capacity(whole.len() + 2);
    for block in whole {
        blocks.push(members(simd, block, sort));
    }
    if !rest.is_empty() {
        // What was filled up with is of no sort, whatever is asked for.
        let filled = !0 << rest.len();
        blocks.push(members(simd, &last, sort) & !filled);
    }
    blocks.push(0);
    blocks
}

/// Which of these bytes lie in one of the stretches.
#[inline(always)]
fn members<S: Simd, const COUNT: usize>(simd: S, block: &[u8; BLOCK], sort: [Stretch; COUNT]) -> u64 {
    let bytes = u8x64::load_array_ref(simd, block);
    let mut bits = 0;
    // A loop and no `fold`: a closure would be compiled by itself, for any processor.
    for (first, last) in sort {
        let from = bytes - u8x64::splat(simd, first);
        bits |= from.simd_le(u8x64::splat(simd, last - first)).to_bitmask();
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_say_what_asking_each_byte_says() {
        let text: Vec<u8> = (0..=u8::MAX)
            .chain((0..150_u8).map(|n| n.wrapping_mul(7)))
            .collect();
        let sort = [(b'A', b'Z'), (b'a', b'z'), (b'_', b'_'), (0, 2), (0xf0, u8::MAX)];
        let is_so = |byte: &u8| sort.iter().any(|(first, last)| (*first..=*last).contains(byte));
        for end in [0, 1, 63, 64, 65, 128, 200, text.len()] {
            let text = &text[..end];
            let map = Bitmap::of(text, sort);
            let asked: Vec<u64> = text
                .chunks(BLOCK)
                .map(|block| {
                    (0..)
                        .zip(block)
                        .fold(0, |bits, (n, byte)| bits | u64::from(is_so(byte)) << n)
                })
                .collect();
            assert_eq!(map.blocks().collect::<Vec<_>>(), asked, "{end}");
            for at in 0..end + 3 {
                let rest = text.get(at..).unwrap_or_default();
                let following = rest.iter().take_while(|byte| is_so(byte)).count();
                assert_eq!(map.following(at), following.min(BLOCK), "{end} {at}");
            }
        }
    }
}
