//! What is counted, as OpenMetrics text. Labels are words of ours and names of configured servers; nothing that a
//! caller says becomes one, so there are never more series than methods, stages and servers.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use records::ledger::Said;

use crate::listen::House;

/// Upper ends of the histograms' buckets, in milliseconds.
const BUCKETS_MS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 5_000, 30_000];
/// The media type of OpenMetrics.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    /// By method, decision, stage and server; sorted.
    calls: Vec<([String; 4], u64)>,
    /// By server.
    durations: BTreeMap<String, Histogram>,
    durable: Histogram,
    /// Entries that the copy elsewhere covers, once it was looked at.
    archived: Option<u64>,
}

#[derive(Clone, Debug, Default)]
struct Histogram {
    buckets: [u64; BUCKETS_MS.len()],
    count: u64,
    sum_us: u64,
}

/// Every call comes by here and has been counted before nearly always: nothing is copied then.
impl Counts {
    fn ended(&mut self, key: [&str; 4]) {
        let found = self
            .calls
            .binary_search_by(|(known, _)| known.iter().map(String::as_str).cmp(key));
        match found {
            Ok(at) => self
                .calls
                .get_mut(at)
                .into_iter()
                .for_each(|(_, count)| *count += 1),
            Err(at) => self.calls.insert(at, (key.map(str::to_owned), 1)),
        }
    }

    fn took(&mut self, server: &str, took: Duration) {
        match self.durations.get_mut(server) {
            Some(known) => known.add(took),
            None => self.durations.entry(server.to_owned()).or_default().add(took),
        }
    }
}

impl Histogram {
    fn add(&mut self, took: Duration) {
        self.count += 1;
        self.sum_us += u64::try_from(took.as_micros()).unwrap_or(0);
        for (bucket, end) in self.buckets.iter_mut().zip(BUCKETS_MS) {
            *bucket += u64::from(took <= Duration::from_millis(end));
        }
    }

    fn write(&self, out: &mut String, name: &str, labels: &str) {
        let comma = if labels.is_empty() { "" } else { "," };
        for (bucket, end) in self.buckets.iter().zip(BUCKETS_MS) {
            let end = seconds(end * 1_000);
            let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{end}\"}} {bucket}");
        }
        let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {}", self.count);
        let braced = if labels.is_empty() {
            String::new()
        } else {
            format!("{{{labels}}}")
        };
        let _ = writeln!(out, "{name}_count{braced} {}", self.count);
        let _ = writeln!(out, "{name}_sum{braced} {}", seconds(self.sum_us));
    }
}

impl Metrics {
    /// The copy of the ledger covers so many entries.
    pub(crate) fn archived(&self, entries: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).archived = Some(entries);
    }

    /// Counts how a message ended.
    pub(crate) fn ended(&self, entry: &Said<'_>) {
        let key = [
            entry.method.as_deref(),
            entry.decision.map(records::ledger::Decision::as_str),
            entry.stage.as_deref(),
            entry.server.as_deref(),
        ]
        .map(|word| word.unwrap_or("none"));
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.ended(key);
        if let (Some(ms), Some(server)) = (entry.ms, &entry.server) {
            counts.took(server, Duration::from_millis(ms));
        }
    }

    /// Counts how long an intent took to be durable.
    pub(crate) fn durable(&self, took: Duration) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .durable
            .add(took);
    }
}

