//! Where a browser is sent back to: exactly where its client registered (OAuth 2.1, section 2.3; RFC 8252).

use std::fmt;

use thiserror::Error;

/// The longest one taken, in bytes.
const BYTES_MAX: usize = 2048;
/// Schemes that a browser gives a meaning of its own.
const NOT_APPS: [&str; 14] = [
    "about",
    "blob",
    "chrome",
    "data",
    "file",
    "filesystem",
    "ftp",
    "intent",
    "javascript",
    "mailto",
    "vbscript",
    "view-source",
    "ws",
    "wss",
];

/// An address a client registered, or one that matched.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RedirectUri {
    text: String,
    place: Place,
}

/// What is there.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Place {
    /// A site, by its origin.
    Site(String),
    /// Any program of this person's machine that listens there.
    Loopback { host: String, rest: String },
    /// The program that has this scheme.
    App(String),
}

/// Who registers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Registrar {
    /// Whoever asks: an app's scheme has to be a name its maker owns, reversed, `com.example.app` (RFC 8252 7.1).
    Anybody,
    /// The operator, who may know better.
    Operator,
}

/// Why an address will not do.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error(
    "a redirect URI is https, or http to this machine, or an app's own scheme, without user, fragment and wildcard"
)]
pub struct RedirectError;

impl RedirectUri {
    /// Reads an address that is registered.
    ///
    /// # Errors
    /// When it is none that a code may be sent to.
    pub fn parse(text: &str, registrar: Registrar) -> Result<Self, RedirectError> {
        let printable = text.bytes().all(|b| (0x21..0x7F).contains(&b));
        if !printable
            || text.len() > BYTES_MAX
            || text.contains(['#', '\\', '"', '<', '>', '^', '`', '*', '{', '}'])
        {
            return Err(RedirectError);
        }
        let (scheme, rest) = text.split_once(':').ok_or(RedirectError)?;
        let place = match scheme {
            "https" | "http" => web(scheme, rest)?,
            app => Self::app(app, rest, registrar)?,
        };
        Ok(Self {
            text: text.to_owned(),
            place,
        })
    }

    fn app(scheme: &str, rest: &str, registrar: Registrar) -> Result<Place, RedirectError> {
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c);
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase()) && scheme.chars().all(letters);
        let is_owned = scheme.contains('.') || registrar == Registrar::Operator;
        if is_scheme && is_owned && !NOT_APPS.contains(&scheme) && !rest.is_empty() {
            Ok(Place::App(scheme.to_owned()))
        } else {
            Err(RedirectError)
        }
    }

    /// The address, if the one that was registered allows it: letter by letter, but for the port of a loopback
    /// address, which native programs get from the system (RFC 8252, section 7.3).
    #[must_use]
    pub fn allows(&self, presented: &str) -> Option<Self> {
        if presented == self.text {
            return Some(self.clone());
        }
        let Place::Loopback { host, rest } = &self.place else {
            return None;
        };
        let other = Self::parse(presented, Registrar::Anybody).ok()?;
        match &other.place {
            Place::Loopback { host: h, rest: r } if h == host && r == rest => Some(other),
            Place::Site(_) | Place::Loopback { .. } | Place::App(_) => None,
        }
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether any program of the person's own machine can be there.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        matches!(self.place, Place::Loopback { .. })
    }

    /// Whether it is a site, which nobody else can be.
    #[must_use]
    pub fn is_site(&self) -> bool {
        matches!(self.place, Place::Site(_))
    }

    /// Where it leads, for people.
    #[must_use]
    pub fn shown(&self) -> &str {
        match &self.place {
            Place::Site(origin) => origin,
            Place::Loopback { host, .. } => host,
            Place::App(scheme) => scheme,
        }
    }

    /// As a source of a Content-Security-Policy: browsers apply `form-action` to where a form leads in the end.
    #[must_use]
    pub fn source(&self) -> String {
        match &self.place {
            Place::Site(origin) => origin.clone(),
            Place::Loopback { .. } => {
                let end = self.text.find("//").map_or(0, |at| at + 2);
                let (scheme, rest) = self.text.split_at_checked(end).unwrap_or_default();
                let authority = rest.split(['/', '?']).next().unwrap_or_default();
                format!("{scheme}{authority}")
            }
            Place::App(scheme) => format!("{scheme}:"),
        }
    }

    /// The address with parameters of an answer.
    #[must_use]
    pub fn with(&self, parameters: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(parameters);
        let mark = if self.text.contains('?') { '&' } else { '?' };
        format!("{}{mark}{}", self.text, query.finish())
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn web(scheme: &str, rest: &str) -> Result<Place, RedirectError> {
    let rest = rest.strip_prefix("//").ok_or(RedirectError)?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).ok_or(RedirectError)?;
    let (host, port) = match authority.strip_prefix('[') {
        Some(literal) => {
            let (address, port) = literal.split_once(']').ok_or(RedirectError)?;
            if address != "::1" {
                return Err(RedirectError);
            }
            (
                format!("[{address}]"),
                port.strip_prefix(':').or((port.is_empty()).then_some("")),
            )
        }
        None => {
            let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
            (host.to_owned(), Some(port))
        }
    };
    let port = port.ok_or(RedirectError)?;
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.[]:".contains(c);
    let is_port = port.is_empty() || port.parse::<u16>().is_ok_and(|port| port > 0);
    if host.is_empty() || !host.chars().all(good) || !is_port || authority.ends_with(':') {
        return Err(RedirectError);
    }
    match (scheme, host.as_str()) {
        (_, "127.0.0.1" | "[::1]" | "localhost") => Ok(Place::Loopback {
            host: format!("{scheme}://{host}"),
            rest: path.to_owned(),
        }),
        ("https", _) => Ok(Place::Site(format!("https://{authority}"))),
        (_, _) => Err(RedirectError),
    }
}

