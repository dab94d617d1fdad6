//! Where the root key is: the one key that is not in the data directory's own ring, and opens it.

use std::{fmt, path::PathBuf};

use hyper::Uri;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{
    Problem,
    reference::{Lookup, Reference},
};
use crate::{config::meant::is_here, storage::keyring};

/// The key's name where none is said.
const KEY: &str = "sallyport";
/// Where Vault has its transit engine unless somebody put it elsewhere.
const MOUNT: &str = "transit";

/// Where the root key is. `SALLYPORT_ROOT_KEY`, or `root.key` in the data directory, where nothing is said.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidRoot {
    /// `file:PATH`, `env:NAME` or `keyring:NAME`: 32 bytes, in hexadecimal digits or base64. A file, and an entry of
    /// the keyring, are made where there is no data yet.
    pub(crate) from: Option<String>,
    /// A key in a token that never leaves it.
    pub(crate) pkcs11: Option<SaidPkcs11>,
    /// A key of HashiCorp Vault's transit engine (or OpenBao's) that never leaves it.
    pub(crate) vault: Option<SaidTransit>,
}

/// Reads it. A reference alone is what people try first, so they are told its shape.
pub(super) fn shaped<'de, D: Deserializer<'de>>(from: D) -> Result<SaidRoot, D::Error> {
    struct Shape;
    impl<'de> Visitor<'de> for Shape {
        type Value = SaidRoot;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("`{ from: \"file:PATH\" }`, `{ pkcs11: ... }` or `{ vault: ... }`")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<SaidRoot, E> {
            Err(E::custom(format!(
                "write it as `root_key: {{ from: \"{text}\" }}`; besides `from` there are `pkcs11` and `vault`"
            )))
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SaidRoot, A::Error> {
            SaidRoot::deserialize(MapAccessDeserializer::new(map))
        }
    }
    from.deserialize_any(Shape)
}

/// A token reached by PKCS#11: a hardware security module, a smart card, or SoftHSM.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidPkcs11 {
    /// The vendor's library, by its whole path. It runs inside the gateway.
    pub(crate) module: PathBuf,
    /// The token's label.
    pub(crate) token: String,
    /// The user's PIN, as `file:PATH`, `env:NAME` or `keyring:NAME`.
    pub(crate) pin: String,
    /// The label of an AES key in it: `sallyport` unless said. It is made, to stay in the token, where there is none
    /// and no data yet.
    pub(crate) key: Option<String>,
}

/// A key in HashiCorp Vault or OpenBao.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidTransit {
    /// `https://HOST:PORT`; without TLS only on this machine.
    pub(crate) address: String,
    /// A token that may `update` `transit/encrypt/KEY` and `transit/decrypt/KEY`, as `file:PATH` (read anew each time,
    /// as Vault's agent writes it), `env:NAME` or `keyring:NAME`.
    pub(crate) token: String,
    /// The key: `sallyport` unless said.
    pub(crate) key: Option<String>,
    /// Where the transit engine is mounted: `transit` unless said.
    pub(crate) mount: Option<String>,
    /// The namespace, where there are some.
    pub(crate) namespace: Option<String>,
    /// The certificate of the authority that vouches for it, if that is not a public one.
    pub(crate) authority: Option<PathBuf>,
}

/// Where the root key is.
#[derive(Clone, Debug, Default)]
pub(crate) enum MeantRoot {
    /// `SALLYPORT_ROOT_KEY`, or `root.key` in the data directory.
    #[default]
    Usual,
    Env(String),
    File(PathBuf),
    Keyring(String),
    Pkcs11(MeantPkcs11),
    Vault(MeantTransit),
}

/// A key in a token.
#[derive(Clone, Debug)]
pub(crate) struct MeantPkcs11 {
    pub(crate) module: PathBuf,
    pub(crate) token: String,
    pub(crate) pin: Reference,
    pub(crate) key: String,
}

/// A key in a Vault.
#[derive(Clone, Debug)]
pub(crate) struct MeantTransit {
    pub(crate) address: String,
    pub(crate) token: Reference,
    pub(crate) key: String,
    pub(crate) mount: String,
    pub(crate) namespace: Option<String>,
    pub(crate) authority: Option<PathBuf>,
}

/// What is said of it means this.
pub(crate) fn mean(said: &SaidRoot, lookup: &Lookup<'_>) -> Result<MeantRoot, Problem> {
    match (&said.from, &said.pkcs11, &said.vault) {
        (None, None, None) => Ok(MeantRoot::Usual),
        (Some(from), None, None) => place(from, lookup),
        (None, Some(token), None) => pkcs11(token, lookup).map(MeantRoot::Pkcs11),
        (None, None, Some(vault)) => transit(vault, lookup).map(MeantRoot::Vault),
        _ => Err(Problem::new(
            "root_key",
            "it says several places",
            "keep one of `from`, `pkcs11` and `vault`",
        )),
    }
}

/// The secrets it names, for those who must not see them.
pub(super) fn references(said: &SaidRoot) -> impl Iterator<Item = &String> {
    let pins = said.pkcs11.iter().map(|token| &token.pin);
    let tokens = said.vault.iter().map(|vault| &vault.token);
    said.from.iter().chain(pins).chain(tokens)
}

