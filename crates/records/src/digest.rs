//! Digests as the ledger writes them: keyed ones for data, plain ones for what is public anyway.
//!
//! A plain digest of a short value (a name, a date of birth) can be found by trying; a keyed one cannot
//! by whoever lacks the key, and destroying the key makes all of them meaningless. It must not know what
//! is digested.

use std::borrow::Cow;

use aws_lc_rs::{digest, hmac};

use crate::keys::Secret;

#[cfg(test)]
mod tests;

/// SHA-256, 32 bytes.
pub type Sha256 = [u8; 32];

/// The SHA-256 of some parts, one after the other.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> Sha256 {
    let whole: Cow<'_, [u8]> = match parts {
        [one] => Cow::Borrowed(one),
        // The library's own context for several is on the heap, wiped and freed each time: joining them is less.
        several => Cow::Owned(several.concat()),
    };
    fixed(digest::digest(&digest::SHA256, &whole).as_ref())
}

/// `sha256:` and 64 hexadecimal digits: how pins and policies are named.
#[must_use]
pub fn sha256_text(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&sha256(&[bytes])))
}

/// Makes keyed digests: HMAC-SHA-256 (RFC 2104) with a key from the key ring.
#[derive(Clone)]
pub struct Digester(hmac::Key);

impl Digester {
    /// A digester with this key.
    #[must_use]
    pub fn new(key: &Secret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.expose()))
    }

    /// `hmac-sha256:` and 64 hexadecimal digits: how arguments, results and data subjects are named.
    #[must_use]
    pub fn text(&self, bytes: &[u8]) -> String {
        format!("hmac-sha256:{}", hex(hmac::sign(&self.0, bytes).as_ref()))
    }

    /// The digest of some parts, one after the other.
    pub(crate) fn tag(&self, parts: &[&[u8]]) -> Sha256 {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(part);
        }
        fixed(context.sign().as_ref())
    }
}

impl std::fmt::Debug for Digester {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digester(key hidden)")
    }
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut text = vec![0; bytes.len() * 2];
    let (pairs, _) = text.as_chunks_mut::<2>();
    for (pair, byte) in pairs.iter_mut().zip(bytes) {
        *pair = wire::hex::digits(*byte);
    }
    // All of it is ASCII.
    String::from_utf8(text).unwrap_or_default()
}

/// The bytes of lower-case hexadecimal digits.
#[must_use]
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    rest.is_empty().then_some(())?;
    pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect()
}

/// A digest as an array. SHA-256 always gives 32 bytes; anything else would read as all zeros and match
/// nothing.
fn fixed(bytes: &[u8]) -> Sha256 {
    bytes.try_into().unwrap_or_default()
}
