//! Identity providers that are not ours: their keys are fetched, kept while they are young, and believed for nothing
//! but what configuration says.

mod guarded;
mod provider;

pub(crate) use guarded::{Call, Fetched, Guarded, Network, bearer};
pub(crate) use provider::{Provider, Providers, Unproven};
