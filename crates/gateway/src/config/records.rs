//! What is kept of calls besides the ledger's entries, and for how long.

use std::time::Duration;

use serde::Deserialize;

use super::Problem;

/// How long payloads are kept unless configuration says otherwise.
const RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);

/// What is kept of calls besides the ledger's entries.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidRecords {
    /// `off` (the default) or `on`: whether arguments and results are kept, sealed under the keys of the people they
    /// concern.
    #[serde(default)]
    pub(crate) payloads: SaidPayloads,
    /// How long they are kept: `30d` unless said.
    pub(crate) retention: Option<String>,
    /// A call waits until its payload is durable, and is refused when it cannot be. Otherwise what does not fit a
    /// bounded queue is not kept, and the ledger says how many.
    #[serde(default)]
    pub(crate) strict: bool,
    /// When a call is answered: once its outcome is `written` (the default), which survives the end of the gateway's
    /// process, and is durable with the next group; or `durable`, which survives loss of power. An intent is durable
    /// before anything is sent either way.
    #[serde(default)]
    pub(crate) outcome: SaidOutcome,
}

/// What an outcome has to survive before the answer goes out.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum SaidOutcome {
    /// The end of the process.
    #[default]
    Written,
    /// Loss of power, too.
    Durable,
}

/// Whether payloads are kept.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum SaidPayloads {
    /// They are not: what is not kept cannot leak.
    #[default]
    Off,
    /// They are.
    On,
}

/// Whether payloads are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MeantPayloads {
    pub(crate) on: bool,
    pub(crate) retention_ms: u64,
    /// Whether a call waits until its payload is durable.
    pub(crate) strict: bool,
}

pub(super) fn payloads(said: &SaidRecords) -> Result<MeantPayloads, Problem> {
    let retention = match said.retention.as_deref() {
        None => RETENTION,
        Some(text) => duration(text).ok_or_else(|| {
            let what = format!("`{}` is no length of time", text.escape_debug());
            Problem::new("records.retention", what, "write it as `12h`, `30d` or `6y`")
        })?,
    };
    let on = said.payloads == SaidPayloads::On;
    if said.strict && !on {
        let what = "there are no payloads to be strict about";
        return Err(Problem::new(
            "records.strict",
            what,
            "set `records.payloads: on`, or leave it out",
        ));
    }
    Ok(MeantPayloads {
        on,
        retention_ms: u64::try_from(retention.as_millis()).unwrap_or(u64::MAX),
        strict: said.strict,
    })
}

/// `90m`, `12h`, `30d`, `6y`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        'y' => 365 * 24 * 3600,
        _ => return None,
    };
    let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
    let seconds = count.checked_mul(seconds).filter(|seconds| *seconds > 0)?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_a_unit() {
        assert_eq!(duration("30d"), Some(RETENTION));
        assert_eq!(duration("90m"), Some(Duration::from_secs(5400)));
        for text in [
            "",
            "30",
            "d",
            "-1d",
            "0h",
            "1.5h",
            "30 d",
            "99999999999999999999y",
            "9999999999999999y",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
