//! `sallyport-verify`: verifies a Sallyport ledger with public keys alone.
//!
//! A small program for auditors: no network, no database, no secrets. It must not know anything of the
//! gateway.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use records::{
    disk::{Disk as _, RealDisk},
    ledger::{
        entry::rfc3339,
        note::{NOTE_BYTES_MAX, VerifierKey},
    },
    verify::{Request, Witnesses, is_ledger, verify, verify_proof, verify_report},
};
use wire::json::object;

const USAGE: &str = "\
usage: sallyport-verify [--json] (--key KEY | --keys FILE)... [--older FILE]...
                        [--witness FILE]... [--quorum N] DIR
       sallyport-verify [--json] (--key KEY | --keys FILE)... [--witness FILE]... [--quorum N]
                        (--proof FILE --entry FILE | report FILE)

Verifies a ledger's directory, a copy of it, or its checkpoint and tiles alone; or one entry by its
tlog-proof; or a report, its signature and every proof in it. Nothing is written, nothing is asked over
a network.

  --key KEY      a verifier key that is trusted: name+id+key
  --keys FILE    a file of verifier keys, one a line
  --older FILE   a checkpoint seen before: the log must continue it
  --witness FILE a file of witnesses' keys: so many as --quorum says must have cosigned the log,
                 or the checkpoint that a proof bears
  --quorum N     how many; every witness there is a key of, unless said
  --proof FILE   a tlog-proof
  --entry FILE   the entry it is about, as it is stored
  --json         one JSON object instead of text

exit codes: 0 it holds, 1 it does not hold, 2 usage
";

/// Longest entry or key file read.
const FILE_BYTES_MAX: usize = 1024 * 1024;

