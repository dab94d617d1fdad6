//! The description of a REST service, read from its file: JSON as it stands, YAML as the JSON it stands for.

use std::{path::Path, sync::Arc};

use upstream::{Description, LeftOut};

use super::{Problem, reference::Lookup};

/// The largest description read, in bytes: as much as a server may answer in one message.
const FILE_BYTES_MAX: u64 = wire::bounds::ANSWER.text_bytes_max as u64;
/// So many of what is left out are said one by one at the start; `sallyport doctor` says all.
const TOLD_MAX: usize = 16;

/// Reads it. `headers` are those the gateway sends.
pub(super) fn read(
    at: &str,
    file: &Path,
    headers: &[(String, String)],
    lookup: &Lookup<'_>,
) -> Result<Arc<Description>, Problem> {
    let at = format!("{at}.openapi");
    let path = lookup.path(&file.display().to_string());
    let shown = path.display();
    let unreadable = |why: String| {
        let remedy = "name a file with an OpenAPI description, such as the service's own `openapi.json`";
        Problem::new(&at, format!("{shown}: {why}"), remedy)
    };
    let size = std::fs::metadata(&path)
        .map_err(|error| unreadable(error.to_string()))?
        .len();
    if size > FILE_BYTES_MAX {
        return Err(unreadable(format!("larger than {FILE_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| unreadable(error.to_string()))?;
    let json = as_json(&text).map_err(unreadable)?;
    let headers = headers.iter().map(|(name, _)| name.as_str());
    let description = Description::parse(json, headers);
    let description =
        description.map_err(|error| Problem::new(&at, format!("{shown}: {error}"), error.remedy))?;
    Ok(Arc::new(description))
}

/// What of a description is not offered, for whoever starts the gateway.
pub(super) fn notes(server: &str, left_out: &[LeftOut]) -> Vec<String> {
    let told = left_out.iter().take(TOLD_MAX);
    let mut notes: Vec<_> = told
        .map(|left_out| format!("the server `{server}` leaves out {left_out}"))
        .collect();
    let more = left_out.len().saturating_sub(TOLD_MAX);
    if more > 0 {
        notes.push(format!(
            "the server `{server}` leaves out {more} more (sallyport doctor names them)"
        ));
    }
    notes
}

/// The text as JSON. What begins like JSON is not read as YAML, which would take more for it.
fn as_json(text: &str) -> Result<Vec<u8>, String> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with('{') {
        return Ok(text.as_bytes().to_vec());
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: 1_000_000, max_aliases: 100, max_events: 4_000_000 },
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        // YAML 1.2: `no` is a word, as it is to those who write descriptions.
        strict_booleans: true,
    };
    let value: serde_json::Value =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())?;
    serde_json::to_vec(&value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::as_json;

    #[test]
    fn yaml_is_read_as_the_json_it_stands_for() {
        let yaml = "openapi: 3.1.0\ninfo: { title: a, version: 1.0 }\npaths:\n  /a:\n    get:\n      \
                    responses:\n        200: { description: \"yes\" }\n        \"404\": { description: no }\n";
        let json = String::from_utf8(as_json(yaml).unwrap()).unwrap();
        for part in [
            r#""openapi":"3.1.0""#,
            r#""200":{"description":"yes"}"#,
            r#""404":{"description":"no"}"#,
        ] {
            assert!(json.contains(part), "{part} in {json}");
        }
        assert!(as_json("a: 1\na: 2\n").is_err());
        // Nine lines that would be a billion.
        let bomb: String = (1..9)
            .map(|n| format!("l{n}: &l{n} [{}]\n", format!("*l{},", n - 1).repeat(9)))
            .collect();
        assert!(as_json(&format!("l0: &l0 [a,a,a,a,a,a,a,a,a]\n{bomb}")).is_err());
    }
}
