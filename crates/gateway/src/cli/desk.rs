//! Asking the gateway, or doing it to its data directory when none runs there.

use wire::json::{Document, Keys, ObjectWriter, object};

use super::{Common, serve::load};
use crate::{
    admin::{self, control},
    ambient::Ambient,
    assemble,
    failure::Failure,
    vault::{Layout, Vault},
};

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
        let house = assemble::assemble(&meant, meant.listen, ambient, &vault)?;
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
