//! The hosts of a manifest.

use std::{fmt, net::IpAddr};

/// Ports where none is said.
const PORTS: [u16; 2] = [443, 80];

/// A host, all hosts below a name, or every host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Host {
    name: String,
    which: Which,
    port: Option<u16>,
    /// It may be at an address of one's own networks.
    pub(super) private: bool,
}

/// Which hosts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Which {
    /// `*`: whichever has a public address.
    Any,
    /// `*.name`: what is below it, and not itself.
    Below,
    /// `name`.
    Named,
}

impl Host {
    /// A host of a configuration.
    pub(crate) fn parse(text: &str, private: bool) -> Result<Self, String> {
        let bad = || format!("`{}` is not a host", text.escape_debug());
        let any = text
            .strip_prefix('*')
            .filter(|rest| rest.is_empty() || rest.starts_with(':'));
        let (which, rest) = match (any, text.strip_prefix("*.")) {
            (Some(_), _) if private => return Err("`*` would be every host of your own networks".to_owned()),
            (Some(_), _) => (Which::Any, text),
            (None, Some(rest)) => (Which::Below, rest),
            (None, None) => (Which::Named, text),
        };
        let (name, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, "")) => (address, None),
            Some((address, port)) => (address, Some(port.strip_prefix(':').ok_or_else(bad)?)),
            None => match rest.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (rest, None),
            },
        };
        let port = port
            .map(|port| port.parse::<u16>().map_err(|_| bad()))
            .transpose()?;
        let letters = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let is_address = name.parse::<IpAddr>().is_ok();
        let is_fine = match which {
            Which::Any => name == "*",
            Which::Below => !is_address && name.contains('.') && name.chars().all(letters),
            Which::Named => is_address || !name.is_empty() && name.chars().all(letters),
        };
        if !is_fine {
            return Err(bad());
        }
        Ok(Self {
            name: normal(name),
            which,
            port,
            private,
        })
    }

    /// Whether it is granted at private addresses.
    pub(crate) fn is_private_for(&self, name: &str, port: u16) -> bool {
        self.private && self.covers(name, port)
    }

    pub(super) fn covers(&self, name: &str, port: u16) -> bool {
        let ports = self.port.map_or_else(|| PORTS.contains(&port), |own| own == port);
        let letters = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let names = match self.which {
            Which::Any => name.parse::<IpAddr>().is_ok() || !name.is_empty() && name.chars().all(letters),
            Which::Below => {
                let before = name.strip_suffix(self.name.as_str());
                let is_below = before.is_some_and(|before| before.len() > 1 && before.ends_with('.'));
                is_below && name.chars().all(letters)
            }
            Which::Named => name == self.name,
        };
        ports && names
    }
}

/// A name as it is compared.
pub(super) fn normal(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.which == Which::Below { "*." } else { "" })?;
        f.write_str(&self.name)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(if self.private { " (private)" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::Host;

    #[test]
    fn hosts_cover_themselves_and_nothing_that_looks_like_them() {
        let host = |text| Host::parse(text, false).expect(text);
        for (said, name, port, covers) in [
            ("api.github.com", "api.github.com", 443, true),
            ("API.GitHub.com", "api.github.com", 80, true),
            ("api.github.com", "api.github.com", 22, false),
            ("api.github.com:22", "api.github.com", 22, true),
            ("api.github.com:22", "api.github.com", 443, false),
            ("api.github.com", "evil-api.github.com", 443, false),
            ("api.github.com", "api.github.com.evil.com", 443, false),
            ("*.github.com", "api.github.com", 443, true),
            ("*.github.com", "a.b.github.com", 443, true),
            ("*.github.com", "github.com", 443, false),
            ("*.github.com", "evilgithub.com", 443, false),
            ("*.github.com", ".github.com", 443, false),
            ("*.github.com", "evil.example/.github.com", 443, false),
            ("*.github.com", "evil.example\0.github.com", 443, false),
            ("*", "api.github.com", 443, true),
            ("*", "9.9.9.9", 80, true),
            ("*", "api.github.com", 22, false),
            ("*:8080", "api.github.com", 8080, true),
            ("*:8080", "api.github.com", 443, false),
            ("*", "evil.example\0.github.com", 443, false),
        ] {
            assert_eq!(host(said).covers(name, port), covers, "{said} {name}:{port}");
        }
        for text in [
            "",
            "**",
            "*com",
            "*:",
            "*.com",
            "*.",
            "a b",
            "https://x",
            "x/y",
            "x:99999",
            "x:",
            "*.10.0.0.1",
            "user@x",
        ] {
            assert!(Host::parse(text, false).is_err(), "{text}");
        }
        assert!(Host::parse("*", true).is_err());
    }
}
