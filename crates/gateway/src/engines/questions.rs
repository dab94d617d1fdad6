//! What holds for each question of a server, whatever rules say: which addresses its user may be sent to, and what it
//! may have its client's model do.
//!
//! An address is opened in a browser, by a person who trusts the program that shows it. What would be read in two
//! ways, or looks like another, is refused: nobody can mark it where it is shown.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pipeline::{Objection, refusal};
use wire::{
    bounds::{SAMPLING_TOKENS_MAX, URI_BYTES_MAX},
    json::{Edits, Node},
    mcp::Method,
};

use crate::outside::addresses::{Kind, kind};

/// Members that are looked at here and where forms are read.
const HELD: [&str; 6] = [
    "includeContext",
    "maxTokens",
    "message",
    "mode",
    "requestedSchema",
    "url",
];

/// What is changed in a question before its client gets it, and a line for each sort of change.
pub(super) fn held(method: Method, params: Node<'_>) -> Result<(Edits, Vec<String>), Objection> {
    // THREAT: clients that take `URL` for `url` would open what nobody looked at.
    for (key, _) in params.members() {
        let name = key.as_str().unwrap_or_default();
        if HELD
            .iter()
            .any(|held| held.eq_ignore_ascii_case(&name) && *held != name)
        {
            let why = "a member is written in other letters than the protocol's";
            return Err(Objection::new(&refusal::URL_REFUSED, why).showing(why));
        }
    }
    if method == Method::ElicitationCreate
        && let Some(url) = params.get("url")
    {
        let bad = url.as_str().map_or(Some("it is no text"), |url| fault(&url));
        if let Some(why) = bad {
            let why = format!("the address its user is to open is refused: {why}");
            return Err(Objection::new(&refusal::URL_REFUSED, why.clone()).showing(why));
        }
    }
    let (mut edits, mut lines) = (Edits::default(), Vec::new());
    if method == Method::SamplingCreateMessage {
        // What other servers said, and what was said before, is not this server's to have.
        if let Some(context) = params.get("includeContext").filter(|given| !given.is_str("none")) {
            edits.remove(context);
            lines.push("drop includeContext 1".to_owned());
        }
        if let Some(tokens) = params.get("maxTokens").filter(|given| !is_within(*given)) {
            edits.json(tokens, SAMPLING_TOKENS_MAX.to_string().into_bytes());
            lines.push("cap maxTokens 1".to_owned());
        }
    }
    Ok((edits, lines))
}

/// Whether so many tokens may be asked for.
fn is_within(tokens: Node<'_>) -> bool {
    let whole = tokens.as_number().and_then(|number| number.as_i64());
    whole.is_some_and(|tokens| tokens <= SAMPLING_TOKENS_MAX)
}

/// What is wrong with an address that a person is to open.
fn fault(url: &str) -> Option<&'static str> {
    let printable = url.bytes().all(|b| (0x21..0x7F).contains(&b));
    if !printable || url.len() > URI_BYTES_MAX || url.contains(['\\', '"', '<', '>', '^', '`']) {
        return Some("it is too long, or has characters that an address does not have");
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return Some("it is neither https nor http");
    };
    let is_https = scheme.eq_ignore_ascii_case("https");
    if !is_https && !scheme.eq_ignore_ascii_case("http") {
        return Some("it is neither https nor http");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Some("it names a user before its host");
    }
    let host = match host_of(authority) {
        Ok(host) => host,
        Err(why) => return Some(why),
    };
    match host {
        Host::Address(Kind::Never | Kind::Private) => {
            Some("it names a host of an internal network by its number")
        }
        Host::Address(Kind::Loopback) => None,
        Host::Address(Kind::Public) | Host::Name if is_https => None,
        Host::Address(Kind::Public) | Host::Name => Some("it is http, and not to this machine"),
    }
}

/// A host, as far as it matters.
enum Host {
    Address(Kind),
    Name,
}

