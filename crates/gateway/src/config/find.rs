//! Which configuration file is used, and reading it.

use std::path::{Path, PathBuf};

use serde_json::json;
use serde_saphyr::Error;

use super::{
    ConfigError, keys,
    said::{Said, SaidServer},
    sentences::Sentences,
};
use crate::clients::{self, Own, Reading};

mod parts;

pub(crate) use parts::Parts;

/// The name looked for.
pub(crate) const FILE: &str = "sallyport.yaml";

/// The largest configuration read, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The first of `./sallyport.yaml`, `~/.config/sallyport/sallyport.yaml`, `/etc/sallyport/sallyport.yaml`.
pub(crate) fn find(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let home = env("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| env("HOME").map(|home| Path::new(&home).join(".config")));
    let places = [
        Some(PathBuf::from(".")),
        home.map(|config| config.join("sallyport")),
        Some(PathBuf::from("/etc/sallyport")),
    ];
    places
        .into_iter()
        .flatten()
        .map(|place| place.join(FILE))
        .find(|path| path.is_file())
}

/// Where state is kept unless configuration says otherwise.
pub(crate) fn default_data(env: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    let base = env("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| env("HOME").map(|home| Path::new(&home).join(".local/share")));
    base.unwrap_or_else(|| PathBuf::from(".")).join("sallyport")
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<Said, ConfigError> {
    parse_at(path, &text_of(path)?).map_err(|why| unreadable(path, why))
}

/// Reads a file as far as it makes sense.
pub(crate) fn read_parts(path: &Path) -> Result<Parts, ConfigError> {
    Ok(Parts::of(&text_of(path)?))
}

fn unreadable(path: &Path, why: String) -> ConfigError {
    let path = path.to_path_buf();
    ConfigError::Unreadable { path, why }
}

fn text_of(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |why: String| unreadable(path, why);
    let size = std::fs::metadata(path)
        .map_err(|error| unreadable(error.to_string()))?
        .len();
    if size > FILE_BYTES_MAX {
        return Err(unreadable(format!("larger than {FILE_BYTES_MAX} bytes")));
    }
    std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))
}

/// Reads the text of a file: ours, or a client's.
pub(crate) fn parse_at(path: &Path, text: &str) -> Result<Said, String> {
    if !text
        .trim_start_matches('\u{feff}')
        .trim_start()
        .starts_with(['{', '/'])
    {
        return parse(text);
    }
    let own = Own {
        top: keys::of::<Said>(),
        server: keys::of::<SaidServer>(),
    };
    match clients::read_in_place(path, text, own)? {
        Reading::Client { servers, notes } => {
            let said = json!({ "mcpServers": servers }).to_string();
            Ok(Said {
                notes,
                ..parse(&said)?
            })
        }
        Reading::Ours(plain) => parse(&plain),
        // Flow style of YAML begins like JSON. If it is neither, what was meant is JSON.
        Reading::NotJson(why) => parse(text).map_err(|_| why),
    }
}

/// Reads a text; YAML, of which JSON is a part.
pub(crate) fn parse(text: &str) -> Result<Said, String> {
    if is_blank(text) {
        return Ok(Said {
            is_blank: true,
            ..Said::default()
        });
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: 20_000, max_aliases: 100, max_events: 100_000 },
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
    };
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|error: Error| error.render_with_formatter(&Sentences(text)))
}

/// Whether there are but blanks and comments. `{}` is something: a configuration of defaults.
fn is_blank(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}');
    let mut lines = text.lines().map(str::trim);
    lines.all(|line| line.is_empty() || line.starts_with('#') || line == "---" || line == "...")
}
