//! What must survive a restart: the root key and the ring it opens, sealed tables, payloads, and what other replicas
//! did to them.

pub(crate) mod keychain;
pub(crate) mod keyring;
pub(crate) mod payloads;
pub(crate) mod replicas;
pub(crate) mod root;
pub(crate) mod store;
pub(crate) mod vault;