/// Longest report read.
const REPORT_BYTES_MAX: usize = 16 * 1024 * 1024;

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1);
    let (text, code) = match Asked::from_arguments(arguments).and_then(|asked| asked.answer()) {
        Ok((text, true)) => (text, ExitCode::SUCCESS),
        Ok((text, false)) => (text, ExitCode::from(1)),
        Err(Wrong::Help) => (USAGE.as_bytes().to_vec(), ExitCode::SUCCESS),
        Err(Wrong::Usage(text)) => {
            // Whoever closed our standard error does not read it.
            let _ = writeln!(io::stderr(), "sallyport-verify: {text}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut out = io::stdout().lock();
    match out.write_all(&text).and_then(|()| out.flush()) {
        Ok(()) => code,
        // Whoever reads our answer has had enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => code,
        Err(error) => {
            let _ = writeln!(
                io::stderr(),
                "sallyport-verify: the answer could not be written: {error}"
            );
            ExitCode::from(2)
        }
    }
}

/// Why nothing was verified.
enum Wrong {
    Help,
    Usage(String),
}

fn usage(text: impl Into<String>) -> Wrong {
    Wrong::Usage(text.into())
}

/// What was asked.
#[derive(Default)]
struct Asked {
    json: bool,
    keys: Vec<VerifierKey>,
    older: Vec<(String, Vec<u8>)>,
    witnesses: Vec<VerifierKey>,
    quorum: Option<usize>,
    proof: Option<PathBuf>,
    entry: Option<PathBuf>,
    report: Option<PathBuf>,
    dir: Option<PathBuf>,
}

impl Asked {
    fn from_arguments(mut arguments: impl Iterator<Item = OsString>) -> Result<Self, Wrong> {
        let mut asked = Self::default();
        while let Some(argument) = arguments.next() {
            let text = argument.to_str().unwrap_or_default().to_owned();
            let mut value = || {
                let value = arguments.next();
                value.ok_or_else(|| usage(format!("`{text}` needs a value")))
            };
            match text.as_str() {
                "--json" => asked.json = true,
                "--help" | "-h" => return Err(Wrong::Help),
                "--key" => asked.keys.push(key(&value()?.to_string_lossy())?),
                "--keys" => asked.keys.extend(keys_file(Path::new(&value()?))?),
                "--witness" => asked.witnesses.extend(keys_file(Path::new(&value()?))?),
                "--quorum" => {
                    let number = value()?.to_str().and_then(|text| text.parse().ok());
                    asked.quorum = Some(number.ok_or_else(|| usage("`--quorum` needs a number"))?);
                }
                "--older" => {
                    let path = PathBuf::from(value()?);
                    let bytes = read(&path, NOTE_BYTES_MAX)?;
                    asked.older.push((path.display().to_string(), bytes));
                }
                "--proof" => asked.proof = Some(value()?.into()),
                "--entry" => asked.entry = Some(value()?.into()),
                "report" => asked.report = Some(value()?.into()),
                option if option.starts_with('-') => {
                    return Err(usage(format!("there is no option `{option}`")));
                }
                _ if asked.dir.is_none() => asked.dir = Some(argument.into()),
                _ => return Err(usage("only one directory can be verified at a time")),
            }
        }
        if asked.quorum.is_some() && asked.witnesses.is_empty() {
            return Err(usage("`--quorum` needs witnesses; give `--witness`"));
        }
        if asked.quorum == Some(0) {
            return Err(usage("a quorum of 0 demands nothing; leave `--witness` out"));
        }
        if asked.keys.is_empty() {
            return Err(usage(
                "no key is trusted, so nothing can be verified; give `--key` or `--keys`",
            ));
        }
        Ok(asked)
    }

    /// Verifies. Gives what to print and whether it holds.
    fn answer(self) -> Result<(Vec<u8>, bool), Wrong> {
        if self.dir.is_none() && !self.older.is_empty() {
            return Err(usage("`--older` is about a directory"));
        }
        match (&self.dir, &self.proof, &self.entry, &self.report) {
            (Some(dir), None, None, None) => self.directory(dir),
            (None, Some(proof), Some(entry), None) => self.entry_by(proof, entry),
            (None, None, None, Some(report)) => self.report(report),
            _ => Err(usage(
                "give a directory, or both `--proof` and `--entry`, or `report FILE`",
            )),
        }
    }

    fn witnesses(&self) -> Witnesses<'_> {
        Witnesses {
            keys: &self.witnesses,
            quorum: self.quorum,
        }
    }

    fn report(&self, report: &Path) -> Result<(Vec<u8>, bool), Wrong> {
        let bytes = read(report, REPORT_BYTES_MAX)?;
        let found = verify_report(&bytes, &self.keys, self.witnesses());
        let text = match (&found, self.json) {
            (Ok(checked), true) => object(|out| {
                out.boolean("holds", true);
                out.string("report", &checked.name);
                out.integer("proofs", u64::try_from(checked.proofs).unwrap_or(u64::MAX));
                out.array("signed_by", |list| {
                    checked.signers.iter().for_each(|key| list.string(&key.label()));
                });
            }),
            (Err(error), true) => object(|out| {
                out.boolean("holds", false);
                out.string("problem", &error.to_string());
            }),
            (Ok(checked), false) => format!(
                "the report `{}` is as it was signed, and its {} proofs hold",
                checked.name, checked.proofs
            )
            .into_bytes(),
            (Err(error), false) => format!("the report does not hold: {error}").into_bytes(),
        };
        Ok(([text, b"\n".to_vec()].concat(), found.is_ok()))
    }

    fn directory(&self, dir: &Path) -> Result<(Vec<u8>, bool), Wrong> {
        if !dir.is_dir() {
            return Err(usage(format!("`{}` is no directory", dir.display())));
        }
        if !is_ledger(dir) {
            return Err(usage(format!("there is no ledger in `{}`", dir.display())));
        }
        let request = Request {
            dir,
            known: &self.keys,
            witnesses: self.witnesses(),
            older: &self.older,
            own: None,
        };
        let report = verify(Arc::new(RealDisk), &request);
        let text = if self.json {
            [report.to_json(), b"\n".to_vec()].concat()
        } else {
            report.to_string().into_bytes()
        };
        Ok((text, report.holds()))
    }

    fn entry_by(&self, proof: &Path, entry: &Path) -> Result<(Vec<u8>, bool), Wrong> {
        let proof = read(proof, FILE_BYTES_MAX)?;
        let entry = read(entry, FILE_BYTES_MAX)?;
        // An editor's newline at the end is no part of the entry.
        let entry = entry.strip_suffix(b"\n").unwrap_or(&entry);
        let found = verify_proof(
            &String::from_utf8_lossy(&proof),
            entry,
            &self.keys,
            self.witnesses(),
        );
        let text = match (&found, self.json) {
            (Ok((index, head, vouched)), true) => object(|out| {
                out.boolean("holds", true);
                out.string("origin", &head.origin);
                out.integer("index", *index);
                out.integer("size", head.size);
                out.array("signed_by", |list| {
                    vouched.iter().for_each(|one| list.string(&one.to_string()));
                });
            }),
            (Err(error), true) => object(|out| {
                out.boolean("holds", false);
                out.string("problem", &error.to_string());
            }),
            (Ok((index, head, vouched)), false) => {
                let times: Vec<_> = vouched.iter().filter_map(|one| one.time_s).collect();
                let time = times.first().map(|time_s| rfc3339(time_s.saturating_mul(1_000)));
                let when = time.map_or_else(String::new, |time| format!(", signed at {time}"));
                format!(
                    "the proof holds: entry {index} of {} in {}{when}",
                    head.size, head.origin
                )
                .into_bytes()
            }
            (Err(error), false) => format!("the proof does not hold: {error}").into_bytes(),
        };
        Ok(([text, b"\n".to_vec()].concat(), found.is_ok()))
    }
}

fn key(text: &str) -> Result<VerifierKey, Wrong> {
    VerifierKey::from_text(text).map_err(|error| usage(error.to_string()))
}

fn keys_file(path: &Path) -> Result<Vec<VerifierKey>, Wrong> {
    let bytes = read(path, FILE_BYTES_MAX)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys = lines.map(key).collect::<Result<Vec<_>, _>>()?;
    if keys.is_empty() {
        return Err(usage(format!("there is no key in `{}`", path.display())));
    }
    Ok(keys)
}

fn read(path: &Path, bytes_max: usize) -> Result<Vec<u8>, Wrong> {
    let shown = path.display();
    match RealDisk.read(path, bytes_max) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(usage(format!("there is no file `{shown}`"))),
        Err(error) => Err(usage(format!("cannot read `{shown}`: {error}"))),
    }
}
