//! The report as one page for people: no script, no file besides it, and it prints well.

use std::fmt::Write as _;

use records::{digest::sha256_text, ledger::entry::rfc3339};

use super::{Findings, Found, span::DAY_MS};

const STYLE: &str = include_str!("report.css");

/// The whole page.
pub(super) fn page(findings: &Findings<'_>, envelope: &[u8]) -> String {
    let mut out = String::new();
    let title = text(findings.framework.title);
    let _ = write!(
        out,
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width\">\
         <meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>{title}</title><style>{STYLE}</style><h1>{title}</h1>\
         <p>Evidence from the ledger <code>{}</code>: {} of {} \
         entries{}. Made {}. It says what is recorded and what is not; it does not say that anybody complies.</p>",
        text(&findings.origin),
        findings.entries,
        findings.size,
        period(findings),
        rfc3339(findings.made_ms),
    );
    out.push_str("<h2>Calls by day</h2>");
    out.push_str(&days(findings));
    if !findings.kinds.is_empty() {
        out.push_str("<h2>Calls in which something was found</h2>");
        out.push_str(&kinds(findings));
    }
    for found in &findings.controls {
        control(&mut out, found);
    }
    register(&mut out, findings);
    let _ = write!(
        out,
        "<section><h2>How to check this</h2><p>The signed form of this report is the output of \
         <code>sallyport report {} --json</code>; made together with this page, it had the \
         digest <code>{}</code>. \
         <code>sallyport-verify --keys KEYS report FILE</code> checks its signatures and every \
         proof in it with public keys alone.</p><p class=soft>Root of the tree: <code>{}</code></p></section></html>",
        findings.framework.name,
        sha256_text(envelope),
        findings.root,
    );
    out
}

fn period(findings: &Findings<'_>) -> String {
    let since = (findings.since_ms > 0).then(|| format!(" from {}", rfc3339(findings.since_ms)));
    let until = (findings.until_ms < u64::MAX).then(|| format!(" until {}", rfc3339(findings.until_ms)));
    [since, until].into_iter().flatten().collect()
}

fn control(out: &mut String, found: &Found<'_>) {
    let class = if found.result() == "evidence" {
        "some"
    } else {
        "none"
    };
    let _ = write!(
        out,
        "<section><h2>{} <span class=\"tag {class}\">{}</span></h2><p>{}</p><table>",
        text(found.control.id),
        found.result(),
        text(found.control.statement)
    );
    for (measure, count) in found.control.measures.iter().zip(&found.counts) {
        let (what, query) = (text(measure.what), text(measure.query));
        let _ = write!(
            out,
            "<tr><td>{what}<br><code class=soft>{query}</code><td class=n>{count}"
        );
    }
    out.push_str("</table>");
    if !found.samples.is_empty() {
        let entries: Vec<String> = found
            .samples
            .iter()
            .map(|sample| sample.index.to_string())
            .collect();
        let _ = write!(
            out,
            "<p class=soft>Shown with proof in the signed form: entries {}.</p>",
            entries.join(", ")
        );
    }
    if !found.control.gaps.is_empty() {
        out.push_str("<p class=soft>What the ledger cannot show:</p><ul>");
        for gap in found.control.gaps {
            let _ = write!(out, "<li>{}", text(gap));
        }
        out.push_str("</ul>");
    }
    out.push_str("</section>");
}

