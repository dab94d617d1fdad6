//! The gate: is this request meant for us, does a browser send it for a page we know, and is its body what it seems?
//!
//! DNS rebinding makes a browser send a stranger's page's requests to a loopback address; the `Host` it
//! sends is then the stranger's name (rmcp CVE-2026-42559, and the same in four other SDKs). So both
//! `Host` and `Origin` are checked, on every door, before anything is read.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use hyper::{
    HeaderMap, Uri,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderName, HeaderValue, ORIGIN},
};
use pipeline::{Objection, refusal};

/// Checks where a request says it is going and where it says it comes from.
pub(super) fn check(
    uri: &Uri,
    headers: &HeaderMap,
    hosts: &BTreeSet<String>,
    origins: &BTreeSet<String>,
) -> Result<(), Objection> {
    let refuse = |why: &str| Objection::new(&refusal::HOST_REFUSED, why);
    let host = one(headers, &HOST)
        .map_err(refuse)?
        .or_else(|| uri.authority().map(|a| a.as_str()));
    let host = host
        .ok_or_else(|| refuse("no host is named"))?
        .to_ascii_lowercase();
    if uri
        .authority()
        .is_some_and(|authority| !authority.as_str().eq_ignore_ascii_case(&host))
    {
        return Err(refuse(
            "the request line and the `Host` header name different hosts",
        ));
    }
    let is_served = hosts.contains(&host) || (is_probed(uri.path()) && is_address(&host));
    if !is_served {
        return Err(refuse("the `Host` header names a host that is not served here"));
    }
    let refuse = |why: &str| Objection::new(&refusal::ORIGIN_REFUSED, why);
    let Some(origin) = one(headers, &ORIGIN).map_err(refuse)? else {
        return Ok(());
    };
    let origin = origin.to_ascii_lowercase();
    let ours = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    if origins.contains(&origin) || ours.is_some_and(|host| hosts.contains(host)) {
        return Ok(());
    }
    Err(refuse("a page of another origin sent the request"))
}

/// What watchers ask by address, since they know no name: Kubernetes does, and Prometheus. Neither says anything of anybody, and a
/// page whose name was bound anew sends that name, never an address.
fn is_probed(path: &str) -> bool {
    matches!(path, "/readyz" | "/metrics")
}

fn is_address(host: &str) -> bool {
    host.parse::<SocketAddr>().is_ok()
        || host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
            .is_ok()
}

/// Checks that a body is sent as it is. What is compressed would be refused as no JSON, or read by somebody behind us who
/// unpacks it; JSON in another encoding reads as something else to whoever heeds its name.
pub(super) fn plain(headers: &HeaderMap) -> Result<(), Objection> {
    let refuse = |why: &str| Err(Objection::new(&refusal::CONTENT_CODED, why).showing(why));
    let is_identity = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(CONTENT_ENCODING).iter().all(is_identity) {
        return refuse("`Content-Encoding` says that it has to be unpacked");
    }
    let is_known = |value: &HeaderValue| value == "application/json" || !is_foreign_json(value.as_bytes());
    if !headers.get_all(CONTENT_TYPE).iter().all(is_known) {
        return refuse("`charset` names another encoding than UTF-8");
    }
    Ok(())
}

/// Whether a content type is JSON in another encoding than UTF-8.
fn is_foreign_json(content_type: &[u8]) -> bool {
    let mut parts = content_type.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let essence = parts.next().unwrap_or_default();
    essence.eq_ignore_ascii_case(b"application/json")
        && parts.any(|part| {
            let mut sides = part.splitn(2, |byte| *byte == b'=').map(<[u8]>::trim_ascii);
            let is_charset = sides.next().unwrap_or_default().eq_ignore_ascii_case(b"charset");
            let named = sides.next().unwrap_or_default();
            let named = named
                .strip_prefix(b"\"")
                .and_then(|rest| rest.strip_suffix(b"\""))
                .unwrap_or(named);
            is_charset && !named.eq_ignore_ascii_case(b"utf-8") && !named.eq_ignore_ascii_case(b"utf8")
        })
}

/// A header's text: `HeaderValue::to_str`, which looks at one byte after the other, and tokens are long. No control
/// character but a tab can be in a header's value, so what is left is to see that all of it is ASCII.
pub(super) fn text_of(value: &HeaderValue) -> Option<&str> {
    let text = std::str::from_utf8(value.as_bytes()).ok();
    text.filter(|text| text.is_ascii())
}

/// The value of a header that may come once.
pub(super) fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, &'static str> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err("a header comes twice");
    }
    text_of(value).map(Some).ok_or("a header is not text")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use hyper::{
        HeaderMap,
        header::{HOST, HeaderValue},
    };

    use super::{check, is_foreign_json, text_of};

    /// Regression: whoever watches by address was told that the gateway is never ready.
    #[test]
    fn an_address_may_be_asked_whether_it_is_ready_and_nothing_else() {
        let hosts = BTreeSet::from(["gateway.example".to_owned()]);
        let passes = |path: &'static str, host: &'static str| {
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
            let uri = hyper::Uri::from_static(path);
            check(&uri, &headers, &hosts, &BTreeSet::new()).is_ok()
        };
        for host in ["10.1.2.3:8443", "10.1.2.3", "[fd00::7]:8443", "[fd00::7]"] {
            assert!(passes("/readyz", host), "{host}");
            assert!(passes("/metrics", host), "{host}");
            assert!(!passes("/mcp", host), "{host}");
            assert!(!passes("/console", host), "{host}");
        }
        for host in ["evil.example", "10.1.2.3.evil.example", "[evil.example]", ""] {
            assert!(!passes("/readyz", host), "{host}");
        }
    }

    #[test]
    fn json_is_utf8_whatever_else_its_type_says() {
        for plain in [
            "application/json",
            "application/json; charset=utf-8",
            "Application/JSON;Charset=\"UTF-8\"",
            "application/json; charset=utf8; x=utf-16",
            "text/plain; charset=utf-16",
        ] {
            assert!(!is_foreign_json(plain.as_bytes()), "{plain}");
        }
        for foreign in [
            "application/json; charset=utf-16",
            "application/json;x=y;CHARSET = \"utf-7\"",
            "application/json; charset=utf-8; charset=latin1",
            "application/json; charset",
        ] {
            assert!(is_foreign_json(foreign.as_bytes()), "{foreign}");
        }
    }

    #[test]
    fn the_text_of_a_header_is_what_the_library_says() {
        for byte in 0..=u8::MAX {
            let Ok(value) = HeaderValue::from_bytes(&[b'a', byte, b'b']) else {
                continue;
            };
            assert_eq!(text_of(&value), value.to_str().ok(), "{byte}");
        }
    }
}
