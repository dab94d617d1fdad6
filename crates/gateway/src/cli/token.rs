//! Getting a token as a client does: from the challenge to the issuer's token endpoint (RFC 9728, RFC 8414,
//! client credentials).

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Uri,
    header::{ACCEPT, CONTENT_TYPE, HeaderValue},
};
use identity::Secret;
use wire::{
    bounds::CREDENTIAL,
    json::{Document, Keys, Node},
};

use crate::{failure::Failure, fetch::Fetch};

/// A client's own proof.
#[derive(Debug)]
pub(super) struct Credentials {
    id: String,
    secret: Secret,
    resource: String,
    purpose: Option<String>,
}

impl Credentials {
    /// From SALLYPORT_CLIENT_ID and SALLYPORT_CLIENT_SECRET; none if there is no secret.
    pub(super) fn from_environment(
        id: Option<String>,
        resource: String,
        purpose: Option<String>,
    ) -> Option<Self> {
        let id = id.or_else(|| std::env::var("SALLYPORT_CLIENT_ID").ok())?;
        let secret = std::env::var("SALLYPORT_CLIENT_SECRET").ok()?;
        Some(Self {
            id,
            secret: Secret::presented(secret),
            resource,
            purpose,
        })
    }

    /// A new token, from the issuer the challenge leads to.
    pub(super) async fn token(&self, fetch: &Fetch, challenge: Option<&str>) -> Result<String, Failure> {
        let metadata = challenge
            .and_then(resource_metadata)
            .map_or_else(|| well_known(&self.resource), Ok)?;
        let resource = json(fetch, &metadata).await?;
        let issuer = resource
            .root()
            .get("authorization_servers")
            .and_then(|servers| servers.elements().next())
            .and_then(Node::as_str)
            .ok_or_else(|| Failure::unreachable(format!("{metadata} names no authorization server")))?;
        let found = format!(
            "{}/.well-known/oauth-authorization-server",
            issuer.trim_end_matches('/')
        );
        let server = json(fetch, &found).await?;
        if !server
            .root()
            .get("issuer")
            .is_some_and(|said| said.is_str(&issuer))
        {
            return Err(Failure::unreachable(format!(
                "{found} is the metadata of another issuer"
            )));
        }
        let endpoint = server.root().get("token_endpoint").and_then(Node::as_str);
        let endpoint =
            endpoint.ok_or_else(|| Failure::unreachable(format!("{found} names no token endpoint")))?;
        self.ask(fetch, &endpoint).await
    }

    async fn ask(&self, fetch: &Fetch, endpoint: &str) -> Result<String, Failure> {
        let mut request = Request::new(Full::new(Bytes::from(self.form())));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri(endpoint)?;
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(CONTENT_TYPE, form);
        let response = fetch.send(request).await?;
        let status = response.status();
        let answer = document(Fetch::whole(response).await?)?;
        let text = |name: &str| {
            answer
                .root()
                .get(name)
                .and_then(Node::as_str)
                .unwrap_or_default()
                .into_owned()
        };
        if !status.is_success() {
            let why = format!("no token: {} ({})", text("error_description"), text("error"));
            return Err(Failure::refused(why));
        }
        Ok(text("access_token"))
    }

    fn form(&self) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &self.id)
            .append_pair("client_secret", self.secret.expose())
            .append_pair("resource", &self.resource);
        if let Some(purpose) = &self.purpose {
            let details = wire::json::object(|out| {
                out.string("type", identity::oauth::DETAILS_TYPE);
                out.string("purpose", purpose);
            });
            form.append_pair(
                "authorization_details",
                &format!("[{}]", String::from_utf8_lossy(&details)),
            );
        }
        form.finish()
    }
}

/// The `resource_metadata` of a challenge (RFC 9728 section 5.1).
fn resource_metadata(challenge: &str) -> Option<String> {
    let (_, rest) = challenge.split_once("resource_metadata=\"")?;
    rest.split_once('"').map(|(url, _)| url.to_owned())
}

/// Where the metadata of a resource is, when no challenge says it.
fn well_known(resource: &str) -> Result<String, Failure> {
    let uri = uri(resource)?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(Failure::configuration(format!("`{resource}` is not a URL")));
    };
    Ok(format!(
        "{scheme}://{authority}/.well-known/oauth-protected-resource{}",
        uri.path().trim_end_matches('/')
    ))
}

async fn json(fetch: &Fetch, url: &str) -> Result<Document, Failure> {
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.uri_mut() = uri(url)?;
    request
        .headers_mut()
        .insert(ACCEPT, HeaderValue::from_static("application/json"));
    let response = fetch.send(request).await?;
    if !response.status().is_success() {
        return Err(Failure::unreachable(format!(
            "{url} answered {}",
            response.status()
        )));
    }
    document(Fetch::whole(response).await?)
}

fn document(bytes: Vec<u8>) -> Result<Document, Failure> {
    let parsed = Document::parse(bytes, Keys::Folded, &CREDENTIAL);
    parsed.map_err(|error| Failure::unreachable(format!("an answer that is not strict JSON: {error}")))
}

fn uri(text: &str) -> Result<Uri, Failure> {
    text.parse()
        .map_err(|_| Failure::unreachable(format!("`{text}` is not a URL")))
}