fn place(from: &str, lookup: &Lookup<'_>) -> Result<MeantRoot, Problem> {
    let unknown = |what| {
        Problem::new(
            "root_key.from",
            what,
            "write `file:PATH`, `env:NAME` or `keyring:NAME`",
        )
    };
    match from.split_once(':') {
        Some((_, "")) => Err(unknown("it has no name")),
        Some(("env", name)) => Ok(MeantRoot::Env(name.to_owned())),
        Some(("file", path)) => Ok(MeantRoot::File(lookup.path(path))),
        Some((keyring::SCHEME, name)) => Ok(MeantRoot::Keyring(name.to_owned())),
        // What stands there may be the key itself, and is not repeated.
        _ => Err(unknown("it is no reference to a key")),
    }
}

fn pkcs11(said: &SaidPkcs11, lookup: &Lookup<'_>) -> Result<MeantPkcs11, Problem> {
    if !said.module.is_absolute() {
        return Err(Problem::new(
            "root_key.pkcs11.module",
            "a library is named by its whole path",
            "write such as `/usr/lib/softhsm/libsofthsm2.so`",
        ));
    }
    Ok(MeantPkcs11 {
        module: said.module.clone(),
        token: named("root_key.pkcs11.token", &said.token)?,
        pin: lookup.reference("root_key.pkcs11.pin", &said.pin)?,
        key: named("root_key.pkcs11.key", said.key.as_deref().unwrap_or(KEY))?,
    })
}

fn transit(said: &SaidTransit, lookup: &Lookup<'_>) -> Result<MeantTransit, Problem> {
    let at = |name: &str| format!("root_key.vault.{name}");
    let remedy = "write `https://HOST:PORT`, without a path";
    let wrong = |what| Problem::new(at("address"), what, remedy);
    let uri: Uri = said.address.parse().map_err(|_| wrong("it is no address"))?;
    let authority = uri.authority().ok_or_else(|| wrong("it is no address"))?;
    if authority.as_str().contains('@') || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(wrong("it is more than an address"));
    }
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if is_here(authority.as_str()) => {}
        _ => return Err(wrong("keys go through TLS, except on this machine")),
    }
    let path = |name: &str, text: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let is_path = text
            .split('/')
            .all(|part| !part.is_empty() && part.chars().all(fits) && !part.starts_with('.'));
        let wrong = || {
            Problem::new(
                at(name),
                "it is no name in a path",
                "use letters, digits, `-`, `_`, `.`",
            )
        };
        is_path.then(|| text.to_owned()).ok_or_else(wrong)
    };
    Ok(MeantTransit {
        address: said.address.trim_end_matches('/').to_owned(),
        token: lookup.reference(&at("token"), &said.token)?,
        key: path("key", said.key.as_deref().unwrap_or(KEY))?,
        mount: path("mount", said.mount.as_deref().unwrap_or(MOUNT))?,
        namespace: said
            .namespace
            .as_deref()
            .map(|name| path("namespace", name.trim_end_matches('/')))
            .transpose()?,
        authority: said
            .authority
            .as_ref()
            .map(|path| lookup.path(&path.display().to_string())),
    })
}

fn named(at: &str, text: &str) -> Result<String, Problem> {
    if text.trim().is_empty() {
        return Err(Problem::new(at, "it is empty", "write the label"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn meant(yaml: &str) -> Result<MeantRoot, String> {
        let said: SaidRoot = serde_saphyr::from_str(yaml).map_err(|error| error.to_string())?;
        let lookup = Lookup::new(&|_| None, Path::new("/etc/sallyport"));
        mean(&said, &lookup).map_err(|problem| problem.to_string())
    }

    #[test]
    fn one_place_is_named_and_no_secret_stands_in_the_file() {
        assert!(matches!(meant("{}"), Ok(MeantRoot::Usual)));
        assert!(
            matches!(meant("from: file:r.key"), Ok(MeantRoot::File(path)) if path == Path::new("/etc/sallyport/r.key"))
        );
        assert!(matches!(meant("from: keyring:root"), Ok(MeantRoot::Keyring(name)) if name == "root"));
        let token = "pkcs11: { module: /lib/p11.so, token: prod, pin: \"file:pin\" }";
        assert!(matches!(meant(token), Ok(MeantRoot::Pkcs11(token)) if token.key == "sallyport"));
        let vault = "vault: { address: \"https://vault:8200/\", token: \"env:VAULT_TOKEN\" }";
        assert!(matches!(meant(vault), Ok(MeantRoot::Vault(vault)) if vault.address == "https://vault:8200"));
        for (yaml, what) in [
            ("from: 00112233445566778899aabbccddeeff", "no reference to a key"),
            ("from: \"file:\"", "no name"),
            (
                "from: env:A\npkcs11: { module: /a, token: b, pin: \"env:C\" }",
                "several places",
            ),
            (
                "pkcs11: { module: /lib/p11.so, token: prod, pin: \"123456\" }",
                "a secret stands in the file itself",
            ),
            (
                "pkcs11: { module: p11.so, token: prod, pin: \"file:pin\" }",
                "by its whole path",
            ),
            (
                "vault: { address: \"http://vault:8200\", token: \"env:T\" }",
                "go through TLS",
            ),
            (
                "vault: { address: \"https://u:p@vault\", token: \"env:T\" }",
                "more than an address",
            ),
            (
                "vault: { address: \"https://vault\", token: \"env:T\", key: \"../sys/seal\" }",
                "no name in a path",
            ),
        ] {
            let why = meant(yaml).unwrap_err();
            assert!(
                why.contains(what) && !why.contains("123456") && !why.contains("0011"),
                "{yaml}: {why}"
            );
        }
    }
}
