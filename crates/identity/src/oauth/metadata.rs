//! What clients read before they ask: RFC 8414 and OpenID discovery, RFC 9728.

use wire::json::{ArrayWriter, ObjectWriter, object};

use super::{DETAILS_TYPE, bearer, exchange};
use crate::{
    jose::Algorithm,
    resource::ResourceId,
    token::{ACR_MFA, ACR_PASSWORD, SCOPE},
};

/// The grant of devices that have no browser (RFC 8628).
pub const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// What clients of identity providers that manage authorization look for (ID-JAG).
const ID_JAG_PROFILE: &str = "urn:ietf:params:oauth:grant-profile:id-jag";

/// Where the authorization server's endpoints are.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// The issuer identifier.
    pub issuer: String,
    /// The token endpoint.
    pub token: String,
    /// The key set.
    pub jwks: String,
    /// Where people are sent. Without somebody who can log in it is of no use, but the Python SDK (2.x) takes no metadata
    /// without it, even from programs that have no person.
    pub authorization: String,
    /// Where tokens are revoked (RFC 7009).
    pub revocation: String,
    /// Where clients ask about their tokens (RFC 7662).
    pub introspection: String,
    /// What there is for people with a browser, where somebody can log in.
    pub people: Option<ForPeople>,
}

/// What there is for people with a browser.
#[derive(Clone, Debug)]
pub struct ForPeople {
    /// Where clients register, if they may.
    pub registration: Option<String>,
    /// Where devices ask that have no browser (RFC 8628).
    pub device: String,
    /// Whether a client may be known by the document at the URL that is its id.
    pub documents: bool,
}

/// `/.well-known/oauth-authorization-server`. It says what works, nothing else.
#[must_use]
pub fn authorization_server_metadata(endpoints: &Endpoints) -> Vec<u8> {
    object(|out| {
        out.string("issuer", &endpoints.issuer);
        out.string("token_endpoint", &endpoints.token);
        out.string("jwks_uri", &endpoints.jwks);
        out.string("authorization_endpoint", &endpoints.authorization);
        out.string("revocation_endpoint", &endpoints.revocation);
        out.string("introspection_endpoint", &endpoints.introspection);
        out.array("grant_types_supported", |list| {
            for grant in ["client_credentials", bearer::GRANT, exchange::GRANT] {
                list.string(grant);
            }
            if endpoints.people.is_some() {
                list.string("authorization_code");
                list.string("refresh_token");
                list.string(DEVICE_GRANT);
            }
        });
        out.array("authorization_grant_profiles_supported", |list| {
            list.string(ID_JAG_PROFILE)
        });
        out.array("response_types_supported", |list| {
            if endpoints.people.is_some() {
                list.string("code");
            }
        });
        for (endpoint, is_for_public) in [
            ("token", endpoints.people.is_some()),
            ("revocation", endpoints.people.is_some()),
            ("introspection", false),
        ] {
            out.array(&format!("{endpoint}_endpoint_auth_methods_supported"), |list| {
                list.string("client_secret_basic");
                list.string("client_secret_post");
                list.string("private_key_jwt");
                if is_for_public {
                    list.string("none");
                }
            });
            let name = format!("{endpoint}_endpoint_auth_signing_alg_values_supported");
            out.array(&name, algorithms);
        }
        if let Some(people) = &endpoints.people {
            for_people(people, out);
        }
        out.array("dpop_signing_alg_values_supported", algorithms);
        out.boolean("tls_client_certificate_bound_access_tokens", true);
        out.array("scopes_supported", |list| list.string(SCOPE));
        out.array("authorization_details_types_supported", |list| {
            list.string(DETAILS_TYPE)
        });
    })
}

fn for_people(people: &ForPeople, out: &mut ObjectWriter<'_>) {
    if let Some(registration) = &people.registration {
        out.string("registration_endpoint", registration);
    }
    out.string("device_authorization_endpoint", &people.device);
    out.array("code_challenge_methods_supported", |list| list.string("S256"));
    out.array("response_modes_supported", |list| list.string("query"));
    out.boolean("authorization_response_iss_parameter_supported", true);
    out.boolean("client_id_metadata_document_supported", people.documents);
    out.array("acr_values_supported", |list| {
        list.string(ACR_PASSWORD);
        list.string(ACR_MFA);
    });
    out.array("prompt_values_supported", |list| {
        for prompt in ["login", "consent", "select_account", "none"] {
            list.string(prompt);
        }
    });
}

/// `/.well-known/oauth-protected-resource[/...]` for one resource.
#[must_use]
pub fn protected_resource_metadata(resource: &ResourceId, issuers: &[String]) -> Vec<u8> {
    object(|out| {
        out.string("resource", resource.as_str());
        out.array("authorization_servers", |list| {
            issuers.iter().for_each(|issuer| list.string(issuer))
        });
        out.array("scopes_supported", |list| list.string(SCOPE));
        out.array("bearer_methods_supported", |list| list.string("header"));
        out.array("dpop_signing_alg_values_supported", algorithms);
        out.boolean("tls_client_certificate_bound_access_tokens", true);
        out.string("resource_name", "Sallyport");
    })
}

fn algorithms(list: &mut ArrayWriter<'_>) {
    Algorithm::ALL
        .iter()
        .for_each(|algorithm| list.string(algorithm.as_str()));
}
