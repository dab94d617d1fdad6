//! A person is sent to an authorization server, and comes back: PKCE (RFC 7636), the resource's name (RFC 8707), and the
//! authorization server's own in its answer (RFC 9207).

use identity::{Secret, oauth::pkce_challenge};

use super::{
    discovery::{Metadata, S256, shown},
    with_query,
};
use crate::{config::auth::Pkce, known::issuers::Network};

/// What a person is sent with.
pub(crate) struct Sending<'s> {
    pub(crate) client: &'s str,
    /// Where they are sent back to.
    pub(crate) redirect: &'s str,
    pub(crate) state: &'s str,
    pub(crate) verifier: &'s Secret,
    pub(crate) scopes: &'s str,
    pub(crate) resource: Option<&'s str>,
}

impl Sending<'_> {
    /// Where they go. None where the authorization server has no place for people.
    pub(crate) fn url(&self, server: &Metadata, more: &[(String, String)]) -> Option<String> {
        let challenge = pkce_challenge(self.verifier.expose());
        let mut query = vec![
            ("response_type", "code"),
            ("client_id", self.client),
            ("redirect_uri", self.redirect),
            ("state", self.state),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        if !self.scopes.is_empty() {
            query.push(("scope", self.scopes));
        }
        // OpenID Connect Core section 11: without it the scope is ignored.
        let is_lasting = self.scopes.split(' ').any(|scope| scope == "offline_access");
        if is_lasting && !more.iter().any(|(name, _)| name == "prompt") {
            query.push(("prompt", "consent"));
        }
        query.extend(self.resource.map(|resource| ("resource", resource)));
        query.extend(more.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        Some(with_query(server.authorization.as_deref()?, &query))
    }
}

/// Whether a person can be sent there.
pub(crate) fn fit(server: &Metadata, pkce: Pkce) -> Result<(), String> {
    let issuer = &server.issuer;
    let Some(endpoint) = &server.authorization else {
        return Err(format!(
            "`{issuer}` names no `authorization_endpoint`, so no person can agree there"
        ));
    };
    // Some name an endpoint for people that leads nowhere, for programs that take no metadata without one.
    let logs_in = |grants: &Vec<String>| grants.iter().any(|grant| grant == "authorization_code");
    if server.grants.as_ref().is_some_and(|grants| !logs_in(grants)) {
        return Err(format!(
            "`{issuer}` knows no login of people, so the program needs an id and a secret of its own there: a Sallyport \
             gives them by `sallyport agent add NAME --role ROLE` (`connect` reads SALLYPORT_CLIENT_ID and \
             SALLYPORT_CLIENT_SECRET; under `auth`, `kind: client_credentials`)"
        ));
    }
    // That of this machine is one of a server here, whatever else is reached.
    leads_people_well(endpoint, Network::Private)
        .map_err(|why| format!("the endpoint of `{issuer}` {why}"))?;
    // Who names other methods has said no, whatever configuration says.
    match (server.s256, pkce) {
        (S256::Yes, _) | (S256::Unsaid, Pkce::Assumed) => Ok(()),
        (S256::Unsaid, Pkce::Announced) => Err(format!(
            "`{issuer}` does not say that it checks PKCE (`code_challenge_methods_supported` with `S256`), without which \
             a code can be stolen; if you know that it does, as Entra ID, write `pkce: assumed` under `auth` \
             (`connect`: --assume-pkce)"
        )),
        (S256::No, _) => Err(format!(
            "`{issuer}` says that it does not check PKCE with S256, without which a code can be stolen"
        )),
    }
}

/// Whether people may be sent there: https, or this machine where that may be reached.
pub(crate) fn leads_people_well(endpoint: &str, network: Network) -> Result<(), String> {
    let url: Option<hyper::Uri> = endpoint.parse().ok();
    let is_here = |host: Option<&str>| matches!(host, Some("127.0.0.1" | "localhost" | "[::1]"));
    let is_fit = url.is_some_and(|url| match url.scheme_str() {
        Some("https") => url.host().is_some(),
        Some("http") => network == Network::Private && is_here(url.host()),
        Some(_) | None => false,
    });
    if is_fit && !endpoint.contains('#') {
        return Ok(());
    }
    Err(format!("is `{}`, which is no https URL", shown(endpoint)))
}

/// RFC 9207 section 2.4: letter by letter, and needed where it was promised.
pub(crate) fn speaks_for(named: Option<&str>, server: &Metadata) -> Result<(), String> {
    match named {
        Some(named) if named == server.issuer => Ok(()),
        Some(named) => Err(format!(
            "the answer is of `{}`, and `{}` was asked",
            shown(named),
            server.issuer
        )),
        None if server.says_issuer => Err(format!(
            "the answer does not say whose it is (`iss`), and those of `{}` do",
            server.issuer
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Metadata {
        Metadata {
            issuer: "https://as.example".to_owned(),
            authorization: Some("https://as.example/authorize".to_owned()),
            s256: S256::Yes,
            ..Metadata::default()
        }
    }

    #[test]
    fn an_answer_says_whose_it_is_letter_by_letter() {
        let quiet = server();
        let speaking = Metadata {
            says_issuer: true,
            ..server()
        };
        speaks_for(Some("https://as.example"), &quiet).expect("its own");
        speaks_for(None, &quiet).expect("it promised nothing");
        speaks_for(None, &speaking).expect_err("it promised to say");
        for other in [
            "https://as.example/",
            "https://AS.example",
            "https://evil.example",
            "",
        ] {
            speaks_for(Some(other), &quiet).expect_err(other);
            speaks_for(Some(other), &speaking).expect_err(other);
        }
    }

    #[test]
    fn people_are_sent_to_https_with_pkce_and_nowhere_else() {
        fit(&server(), Pkce::Announced).expect("fit");
        let at = |url: &str| Metadata {
            authorization: Some(url.to_owned()),
            ..server()
        };
        fit(&at("http://127.0.0.1:9/authorize"), Pkce::Announced).expect("this machine");
        for url in [
            "http://as.example/authorize",
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "https:///authorize",
            "https://as.example/authorize#x",
            "",
        ] {
            fit(&at(url), Pkce::Assumed).expect_err(url);
        }
        let with = |s256| Metadata { s256, ..server() };
        fit(&with(S256::Unsaid), Pkce::Announced).expect_err("nothing said of PKCE");
        fit(&with(S256::Unsaid), Pkce::Assumed).expect("somebody knows it");
        fit(&with(S256::No), Pkce::Assumed).expect_err("it says it has none");
        // The advice was to assume PKCE, and led to an endpoint that is not there.
        let without_people = Metadata {
            grants: Some(vec!["client_credentials".to_owned()]),
            s256: S256::Unsaid,
            ..server()
        };
        let why = fit(&without_people, Pkce::Announced).expect_err("nobody logs in there");
        assert!(
            why.contains("SALLYPORT_CLIENT_ID") && !why.contains("pkce"),
            "{why}"
        );
        let nowhere = Metadata {
            authorization: None,
            ..server()
        };
        fit(&nowhere, Pkce::Assumed).expect_err("no endpoint");
    }
}
