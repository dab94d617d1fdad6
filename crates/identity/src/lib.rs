//! Credentials to principals, and minting short-lived credentials.
//!
//! A [`Principal`] can be made only here, by a check that succeeded; there is no default one, and a check
//! that fails has no way to produce one. This crate must not know tools, rules, upstreams or HTTP
//! frameworks. It does no I/O: fetching keys is somebody else's, time and randomness are passed in.

pub mod assertion;
mod context;
pub mod der;
pub mod enrolment;
pub mod jose;
mod model;
mod nonce;
pub mod oauth;
mod once;
pub mod passkey;
mod password;
mod principal;
pub mod proof;
mod resource;
mod secret;
pub mod signature;
pub mod svid;
pub mod token;
mod totp;

pub use context::ContextNames;
pub use model::{Model, ModelSource};
pub use nonce::{Nonces, Stale};
pub use once::{NotOnce, Once};
pub use password::{PasswordHash, PasswordHashError};
pub use principal::{
    Actor, ActorKind, Asserted, CredentialId, DeclaredContext, Delegated, Local, LocalPeer, Login, Principal,
    holder,
};
pub use resource::{ResourceError, ResourceId};
pub use secret::{Secret, SecretDigest, WeakSecret, sha256};
pub use totp::Totp;
