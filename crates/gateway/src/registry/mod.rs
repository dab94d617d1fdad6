//! The registry while the gateway runs: servers with their pins and packages, the operator's rules with their version,
//! swapped whole.

pub(crate) mod boxes;
pub(crate) mod bundle;
pub(crate) mod keeper;
pub(crate) mod policy_version;
pub(crate) mod reload;
pub(crate) mod supply;
pub(crate) mod view;
