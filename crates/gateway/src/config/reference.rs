//! Secrets by reference: `env:NAME`, `file:PATH`, `keyring:NAME`. A secret written into a configuration file is refused.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::Problem;
use crate::{outside::secrets::SCHEME, storage::keyring};

/// Where references are looked up; passed in so that tests need no real environment.
pub(crate) struct Lookup<'l> {
    /// The environment.
    pub(crate) env: &'l dyn Fn(&str) -> Option<String>,
    /// What relative paths are relative to.
    pub(crate) base: &'l Path,
    /// What stands for every secret, where none is to be looked up.
    withheld: Option<&'l str>,
}

/// How references to secrets begin that are looked up by the configuration's reader.
const SCHEMES: [&str; 3] = ["env:", "file:", keyring::PREFIX];

/// What to write in a secret's place.
pub(crate) const FORMS: &str = "write `env:NAME`, `file:PATH` or `keyring:NAME` and put the secret there";

/// A reference that is followed each time the secret is needed, so that it is nowhere in between.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    at: String,
    text: String,
    base: PathBuf,
}

impl Reference {
    /// The secret, as it is now.
    pub(crate) fn read(&self) -> Result<Zeroizing<String>, Problem> {
        let lookup = Lookup::new(&|name| std::env::var(name).ok(), &self.base);
        lookup.secret(&self.at, &self.text).map(Zeroizing::new)
    }
}

impl<'l> Lookup<'l> {
    /// Where references are looked up.
    pub(crate) fn new(env: &'l dyn Fn(&str) -> Option<String>, base: &'l Path) -> Self {
        Self {
            env,
            base,
            withheld: None,
        }
    }

    /// The same without looking up any secret: this stands for all of them.
    pub(crate) fn withholding(self, withheld: &'l str) -> Self {
        Self {
            withheld: Some(withheld),
            ..self
        }
    }

    /// The same, and secrets are looked up whatever was said before.
    pub(crate) fn revealing(&self) -> Lookup<'l> {
        Self::new(self.env, self.base)
    }

    /// A reference that must be one, to be followed later.
    pub(crate) fn reference(&self, at: &str, text: &str) -> Result<Reference, Problem> {
        if !SCHEMES.iter().any(|scheme| text.starts_with(scheme)) {
            return Err(Problem::new(at, "a secret stands in the file itself", FORMS));
        }
        Ok(Reference {
            at: at.to_owned(),
            text: text.to_owned(),
            base: self.base.to_owned(),
        })
    }

    /// Resolves a reference that must be one.
    pub(crate) fn secret(&self, at: &str, reference: &str) -> Result<String, Problem> {
        match self.resolve(at, reference)? {
            Some(secret) => Ok(secret),
            None => Err(Problem::new(at, "a secret stands in the file itself", FORMS)),
        }
    }

    /// Resolves a value that may be a reference or a plain text, as in clients' files.
    pub(crate) fn value(&self, at: &str, value: &str) -> Result<String, Problem> {
        match self.resolve(at, value)? {
            Some(secret) => Ok(secret),
            None => self.expand(at, value),
        }
    }

    fn resolve(&self, at: &str, reference: &str) -> Result<Option<String>, Problem> {
        if let Some(withheld) = self.withheld
            && SCHEMES.iter().any(|scheme| reference.starts_with(scheme))
        {
            return Ok(Some(withheld.to_owned()));
        }
        if let Some(name) = reference.strip_prefix("env:") {
            return self.variable(at, name).map(Some);
        }
        if let Some(path) = reference.strip_prefix("file:") {
            return self.file(at, path).map(Some);
        }
        if reference.starts_with(SCHEME) {
            let why = "`vault:` references are for `env` of servers that are programs";
            return Err(Problem::new(
                at,
                why,
                "use `env:NAME`, `file:PATH` or `keyring:NAME`",
            ));
        }
        if let Some(name) = reference.strip_prefix(keyring::PREFIX) {
            let found = keyring::read(name).map_err(|error| error.at(at))?;
            let found = found.ok_or_else(|| keyring::missing(name).at(at))?;
            return Ok(Some(found.to_string()));
        }
        Ok(None)
    }

    /// An argument: never a secret, for everybody on the machine can read arguments.
    pub(crate) fn argument(&self, at: &str, text: &str) -> Result<String, Problem> {
        let is_url = text.starts_with("file://");
        let mut schemes = ["env:", "file:", SCHEME, keyring::PREFIX].into_iter();
        if !is_url && schemes.any(|scheme| text.starts_with(scheme)) {
            let why = "a secret among arguments can be read by everybody on this machine";
            return Err(Problem::new(at, why, "give it to the program in `env`"));
        }
        self.expand(at, text)
    }

    fn variable(&self, at: &str, name: &str) -> Result<String, Problem> {
        (self.env)(name).filter(|value| !value.is_empty()).ok_or_else(|| {
            Problem::new(
                at,
                format!("the environment variable `{name}` is not set"),
                format!("export {name}=... before starting"),
            )
        })
    }

    fn file(&self, at: &str, path: &str) -> Result<String, Problem> {
        let path = self.path(path);
        private(at, &path)?;
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Problem::new(
                at,
                format!("{}: {error}", path.display()),
                "create the file, or correct the path",
            )
        })?;
        Ok(text.trim_end_matches(['\n', '\r']).to_owned())
    }

    /// `${NAME}` and `${NAME:-default}`, as clients write them.
    fn expand(&self, at: &str, text: &str) -> Result<String, Problem> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, tail)) = rest.split_once("${") {
            out.push_str(before);
            let Some((name, after)) = tail.split_once('}') else {
                return Err(Problem::new(at, "`${` without `}`", "close it"));
            };
            if name.starts_with("input:") {
                return Err(Problem::new(
                    at,
                    format!("`${{{name}}}` asks the editor's user, who is not here"),
                    "write `env:NAME` or `file:PATH`",
                ));
            }
            let name = name.strip_prefix("env:").unwrap_or(name);
            let (name, default) = name.split_once(":-").map_or((name, None), |(n, d)| (n, Some(d)));
            match ((self.env)(name), default) {
                (Some(value), _) => out.push_str(&value),
                (None, Some(default)) => out.push_str(default),
                (None, None) => return self.variable(at, name),
            }
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }

    /// A path as written in the file: relative to the file, `~` for the home directory.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        match (path.strip_prefix("~/"), (self.env)("HOME")) {
            (Some(rest), Some(home)) => Path::new(&home).join(rest),
            _ => self.base.join(path),
        }
    }
}

/// Refuses a file of secrets that others on this machine can read or change.
pub(crate) fn private(at: &str, path: &Path) -> Result<(), Problem> {
    use std::os::unix::fs::PermissionsExt;
    let Ok(metadata) = std::fs::metadata(path) else {
        return Ok(());
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Problem::new(
            at,
            format!(
                "others on this machine can read {} (mode {mode:o})",
                path.display()
            ),
            format!("chmod 600 {}", path.display()),
        ));
    }
    Ok(())
}
