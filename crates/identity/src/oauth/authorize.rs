//! The authorization request (OAuth 2.1, section 4.1.1), and what proves at the token endpoint that the same client
//! asks (RFC 7636).

use std::collections::BTreeSet;

use wire::{
    bounds::CREDENTIAL,
    json::{Document, Keys, Node, ObjectWriter},
};

use super::{
    Form, OauthError, OauthFault, RedirectUri, Registrar, Wanted, pkce, read_details, write_details,
};
use crate::{principal::DeclaredContext, resource::ResourceId, secret::SecretDigest, token::SCOPE};

/// The longest `state` carried, in bytes.
const STATE_BYTES_MAX: usize = 2048;

/// A client that people let in by a browser.
#[derive(Clone, Debug)]
pub struct RegisteredClient {
    /// Its `client_id`.
    pub id: String,
    /// What it calls itself.
    pub name: String,
    /// Where browsers may be sent back to.
    pub redirects: Vec<RedirectUri>,
    /// How its secret is recognised; none if it has no secret.
    pub secret: Option<SecretDigest>,
    /// The agent it is here. A client that is none acts as its user.
    pub agent: Option<String>,
    /// Whether it may have refresh tokens.
    pub refreshes: bool,
    /// Who says all this.
    pub known_by: KnownBy,
}

/// Who says what a client is like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KnownBy {
    /// Configuration.
    Operator,
    /// The document at the URL that is its id.
    Document,
    /// It itself, when it registered.
    Itself,
}

impl RegisteredClient {
    /// The registered redirect URI that the presented one is.
    #[must_use]
    pub fn redirect(&self, presented: &str) -> Option<RedirectUri> {
        self.redirects
            .iter()
            .find_map(|registered| registered.allows(presented))
    }
}

/// What a client asks a person for.
#[derive(Clone, Debug, PartialEq)]
pub struct Leave {
    /// Who asks.
    pub client: String,
    /// What for.
    pub resource: ResourceId,
    /// Which scopes.
    pub scopes: BTreeSet<String>,
    /// The context it declares.
    pub declared: Option<DeclaredContext>,
    /// The thumbprint of the key it will show (RFC 9449, section 10).
    pub key: Option<String>,
}

/// How the answer gets to the client.
#[derive(Clone, Debug, PartialEq)]
pub enum Way {
    /// With the person's browser.
    Browser {
        /// Where the answer goes.
        redirect: RedirectUri,
        /// What the client wants back with it.
        state: Option<String>,
        /// The digest of what it will show at the token endpoint (`S256`).
        challenge: String,
    },
    /// The client asks for it (RFC 8628).
    Device {
        /// The code the person entered.
        code: String,
    },
}

/// A client's request, and where its answer goes.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthorizationRequest {
    /// What is asked for.
    pub leave: Leave,
    /// How the person has to log in for it.
    pub wanted: Wanted,
    /// The way back.
    pub way: Way,
}

impl Leave {
    /// Reads what a known client asks for.
    ///
    /// # Errors
    /// An error for the client.
    pub fn read(
        form: &Form,
        client: &RegisteredClient,
        resources: &[ResourceId],
    ) -> Result<Self, OauthError> {
        let key = form.get("dpop_jkt");
        if key.is_some_and(|key| !is_digest(key)) {
            return Err(OauthError::new(
                OauthFault::InvalidRequest,
                "`dpop_jkt` is no SHA-256 digest",
            ));
        }
        Ok(Self {
            client: client.id.clone(),
            resource: resource(form.get("resource"), resources)?,
            scopes: scopes(form.get("scope"))?,
            declared: declared(form.get("authorization_details"))?,
            key: key.map(str::to_owned),
        })
    }
}

impl AuthorizationRequest {
    /// Reads what a known client asks for, with an answer that goes to one of its own addresses.
    ///
    /// # Errors
    /// An error that may be sent there.
    pub fn read(
        form: &Form,
        client: &RegisteredClient,
        redirect: RedirectUri,
        resources: &[ResourceId],
    ) -> Result<Self, OauthError> {
        let invalid = |why: &str| OauthError::new(OauthFault::InvalidRequest, why);
        let refuse = |fault, why: &str| Err(OauthError::new(fault, why));
        if form.get("request").is_some() {
            return refuse(OauthFault::RequestNotSupported, "send parameters, not `request`");
        }
        if form.get("request_uri").is_some() {
            return refuse(
                OauthFault::RequestUriNotSupported,
                "send parameters, not `request_uri`",
            );
        }
        if form.get("response_type") != Some("code") {
            return refuse(OauthFault::UnsupportedResponseType, "use `response_type=code`");
        }
        if form.get("response_mode").is_some_and(|mode| mode != "query") {
            return Err(invalid("answers go into the query alone"));
        }
        if form.get("code_challenge_method") != Some("S256") {
            return Err(invalid("PKCE is needed: `code_challenge_method=S256`"));
        }
        let challenge = form.get("code_challenge").filter(|text| is_digest(text));
        let challenge =
            challenge.ok_or_else(|| invalid("`code_challenge` is missing or no SHA-256 digest"))?;
        if form
            .get("state")
            .is_some_and(|state| state.len() > STATE_BYTES_MAX)
        {
            return Err(invalid("`state` is too long"));
        }
        Ok(Self {
            leave: Leave::read(form, client, resources)?,
            wanted: Wanted::read(form)?,
            way: Way::Browser {
                redirect,
                state: form.get("state").map(str::to_owned),
                challenge: challenge.to_owned(),
            },
        })
    }

