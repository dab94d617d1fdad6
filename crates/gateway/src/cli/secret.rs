//! `sallyport secret ...`: what servers are started with and no file has.

use std::io::Read;

use clap::{Args, Subcommand};
use wire::json::Node;
use zeroize::Zeroizing;

use super::{Common, desk, say};
use crate::{failure::Failure, outside::secrets::SECRET_BYTES_MAX};

/// Secrets of servers, kept sealed: `vault:NAME` in a server's `env`.
#[derive(Debug, Subcommand)]
pub(crate) enum Secret {
    /// List the names of secrets.
    List,
    /// Remove a secret. Processes that run keep it until they end.
    Remove(Name),
    /// Keep a secret, read from standard input.
    Set(Name),
}

/// A secret.
#[derive(Args, Debug)]
pub(crate) struct Name {
    /// Its name, such as `github`, or `alice/github` for `vault:{user}/github`.
    name: String,
}

impl Secret {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        let name = match self {
            Self::List => {
                let row = |secret: Node<'_>| {
                    let name = secret.get("name").and_then(Node::as_str);
                    vec![name.unwrap_or_default().into_owned()]
                };
                return desk::list(
                    common,
                    ("secret.list", "secrets"),
                    "there are no secrets",
                    &["NAME"],
                    row,
                );
            }
            Self::Remove(name) => {
                desk::ask(common, "secret.remove", |args| args.string("name", &name.name))?;
                name.name
            }
            Self::Set(name) => {
                let value = read()?;
                desk::ask(common, "secret.set", |args| {
                    args.string("name", &name.name);
                    args.string("value", value.trim_end_matches(['\n', '\r']));
                })?;
                name.name
            }
        };
        if !common.json {
            say(&name);
        }
        Ok(())
    }
}

fn read() -> Result<Zeroizing<String>, Failure> {
    let mut value = Zeroizing::new(String::new());
    let most = u64::try_from(SECRET_BYTES_MAX).unwrap_or(0) + 2;
    let read = std::io::stdin().take(most).read_to_string(&mut value);
    read.map_err(|error| Failure::configuration(format!("standard input: {error}")))?;
    Ok(value)
}
