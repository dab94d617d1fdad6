//! Who `connect` is at an authorization server: as flags say, by a document, by the name it was given before, or by one
//! it asks for.

use identity::{Secret, oauth::DEVICE_GRANT};
use wire::json::Node;

use super::{
    kept::{Name, Session},
    login::Login,
};
use crate::{
    config::auth::{ClientIdentity, ClientProof},
    failure::Failure,
    outside::oauth::{
        discovery::{Found, Metadata},
        registration,
        tokens::NoToken,
    },
};

/// Where a browser would come back to, for a name that is asked for without one.
const ANY_PORT: &str = "http://127.0.0.1/oauth/callback";
/// What is said at registration by us alone.
const OWN: [&str; 4] = [
    "redirect_uris",
    "grant_types",
    "response_types",
    "token_endpoint_auth_method",
];

impl Login {
    /// The client as it is known already.
    pub(super) fn known(&self, session: &Session) -> Option<ClientIdentity> {
        let named = || {
            session.name.as_ref().map(|name| ClientIdentity {
                id: name.id.clone(),
                proof: name.secret.clone().map_or(ClientProof::None, |secret| {
                    ClientProof::Secret(Secret::presented(secret))
                }),
            })
        };
        if !self.is_meant(&session.issuer) {
            return None;
        }
        self.settings.client.clone().or_else(named)
    }

    /// Whether the client of flags is meant for an authorization server. Whose server it is, is what the MCP server says:
    /// it must not be able to have a secret sent wherever it likes.
    fn is_meant(&self, issuer: &str) -> bool {
        let named = self.settings.issuer.as_ref();
        named.is_none_or(|named| named == issuer)
    }

    /// The client that flags say, for an authorization server.
    pub(super) fn said(&self, server: &Metadata) -> Result<Option<&ClientIdentity>, Failure> {
        if !self.is_meant(&server.issuer) {
            return Err(Failure::refused(format!(
                "the server leads to the authorization server `{}`, and the client is for `{}`; nothing is sent there",
                server.issuer,
                self.settings.issuer.as_deref().unwrap_or_default()
            )));
        }
        Ok(self.settings.client.as_ref())
    }

    /// Who we are there: as flags say, by a document, by the name it gave us, or by one it gives us now.
    pub(super) async fn client(
        &self,
        found: &Found,
        session: &mut Session,
        redirect: Option<&str>,
    ) -> Result<ClientIdentity, Failure> {
        let server = &found.server;
        if let Some(client) = self.said(server)? {
            return Ok(client.clone());
        }
        if let Some(url) = self.settings.document.as_ref().filter(|_| server.takes_documents) {
            session.name = Some(Name {
                id: url.clone(),
                secret: None,
                redirect: None,
            });
        }
        let fits = |name: &Name| {
            redirect.is_none() || name.redirect.is_none() || name.redirect.as_deref() == redirect
        };
        if session.name.as_ref().is_none_or(|name| !fits(name)) {
            if server.registration.is_none() {
                return Err(Failure::configuration(format!(
                    "`{}` registers nobody by itself; let it give you a client id, and name it with \
                     --static-oauth-client-info '{{\"client_id\": \"...\"}}'",
                    server.issuer
                )));
            }
            session.name = Some(self.register(server, redirect.unwrap_or(ANY_PORT)).await?);
        }
        let none = || Failure::other("there is no client");
        self.known(session).ok_or_else(none)
    }

    async fn register(&self, server: &Metadata, redirect: &str) -> Result<Name, Failure> {
        let about = self.settings.about.as_ref().map(|about| about.root());
        let said = about.and_then(|about| about.get("token_endpoint_auth_method")?.as_str());
        let method = said.as_deref().unwrap_or_else(|| {
            // Nothing here keeps a secret better than PKCE does, so none is asked for where none is needed.
            let is_free = server
                .methods
                .as_ref()
                .is_some_and(|all| all.iter().any(|one| one == "none"));
            if is_free {
                "none"
            } else {
                registration::method(server)
            }
        });
        let named = registration::register(&self.guarded, server, method, |out| {
            for (key, value) in about.into_iter().flat_map(Node::members) {
                let name = key.as_str().unwrap_or_default();
                if !OWN.contains(&&*name) {
                    out.node(&name, value);
                }
            }
            if about.is_none_or(|about| about.get("client_name").is_none()) {
                out.string("client_name", "sallyport connect");
            }
            if about.is_none_or(|about| about.get("application_type").is_none()) {
                out.string("application_type", "native");
            }
            out.array("redirect_uris", |list| list.string(redirect));
            out.array("grant_types", |list| {
                list.string("authorization_code");
                list.string("refresh_token");
                if server.device.is_some() {
                    list.string(DEVICE_GRANT);
                }
            });
            out.array("response_types", |list| list.string("code"));
            out.string("token_endpoint_auth_method", method);
        });
        let named = named.await.map_err(Failure::refused)?;
        Ok(Name {
            id: named.id,
            secret: named.secret.map(|secret| secret.expose().to_owned()),
            redirect: Some(redirect.to_owned()),
        })
    }

    /// A name that the authorization server does not know any more is not used again.
    pub(super) fn forget(&self, session: &mut Session, why: &NoToken) -> String {
        if let NoToken::Refused { error, .. } = why
            && matches!(error.as_str(), "invalid_client" | "unauthorized_client")
        {
            session.name = None;
        }
        why.to_string()
    }
}