    /// Where the browser is sent back to, if it is.
    #[must_use]
    pub fn redirect(&self) -> Option<&RedirectUri> {
        match &self.way {
            Way::Browser { redirect, .. } => Some(redirect),
            Way::Device { .. } => None,
        }
    }

    /// Whether a verifier is what the challenge is the digest of.
    #[must_use]
    pub fn is_verified_by(&self, verifier: &str) -> bool {
        match &self.way {
            Way::Browser { challenge, .. } => pkce::is_verified_by(challenge, verifier),
            Way::Device { .. } => false,
        }
    }

    /// Writes it, to be kept by somebody who can neither read nor change it.
    pub fn write(&self, out: &mut ObjectWriter<'_>) {
        let leave = &self.leave;
        match &self.way {
            Way::Browser {
                redirect,
                state,
                challenge,
            } => {
                out.string("redirect", redirect.as_str());
                if let Some(state) = state {
                    out.string("state", state);
                }
                out.string("challenge", challenge);
            }
            Way::Device { code } => out.string("device", code),
        }
        out.string("client", &leave.client);
        out.string("resource", leave.resource.as_str());
        out.array("scopes", |list| {
            leave.scopes.iter().for_each(|scope| list.string(scope))
        });
        if let Some(declared) = &leave.declared {
            out.array("declared", |details| write_details(declared, details));
        }
        if let Some(key) = &leave.key {
            out.string("key", key);
        }
        out.object("wanted", |out| self.wanted.write(out));
    }

    /// Reads what [`Self::write`] wrote.
    #[must_use]
    pub fn restore(node: Node<'_>) -> Option<Self> {
        let text = |name: &str| Some(node.get(name)?.as_str()?.into_owned());
        let declared = match node.get("declared") {
            Some(details) => read_details(details).ok()?,
            None => None,
        };
        let way = match text("device") {
            Some(code) => Way::Device { code },
            None => Way::Browser {
                redirect: RedirectUri::parse(&text("redirect")?, Registrar::Operator).ok()?,
                state: text("state"),
                challenge: text("challenge")?,
            },
        };
        let leave = Leave {
            client: text("client")?,
            resource: ResourceId::parse(&text("resource")?).ok()?,
            scopes: node
                .get("scopes")?
                .elements()
                .map(|scope| Some(scope.as_str()?.into_owned()))
                .collect::<Option<_>>()?,
            declared,
            key: text("key"),
        };
        let wanted = Wanted::restore(node.get("wanted")?)?;
        Some(Self { leave, wanted, way })
    }
}

/// A SHA-256 digest in base64url.
fn is_digest(text: &str) -> bool {
    text.len() == 43
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
}

/// The resource that is named, or the whole gateway.
fn resource(named: Option<&str>, resources: &[ResourceId]) -> Result<ResourceId, OauthError> {
    let invalid = || OauthError::new(OauthFault::InvalidTarget, "`resource` is none of this gateway");
    let Some(named) = named else {
        return resources.first().cloned().ok_or_else(invalid);
    };
    let asked = ResourceId::parse(named).map_err(|_| invalid())?;
    resources
        .iter()
        .find(|known| **known == asked)
        .cloned()
        .ok_or_else(invalid)
}

/// The scopes of a person's client: there is one.
fn scopes(asked: Option<&str>) -> Result<BTreeSet<String>, OauthError> {
    let asked = asked.unwrap_or(SCOPE);
    let asked: BTreeSet<String> = asked
        .split(' ')
        .filter(|s| !s.is_empty())
        .map(str::to_owned)
        .collect();
    if asked.iter().all(|scope| scope == SCOPE) && !asked.is_empty() {
        return Ok(asked);
    }
    Err(OauthError::new(
        OauthFault::InvalidScope,
        "the only scope is `mcp`",
    ))
}

