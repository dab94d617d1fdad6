//! `sallyport policy sign` and `policy verify`: bundles of rules, signed by those who answer for them.

use std::path::{Path, PathBuf};

use clap::Args;
use wire::json::object;

use super::{Common, place::without_secrets, say};
use crate::{
    config::reference::Lookup,
    failure::Failure,
    registry::bundle::{Bundle, Envelope, SignerKey},
};

/// Rules that come from what callers may declare, and not from `policy`.
const OF_PURPOSES: &str = "purposes.";

/// Sign the rules of the configuration, or a bundle somebody else has signed.
#[derive(Args, Debug)]
pub(crate) struct Sign {
    /// The bundle: written anew from the configuration's rules, or with --add signed once more.
    bundle: PathBuf,
    /// The private key in PEM (Ed25519): `env:NAME` or `file:PATH`.
    #[arg(long)]
    key: String,
    /// Add a signature to the bundle as it is.
    #[arg(long)]
    add: bool,
}

/// Say what a bundle holds and who has signed it.
#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// The bundle.
    bundle: PathBuf,
    /// The public keys (PEM) that may have signed it.
    #[arg(long = "key", required = true, value_name = "FILE")]
    keys: Vec<PathBuf>,
    /// How many of them must have.
    #[arg(long, default_value_t = 1)]
    signatures: usize,
}

impl Sign {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        let env = |name: &str| std::env::var(name).ok();
        let base = std::env::current_dir().unwrap_or_default();
        let lookup = Lookup::new(&env, &base);
        let key = lookup.secret("--key", &self.key);
        let key = key.map_err(|problem| Failure::configuration(problem.to_string()))?;
        let mut envelope = if self.add {
            read(&self.bundle)?
        } else {
            Envelope::around(&rules(common)?)
        };
        let signed = envelope.sign(&key);
        let key = signed.map_err(|why| Failure::configuration(format!("--key: {why}")))?;
        let written = std::fs::write(&self.bundle, envelope.write());
        written.map_err(|error| Failure::other(format!("{}: {error}", self.bundle.display())))?;
        say(&if common.json {
            let answer = object(|out| out.string("signed_by", &key.id));
            String::from_utf8_lossy(&answer).into_owned()
        } else {
            format!("signed by {}", key.id)
        });
        Ok(())
    }
}

impl Verify {
    pub(crate) fn run(self, common: &Common) -> Result<(), Failure> {
        let keys: Result<Vec<SignerKey>, String> = self.keys.iter().map(|key| SignerKey::read(key)).collect();
        let keys = keys.map_err(Failure::configuration)?;
        let envelope = read(&self.bundle)?;
        let opened = envelope.open(&keys, self.signatures);
        let shown = self.bundle.display();
        let bundle = opened.map_err(|why| Failure::does_not_hold(format!("{shown}: {why}")))?;
        let signers: Vec<&str> = envelope
            .signers(&keys)
            .iter()
            .map(|key| key.id.as_str())
            .collect();
        if common.json {
            let answer = object(|out| {
                out.integer("version", bundle.version);
                out.array("packs", |list| {
                    bundle.packs.iter().for_each(|pack| list.string(pack))
                });
                out.integer("rules", u64::try_from(bundle.rules.len()).unwrap_or(0));
                out.array("signed_by", |list| signers.iter().for_each(|id| list.string(id)));
            });
            say(&String::from_utf8_lossy(&answer));
            return Ok(());
        }
        say(&format!(
            "version {}, {} rules beside {}",
            bundle.version,
            bundle.rules.len(),
            bundle.packs.join(", ")
        ));
        signers.iter().for_each(|id| say(&format!("signed by {id}")));
        Ok(())
    }
}

/// The rules of the configuration. They need a version: it is what keeps an old bundle from coming back.
fn rules(common: &Common) -> Result<Bundle, Failure> {
    let meant = without_secrets(common)?;
    let version = meant.version.ok_or_else(|| {
        Failure::configuration(
            "policy.version is missing; give the rules one, and raise it with every change",
        )
    })?;
    // What cannot be used is not signed.
    crate::assemble::rules(&meant)?;
    let mut rules = meant.rules;
    rules.retain(|(name, _)| !name.starts_with(OF_PURPOSES));
    Ok(Bundle {
        version,
        packs: meant.packs,
        rules,
    })
}

fn read(path: &Path) -> Result<Envelope, Failure> {
    let wrong = |why: String| Failure::configuration(format!("{}: {why}", path.display()));
    let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    Envelope::parse(text).map_err(wrong)
}