fn register(out: &mut String, findings: &Findings<'_>) {
    if findings.register.is_empty() {
        return;
    }
    out.push_str("<section><h2>Processing by purpose</h2><table><tr><th>Purpose<th>Calls<th>Carried out");
    out.push_str("<th>Servers<th>Categories<th>Agents");
    for (purpose, row) in &findings.register {
        let words = |words: &std::collections::BTreeSet<String>| {
            text(&words.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
        };
        let _ = write!(
            out,
            "<tr><td>{}<td class=n>{}<td class=n>{}<td>{}<td>{}<td>{}",
            text(purpose),
            row.calls,
            row.disclosures,
            words(&row.recipients),
            words(&row.categories),
            words(&row.agents)
        );
    }
    out.push_str("</table></section>");
}

/// Bars of permitted, refused and held calls, one for each day.
fn days(findings: &Findings<'_>) -> String {
    let bars = findings.bars();
    let most = bars
        .iter()
        .map(|(_, counts)| counts.iter().sum::<u64>())
        .max()
        .unwrap_or(0);
    if most == 0 {
        return "<p class=soft>None.</p>".to_owned();
    }
    let mut out = String::from("<svg viewBox=\"0 0 600 150\" role=img aria-label=\"calls by day\">");
    for (n, (day, counts)) in bars.iter().enumerate() {
        let (left, mut floor) = (n * 10, 130);
        for (count, color) in counts.iter().zip(["--yes", "--no", "--hold"]) {
            let height = count * 120 / most;
            floor -= height;
            let _ = write!(
                out,
                "<rect x={left} y={floor} width=8 height={height} fill=\"var({color})\">\
                 <title>{}: {count}</title></rect>",
                date(*day)
            );
        }
    }
    let ends = [bars.first(), bars.last()].map(|bar| bar.map_or_else(String::new, |(day, _)| date(*day)));
    let [first, last] = ends;
    let _ = write!(
        out,
        "<text x=0 y=146>{first}</text><text x=600 y=146 text-anchor=end>{last}; most: {most}</text></svg>\
         <p class=soft><span style=\"color:var(--yes)\">■</span> permitted \
         <span style=\"color:var(--no)\">■</span> refused \
         <span style=\"color:var(--hold)\">■</span> held for people</p>"
    );
    out
}

fn kinds(findings: &Findings<'_>) -> String {
    let most = findings.kinds.values().copied().max().unwrap_or(1).max(1);
    let height = findings.kinds.len() * 20;
    let mut out = format!("<svg viewBox=\"0 0 600 {height}\" role=img aria-label=\"findings by kind\">");
    for (n, (kind, count)) in findings.kinds.iter().enumerate() {
        let (top, width) = (n * 20, (count * 400 / most).max(1));
        let (middle, kind) = (top + 14, text(kind));
        let _ = write!(
            out,
            "<text x=0 y={middle}>{kind}</text><rect x=110 y={top} width={width} height=16 fill=\"var(--yes)\"/>\
             <text x=600 y={middle} text-anchor=end>{count}</text>"
        );
    }
    out.push_str("</svg>");
    out
}

fn date(day: u64) -> String {
    rfc3339(day * DAY_MS).chars().take(10).collect()
}

/// Text that is only text: names come from outside.
fn text(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    for c in crate::visible::visible(raw).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::{Findings, Processing, controls::FRAMEWORKS};

    #[test]
    fn no_name_in_a_page_begins_markup() {
        let evil = "\"><script>alert(1)</script><img src=x onerror='x'>";
        let words = BTreeSet::from([evil.to_owned()]);
        let row = Processing {
            calls: 1,
            recipients: words.clone(),
            categories: words.clone(),
            agents: words,
            disclosures: 0,
        };
        let findings = Findings {
            framework: FRAMEWORKS.first().unwrap(),
            origin: evil.to_owned(),
            size: 1,
            root: String::new(),
            checkpoint: evil.to_owned(),
            since_ms: 0,
            until_ms: u64::MAX,
            made_ms: 0,
            oldest_ms: None,
            entries: 1,
            controls: Vec::new(),
            days: BTreeMap::from([(1, [1, 1, 1])]),
            kinds: BTreeMap::from([(evil.to_owned(), 1)]),
            register: BTreeMap::from([(evil.to_owned(), row)]),
            settings: Vec::new(),
        };
        let page = super::page(&findings, b"{}");
        assert!(page.contains("&lt;script&gt;"), "the names are there");
        for markup in ["<script", "<img", "onerror='"] {
            assert!(!page.contains(markup), "{markup}");
        }
        assert!(
            page.contains("default-src 'none'"),
            "and nothing would be loaded or run"
        );
    }

    #[test]
    fn names_from_outside_stay_text() {
        let shown = super::text("<script>alert('x')</script> & \"y\"");
        assert_eq!(
            shown,
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;y&quot;"
        );
    }
}
