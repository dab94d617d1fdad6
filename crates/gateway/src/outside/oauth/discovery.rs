//! From a server's challenge to its authorization server (RFC 9728, then RFC 8414 or OpenID Connect Discovery).
//!
//! Everything found here was written by somebody else: it is fetched by the guarded fetcher, has to speak in the name it
//! was asked for, and is believed for nothing but this server.

use hyper::StatusCode;
use identity::{ResourceId, jose::Algorithm, oauth::DETAILS_TYPE};
use wire::{
    bounds::ANSWER,
    json::{Document, Keys, Kind, Node},
};

use super::challenge::Challenge;
use crate::known::issuers::{Call, Guarded};

/// Where a host says what it is as a resource.
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// What a resource says of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Resource {
    /// Its identifier, letter by letter: authorization servers compare it so.
    pub(crate) id: String,
    /// Who gives tokens for it.
    pub(crate) issuers: Vec<String>,
    pub(crate) scopes: Vec<String>,
    /// Whether it takes tokens that are bound to a key, or no others.
    pub(crate) takes_dpop: bool,
}

/// What an authorization server says of itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Metadata {
    pub(crate) issuer: String,
    pub(crate) authorization: Option<String>,
    pub(crate) token: Option<String>,
    /// Where its keys are.
    pub(crate) jwks: Option<String>,
    pub(crate) registration: Option<String>,
    pub(crate) device: Option<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) grants: Option<Vec<String>>,
    pub(crate) methods: Option<Vec<String>>,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) s256: S256,
    /// Answers to authorization requests say whose they are (RFC 9207).
    pub(crate) says_issuer: bool,
    pub(crate) takes_documents: bool,
    pub(crate) binds_to_keys: bool,
    /// What a client declares goes with the request for a token (RFC 9396), in our own type.
    pub(crate) takes_context: bool,
}

/// What an authorization server says of PKCE with S256.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum S256 {
    Yes,
    /// It names other methods.
    No,
    #[default]
    Unsaid,
}

impl Metadata {
    /// Where tokens are asked for.
    pub(crate) fn token_endpoint(&self) -> Result<&str, String> {
        let none = || format!("`{}` names no `token_endpoint`", self.issuer);
        self.token.as_deref().ok_or_else(none)
    }
}

/// All that has to be known to ask for a token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Found {
    pub(crate) resource: Resource,
    pub(crate) server: Metadata,
}

impl Found {
    /// Whether tokens are to be bound to a key.
    pub(crate) fn is_bound(&self) -> bool {
        self.resource.takes_dpop && self.server.binds_to_keys
    }
}

/// Finds out who gives tokens for a server. `wanted` is whom configuration names.
pub(crate) async fn discover(
    guarded: &Guarded,
    server: &str,
    challenge: &Challenge,
    wanted: Option<&str>,
) -> Result<Found, String> {
    let resource = resource(guarded, server, challenge).await?;
    let (resource, issuer) = match (resource, wanted) {
        (Some(resource), _) => {
            let issuer = issuer_of(&resource, wanted)?.to_owned();
            (resource, issuer)
        }
        (None, Some(wanted)) => (Resource::unsaid(server), wanted.to_owned()),
        (None, None) => return Ok(early(guarded, server).await),
    };
    let server = metadata(guarded, &issuer).await?;
    let takes_dpop = resource.takes_dpop || challenge.takes_dpop;
    Ok(Found {
        resource: Resource {
            takes_dpop,
            ..resource
        },
        server,
    })
}

/// Which of the resource's authorization servers to ask.
pub(crate) fn issuer_of<'r>(resource: &'r Resource, wanted: Option<&str>) -> Result<&'r str, String> {
    let mut issuers = resource.issuers.iter();
    let found = match wanted {
        None => issuers.next(),
        Some(wanted) => issuers.find(|issuer| *issuer == wanted),
    };
    let named = || resource.issuers.join(", ");
    found.map(String::as_str).ok_or_else(|| match wanted {
        None => "the metadata of the server names no authorization server".to_owned(),
        Some(wanted) => format!(
            "the server names `{}` as its authorization server, and configuration `{wanted}`; correct `auth.issuer`",
            named()
        ),
    })
}