fn host_of(authority: &str) -> Result<Host, &'static str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or("its host is none")?;
            let address: Ipv6Addr = host.parse().map_err(|_| "its host is none")?;
            (Ok(IpAddr::V6(address)), port)
        }
        None => {
            let end = authority.find(':').unwrap_or(authority.len());
            let (host, port) = authority.split_at_checked(end).unwrap_or((authority, ""));
            (Err(host.to_ascii_lowercase()), port)
        }
    };
    let digits = port.strip_prefix(':').unwrap_or_default();
    if !digits.bytes().all(|b| b.is_ascii_digit()) || (!port.is_empty() && digits.parse::<u16>().is_err()) {
        return Err("its port is none");
    }
    match host {
        Ok(address) => Ok(Host::Address(kind(address.to_canonical()))),
        Err(name) => named(&name),
    }
}

fn named(name: &str) -> Result<Host, &'static str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name == "localhost" || name.ends_with(".localhost") {
        return Ok(Host::Address(Kind::Loopback));
    }
    let is_label = |label: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        !label.is_empty() && label.len() < 64 && label.bytes().all(plain)
    };
    if !name.split('.').all(is_label) {
        return Err("its host is none");
    }
    // A browser shows such a name in letters that may look like those of another.
    if name.split('.').any(|label| label.starts_with("xn--")) {
        return Err("its host is written in punycode, and could be shown as another");
    }
    // Browsers take `2130706433`, `0x7f.1` and `127.1` for addresses, too.
    let last = name.rsplit('.').next().unwrap_or_default();
    if !last.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(Host::Name);
    }
    let address: Ipv4Addr = name
        .parse()
        .map_err(|_| "its host is a number that is not written as addresses are")?;
    Ok(Host::Address(kind(IpAddr::V4(address))))
}

#[cfg(test)]
mod tests {
    use wire::{
        bounds::REQUEST,
        json::{Document, Keys, object},
    };

    use super::*;

    #[test]
    fn people_are_sent_to_hosts_that_are_what_they_look_like() {
        for good in [
            "https://github.com/login?x=1#y",
            "HTTPS://Example.COM:8443/",
            "https://a_b.example.com.",
            "https://93.184.216.34/x",
            "http://localhost:8080/x",
            "http://127.0.0.1/x",
            "http://[::1]:9/x",
            "https://x.example/a@b?next=https://c@d",
        ] {
            assert_eq!(fault(good), None, "{good}");
        }
        for bad in [
            "",
            "javascript:alert(1)",
            "javascript://example.com/%0aalert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "https:github.com",
            "https:///github.com",
            "http://github.com/",
            "https://github.com@evil.example/x",
            "https://github.com:x@evil.example/x",
            "https://github.com\\@evil.example/x",
            "https://git hub.com/",
            "https://git\thub.com/",
            "https://github.com%2eevil.example/",
            "https://xn--pple-43d.com/x",
            "https://www.xn--pple-43d.com/x",
            "https://\u{430}pple.com/x",
            "http://169.254.169.254/x",
            "https://169.254.169.254/x",
            "https://10.0.0.1/",
            "https://192.168.1.1/",
            "https://100.64.0.1/",
            "https://0.0.0.0/",
            "https://2852039166/",
            "https://0xa9fea9fe/",
            "https://169.254.43518/",
            "https://0251.0376.0251.0376/",
            "https://[fd00::1]/",
            "https://[fe80::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[::1",
            "https://example.com:99999/",
            "https://example.com:8o/",
            "https://a..b/",
        ] {
            assert!(fault(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn a_model_is_asked_for_so_much_and_without_what_others_said() {
        for (params, expected) in [
            (
                r#"{"maxTokens":1000000000,"includeContext":"allServers"}"#,
                r#"{"maxTokens":16384}"#,
            ),
            (
                r#"{"maxTokens":1e9,"includeContext":"thisServer"}"#,
                r#"{"maxTokens":16384}"#,
            ),
            (
                r#"{"maxTokens":"many","includeContext":7}"#,
                r#"{"maxTokens":16384}"#,
            ),
            (
                r#"{"maxTokens":16384,"includeContext":"none"}"#,
                r#"{"maxTokens":16384,"includeContext":"none"}"#,
            ),
        ] {
            let document = Document::parse(params.into(), Keys::Exact, &REQUEST).unwrap();
            let (edits, lines) = held(Method::SamplingCreateMessage, document.root()).unwrap();
            let written = object(|out| out.members_except(document.root(), &[], &edits));
            assert_eq!(String::from_utf8(written).unwrap(), expected, "{lines:?}");
            assert_eq!(lines.is_empty(), params == expected);
        }
    }
}
