//! When two keys would be one key to a parser that ignores case.

use std::borrow::Cow;

/// A key as a case-insensitive parser would compare it.
///
/// Upper-casing before lower-casing brings in the characters whose fold is not their lower case: `ſ`
/// (U+017F) is an `s` and `K` (U+212A) a `k` to Go's `encoding/json`, which is how Envoy AI Gateway was
/// walked around (GHSA-4gph-2hhr-5mwg).
#[must_use]
pub fn fold(key: &str) -> Cow<'_, str> {
    if key.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
        return Cow::Borrowed(key);
    }
    if key.is_ascii() {
        return Cow::Owned(key.to_ascii_lowercase());
    }
    Cow::Owned(
        key.chars()
            .flat_map(char::to_uppercase)
            .flat_map(char::to_lowercase)
            .collect(),
    )
}
