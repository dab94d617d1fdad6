//! The two charts of the page, as SVG in it: calls over time, and findings by kind. Numbers in, markup out; names come
//! in as text that was made harmless.

use std::{collections::BTreeMap, fmt::Write as _};

use records::ledger::{Decision, entry::rfc3339};

use super::span::DAY_MS;

/// Bars a chart has room for.
const BARS_MAX: u64 = 60;
const MINUTE_MS: u64 = 60_000;
/// What a bar may stand for, and its name.
const UNITS: [(u64, &str); 4] = [
    (MINUTE_MS, "minute"),
    (60 * MINUTE_MS, "hour"),
    (DAY_MS, "day"),
    (7 * DAY_MS, "week"),
];
/// How calls end: words and colours, in the order in which they are stacked.
const ENDINGS: [(&str, &str); 3] = [
    ("permitted", "--yes"),
    ("refused", "--no"),
    ("held for people", "--hold"),
];

/// Calls permitted, refused and held, over time: in the finest unit that needs no more bars than there is room for.
#[derive(Default)]
pub(super) struct Timeline {
    /// Where in `UNITS` the unit is.
    unit: usize,
    bars: BTreeMap<u64, [u64; 3]>,
    pub(super) totals: [u64; 3],
}

impl Timeline {
    fn unit(&self) -> (u64, &'static str) {
        UNITS.get(self.unit).copied().unwrap_or((7 * DAY_MS, "week"))
    }

    /// Counts a call that ended.
    pub(super) fn count(&mut self, time_ms: u64, decision: Decision) {
        let column = match decision {
            Decision::Permit => 0,
            Decision::Refuse => 1,
            Decision::Hold => 2,
        };
        self.add(time_ms / self.unit().0, |bar| {
            bar.get_mut(column).into_iter().for_each(|count| *count += 1);
        });
        self.totals
            .get_mut(column)
            .into_iter()
            .for_each(|count| *count += 1);
    }

    fn add(&mut self, at: u64, change: impl Fn(&mut [u64; 3])) {
        change(self.bars.entry(at).or_default());
        while self.slots() > BARS_MAX {
            if self.unit + 1 == UNITS.len() {
                // Years of weeks: the newest are shown.
                self.bars.pop_first();
                continue;
            }
            let before = self.unit().0;
            self.unit += 1;
            let after = self.unit().0;
            for (at, counts) in std::mem::take(&mut self.bars) {
                let bar = self.bars.entry(at * before / after).or_default();
                bar.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            }
        }
    }

    fn ends(&self) -> Option<(u64, u64)> {
        let first = self.bars.first_key_value()?;
        let last = self.bars.last_key_value()?;
        Some((*first.0, *last.0))
    }

    /// Bars from the first to the last, with those in which nothing happened.
    fn slots(&self) -> u64 {
        self.ends().map_or(0, |(first, last)| last - first + 1)
    }

    /// A heading and the chart.
    pub(super) fn svg(&self) -> String {
        let (unit_ms, unit) = self.unit();
        let Some((first, last)) = self.ends() else {
            return "<h2>Calls over time</h2><p class=soft>None.</p>".to_owned();
        };
        let sums = self.bars.values().map(|counts| counts.iter().sum::<u64>());
        let top = ceiling(sums.max().unwrap_or(1));
        let mut out = format!(
            "<h2>Calls by {unit}</h2><svg viewBox=\"0 0 720 200\" role=img aria-label=\"calls by {unit}\">"
        );
        for (y, value) in [(10, top), (85, top / 2), (160, 0)] {
            let _ = write!(
                out,
                "<line x1=40 x2=720 y1={y} y2={y} /><text x=34 y={} text-anchor=end>{value}</text>",
                y + 4
            );
        }
        let slot = 680 / self.slots().max(1);
        let width = (slot * 7 / 10).clamp(2, 56);
        let middle = |at: u64| 40 + (at - first) * slot + slot / 2;
        for (at, counts) in &self.bars {
            let (left, mut floor) = (middle(*at) - width / 2, 160);
            for (count, (word, color)) in counts.iter().zip(ENDINGS).filter(|(count, _)| **count > 0) {
                let height = (count * 150 / top).max(1);
                floor -= height;
                let _ = write!(
                    out,
                    "<rect x={left} y={floor} width={width} height={height} fill=\"var({color})\">\
                     <title>{}: {count} {word}</title></rect>",
                    moment(at * unit_ms, unit_ms)
                );
            }
        }
        for at in if first == last {
            vec![first]
        } else {
            vec![first, last]
        } {
            let (x, anchor) = match at {
                _ if first == last => (middle(at), "middle"),
                at if at == first => (40, "start"),
                _ => (720, "end"),
            };
            let said = moment(at * unit_ms, unit_ms);
            let _ = write!(out, "<text x={x} y=180 text-anchor={anchor}>{said}</text>");
        }
        out.push_str("</svg><p class=key>");
        for ((word, color), total) in ENDINGS.iter().zip(self.totals) {
            let _ = write!(
                out,
                "<span><i style=\"background:var({color})\"></i>{word} <b>{total}</b></span>"
            );
        }
        out.push_str("</p>");
        out
    }
}

