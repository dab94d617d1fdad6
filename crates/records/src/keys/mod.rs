//! Keys: where secrets come from, the ring that keeps them, what seals and what signs the log.
//!
//! ```text
//! root key (file, environment, keeper)  never written by us but when it is made
//!   seals the key ring                   one file: signing, frame, digest, token and wrapping keys
//!     wrapping key seals data keys       one per tenant and per data subject, in the tables
//!       data key seals records           destroying it makes them unreadable, everywhere at once
//! ```
//!
//! It must not know what is signed, sealed or digested, nor who is allowed to.

mod cosigner;
mod ring;
mod root;
pub(crate) mod seal;
mod secret;
mod sign;
mod source;

pub use cosigner::Cosigner;
pub use ring::{Key, KeyRing, RingError, RingPlace, Use};
pub use root::{KeeperError, Kept, Root, RootKeeper};
pub use seal::SealError;
pub use secret::Secret;
pub use sign::{KeyError, LogKeys};
#[cfg(feature = "tables")]
pub(crate) use source::private;
pub use source::{SecretError, SecretSource, create_key_file, new_key};

#[cfg(test)]
mod tests;
