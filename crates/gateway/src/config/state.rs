//! Where the tables are that replicas share, if not in the data directory.

use std::{fmt, path::PathBuf, sync::Arc};

use records::table::Server;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};

use super::{Problem, reference::Lookup};
use crate::tls;

/// The address of a PostgreSQL database, and whom its certificate has to be from.
#[derive(Clone)]
pub(crate) struct MeantState {
    address: String,
    authority: Option<PathBuf>,
}

impl fmt::Debug for MeantState {
    /// Without the password that may be in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MeantState")
    }
}

/// The parameter of an address that names the authority, as PostgreSQL's own programs have it.
const AUTHORITY: &str = "sslrootcert=";

pub(crate) fn mean(said: Option<&str>, lookup: &Lookup<'_>) -> Result<Option<MeantState>, Problem> {
    let Some(said) = said else { return Ok(None) };
    let text = lookup.value("state", said)?;
    let form = "write `postgresql://user@host:5432/database`, or `env:NAME` or `file:PATH` of such a text";
    let rest = text
        .strip_prefix("postgresql://")
        .or(text.strip_prefix("postgres://"));
    let rest =
        rest.ok_or_else(|| Problem::new("state", "it is no address of a PostgreSQL database", form))?;
    let user = rest
        .split(['/', '?'])
        .next()
        .and_then(|authority| authority.rsplit_once('@'));
    if text == said && user.is_some_and(|(user, _)| user.contains(':')) {
        return Err(Problem::new(
            "state",
            "a password stands in the file itself",
            form,
        ));
    }
    let (address, parameters) = text.split_once('?').unwrap_or((&text, ""));
    let (authority, parameters): (Vec<&str>, Vec<&str>) = parameters
        .split('&')
        .filter(|parameter| !parameter.is_empty())
        .partition(|parameter| parameter.starts_with(AUTHORITY));
    let authority = authority
        .first()
        .and_then(|parameter| parameter.strip_prefix(AUTHORITY));
    let question = if parameters.is_empty() { "" } else { "?" };
    Ok(Some(MeantState {
        address: format!("{address}{question}{}", parameters.join("&")),
        authority: authority.map(|path| lookup.path(path)),
    }))
}

impl MeantState {
    /// Connects, and brings the tables up to date.
    pub(crate) fn connect(&self) -> Result<Server, String> {
        let mut roots = RootCertStore::empty();
        match &self.authority {
            Some(path) => {
                for root in tls::authorities(path)? {
                    roots
                        .add(root)
                        .map_err(|error| format!("{}: {error}", path.display()))?;
                }
            }
            None => roots.roots = webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Server::connect(&self.address, Arc::new(config)).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn meant(text: &str) -> Result<MeantState, String> {
        let lookup = Lookup::new(
            &|name| (name == "DB").then(|| "postgres://me:hunter2@db/x?sslrootcert=ca.pem".to_owned()),
            Path::new("/etc/sallyport"),
        );
        let meant = mean(Some(text), &lookup).map_err(|problem| problem.what);
        meant.map(|meant| meant.unwrap())
    }

    #[test]
    fn a_password_stands_elsewhere_and_the_authority_is_a_file() {
        let plain = meant("postgresql://me@db:5432/x?application_name=a").unwrap();
        assert_eq!(plain.address, "postgresql://me@db:5432/x?application_name=a");
        assert_eq!(plain.authority, None);
        let named = meant("env:DB").unwrap();
        assert_eq!(named.address, "postgres://me:hunter2@db/x");
        assert_eq!(
            named.authority.as_deref(),
            Some(Path::new("/etc/sallyport/ca.pem"))
        );
        assert!(!format!("{named:?}").contains("hunter2"));
        let inside = meant("postgresql://me:hunter2@db/x").unwrap_err();
        assert!(
            inside.contains("in the file itself") && !inside.contains("hunter2"),
            "{inside}"
        );
        assert!(meant("mysql://db/x").unwrap_err().contains("no address"));
        assert!(meant("env:NONE").unwrap_err().contains("not set"));
    }
}