impl Resource {
    /// One without metadata.
    pub(crate) fn unsaid(server: &str) -> Self {
        Self {
            id: server.to_owned(),
            issuers: Vec::new(),
            scopes: Vec::new(),
            takes_dpop: false,
        }
    }
}

/// A server of revision 2025-03-26 is its own authorization server, at fixed places unless its metadata says otherwise.
async fn early(guarded: &Guarded, server: &str) -> Found {
    let origin = origin(server);
    let metadata = metadata(guarded, &origin).await.unwrap_or_else(|_| Metadata {
        authorization: Some(format!("{origin}/authorize")),
        token: Some(format!("{origin}/token")),
        registration: Some(format!("{origin}/register")),
        s256: S256::Yes,
        issuer: origin.clone(),
        ..Metadata::default()
    });
    Found {
        resource: Resource::unsaid(server),
        server: metadata,
    }
}

/// What the resource says of itself: where the challenge says, or else at its well-known places. None where there is
/// nothing.
pub(crate) async fn resource(
    guarded: &Guarded,
    server: &str,
    challenge: &Challenge,
) -> Result<Option<Resource>, String> {
    if let Some(url) = &challenge.metadata {
        let document = parsed(guarded.get(url).await?).map_err(|why| format!("{url}: {why}"))?;
        return read_resource(&document, server, url)
            .map(Some)
            .map_err(|why| format!("{url}: {why}"));
    }
    for url in resource_places(server) {
        let answer = guarded.send(Call::get(&url)).await?;
        if answer.status != StatusCode::OK {
            continue;
        }
        let document = parsed(answer.body).map_err(|why| format!("{url}: {why}"))?;
        return read_resource(&document, server, &url)
            .map(Some)
            .map_err(|why| format!("{url}: {why}"));
    }
    Ok(None)
}

/// With the resource's path, then without.
fn resource_places(server: &str) -> Vec<String> {
    let origin = origin(server);
    let path = server.get(origin.len()..).unwrap_or_default();
    let path = path
        .split(['?', '#'])
        .next()
        .unwrap_or_default()
        .trim_end_matches('/');
    let root = format!("{origin}{WELL_KNOWN}");
    if path.is_empty() {
        vec![root]
    } else {
        vec![format!("{root}{path}"), root]
    }
}

/// Scheme, host and port.
pub(crate) fn origin(url: &str) -> String {
    let rest = url.find("://").map_or(0, |at| at + 3);
    let end = url
        .get(rest..)
        .and_then(|rest| rest.find(['/', '?', '#']))
        .map_or(url.len(), |at| rest + at);
    url.get(..end).unwrap_or_default().to_owned()
}

fn read_resource(document: &Document, server: &str, from: &str) -> Result<Resource, String> {
    let root = document.root();
    let id = text(root, "resource").ok_or("it names no `resource`")?;
    if !is_of(&id, server, from) {
        return Err(format!(
            "it is the metadata of `{}`, and the server is `{server}`: tokens for the one are not for the other",
            shown(&id)
        ));
    }
    Ok(Resource {
        issuers: texts(root, "authorization_servers").unwrap_or_default(),
        scopes: texts(root, "scopes_supported").unwrap_or_default(),
        takes_dpop: truth(root, "dpop_bound_access_tokens_required")
            || texts(root, "dpop_signing_alg_values_supported")
                .is_some_and(|algorithms| has_ours(&algorithms)),
        id,
    })
}

/// Whether a resource is the server (RFC 9728 section 3.3), or the whole host where that is what the metadata's own
/// address is of.
fn is_of(resource: &str, server: &str, from: &str) -> bool {
    let host = origin(server);
    let is_of_host = from == format!("{host}{WELL_KNOWN}");
    let Ok(resource) = ResourceId::parse(resource) else {
        return false;
    };
    let is = |other: &str| ResourceId::parse(other).is_ok_and(|other| other == resource);
    is(server) || is_of_host && is(&host)
}

