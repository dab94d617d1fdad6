//! `sallyport user ...`: what people log in with, and what they let in.

use std::io::Read;

use clap::{Args, Subcommand};
use identity::{PasswordHash, Secret, Totp};
use records::ledger::entry::rfc3339;
use wire::json::Node;

use super::{Common, desk, say, table};
use crate::{ambient::Ambient, failure::Failure};

/// The shortest password made here, and the longest, in bytes.
const PASSWORD_BYTES_MIN: usize = 12;
const PASSWORD_BYTES_MAX: u64 = 1024;

/// People: what they log in with, and what they let in.
#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// List what a user let in.
    Grants(Name),
    /// Read a password from standard input and print its hash, for `password` of the user.
    Hash,
    /// End all a user let in, at once.
    Logout(Name),
    /// List a user's passkeys.
    Passkeys(Name),
    /// Remove a passkey of a user (`sallyport user passkeys` names it), with all that was let in by it.
    RemovePasskey(PasskeyOf),
    /// End one thing a user let in (`sallyport user grants` names it), at once.
    Withdraw(Grant),
    /// Make a secret for an authenticator, for `totp` of the user, and the URI the authenticator takes.
    Totp(Name),
}

/// A user.
#[derive(Args, Debug)]
pub(crate) struct Name {
    /// The name.
    name: String,
}

/// One thing a user let in.
#[derive(Args, Debug)]
pub(crate) struct Grant {
    /// The user's name.
    user: String,
    /// The grant's name.
    #[arg(required_unless_present = "client")]
    grant: Option<String>,
    /// All that the user let this client have, by its client id, instead of one grant.
    #[arg(long, conflicts_with = "grant", value_name = "ID")]
    client: Option<String>,
}

/// A passkey of a user.
#[derive(Args, Debug)]
pub(crate) struct PasskeyOf {
    /// The user's name.
    user: String,
    /// The passkey's name.
    passkey: String,
}

impl User {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        match self {
            Self::Grants(name) => grants(common, &name.name),
            Self::Hash => hash(),
            Self::Logout(name) => {
                let answer = desk::ask(common, "user.logout", |args| args.string("user", &name.name))?;
                if common.json {
                    say(answer.text());
                } else {
                    let ended = answer.root().get("ended").map_or("0", Node::written);
                    say(&format!("ended {ended} of what {} let in", name.name));
                }
                Ok(())
            }
            Self::Withdraw(Grant { user, grant, client }) => {
                let answer = desk::ask(common, "user.withdraw", |args| {
                    args.string("user", &user);
                    for (name, text) in [("grant", &grant), ("client", &client)] {
                        if let Some(text) = text {
                            args.string(name, text);
                        }
                    }
                })?;
                if common.json {
                    say(answer.text());
                } else {
                    let client = answer.root().get("client").and_then(Node::as_str);
                    say(&format!(
                        "{} is out: {user} let it in no more",
                        client.unwrap_or_default()
                    ));
                }
                Ok(())
            }
            Self::Passkeys(name) => passkeys(common, &name.name),
            Self::RemovePasskey(PasskeyOf { user, passkey }) => {
                let answer = desk::ask(common, "user.passkey-remove", |args| {
                    args.string("user", &user);
                    args.string("passkey", &passkey);
                })?;
                let done = format!("{user} logs in with it no more");
                say(if common.json { answer.text() } else { &done });
                Ok(())
            }
            Self::Totp(name) => {
                let totp = Totp::of(Ambient::system().bytes());
                let secret = totp.to_base32();
                let user: String = form_urlencoded::byte_serialize(name.name.as_bytes()).collect();
                say(&secret);
                say(&format!(
                    "otpauth://totp/Sallyport:{user}?secret={secret}&issuer=Sallyport"
                ));
                Ok(())
            }
        }
    }
}

fn hash() -> Result<(), Failure> {
    let mut password = String::new();
    let read = std::io::stdin()
        .take(PASSWORD_BYTES_MAX + 1)
        .read_to_string(&mut password);
    read.map_err(|error| Failure::configuration(format!("standard input: {error}")))?;
    let password = password.trim_end_matches(['\n', '\r']);
    if password.len() < PASSWORD_BYTES_MIN || u64::try_from(password.len()).unwrap_or(0) > PASSWORD_BYTES_MAX
    {
        let why = format!(
            "a password has {PASSWORD_BYTES_MIN} to {PASSWORD_BYTES_MAX} bytes; pipe it to this command"
        );
        return Err(Failure::configuration(why));
    }
    let password = Secret::presented(password.to_owned());
    let hash = PasswordHash::of(&password, Ambient::system().bytes());
    let hash = hash.ok_or_else(|| Failure::other("the hash cannot be computed".to_owned()))?;
    say(&hash.to_string());
    Ok(())
}

fn grants(common: &Common, user: &str) -> Result<(), Failure> {
    let answer = desk::ask(common, "user.grants", |args| args.string("user", user))?;
    if common.json {
        say(answer.text());
        return Ok(());
    }
    let grants = answer.root().get("grants");
    let rows = grants.into_iter().flat_map(Node::elements).map(|grant| {
        let text = |name: &str| {
            grant
                .get(name)
                .and_then(Node::as_str)
                .unwrap_or_default()
                .into_owned()
        };
        vec![text("client"), text("agent"), text("resource"), text("name")]
    });
    say(&table(&["CLIENT", "AGENT", "RESOURCE", "GRANT"], rows.collect()));
    Ok(())
}

fn passkeys(common: &Common, user: &str) -> Result<(), Failure> {
    let answer = desk::ask(common, "user.passkeys", |args| args.string("user", user))?;
    if common.json {
        say(answer.text());
        return Ok(());
    }
    let kept = answer.root().get("passkeys");
    let rows = kept.into_iter().flat_map(Node::elements).map(|passkey| {
        let when = |name: &str| {
            let ms = passkey
                .get(name)
                .and_then(Node::as_number)
                .and_then(|ms| ms.as_i64());
            ms.map_or_else(
                || "never".to_owned(),
                |ms| rfc3339(u64::try_from(ms).unwrap_or(0)),
            )
        };
        let name = passkey.get("name").and_then(Node::as_str).unwrap_or_default();
        vec![name.into_owned(), when("since_ms"), when("used_ms")]
    });
    say(&table(&["PASSKEY", "SINCE", "USED"], rows.collect()));
    Ok(())
}