/// The next number above that is easy to read at half height, too.
fn ceiling(most: u64) -> u64 {
    let mut scale: u64 = 1;
    loop {
        for step in [2, 4, 6, 8, 10] {
            let value = scale.saturating_mul(step);
            if value >= most {
                return value;
            }
        }
        scale = scale.saturating_mul(10);
    }
}

fn moment(time_ms: u64, unit_ms: u64) -> String {
    let shown = if unit_ms < DAY_MS { 16 } else { 10 };
    rfc3339(time_ms)
        .chars()
        .take(shown)
        .collect::<String>()
        .replace('T', " ")
}

/// Findings by kind; the names are markup already.
pub(super) fn kinds(kinds: &[(String, u64)]) -> String {
    let most = kinds.iter().map(|(_, count)| *count).max().unwrap_or(1).max(1);
    let height = kinds.len() * 26;
    let mut out = format!("<svg viewBox=\"0 0 720 {height}\" role=img aria-label=\"findings by kind\">");
    for (n, (kind, count)) in kinds.iter().enumerate() {
        let (top, width) = (n * 26 + 3, (count * 500 / most).max(2));
        let (middle, after) = (top + 14, 150 + width + 8);
        let _ = write!(
            out,
            "<text x=142 y={middle} text-anchor=end>{kind}</text>\
             <rect x=150 y={top} width={width} height=20 fill=\"var(--yes)\"/>\
             <text class=count x={after} y={middle}>{count}</text>"
        );
    }
    out.push_str("</svg>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(span_ms: u64, calls: u64) -> Timeline {
        let mut timeline = Timeline::default();
        for n in 0..calls {
            timeline.count(1_763_712_000_000 + n * span_ms / calls, Decision::Permit);
        }
        timeline
    }

    #[test]
    fn a_bar_stands_for_as_little_as_there_is_room_for_and_none_is_lost() {
        for (span_ms, unit) in [
            (30 * MINUTE_MS, "minute"),
            (2 * DAY_MS, "hour"),
            (50 * DAY_MS, "day"),
            (300 * DAY_MS, "week"),
        ] {
            let timeline = over(span_ms, 1_000);
            assert_eq!(timeline.unit().1, unit);
            assert!(timeline.slots() <= BARS_MAX, "{unit}");
            let sum: u64 = timeline.bars.values().flatten().sum();
            assert_eq!((sum, timeline.totals), (1_000, [1_000, 0, 0]), "{unit}");
        }
        let years = over(3_000 * DAY_MS, 3_000);
        assert!(years.slots() <= BARS_MAX && years.totals == [3_000, 0, 0]);
    }

    #[test]
    fn a_scale_reaches_above_what_it_shows() {
        for (most, top) in [
            (0, 2),
            (1, 2),
            (3, 4),
            (9, 10),
            (11, 20),
            (100, 100),
            (101, 200),
            (641, 800),
        ] {
            assert_eq!(ceiling(most), top);
        }
        assert!(ceiling(u64::MAX) == u64::MAX);
    }
}
