//! Certificates from an authority that gives them by itself (ACME, RFC 8555), as said and as meant.

use rustls::pki_types::{CertificateDer, DnsName};
use serde::Deserialize;

use super::{
    Problem,
    issuers::{NETWORKS, word},
    reference::Lookup,
};
use crate::{known::issuers::Network, tls};

/// Whom to ask, and for what.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidAcme {
    /// The URL of the authority's directory.
    pub(crate) directory: String,
    /// Whether its terms of service are agreed to; nothing is asked of it otherwise.
    #[serde(default)]
    pub(crate) agree_to_terms: bool,
    /// Where it may write to, such as `mailto:ops@example.org`.
    #[serde(default)]
    pub(crate) contact: Vec<String>,
    /// The names the certificate is for; the host of `url` unless said.
    #[serde(default)]
    pub(crate) names: Vec<String>,
    /// `public` (the default) or `private`: whether it may be at an address of one's own network.
    pub(crate) network: Option<String>,
    /// A PEM file of the authorities believed for the directory instead of the public ones.
    pub(crate) ca: Option<String>,
}

/// The same, meant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MeantAcme {
    pub(crate) directory: String,
    pub(crate) contact: Vec<String>,
    pub(crate) names: Vec<String>,
    pub(crate) network: Network,
    pub(crate) authorities: Vec<CertificateDer<'static>>,
}

/// Finds out what was meant.
pub(super) fn mean(
    said: Option<&SaidAcme>,
    url: Option<&str>,
    lookup: &Lookup<'_>,
) -> Result<MeantAcme, Problem> {
    let at = "tls.acme";
    let said = said.ok_or_else(|| {
        let remedy = "add `acme: { directory: \"https://acme-v02.api.letsencrypt.org/directory\", agree_to_terms: true }`";
        Problem::new(at, "it is not said which authority to ask", remedy)
    })?;
    if !said.agree_to_terms {
        let remedy = "read the terms of service of the authority, and write `agree_to_terms: true`";
        return Err(Problem::new(
            format!("{at}.agree_to_terms"),
            "nobody agreed to its terms",
            remedy,
        ));
    }
    if !said.directory.starts_with("https://") {
        let what = "the directory is not reached over TLS";
        return Err(Problem::new(
            format!("{at}.directory"),
            what,
            "write `https://...`",
        ));
    }
    let host = url.and_then(|url| url.parse::<hyper::Uri>().ok()?.host().map(str::to_owned));
    let names: Vec<String> = if said.names.is_empty() {
        host.into_iter().collect()
    } else {
        said.names.clone()
    };
    // Whoever asks is looked up in small letters.
    let names: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    let is_name =
        |name: &String| DnsName::try_from(name.as_str()).is_ok() && name.parse::<std::net::IpAddr>().is_err();
    if names.is_empty() || !names.iter().all(is_name) {
        let what = "there is no name the certificate could be for";
        let remedy = "write `url: \"https://gateway.example\"`, or `names: [gateway.example]` here; addresses have none";
        return Err(Problem::new(format!("{at}.names"), what, remedy));
    }
    let authorities = match &said.ca {
        None => Vec::new(),
        Some(path) => tls::authorities(&lookup.path(path))
            .map_err(|what| Problem::new(format!("{at}.ca"), what, "correct the path, or the file"))?,
    };
    Ok(MeantAcme {
        directory: said.directory.clone(),
        contact: said.contact.clone(),
        names,
        network: word(at, "network", said.network.as_deref(), &NETWORKS)?,
        authorities,
    })
}
