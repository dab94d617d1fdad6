//! JSON Web Signatures, strictly: one serialisation, a short list of algorithms, no header that makes a
//! verifier fetch or trust anything (RFC 7515, RFC 8725).

mod compact;
mod keys;

pub use compact::{
    Compact, JoseError, TOKEN_BYTES_MAX, claimed_issuer, claimed_key, claimed_subject, self_signed,
};
pub(crate) use compact::{claimed_actor, sign};
pub use keys::{Algorithm, KeySet, PublicKey, SigningKey, thumbprint};
