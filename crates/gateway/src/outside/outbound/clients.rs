//! Who the gateway is at an authorization server where a person agrees: by a name it was given, by a document about it,
//! or by asking for a name (RFC 7591). A name is of one authorization server, and is shown to no other.

use identity::Secret;
use serde::{Deserialize, Serialize};
use wire::{json::object, mcp::ServerName};

use crate::{
    config::auth::{ClientIdentity, ClientProof, Registration},
    known::issuers::Guarded,
    outside::oauth::{discovery::Metadata, registration},
    storage::store::Store,
};

const CLIENTS: &str = "upstream-clients";

/// Destroys what the gateway is at a server's authorization server.
pub(super) fn remove(store: &Store, server: &ServerName) -> Result<(), crate::storage::store::StoreError> {
    store.delete(CLIENTS, server.as_str())
}

#[derive(Deserialize, Serialize)]
struct Registered {
    issuer: String,
    id: String,
    secret: Option<String>,
}

/// What the gateway says of itself.
pub(crate) struct Own<'o> {
    /// The URL it is called by.
    pub(crate) base: &'o str,
}

impl Own<'_> {
    /// Where authorization servers send people back to.
    pub(crate) fn callback(&self) -> String {
        format!("{}/oauth/upstream/callback", self.base)
    }

    /// The URL of the document about it.
    pub(crate) fn document_url(&self) -> String {
        format!("{}/oauth/upstream/client", self.base)
    }

    /// The document about it (client ID metadata, draft-ietf-oauth-client-id-metadata-document).
    pub(crate) fn document(&self) -> Vec<u8> {
        object(|out| {
            out.string("client_id", &self.document_url());
            self.write(out, "none");
        })
    }

    fn write(&self, out: &mut wire::json::ObjectWriter<'_>, method: &str) {
        out.string("client_name", "Sallyport");
        out.string("client_uri", self.base);
        out.array("redirect_uris", |list| list.string(&self.callback()));
        out.array("grant_types", |list| {
            list.string("authorization_code");
            list.string("refresh_token");
        });
        out.array("response_types", |list| list.string("code"));
        out.string("token_endpoint_auth_method", method);
        let is_web = self.base.starts_with("https://");
        out.string("application_type", if is_web { "web" } else { "native" });
    }
}

/// The gateway's name at an authorization server.
pub(crate) async fn identity(
    registration: &Registration,
    own: &Own<'_>,
    server: &Metadata,
    (store, name): (&Store, &ServerName),
    guarded: &Guarded,
) -> Result<ClientIdentity, String> {
    let by_document = |url: String| {
        if server.takes_documents {
            return Ok(ClientIdentity {
                id: url,
                proof: ClientProof::None,
            });
        }
        let issuer = &server.issuer;
        Err(match &server.registration {
            Some(_) => format!(
                "`{issuer}` does not know clients by documents; add `registration: dynamic` to `auth`, or a `client_id` \
                 that it gave you"
            ),
            None => {
                format!("`{issuer}` has to know the gateway; add the `client_id` that it gave you to `auth`")
            }
        })
    };
    match registration {
        Registration::Known(client) => Ok(client.clone()),
        Registration::Document(url) => by_document(url.clone()),
        Registration::Own if own.base.starts_with("https://") => by_document(own.document_url()),
        Registration::Own => Err(
            "the gateway has no name at the authorization server; add `registration: dynamic` or a `client_id` to \
             `auth`, or give the gateway a public `url`"
                .to_owned(),
        ),
        Registration::Dynamic => registered(own, server, (store, name), guarded).await,
    }
}

async fn registered(
    own: &Own<'_>,
    server: &Metadata,
    (store, name): (&Store, &ServerName),
    guarded: &Guarded,
) -> Result<ClientIdentity, String> {
    let failed = |error: crate::storage::store::StoreError| error.to_string();
    let before = store.get(CLIENTS, name.as_str()).map_err(failed)?;
    let before = before.and_then(|text| serde_json::from_slice::<Registered>(&text).ok());
    if let Some(known) = before.filter(|known| known.issuer == server.issuer) {
        return Ok(known.into());
    }
    let method = registration::method(server);
    let named = registration::register(guarded, server, method, |out| own.write(out, method)).await?;
    let known = Registered {
        issuer: server.issuer.clone(),
        id: named.id,
        secret: named.secret.map(|secret| secret.expose().to_owned()),
    };
    let stored = serde_json::to_vec(&known).map_err(|error| error.to_string())?;
    store.put(CLIENTS, name.as_str(), &stored).map_err(failed)?;
    Ok(known.into())
}

impl From<Registered> for ClientIdentity {
    fn from(known: Registered) -> Self {
        Self {
            id: known.id,
            proof: known.secret.map_or(ClientProof::None, |secret| {
                ClientProof::Secret(Secret::presented(secret))
            }),
        }
    }
}