/// Everything that is counted, at this moment.
pub(crate) fn text(house: &House) -> String {
    let engines = &house.engines;
    let mut out = String::new();
    {
        let counts = engines
            .journal
            .metrics()
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        head(
            &mut out,
            "sallyport_calls",
            "counter",
            "Messages by how they ended.",
        );
        for ([method, decision, stage, server], count) in &counts.calls {
            let labels = [
                ("method", method),
                ("decision", decision),
                ("stage", stage),
                ("server", server),
            ];
            let labels: Vec<String> = labels
                .iter()
                .map(|(name, value)| format!("{name}=\"{}\"", label(value)))
                .collect();
            let _ = writeln!(out, "sallyport_calls_total{{{}}} {count}", labels.join(","));
        }
        let name = "sallyport_call_duration_seconds";
        head(
            &mut out,
            name,
            "histogram",
            "From a message's arrival to its end.",
        );
        for (server, histogram) in &counts.durations {
            histogram.write(&mut out, name, &format!("server=\"{}\"", label(server)));
        }
        let name = "sallyport_ledger_durable_seconds";
        head(
            &mut out,
            name,
            "histogram",
            "How long an intent took to survive loss of power.",
        );
        counts.durable.write(&mut out, name, "");
        if let Some(entries) = counts.archived {
            let name = "sallyport_archive_entries";
            head(
                &mut out,
                name,
                "gauge",
                "Entries that the copy in the archive covers.",
            );
            let _ = writeln!(out, "{name} {entries}");
        }
    }
    let ledger = engines.journal.ledger().status();
    let payloads = engines.journal.payloads().counts();
    let held = engines.journal.payloads().extent().map_or(0, |(count, _)| count);
    let whole = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    for (name, what, value) in [
        ("sallyport_ledger_written", "Entries written.", ledger.written),
        (
            "sallyport_ledger_durable",
            "Entries that survive loss of power.",
            ledger.progress.durable,
        ),
        (
            "sallyport_ledger_published",
            "Entries a signed checkpoint covers.",
            ledger.progress.published,
        ),
        (
            "sallyport_ledger_open_calls",
            "Calls that have begun and not ended.",
            whole(ledger.open_calls),
        ),
        (
            "sallyport_ledger_in_trouble",
            "1 while calls are refused because nothing can be recorded.",
            u64::from(ledger.trouble.is_some()),
        ),
        ("sallyport_payloads", "Payloads that are kept now.", held),
        (
            "sallyport_sessions",
            "Sessions that are open.",
            whole(engines.sessions.len()),
        ),
        (
            "sallyport_contexts",
            "Contexts in memory.",
            whole(engines.contexts.len()),
        ),
    ] {
        head(&mut out, name, "gauge", what);
        let _ = writeln!(out, "{name} {value}");
    }
    for (name, what, value) in [
        (
            "sallyport_ledger_refused",
            "Entries that could not be recorded.",
            ledger.refused,
        ),
        ("sallyport_payloads_kept", "Payloads kept.", payloads.kept),
        (
            "sallyport_payloads_lost",
            "Payloads that could not be kept.",
            payloads.lost,
        ),
        (
            "sallyport_payloads_dropped",
            "Payloads not kept because a person was erased during their call.",
            payloads.dropped,
        ),
    ] {
        head(&mut out, name, "counter", what);
        let _ = writeln!(out, "{name}_total {value}");
    }
    out.push_str("# EOF\n");
    out
}

fn head(out: &mut String, name: &str, kind: &str, what: &str) {
    let _ = writeln!(out, "# TYPE {name} {kind}\n# HELP {name} {what}");
}

/// Microseconds as seconds, without a rounding error.
fn seconds(us: u64) -> String {
    let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    let text = text.trim_end_matches('0');
    if text.ends_with('.') {
        format!("{text}0")
    } else {
        text.to_owned()
    }
}

/// The value of a label: as the format escapes it.
fn label(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_into_every_bucket_that_holds_it() {
        let mut histogram = Histogram::default();
        histogram.add(Duration::from_millis(3));
        histogram.add(Duration::from_secs(60));
        let mut out = String::new();
        histogram.write(&mut out, "x", "server=\"s\"");
        assert!(out.contains("x_bucket{server=\"s\",le=\"0.002\"} 0\n"), "{out}");
        assert!(out.contains("x_bucket{server=\"s\",le=\"0.005\"} 1\n"), "{out}");
        assert!(out.contains("x_bucket{server=\"s\",le=\"+Inf\"} 2\n"), "{out}");
        assert!(out.contains("x_sum{server=\"s\"} 60.003\n"), "{out}");
    }

    #[test]
    fn numbers_and_labels_are_written_as_the_format_has_it() {
        assert_eq!(
            [seconds(0), seconds(1_000_000), seconds(1_500)],
            ["0.0", "1.0", "0.0015"]
        );
        assert_eq!(label("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
