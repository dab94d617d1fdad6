//! Known vulnerabilities, of a file that is mirrored from osv.dev: matched by ecosystem, name and version as the OSV
//! schema (1.7, section `affected`) has it.

use std::{
    cmp::Ordering,
    collections::BTreeSet,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use serde::Deserialize;

use super::{Ecosystem, Locked, Refused, version};

#[derive(Debug, Deserialize)]
struct Record {
    id: String,
    #[serde(default)]
    summary: String,
    withdrawn: Option<String>,
    #[serde(default)]
    affected: Vec<Affected>,
}

#[derive(Debug, Deserialize)]
struct Affected {
    package: Option<Package>,
    #[serde(default)]
    ranges: Vec<Range>,
    #[serde(default)]
    versions: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Package {
    ecosystem: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Range {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    events: Vec<Event>,
}

#[derive(Debug, Default, Deserialize)]
struct Event {
    introduced: Option<String>,
    fixed: Option<String>,
    last_affected: Option<String>,
}

/// What is known against packages, a line each. The file has a record on each line.
pub(super) fn known(file: &Path, ecosystem: Ecosystem, lock: &[Locked]) -> Result<Vec<String>, Refused> {
    let names: BTreeSet<&str> = lock.iter().map(|one| one.name.as_str()).collect();
    let mut said = Vec::new();
    let mut take = |text: &[u8]| {
        // What is no record is not one against anything; a file of something else is noticed by its end.
        let Ok(record) = serde_json::from_slice::<Record>(text) else {
            return false;
        };
        if record.withdrawn.is_none() {
            for affected in &record.affected {
                against(&record, affected, ecosystem, &names, lock, &mut said);
            }
        }
        true
    };
    let mut records = 0_usize;
    let bad = |error: std::io::Error| Refused::unreadable(file, &error);
    let mut lines = BufReader::new(File::open(file).map_err(bad)?);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).map_err(bad)? > 0 {
        records += usize::from(take(&line));
        line.clear();
    }
    if records == 0 {
        return Err(Refused::other(format!(
            "`{}` has no records of OSV, one on each line (`unzip -p all.zip | jq -c .` makes them of osv.dev's archive)",
            file.display()
        )));
    }
    said.sort();
    said.dedup();
    Ok(said)
}

fn against(
    record: &Record,
    affected: &Affected,
    ecosystem: Ecosystem,
    names: &BTreeSet<&str>,
    lock: &[Locked],
    said: &mut Vec<String>,
) {
    let Some(package) = &affected.package else { return };
    let (wanted, name) = match ecosystem {
        Ecosystem::Npm => ("npm", package.name.clone()),
        Ecosystem::Pypi => ("PyPI", super::pypi::normal(&package.name)),
        Ecosystem::File | Ecosystem::Mcpb | Ecosystem::Oci => return,
    };
    // `npm:suffix` is an ecosystem of its own making within npm.
    if package.ecosystem.split(':').next() != Some(wanted) || !names.contains(name.as_str()) {
        return;
    }
    for one in lock.iter().filter(|one| one.name == name) {
        let listed = affected.versions.contains(&one.version);
        let within = affected
            .ranges
            .iter()
            .any(|range| is_within(range, ecosystem, &one.version));
        if listed || within {
            said.push(format!(
                "known vulnerability {} in {} {}: {}",
                record.id, one.name, one.version, record.summary
            ));
        }
    }
}

/// The last event at or before the version says. A version that cannot be compared is taken for affected.
fn is_within(range: &Range, ecosystem: Ecosystem, of: &str) -> bool {
    if range.kind != "SEMVER" && range.kind != "ECOSYSTEM" {
        return false;
    }
    let mut latest: Option<(&str, bool)> = None;
    for event in &range.events {
        let (at, affected, counts): (&str, bool, fn(Ordering) -> bool) =
            match (&event.introduced, &event.fixed, &event.last_affected) {
                (Some(at), ..) => (at, true, Ordering::is_ge),
                (_, Some(at), _) => (at, false, Ordering::is_ge),
                (_, _, Some(at)) => (at, false, Ordering::is_gt),
                (None, None, None) => continue,
            };
        let Some(order) = version::compare(ecosystem, of, at) else {
            return true;
        };
        let later = latest
            .is_none_or(|(before, _)| version::compare(ecosystem, at, before).is_none_or(Ordering::is_ge));
        if counts(order) && later {
            latest = Some((at, affected));
        }
    }
    latest.is_some_and(|(_, affected)| affected)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Ecosystem, Locked, known};

    fn locked(name: &str, version: &str) -> Locked {
        Locked {
            name: name.to_owned(),
            version: version.to_owned(),
            integrity: Vec::new(),
            scripts: false,
            licence: None,
        }
    }

    #[test]
    fn a_record_is_matched_by_ecosystem_name_and_version() {
        let file = std::env::temp_dir().join(format!("sallyport-osv-{}.jsonl", std::process::id()));
        let semver = |events: serde_json::Value| json!([{"type": "SEMVER", "events": events}]);
        let records = [
            json!({"id": "GHSA-1", "summary": "bad", "affected": [{"package": {"ecosystem": "npm", "name": "a"},
                "ranges": semver(json!([{"introduced": "0"}, {"fixed": "1.2.0"}, {"introduced": "2.0.0"}, {"last_affected": "2.3.0"}]))}]}),
            json!({"id": "GHSA-2", "withdrawn": "2026-01-01T00:00:00Z", "affected": [{"package": {"ecosystem": "npm", "name": "a"},
                "ranges": semver(json!([{"introduced": "0"}]))}]}),
            json!({"id": "PYSEC-3", "affected": [{"package": {"ecosystem": "PyPI", "name": "A_b"}, "versions": ["1.0"],
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "2.0a1"}, {"fixed": "2.1"}]}]}]}),
            json!({"id": "GIT-4", "affected": [{"package": {"ecosystem": "npm", "name": "a"},
                "ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]}]}),
        ];
        let text: Vec<String> = records.iter().map(ToString::to_string).collect();
        std::fs::write(&file, text.join("\n")).unwrap();
        let ids = |ecosystem, name, version| {
            let said = known(&file, ecosystem, &[locked(name, version)]).unwrap();
            said.iter()
                .map(|line| line.split(' ').nth(2).unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        for (version, hit) in [
            ("0.1.0", true),
            ("1.2.0-rc.1", true),
            ("1.2.0", false),
            ("1.9.9", false),
            ("2.0.0", true),
            ("2.3.0", true),
            ("2.3.1", false),
        ] {
            assert_eq!(!ids(Ecosystem::Npm, "a", version).is_empty(), hit, "{version}");
        }
        assert_eq!(ids(Ecosystem::Npm, "a", "1.0.0"), ["GHSA-1"]);
        assert_eq!(ids(Ecosystem::Pypi, "a-b", "1.0"), ["PYSEC-3"]);
        assert_eq!(ids(Ecosystem::Pypi, "a-b", "2.0"), ["PYSEC-3"]);
        assert!(ids(Ecosystem::Pypi, "a-b", "2.1").is_empty());
        assert!(ids(Ecosystem::Pypi, "a", "1.0.0").is_empty());
        std::fs::write(&file, "{}\nnothing\n").unwrap();
        assert!(known(&file, Ecosystem::Npm, &[]).is_err());
        std::fs::remove_file(&file).unwrap();
    }
}
