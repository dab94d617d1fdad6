//! An identity provider says that the gateway may use a server (ID-JAG, draft-ietf-oauth-identity-assertion-authz-grant;
//! MCP's enterprise-managed authorization): the ID token it gave is exchanged there for an assertion, which is for one
//! authorization server, one client of it and one resource, and good for minutes.

use std::path::Path;

use super::{Account, Outbound, obtain::read};
use crate::{
    config::auth::Provider,
    oauth::{
        discovery::{Found, metadata},
        tokens::{NoToken, TokenEndpoint},
    },
};

const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";

impl Outbound {
    /// The provider's word to a server's authorization server.
    pub(super) async fn id_jag(
        &self,
        account: &Account,
        provider: &Provider,
        identity: &Path,
        found: &Found,
        scope: &str,
    ) -> Result<String, NoToken> {
        // Read each time: an ID token is good for an hour or so.
        let identity = read(identity).await?;
        let server = metadata(&account.guarded, &provider.issuer)
            .await
            .map_err(NoToken::Failed)?;
        let endpoint = TokenEndpoint {
            guarded: &account.guarded,
            server: &server,
            client: &provider.client,
            key: None,
            nonces: &account.nonces,
            ambient: &self.ambient,
        };
        let mut form = vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("requested_token_type", ID_JAG),
            ("subject_token", identity.as_str()),
            ("subject_token_type", ID_TOKEN),
            ("audience", &found.server.issuer),
            ("resource", &found.resource.id),
        ];
        if !scope.is_empty() {
            form.push(("scope", scope));
        }
        endpoint.ask_for(ID_JAG, &form).await
    }
}