fn declared(details: Option<&str>) -> Result<Option<DeclaredContext>, OauthError> {
    let Some(details) = details else { return Ok(None) };
    let refuse = |why: String| OauthError::new(OauthFault::InvalidAuthorizationDetails, why);
    let document = Document::parse(details.as_bytes().to_vec(), Keys::Folded, &CREDENTIAL)
        .map_err(|error| refuse(error.to_string()))?;
    read_details(document.root()).map_err(|error| refuse(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    const REDIRECT: &str = "https://app.example/cb";

    fn client() -> RegisteredClient {
        RegisteredClient {
            id: "app".into(),
            name: "App".into(),
            redirects: vec![RedirectUri::parse(REDIRECT, Registrar::Operator).expect("an address")],
            secret: None,
            agent: None,
            refreshes: true,
            known_by: KnownBy::Operator,
        }
    }

    fn ask(changes: &[(&str, Option<&str>)]) -> Result<AuthorizationRequest, OauthError> {
        let mut pairs = vec![
            ("response_type", "code"),
            ("client_id", "app"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("state", "xyz"),
            ("resource", "https://g/mcp"),
        ];
        for (name, value) in changes {
            pairs.retain(|(known, _)| known != name);
            pairs.extend(value.map(|value| (*name, value)));
        }
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .finish();
        let resources = [
            ResourceId::parse("https://g/mcp").expect("a resource"),
            ResourceId::parse("https://g/mcp/charts").expect("a resource"),
        ];
        let client = client();
        let redirect = client.redirect(REDIRECT).expect("its address");
        AuthorizationRequest::read(&Form::parse(body.as_bytes())?, &client, redirect, &resources)
    }

    #[test]
    fn a_request_is_read_and_kept_whole() {
        let details = r#"[{"type":"sallyport_context","purpose":"treatment","classes":["phi"]}]"#;
        let request = ask(&[
            ("authorization_details", Some(details)),
            ("resource", Some("https://G/mcp/charts/")),
            ("scope", Some("mcp")),
            ("dpop_jkt", Some(CHALLENGE)),
        ]);
        let request = request.expect("a request");
        assert_eq!(request.leave.resource.as_str(), "https://g/mcp/charts");
        let kept = wire::json::object(|out| request.write(out));
        let kept = Document::parse(kept, Keys::Exact, &CREDENTIAL).expect("JSON");
        assert_eq!(
            AuthorizationRequest::restore(kept.root()).as_ref(),
            Some(&request)
        );
        assert_eq!(
            ask(&[("resource", None)])
                .expect("a request")
                .leave
                .resource
                .as_str(),
            "https://g/mcp"
        );
    }

    /// OA-034: the example of RFC 7636, appendix B, and what is not it.
    #[test]
    fn only_the_verifier_verifies() {
        let request = ask(&[]).expect("a request");
        assert!(request.is_verified_by(VERIFIER));
        let upper = VERIFIER.to_uppercase();
        let padded = format!("{VERIFIER}=");
        let long = "a".repeat(129);
        for wrong in [
            "",
            CHALLENGE,
            VERIFIER.get(1..).unwrap_or_default(),
            upper.as_str(),
            padded.as_str(),
            long.as_str(),
        ] {
            assert!(!request.is_verified_by(wrong), "{wrong}");
        }
    }

    #[test]
    fn every_fault_has_its_own_error() {
        use OauthFault as F;
        let long = "x".repeat(STATE_BYTES_MAX + 1);
        for (changes, expected) in [
            (("response_type", None), F::UnsupportedResponseType),
            (("response_type", Some("token")), F::UnsupportedResponseType),
            (("response_type", Some("code token")), F::UnsupportedResponseType),
            (("response_mode", Some("fragment")), F::InvalidRequest),
            (("code_challenge", None), F::InvalidRequest),
            (("code_challenge", Some("short")), F::InvalidRequest),
            (
                ("code_challenge", Some(VERIFIER.get(1..).unwrap_or_default())),
                F::InvalidRequest,
            ),
            (("code_challenge_method", None), F::InvalidRequest),
            (("code_challenge_method", Some("plain")), F::InvalidRequest),
            (("code_challenge_method", Some("s256")), F::InvalidRequest),
            (("state", Some(long.as_str())), F::InvalidRequest),
            (("dpop_jkt", Some("x")), F::InvalidRequest),
            (("resource", Some("https://other/mcp")), F::InvalidTarget),
            (("resource", Some("https://g/mcp/none")), F::InvalidTarget),
            (("resource", Some("https://g/mcp#x")), F::InvalidTarget),
            (("scope", Some("mcp admin")), F::InvalidScope),
            (("scope", Some("MCP")), F::InvalidScope),
            (("scope", Some(" ")), F::InvalidScope),
            (
                ("authorization_details", Some("{}")),
                F::InvalidAuthorizationDetails,
            ),
            (
                ("authorization_details", Some("[{\"type\":\"x\"}]")),
                F::InvalidAuthorizationDetails,
            ),
            (
                ("authorization_details", Some("no json")),
                F::InvalidAuthorizationDetails,
            ),
            (("prompt", Some("none")), F::LoginRequired),
            (("request", Some("eyJ")), F::RequestNotSupported),
            (
                ("request_uri", Some("https://evil.example/x")),
                F::RequestUriNotSupported,
            ),
        ] {
            assert_eq!(
                ask(&[changes]).expect_err("refused").fault,
                expected,
                "{changes:?}"
            );
        }
    }
}
