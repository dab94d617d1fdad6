//! What the data directory holds: keys, the ledger, the store.

use std::path::Path;

use aws_lc_rs::hmac;
use records::{
    ambient::{Clock, Random},
    digest::Digester,
    keys::{LogKeys, Secret},
    ledger::{Ledger, Options, Ports},
};

use crate::{ambient::Ambient, failure::Failure, store::Store};

/// See the module.
#[derive(Debug)]
pub(crate) struct Vault {
    ledger: Ledger,
    digester: Digester,
    store: Store,
    token_seed: [u8; 32],
    secrets_key: hmac::Key,
}

impl Vault {
    /// Opens a data directory, or begins one.
    pub(crate) fn open(directory: &Path, ambient: &Ambient) -> Result<Self, Failure> {
        let clock = {
            let ambient = ambient.clone();
            Clock::new(move || u64::try_from(ambient.now_ms()).unwrap_or(0))
        };
        let keys = LogKeys::generate("sallyport.local", &Random::system()).map_err(|e| Failure::other(e.to_string()))?;
        let ledger = directory.join("ledger");
        std::fs::create_dir_all(&ledger).map_err(|e| Failure::configuration(e.to_string()))?;
        let (ledger, _opening) = Ledger::open(&ledger, keys, Options::default(), Ports::real(clock))
            .map_err(|error| Failure::configuration(error.to_string()))?;
        Ok(Self {
            ledger,
            digester: Digester::new(&Secret::new(ambient.bytes::<32>().to_vec())),
            store: Store::default(),
            token_seed: ambient.bytes::<32>(),
            secrets_key: hmac::Key::new(hmac::HMAC_SHA256, &ambient.bytes::<32>()),
        })
    }

    /// The ledger.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The digester of arguments and results.
    pub(crate) fn digester(&self) -> &Digester {
        &self.digester
    }

    /// The store.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The seed of the token signing key.
    pub(crate) fn token_seed(&self) -> &[u8; 32] {
        &self.token_seed
    }

    /// The key of secret digests.
    pub(crate) fn secrets_key(&self) -> hmac::Key {
        self.secrets_key.clone()
    }
}

impl Vault {
    /// Ends the ledger properly: everything written is published.
    pub(crate) async fn close(self) {
        let ledger = self.ledger.clone();
        drop(self);
        let _ = tokio::task::spawn_blocking(move || ledger.close()).await;
    }
}
