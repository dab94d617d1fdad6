//! What clients read before they ask: RFC 8414 and OpenID discovery, RFC 9728.

use wire::json::{ArrayWriter, object};

use super::{DETAILS_TYPE, bearer, exchange};
use crate::{jose::Algorithm, resource::ResourceId, token::SCOPE};

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
}

/// `/.well-known/oauth-authorization-server`. It says what works, nothing else.
#[must_use]
pub fn authorization_server_metadata(endpoints: &Endpoints) -> Vec<u8> {
    object(|out| {
        out.string("issuer", &endpoints.issuer);
        out.string("token_endpoint", &endpoints.token);
        out.string("jwks_uri", &endpoints.jwks);
        out.array("grant_types_supported", |list| {
            ["client_credentials", bearer::GRANT, exchange::GRANT]
                .iter()
                .for_each(|grant| list.string(grant));
        });
        out.array("authorization_grant_profiles_supported", |list| {
            list.string(ID_JAG_PROFILE)
        });
        out.array("response_types_supported", |_| {});
        out.array("token_endpoint_auth_methods_supported", |list| {
            list.string("client_secret_basic");
            list.string("client_secret_post");
            list.string("private_key_jwt");
        });
        out.array("token_endpoint_auth_signing_alg_values_supported", algorithms);
        out.array("dpop_signing_alg_values_supported", algorithms);
        out.boolean("tls_client_certificate_bound_access_tokens", true);
        out.array("scopes_supported", |list| list.string(SCOPE));
        out.array("authorization_details_types_supported", |list| {
            list.string(DETAILS_TYPE)
        });
    })
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
