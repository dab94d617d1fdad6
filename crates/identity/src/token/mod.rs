//! Access tokens: signed, short-lived, for one resource (RFC 9068), minted here or by an issuer we trust.

mod cache;
pub(crate) mod claims;
mod external;
mod mint;
mod verify;

pub use cache::TokenCache;
pub use external::{ClaimPath, Delegates, Elsewhere, Expected, ModelClaims, Names, Others, Trust};
pub use mint::{Grant, Issuer};
pub use verify::{TokenError, Verifier};

/// The `typ` of an access token.
pub const TYP: &str = "at+jwt";
/// The scope every use of the gateway needs.
pub const SCOPE: &str = "mcp";
/// How long an access token lives at most, in milliseconds.
pub const LIFETIME_MS_MAX: i64 = 10 * 60 * 1000;
/// How far clocks may differ, in milliseconds.
pub const SKEW_MS: i64 = 30 * 1000;
/// `acr` of somebody who logged in with a password, and of somebody who showed something else besides.
pub const ACR_PASSWORD: &str = "password";
/// See [`ACR_PASSWORD`].
pub const ACR_MFA: &str = "mfa";
/// The claim with what RFC 9068 has no name for: the kind of actor, its model, its tenant.
const OWN_CLAIM: &str = "io.sallyport";
/// Its member with what another issuer said of the user.
const ASSERTED_MEMBER: &str = "asserted";
/// Who let the client act for that user, where it was us.
const DELEGATED_MEMBER: &str = "delegated";
const DELEGATED_HERE: &str = "here";

#[cfg(test)]
mod tests;