/// What an authorization server says of itself, in its own name (RFC 8414, OpenID Connect Discovery).
///
/// What is wrong at one of the places says nothing about the next: none but its own words count.
pub(crate) async fn metadata(guarded: &Guarded, issuer: &str) -> Result<Metadata, String> {
    search(guarded, well_known(issuer), |document| {
        read_metadata(document, issuer)
    })
    .await
}

/// The first of these places that says what can be read.
pub(crate) async fn search(
    guarded: &Guarded,
    places: Vec<String>,
    read: impl Fn(&Document) -> Result<Metadata, String>,
) -> Result<Metadata, String> {
    let mut whys = Vec::new();
    for url in places {
        match guarded.get(&url).await {
            Err(why) => whys.push(why),
            Ok(bytes) => match parsed(bytes).and_then(|document| read(&document)) {
                Ok(metadata) => return Ok(metadata),
                Err(why) => whys.push(format!("{url}: {why}")),
            },
        }
    }
    Err(whys.join("; "))
}

/// Where metadata may be, in the order MCP clients ask: inserted before the path, then behind it.
pub(crate) fn well_known(issuer: &str) -> Vec<String> {
    let issuer = issuer.trim_end_matches('/');
    let origin = origin(issuer);
    let path = issuer.get(origin.len()..).unwrap_or_default();
    let mut urls = vec![
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
        format!("{origin}/.well-known/openid-configuration{path}"),
    ];
    if !path.is_empty() {
        urls.push(format!("{issuer}/.well-known/openid-configuration"));
    }
    urls
}

/// The metadata of an issuer, in exactly that name.
pub(crate) fn read_metadata(document: &Document, issuer: &str) -> Result<Metadata, String> {
    let root = document.root();
    let named = text(root, "issuer").unwrap_or_default();
    if named != issuer {
        return Err(format!(
            "it is the metadata of another issuer, `{}`, and `{issuer}` was asked",
            shown(&named)
        ));
    }
    let algorithms = texts(root, "token_endpoint_auth_signing_alg_values_supported").unwrap_or_default();
    Ok(Metadata {
        issuer: named,
        authorization: text(root, "authorization_endpoint"),
        token: text(root, "token_endpoint"),
        jwks: text(root, "jwks_uri"),
        registration: text(root, "registration_endpoint"),
        device: text(root, "device_authorization_endpoint"),
        scopes: texts(root, "scopes_supported").unwrap_or_default(),
        grants: texts(root, "grant_types_supported"),
        methods: texts(root, "token_endpoint_auth_methods_supported"),
        algorithms: algorithms
            .iter()
            .filter_map(|name| Algorithm::parse(name))
            .collect(),
        s256: match root.get("code_challenge_methods_supported") {
            None => S256::Unsaid,
            Some(_) => texts(root, "code_challenge_methods_supported")
                .filter(|methods| methods.iter().any(|method| method == "S256"))
                .map_or(S256::No, |_| S256::Yes),
        },
        says_issuer: truth(root, "authorization_response_iss_parameter_supported"),
        takes_documents: truth(root, "client_id_metadata_document_supported"),
        takes_context: texts(root, "authorization_details_types_supported")
            .is_some_and(|types| types.iter().any(|one| one == DETAILS_TYPE)),
        binds_to_keys: texts(root, "dpop_signing_alg_values_supported")
            .is_some_and(|algorithms| has_ours(&algorithms)),
    })
}

/// Whether the algorithm of our proofs is among these.
fn has_ours(algorithms: &[String]) -> bool {
    algorithms.iter().any(|name| name == Algorithm::Es256.as_str())
}

/// A document that means the same to everybody.
pub(crate) fn parsed(bytes: Vec<u8>) -> Result<Document, String> {
    Document::parse(bytes, Keys::Exact, &ANSWER).map_err(|error| error.to_string())
}

pub(crate) fn text(root: Node<'_>, name: &str) -> Option<String> {
    root.get(name)
        .and_then(Node::as_str)
        .map(std::borrow::Cow::into_owned)
}

fn texts(root: Node<'_>, name: &str) -> Option<Vec<String>> {
    let list = root.get(name).filter(|list| list.kind() == Kind::Array)?;
    let texts = list.elements().filter_map(Node::as_str);
    Some(texts.map(std::borrow::Cow::into_owned).collect())
}

