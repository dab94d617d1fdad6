//! Who witnesses this gateway's ledger, and whose ledgers it witnesses.

use std::collections::BTreeSet;

use hyper::Uri;
use records::ledger::note::{SIGNATURES_MAX, SignatureType, VerifierKey, is_name};
use serde::Deserialize;

use super::Problem;

/// Witnesses of ledgers.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidWitness {
    /// Whose ledgers this gateway witnesses, at `/witness`: the lines of their `sallyport keys public`. None unless said.
    #[serde(default)]
    pub(crate) logs: Vec<String>,
    /// What it is called as a witness; the ledger's own name and `/witness` unless said. Another name has other keys.
    pub(crate) name: Option<String>,
    /// Who witnesses this gateway's own ledger.
    #[serde(default)]
    pub(crate) by: Vec<SaidWitnessing>,
    /// How many of them have to sign a checkpoint; all unless said.
    pub(crate) quorum: Option<usize>,
    /// Calls are refused until that many have signed since the start, and while they are more than 10,000 entries
    /// behind. Otherwise they hold nobody up.
    #[serde(default)]
    pub(crate) required: bool,
}

/// A witness of this gateway's ledger.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidWitnessing {
    /// `https://HOST/PREFIX`, to which `/add-checkpoint` is added; `http:` on this machine alone.
    pub(crate) url: String,
    /// Its public keys: of a gateway, the lines of its `sallyport keys public --witness`.
    pub(crate) keys: Vec<String>,
}

/// Witnesses of ledgers.
#[derive(Clone, Debug, Default)]
pub(crate) struct MeantWitness {
    pub(crate) logs: Vec<VerifierKey>,
    pub(crate) name: Option<String>,
    pub(crate) by: Vec<MeantWitnessing>,
    pub(crate) quorum: usize,
    pub(crate) required: bool,
}

/// A witness of this gateway's ledger.
#[derive(Clone, Debug)]
pub(crate) struct MeantWitnessing {
    /// Its name, which all its keys have.
    pub(crate) name: String,
    /// Where checkpoints are sent.
    pub(crate) uri: Uri,
    pub(crate) keys: Vec<VerifierKey>,
}

/// Signatures of the ledger itself on its checkpoint.
const OWN: usize = 2;

/// What is meant.
pub(crate) fn mean(said: &SaidWitness) -> Result<MeantWitness, Problem> {
    let name = said.name.clone();
    if let Some(name) = name.as_ref().filter(|name| !is_name(name)) {
        let what = format!("`{}` cannot name a witness", name.escape_debug());
        let remedy = "write a URL without its scheme, such as gateway.example/witness";
        return Err(Problem::new("witness.name", what, remedy));
    }
    let mut logs = Vec::new();
    for (n, text) in said.logs.iter().enumerate() {
        let at = format!("witness.logs[{n}]");
        let key = key(&at, text)?;
        // What only witnesses sign with says nothing about who writes a log.
        if key.kind() == SignatureType::Ed25519Cosignature {
            let what = "the key of a witness, not of a log";
            return Err(Problem::new(
                at,
                what,
                "use a line of its `sallyport keys public`",
            ));
        }
        logs.push(key);
    }
    let mut by: Vec<MeantWitnessing> = Vec::new();
    for (n, one) in said.by.iter().enumerate() {
        let witnessing = witnessing(&format!("witness.by[{n}]"), one)?;
        // One witness twice is no second witness.
        let is_same = |other: &MeantWitnessing| {
            other.name == witnessing.name
                || other
                    .keys
                    .iter()
                    .any(|key| witnessing.keys.iter().any(|k| k.public() == key.public()))
        };
        if by.iter().any(is_same) {
            let what = format!("`{}` is here twice, by its name or a key", witnessing.name);
            return Err(Problem::new(format!("witness.by[{n}]"), what, "take one out"));
        }
        by.push(witnessing);
    }
    if by.iter().map(|one| one.keys.len()).sum::<usize>() + OWN > SIGNATURES_MAX {
        let what = format!("a checkpoint has room for {SIGNATURES_MAX} signatures, {OWN} of them its own");
        return Err(Problem::new("witness.by", what, "take witnesses or keys out"));
    }
    let quorum = said.quorum.unwrap_or(by.len());
    if quorum > by.len() || said.required && by.is_empty() || quorum == 0 && !by.is_empty() {
        let what = format!("{quorum} of {} witnesses cannot be demanded", by.len());
        let remedy = "demand at least 1 and at most as many as there are in `by`";
        return Err(Problem::new("witness.quorum", what, remedy));
    }
    Ok(MeantWitness {
        logs,
        name,
        by,
        quorum,
        required: said.required,
    })
}

fn witnessing(at: &str, said: &SaidWitnessing) -> Result<MeantWitnessing, Problem> {
    let keys = said
        .keys
        .iter()
        .enumerate()
        .map(|(n, text)| key(&format!("{at}.keys[{n}]"), text));
    let keys: Vec<VerifierKey> = keys.collect::<Result<_, _>>()?;
    let names: BTreeSet<&str> = keys.iter().map(VerifierKey::name).collect();
    let one_name = names.first().filter(|_| names.len() == 1);
    let Some(name) = one_name.map(|name| (*name).to_owned()) else {
        let what = "a witness has keys, all under one name";
        let remedy = "use the lines of its `sallyport keys public --witness`";
        return Err(Problem::new(format!("{at}.keys"), what, remedy));
    };
    if keys.iter().any(|key| key.kind() == SignatureType::Ed25519) {
        let what = "a plain Ed25519 key signs logs and cosigns none";
        let remedy = "use the lines of its `sallyport keys public --witness`";
        return Err(Problem::new(format!("{at}.keys"), what, remedy));
    }
    let url = said.url.trim_end_matches('/');
    let unknown = || {
        let remedy = "write https://HOST/PREFIX; http: is for this machine alone";
        Problem::new(
            format!("{at}.url"),
            "no place a checkpoint can be sent to",
            remedy,
        )
    };
    let uri: Uri = format!("{url}/add-checkpoint").parse().map_err(|_| unknown())?;
    let is_here = matches!(uri.host(), Some("127.0.0.1" | "localhost" | "[::1]"));
    let is_plain = uri.authority().is_some_and(|all| !all.as_str().contains('@')) && uri.query().is_none();
    match uri.scheme_str() {
        Some("https") if is_plain => {}
        Some("http") if is_plain && is_here => {}
        Some(_) | None => return Err(unknown()),
    }
    Ok(MeantWitnessing { name, uri, keys })
}

fn key(at: &str, text: &str) -> Result<VerifierKey, Problem> {
    let remedy = "copy the whole line, `name+id+key`";
    VerifierKey::from_text(text).map_err(|error| Problem::new(at, error.to_string(), remedy))
}
