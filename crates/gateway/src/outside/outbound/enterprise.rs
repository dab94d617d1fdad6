//! An identity provider says that somebody may use a server (ID-JAG, draft-ietf-oauth-identity-assertion-authz-grant; MCP's
//! enterprise-managed authorization): a token of the provider's is exchanged there for an assertion, which is for one
//! authorization server, one client of it and one resource, and good for minutes.
//!
//! INVARIANT: a caller's token is shown to the provider that gave it and to nobody else; the server's authorization server
//! sees the assertion alone.

use std::sync::Arc;

use identity::Secret;

use super::{Account, Outbound, Subject, obtain::read};
use crate::{
    config::auth::{Provider, Whose},
    known::authorization::Came,
    outside::oauth::{
        discovery::{Found, metadata},
        tokens::{NoToken, TokenEndpoint},
    },
};

const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";

/// What proves somebody to the provider.
pub(super) struct Identity {
    token: Arc<Secret>,
    kind: &'static str,
    /// When it ends, and with it all it is exchanged for.
    pub(super) until_ms: i64,
}

impl Outbound {
    /// Somebody logged in at a provider: what it said so by is kept where servers want it exchanged, and nowhere else.
    pub(crate) fn logged_in(&self, came: &Came) {
        if let Some(vouched) = &came.login.elsewhere {
            let who = (
                vouched.issuer.as_str(),
                vouched.tenant.as_deref(),
                came.login.user.as_str(),
            );
            let now_ms = self.ambient.now_ms();
            self.presented
                .logged_in(who, &came.id_token, came.until_ms, now_ms);
        }
    }

    /// Whose identity it is; none where nobody calls and each caller has its own.
    pub(super) async fn identity(
        &self,
        subject: &Subject<'_>,
        provider: &Provider,
        whose: &Whose,
    ) -> Result<Option<Identity>, NoToken> {
        let caller = match (whose, subject) {
            (Whose::Gateway(file), _) => {
                // Read each time: an ID token is good for an hour or so.
                return Ok(Some(Identity {
                    token: Arc::new(Secret::presented(read(file).await?)),
                    kind: ID_TOKEN,
                    until_ms: i64::MAX,
                }));
            }
            (Whose::Callers, Subject::Bearer(caller)) => caller,
            (
                Whose::Callers,
                Subject::Caller(_)
                | Subject::Gateway
                | Subject::Lender(_)
                | Subject::Nobody
                | Subject::Person(_),
            ) => return Ok(None),
        };
        let (principal, at, now_ms) = (&caller.principal, &provider.issuer, self.ambient.now_ms());
        // Whoever logged in there has an ID token, which is for the gateway and says no more than who it is.
        if let Some(token) = self.presented.login(principal, at, now_ms) {
            return Ok(Some(Identity {
                token: token.text,
                kind: ID_TOKEN,
                until_ms: token.until_ms,
            }));
        }
        let token = self.presented.for_exchange(principal, at, None, now_ms);
        let token = token.map_err(|why| {
            NoToken::Failed(format!(
                "{why}, or log in at `{at}` again: what it said of them is over"
            ))
        })?;
        Ok(Some(Identity {
            token: token.text,
            kind: ACCESS_TOKEN,
            until_ms: token.until_ms,
        }))
    }

    /// The provider's word to a server's authorization server.
    pub(super) async fn id_jag(
        &self,
        account: &Account,
        provider: &Provider,
        identity: &Identity,
        found: &Found,
        scope: &str,
    ) -> Result<String, NoToken> {
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
            ("subject_token", identity.token.expose()),
            ("subject_token_type", identity.kind),
            ("audience", &found.server.issuer),
            ("resource", &found.resource.id),
        ];
        if !scope.is_empty() {
            form.push(("scope", scope));
        }
        endpoint.ask_for(ID_JAG, &form).await
    }
}