fn truth(root: Node<'_>, name: &str) -> bool {
    root.get(name).and_then(Node::as_bool) == Some(true)
}

/// Somebody else's text, short and visible.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        parsed(text.as_bytes().to_vec()).expect("JSON")
    }

    #[test]
    fn metadata_is_looked_for_in_the_fixed_order() {
        let root = "https://a.example/.well-known/oauth-protected-resource";
        assert_eq!(
            resource_places("https://a.example/mcp/x?y"),
            [format!("{root}/mcp/x"), root.to_owned()]
        );
        assert_eq!(resource_places("https://a.example/"), [root]);
        assert_eq!(resource_places("https://a.example"), [root]);
    }

    #[test]
    fn a_resource_is_the_server_and_no_other() {
        let server = "https://a.example/mcp/x";
        let (own, whole) = (
            format!("https://a.example{WELL_KNOWN}/mcp/x"),
            format!("https://a.example{WELL_KNOWN}"),
        );
        let from = |from: &str, id: &str| {
            read_resource(&document(&format!("{{\"resource\":\"{id}\"}}")), server, from)
        };
        let read = |id: &str| from(&own, id);
        for id in ["https://a.example/mcp/x", "https://A.example/mcp/x/"] {
            assert_eq!(read(id).expect(id).id, id);
            assert_eq!(from(&whole, id).expect(id).id, id);
        }
        from(&whole, "https://a.example").expect("the host, in its own words");
        for id in ["https://a.example", "https://a.example/mcp"] {
            read(id).expect_err("another's metadata at the server's place");
        }
        from(&whole, "https://a.example/mcp").expect_err("a part of the host that is not the server");
        for id in [
            "https://a.example/mcp/y",
            "https://a.example/mcp/x/y",
            "https://a.example/mc",
            "https://b.example/mcp/x",
            "https://a.example.evil/mcp/x",
            "https://a.example@evil.example/mcp/x",
            "http://a.example/mcp/x",
            "https://a.example:444/mcp/x",
            "https://a.example/mcp/x?y",
            "https://a.example/mcp/../mcp/x",
            "",
        ] {
            read(id).expect_err(id);
        }
        read_resource(&document("{}"), server, &own).expect_err("none");
    }

    #[test]
    fn an_issuer_speaks_in_its_own_name_letter_by_letter() {
        let issuer = "https://as.example/t";
        let read = |named: &str| {
            let text = format!("{{\"issuer\":\"{named}\",\"token_endpoint\":\"https://as.example/token\"}}");
            read_metadata(&document(&text), issuer)
        };
        read(issuer).expect("its own");
        for named in [
            "https://as.example/t/",
            "https://as.example",
            "https://AS.example/t",
            "https://evil.example",
            "",
        ] {
            read(named).expect_err(named);
        }
    }

    #[test]
    fn configuration_says_which_issuer() {
        let resource = Resource {
            issuers: vec!["https://a.example".to_owned(), "https://b.example".to_owned()],
            ..Resource::unsaid("https://s.example")
        };
        assert_eq!(issuer_of(&resource, None), Ok("https://a.example"));
        assert_eq!(
            issuer_of(&resource, Some("https://b.example")),
            Ok("https://b.example")
        );
        issuer_of(&resource, Some("https://b.example/")).expect_err("another");
        issuer_of(&Resource::unsaid("https://s.example"), None).expect_err("none");
    }

    #[test]
    fn metadata_is_looked_for_where_the_rfcs_put_it() {
        assert_eq!(
            well_known("https://login.example/tenant/v2"),
            [
                "https://login.example/.well-known/oauth-authorization-server/tenant/v2",
                "https://login.example/.well-known/openid-configuration/tenant/v2",
                "https://login.example/tenant/v2/.well-known/openid-configuration",
            ]
        );
        assert_eq!(
            well_known("https://login.example/"),
            [
                "https://login.example/.well-known/oauth-authorization-server",
                "https://login.example/.well-known/openid-configuration",
            ]
        );
    }
}
