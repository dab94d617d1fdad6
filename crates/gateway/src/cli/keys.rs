//! `sallyport keys ...`: the keys of the data directory.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use records::{ambient::Clock, ledger::entry::rfc3339};
use wire::json::Node;

use super::{Common, desk, place::Place, say, serve::config_path};
use crate::{
    failure::Failure,
    operate::admin::control,
    storage::root::{self, RootKey},
    visible::visible,
};

/// Keys: which there are, new ones, and the end of old ones. Calls go on meanwhile.
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Destroy a retired key. What was made with it cannot be read or recognised any more.
    Destroy(Destroy),
    /// List all keys, without their secrets.
    List,
    #[command(visible_alias = "show")]
    /// Print the public keys that verify the ledger, one a line, for `sallyport-verify --keys`.
    Public(Public),
    /// Make new keys of one use.
    Rotate(Rotate),
}

/// Destroy a retired key.
#[derive(Args, Debug)]
pub(crate) struct Destroy {
    /// Its id.
    id: String,
}

/// Print public keys.
#[derive(Args, Debug)]
pub(crate) struct Public {
    /// Those of this gateway as a witness of other ledgers, for `witness.by` there.
    #[arg(long)]
    witness: bool,
}

/// Make new keys.
#[derive(Args, Debug)]
pub(crate) struct Rotate {
    /// `digest`, `log`, `root` (the one that `root_key` names now), `token` (in force with the next start) or `wrap`.
    #[arg(long = "use", value_name = "USE", default_value = "wrap")]
    purpose: String,
    /// For `root`, while no gateway runs: the configuration of before, which names the root key of before.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

impl Keys {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        match self {
            Self::Destroy(destroy) => {
                let answer = desk::ask(common, "keys.destroy", |out| out.string("id", &destroy.id))?;
                say(if common.json { answer.text() } else { "destroyed" });
                Ok(())
            }
            Self::List => {
                let head = ["ID", "USE", "MADE", "STATE"];
                desk::list(common, ("keys.list", "keys"), "there are none", &head, |one| {
                    let text =
                        |name: &str| visible(&one.get(name).and_then(Node::as_str).unwrap_or_default());
                    let made = one.get("created").and_then(Node::as_number);
                    let made = made.and_then(|made| made.as_u64()).unwrap_or(0);
                    vec![text("id"), text("use"), rfc3339(made), text("state")]
                })
            }
            Self::Public(public) => {
                let name = Place::of(common)?.witness()?.name.unwrap_or_default();
                let answer = desk::ask(common, "keys.public", |out| {
                    if public.witness {
                        out.string("witness", &name);
                    }
                })?;
                if common.json {
                    say(answer.text());
                    return Ok(());
                }
                let keys = answer.root().get("keys").into_iter().flat_map(Node::elements);
                keys.filter_map(Node::as_str).for_each(|key| say(&key));
                Ok(())
            }
            Self::Rotate(rotate) => {
                if rotate.purpose == "root" {
                    rotate.reseal(common)?;
                }
                let config = config_path(common);
                let answer = desk::ask(common, "keys.rotate", |out| {
                    out.string("use", &rotate.purpose);
                    if let Some(path) = config {
                        out.string("config", &path.display().to_string());
                    }
                })?;
                let id = answer.root().get("id").and_then(Node::as_str).unwrap_or_default();
                let words = format!("the key in use now is {}", visible(&id));
                say(if common.json { answer.text() } else { &words });
                Ok(())
            }
        }
    }
}

impl Rotate {
    /// While a gateway runs it knows the root key of before. Otherwise nobody does who could open the data directory with
    /// the new one: its keys are sealed anew first.
    fn reseal(&self, common: &Common) -> Result<(), Failure> {
        let place = Place::of(common)?;
        let layout = place.layout()?;
        let asked = super::block_on(async { control::ask(&layout.control(), "status", b"{}").await })?;
        if asked.is_some() || !layout.ring().exists() {
            return Ok(());
        }
        let before = root::meant_in(self.from.as_deref())?;
        let before = RootKey::of(&before, &layout.root_key());
        let keychain = layout.keychain(Clock::new(|| 0)).sharing(layout.server()?);
        let to = keychain.root_key(&place.root()?);
        keychain.change_root(to, Some(&before))
    }
}
