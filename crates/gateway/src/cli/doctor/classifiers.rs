//! The classifiers that rules may ask: is the model there, and is it the one that was meant.
//!
//! It reads what the configuration says of `sallyport-classifier`, and the files; the model is not loaded.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{Context, SHA256};
use records::digest::hex;
use upstream::{Command, Reach};

use super::Finding;
use crate::config::Meant;

const PROGRAM: &str = "sallyport-classifier";
/// Bytes read at a time; models have hundreds of megabytes.
const CHUNK_BYTES: usize = 1024 * 1024;

pub(super) fn examine(meant: &Meant, found: &mut Vec<Finding>) {
    for interceptors in &meant.interceptors {
        let name = interceptors.server.as_str();
        let server = meant
            .servers
            .iter()
            .find(|server| server.spec.name == interceptors.server);
        let Some(Reach::Stdio(command)) = server.map(|server| &server.spec.reach) else {
            let text = format!("{name}: asked at its address; which model it has, it alone knows");
            found.push(Finding::note("interceptor", text));
            continue;
        };
        if Path::new(&command.program)
            .file_name()
            .is_none_or(|file| file != PROGRAM)
        {
            let text = format!("{name}: not {PROGRAM}; which model it has, it alone knows");
            found.push(Finding::note("interceptor", text));
            continue;
        }
        found.push(model(name, command));
        found.extend(tokenizer(name, command));
    }
}

/// The model's digest, and whether it is the one that is configured.
fn model(name: &str, command: &Command) -> Finding {
    let Some(path) = file(command, "--model") else {
        return Finding::bad("interceptor", format!("{name}: no `--model` is configured"));
    };
    let shown = path.display();
    let is = match sha256(&path) {
        Ok(is) => is,
        Err(error) => {
            let text = format!(
                "{name}: the model {shown} cannot be read: {error}; put it there, or correct `--model`"
            );
            return Finding::bad("interceptor", text);
        }
    };
    let meant = argument(command, "--sha256").map(|meant| {
        let digits = meant.strip_prefix("sha256:").unwrap_or(meant);
        digits.to_ascii_lowercase()
    });
    match meant {
        None => Finding::note(
            "interceptor",
            format!("{name}: {shown} has sha256:{is}, and any other would do; add `--sha256 {is}`"),
        ),
        Some(meant) if meant == is => Finding::good(
            "interceptor",
            format!("{name}: {shown} has sha256:{is}, as configured"),
        ),
        Some(meant) => Finding::bad(
            "interceptor",
            format!(
                "{name}: {shown} has changed: sha256:{is}, and sha256:{meant} is configured; it is not loaded; \
                 compare where it came from"
            ),
        ),
    }
}

/// What is wrong with its tokenizer.
fn tokenizer(name: &str, command: &Command) -> Option<Finding> {
    let Some(path) = file(command, "--tokenizer") else {
        let text = format!("{name}: no `--tokenizer` is configured");
        return Some(Finding::bad("interceptor", text));
    };
    let error = File::open(&path).err()?;
    let text = format!(
        "{name}: the tokenizer {} cannot be read: {error}; put it there, or correct `--tokenizer`",
        path.display()
    );
    Some(Finding::bad("interceptor", text))
}

/// The last value of an argument, written in either way.
fn argument<'c>(command: &'c Command, name: &str) -> Option<&'c str> {
    let mut words = command.args.iter();
    let mut value = None;
    while let Some(word) = words.next() {
        if word == name {
            value = words.next().map(String::as_str);
        } else if let Some(said) = word.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')) {
            value = Some(said);
        }
    }
    value
}

/// A file as the program finds it.
fn file(command: &Command, name: &str) -> Option<PathBuf> {
    let said = Path::new(argument(command, name)?);
    Some(match &command.directory {
        Some(directory) => directory.join(said),
        None => said.to_owned(),
    })
}

fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = match file.read(&mut chunk) {
            Ok(0) => return Ok(hex(context.finish().as_ref())),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            count => count?,
        };
        context.update(chunk.get(..count).unwrap_or_default());
    }
}
