//! What leaves unencrypted for a public address: read as it passes, since everybody on the way can read it, too.
//!
//! A credential in it does not leave. TLS is not opened: whoever speaks it is let through unread. So is what stays in private
//! networks. This module knows nothing of where connections lead, nor of what is looked for.

use std::sync::Arc;

/// Names what must not leave among a text; none if it may.
pub(crate) type Look = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The first byte of TLS (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;
/// How much of what has passed is read again with what follows: a credential may come in two parts.
const TAIL_BYTES: usize = 1024;

/// One connection, read from its first byte on.
pub(super) struct Clear {
    look: Look,
    /// The end of what has passed.
    tail: Vec<u8>,
    /// Known from the first byte on.
    encrypted: Option<bool>,
}

impl Clear {
    pub(super) fn new(look: Look) -> Self {
        Self {
            look,
            tail: Vec::new(),
            encrypted: None,
        }
    }

    /// Whether these bytes may leave after those before.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some(first) = bytes.first() else {
            return Ok(());
        };
        if *self.encrypted.get_or_insert(*first == HANDSHAKE) {
            return Ok(());
        }
        let mut whole = std::mem::take(&mut self.tail);
        whole.extend_from_slice(bytes);
        let found = (self.look)(&String::from_utf8_lossy(&whole));
        let cut = whole.len().saturating_sub(TAIL_BYTES);
        self.tail = whole.split_off(cut);
        match found {
            None => Ok(()),
            Some(what) => Err(format!(
                "a credential ({what}) would leave unencrypted; have the server use https"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clear() -> Clear {
        Clear::new(Arc::new(|text| {
            text.contains("hunter2").then(|| "password".to_owned())
        }))
    }

    #[test]
    fn a_credential_does_not_leave_in_the_clear_not_even_in_two_parts() {
        assert!(clear().pass(b"GET /?key=hunter2 HTTP/1.1").is_err());
        let mut parts = clear();
        assert_eq!(parts.pass(b"GET /?key=hun"), Ok(()));
        let refused = parts.pass(b"ter2 HTTP/1.1").expect_err("it is whole now");
        assert!(
            refused.contains("password") && refused.contains("https"),
            "{refused}"
        );
        let mut long = clear();
        for _ in 0..100 {
            assert_eq!(long.pass(&[b'a'; 16 * 1024]), Ok(()));
        }
        assert!(long.tail.len() <= TAIL_BYTES);
    }

    #[test]
    fn tls_passes_unread() {
        let mut tls = clear();
        assert_eq!(tls.pass(b"\x16\x03\x01"), Ok(()));
        assert_eq!(tls.pass(b"hunter2"), Ok(()));
    }
}
