//! The report as one page for people: no script, no file besides it, and it prints well.

use std::fmt::Write as _;

use records::{digest::sha256_text, ledger::entry::rfc3339};

use super::{Findings, Found, chart};

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
         <title>{title}</title><style>{STYLE}</style><header><h1>{title}</h1>\
         <p>What the ledger <code>{}</code> holds{}: {} of {} entries. Made {}.</p>\
         <p class=soft>It says what is recorded and what is not; it does not say that anybody complies.</p></header>",
        text(&findings.origin),
        period(findings),
        findings.entries,
        findings.size,
        rfc3339(findings.made_ms),
    );
    summary(&mut out, findings);
    out.push_str(&findings.timeline.svg());
    if !findings.kinds.is_empty() {
        let kinds = findings.kinds.iter();
        let kinds: Vec<_> = kinds.map(|(kind, count)| (text(kind), *count)).collect();
        out.push_str("<h2>Calls in which something was found</h2>");
        out.push_str(&chart::kinds(&kinds));
    }
    out.push_str("<h2>Controls</h2>");
    for (n, found) in findings.controls.iter().enumerate() {
        control(&mut out, n, found);
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

/// The result in figures, and each control with a way to it.
fn summary(out: &mut String, findings: &Findings<'_>) {
    let with = findings
        .controls
        .iter()
        .filter(|found| found.result() == "evidence");
    let [permitted, refused, held] = findings.timeline.totals;
    let _ = write!(
        out,
        "<div class=tiles><p><b>{} of {}</b>controls with evidence<p><b>{permitted}</b>calls permitted\
         <p><b>{refused}</b>calls refused<p><b>{held}</b>held for people</div><nav>",
        with.count(),
        findings.controls.len()
    );
    for (n, found) in findings.controls.iter().enumerate() {
        let _ = write!(
            out,
            "<a class=\"tag {}\" href=\"#c{n}\">{}</a> ",
            class(found),
            text(found.control.id)
        );
    }
    out.push_str("</nav>");
}

fn class(found: &Found<'_>) -> &'static str {
    if found.result() == "evidence" {
        "some"
    } else {
        "none"
    }
}

fn control(out: &mut String, n: usize, found: &Found<'_>) {
    let _ = write!(
        out,
        "<section id=c{n} class=card><h3>{} <span class=\"tag {}\">{}</span></h3><p>{}</p><table>",
        text(found.control.id),
        class(found),
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
    out.push_str(
        "<h2>Processing by purpose</h2><div class=wide><table><tr><th>Purpose<th>Calls<th>Carried out",
    );
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
    out.push_str("</table></div>");
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

    use records::ledger::Decision;

    use super::super::{Findings, Processing, chart::Timeline, controls::FRAMEWORKS};

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
        let mut timeline = Timeline::default();
        timeline.count(1, Decision::Permit);
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
            timeline,
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
