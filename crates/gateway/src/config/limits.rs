//! What a configuration says of limits.

use serde::Deserialize;

/// A limit.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidLimit {
    /// Such as `600/min`.
    pub(crate) rate: Option<String>,
    /// How many at once on top of the rate.
    pub(crate) burst: Option<u32>,
    /// How many at the same time.
    pub(crate) concurrency: Option<u32>,
    /// How many calls of one principal wait, instead of being refused, while so many are under way; none unless said.
    /// Places go round the principals.
    pub(crate) queue: Option<u32>,
    /// Seconds a call waits so; 10 unless said, 60 at most.
    pub(crate) wait: Option<u64>,
    /// Bytes over time, such as `10000000/min`.
    pub(crate) bytes: Option<String>,
    /// Cost units over time.
    pub(crate) cost: Option<String>,
    /// How many in all.
    pub(crate) total: Option<u64>,
    /// What has a count of its own: `principal` (the default), `agent`, `user`, `tool`, `server`, `purpose`,
    /// `context`, `tenant`, `call`.
    #[serde(default)]
    pub(crate) per: Vec<String>,
    /// Counts only calls whose permit names it with `@limit`.
    #[serde(default)]
    pub(crate) named: bool,
}
