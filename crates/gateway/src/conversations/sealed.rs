//! What clients carry for us, and can neither read nor change: sealed with a key of this process (AES-256-GCM), and
//! bound to what it is for. What an earlier process sealed cannot be opened, unless the key is given.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::ambient::Ambient;

/// See the module.
#[derive(Debug)]
pub(crate) struct Seal(LessSafeKey);

impl Seal {
    /// One with a key of its own. None where none can be made.
    pub(crate) fn new(ambient: &Ambient) -> Option<Self> {
        Self::with(&ambient.bytes::<32>())
    }

    /// One with this key of 32 bytes, for what outlives a process.
    pub(crate) fn with(key: &[u8]) -> Option<Self> {
        let key = UnboundKey::new(&AES_256_GCM, key).ok()?;
        Some(Self(LessSafeKey::new(key)))
    }

    /// Nonce, sealed content and tag, in letters that fit everywhere.
    pub(crate) fn seal(&self, ambient: &Ambient, bound: &[u8], content: &[u8]) -> String {
        let nonce: [u8; NONCE_LEN] = ambient.bytes();
        let mut sealed = content.to_vec();
        let once = Nonce::assume_unique_for_key(nonce);
        match self
            .0
            .seal_in_place_append_tag(once, Aad::from(bound), &mut sealed)
        {
            Ok(()) => URL_SAFE_NO_PAD.encode([nonce.as_slice(), &sealed].concat()),
            // Then nobody can open it, which is the safe side.
            Err(_) => String::new(),
        }
    }

    /// The content, if it was sealed here and for this.
    pub(crate) fn open(&self, text: &str, bound: &[u8]) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>()?;
        let mut sealed = sealed.to_vec();
        let once = Nonce::assume_unique_for_key(*nonce);
        let length = self
            .0
            .open_in_place(once, Aad::from(bound), &mut sealed)
            .ok()?
            .len();
        sealed.truncate(length);
        Some(sealed)
    }
}
