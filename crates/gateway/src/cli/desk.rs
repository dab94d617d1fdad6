//! Asking the gateway, or doing it to its data directory when none runs there.

use clap::Args;
use wire::json::{Document, Keys, Node, ObjectWriter, object};

use super::{Common, say, serve::load, table};
use crate::{
    admin::{self, control},
    ambient::Ambient,
    assemble,
    config::reference::Lookup,
    failure::Failure,
    vault::{Layout, Vault},
    visible::visible,
};

/// Who says so, where it matters.
#[derive(Args, Debug)]
pub(super) struct Who {
    /// Who says so: a user.
    #[arg(long = "as", value_name = "USER")]
    as_user: Option<String>,
    /// Their secret, where two people are needed: `env:NAME` or `file:PATH`.
    #[arg(long, value_name = "REFERENCE", requires = "as_user")]
    secret: Option<String>,
}

impl Who {
    /// The secret they show.
    pub(super) fn secret(&self) -> Result<Option<String>, Failure> {
        let env = |name: &str| std::env::var(name).ok();
        let base = std::env::current_dir().unwrap_or_default();
        let lookup = Lookup {
            env: &env,
            base: &base,
        };
        let secret = self.secret.as_deref().map(|text| lookup.secret("--secret", text));
        secret
            .transpose()
            .map_err(|problem| Failure::configuration(problem.to_string()))
    }

    pub(super) fn write(&self, args: &mut ObjectWriter<'_>, secret: Option<&str>) {
        if let Some(name) = &self.as_user {
            args.string("as", name);
        }
        if let Some(secret) = secret {
            args.string("secret", secret);
        }
    }
}

/// What is said where a second person has to say the same.
pub(super) fn waiting(answer: Node<'_>) -> Option<String> {
    let text = answer.get("waiting").and_then(Node::as_str)?;
    Some(visible(&text))
}

/// Does one operation.
pub(super) fn ask(
    common: &Common,
    operation: &str,
    args: impl FnOnce(&mut ObjectWriter<'_>),
) -> Result<Document, Failure> {
    let meant = load(common)?;
    let args = object(args);
    super::block_on(async {
        let socket = Layout::new(&meant.data).control();
        if let Some(answer) = control::ask(&socket, operation, &args).await? {
            return Ok(answer);
        }
        let ambient = Ambient::system();
        let vault = Vault::open(&meant.data, &ambient)?;
        let house = assemble::assemble(&meant, meant.door.listen, ambient, &vault)?;
        let args = Document::parse(args, Keys::Exact, &wire::bounds::ANSWER)
            .map_err(|error| Failure::other(error.to_string()))?;
        let answer = admin::run(&house, operation, args.root()).await;
        house.engines.upstreams.shut_down().await;
        drop(house);
        vault.close().await;
        let parsed = Document::parse(answer?, Keys::Exact, &wire::bounds::ANSWER);
        parsed.map_err(|error| Failure::other(error.to_string()))
    })
}

/// Asks for a list and says it: for machines one a line, as the ledger's entries are, for people as a table.
pub(super) fn list(
    common: &Common,
    (operation, member): (&str, &str),
    nothing: &str,
    head: &[&str],
    row: impl Fn(Node<'_>) -> Vec<String>,
) -> Result<(), Failure> {
    let answer = ask(common, operation, |_| {})?;
    let listed = answer.root().get(member).into_iter().flat_map(Node::elements);
    if common.json {
        listed.for_each(|one| say(one.written()));
        return Ok(());
    }
    let rows: Vec<Vec<String>> = listed.map(row).collect();
    if rows.is_empty() {
        say(nothing);
    } else {
        say(&table(head, rows));
    }
    Ok(())
}