#[cfg(test)]
mod tests {
    use super::{RedirectUri, Registrar};

    fn registered(text: &str) -> RedirectUri {
        RedirectUri::parse(text, Registrar::Operator).expect(text)
    }

    #[test]
    fn only_addresses_that_a_code_may_be_sent_to_are_registered() {
        for text in [
            "https://app.example/cb",
            "https://app.example:8443/cb?x=1",
            "http://127.0.0.1:3000/cb",
            "http://[::1]/cb",
            "http://localhost/cb",
            "com.example.app:/cb",
        ] {
            assert!(RedirectUri::parse(text, Registrar::Anybody).is_ok(), "{text}");
        }
        assert!(RedirectUri::parse("cursor://x/cb", Registrar::Operator).is_ok());
        for text in [
            "",
            "/cb",
            "cursor://x/cb",
            "http://app.example/cb",
            "http://127.0.0.1.evil.example/cb",
            "http://localhost.evil.example/cb",
            "http://10.0.0.1/cb",
            "https://",
            "https:///cb",
            "https://user@app.example/cb",
            "https://app.example/cb#x",
            "https://*.example/cb",
            "https://app.example\\@evil.example/cb",
            "https://APP.example/cb",
            "https://app.example:0/cb",
            "https://app.example:/cb",
            "https://app.example:99999/cb",
            "https://[::2]/cb",
            "https://app.example/c b",
            "https://app.example/cb\r\nSet-Cookie: x=1",
            "https://app.exämple/cb",
            "javascript:alert(1)",
            "data:text/html,x",
            "JavaScript:alert(1)",
            "file:///etc/passwd",
            "about:blank",
        ] {
            assert!(RedirectUri::parse(text, Registrar::Anybody).is_err(), "{text}");
        }
        for text in [
            "javascript:alert(1)",
            "data:,x",
            "ftp://x/",
            "http://app.example/cb",
        ] {
            assert!(RedirectUri::parse(text, Registrar::Operator).is_err(), "{text}");
        }
    }

    #[test]
    fn near_misses_do_not_match() {
        let site = registered("https://app.example/cb");
        assert!(site.allows("https://app.example/cb").is_some());
        for text in [
            "https://app.example/cb/",
            "https://app.example/cb?x=1",
            "https://app.example/CB",
            "https://app.example/cb/../evil",
            "https://app.example/cb%2f",
            "https://app.example:443/cb",
            "https://APP.example/cb",
            "https://app.example.evil.example/cb",
            "https://evil.example/cb",
            "http://app.example/cb",
            "https://app.example/cb#",
            "https://x@app.example/cb",
            "https://app.example",
            " https://app.example/cb",
            "",
        ] {
            assert!(site.allows(text).is_none(), "{text}");
        }
        let native = registered("http://127.0.0.1/cb");
        for text in ["http://127.0.0.1:51004/cb", "http://127.0.0.1/cb"] {
            assert!(native.allows(text).is_some(), "{text}");
        }
        for text in [
            "http://127.0.0.1:51004/other",
            "http://127.0.0.1:51004/cb?x=1",
            "http://127.0.0.1:51004@evil.example/cb",
            "http://127.0.0.1:51004.evil.example/cb",
            "http://localhost:51004/cb",
            "http://[::1]:51004/cb",
            "https://127.0.0.1:51004/cb",
            "http://127.0.0.2:51004/cb",
        ] {
            assert!(native.allows(text).is_none(), "{text}");
        }
        let app = registered("com.example.app:/cb");
        assert!(app.allows("com.example.app:/cb2").is_none());
    }

    #[test]
    fn answers_are_added_and_encoded() {
        let answer = registered("https://app.example/cb?x=1").with(&[("code", "a b"), ("state", "&x=2#")]);
        assert_eq!(answer, "https://app.example/cb?x=1&code=a+b&state=%26x%3D2%23");
        assert_eq!(
            registered("https://app.example:8443/cb").source(),
            "https://app.example:8443"
        );
        assert_eq!(
            registered("http://127.0.0.1:3000/cb").source(),
            "http://127.0.0.1:3000"
        );
        assert_eq!(
            registered("http://localhost:3000?x").source(),
            "http://localhost:3000"
        );
        assert_eq!(registered("com.example.app:/cb").source(), "com.example.app:");
    }
}
