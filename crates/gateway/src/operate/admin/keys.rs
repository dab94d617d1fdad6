//! The keys of the data directory: which there are, new ones, and the end of old ones. All of it while calls go on.

use std::{path::PathBuf, time::Duration};

use records::{
    keys::{Key, KeyRing, Use},
    ledger::{Entry, Kind, Signing},
};
use wire::json::{ObjectWriter, object};

use super::{
    Args,
    subjects::{SUBJECTS, digests_again, nobody_is_held, renew_wrapping},
};
use crate::{evidence::witness::cosigner, failure::Failure, listen::House, storage::root::meant_in};

/// How long the last checkpoint of old keys may take.
const PUBLISHED_WAIT: Duration = Duration::from_secs(10);

/// All keys of the ring, without their secrets.
pub(super) fn list(house: &House) -> Result<Vec<u8>, Failure> {
    let keys = house.store.keychain().keys()?;
    Ok(object(|out| {
        out.array("keys", |list| {
            keys.iter().for_each(|key| list.object(|out| write(out, key)))
        });
    }))
}

fn write(out: &mut ObjectWriter<'_>, key: &Key) {
    out.string("id", &key.id);
    out.string("use", key.purpose.as_str());
    out.integer("created", key.created_ms);
    let state = match (key.retired_ms, &key.secret) {
        (None, _) => "in use",
        (Some(_), Some(_)) => "retired",
        (Some(_), None) => "destroyed",
    };
    out.string("state", state);
    if let Some(retired_ms) = key.retired_ms {
        out.integer("retired", retired_ms);
    }
}

/// New keys of one use. What was made with the old ones stays readable, except that the wrapping key is destroyed
/// at once: everything is wrapped anew.
pub(super) async fn rotate(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let word = args.needed("use")?;
    let rotated = match word.as_str() {
        "log" => return rotate_log(house).await,
        "root" => return rotate_root(house, args).await,
        word => Use::from_text(word),
    };
    let purpose = rotated.ok_or_else(|| {
        Failure::configuration(format!(
            "there is no use `{word}`; there are digest, log, root, token and wrap"
        ))
    })?;
    let keychain = house.store.keychain();
    match purpose {
        Use::Wrap => {
            keychain.change(|ring| renew_wrapping(&house.store, ring))?;
        }
        Use::Digest => keychain.change(|ring| {
            ring.rotate(Use::Digest).map_err(failed)?;
            digests_again(house, ring)
        })?,
        Use::Token => keychain.change(|ring| ring.rotate(Use::Token).map(|_| ()).map_err(failed))?,
        Use::Index | Use::LogEd25519 | Use::LogFrames | Use::LogMlDsa44 => {
            let why = "is not rotated by itself; the keys of the log are together `log`";
            return Err(Failure::configuration(format!("`{word}` {why}")));
        }
    }
    let ring = keychain.open()?;
    let key = ring.current(purpose).map_err(failed)?;
    record(house, "rotated", &word, key).await?;
    Ok(object(|out| write(out, key)))
}

/// The log signs with other keys; its last checkpoint by the old ones vouches for them.
async fn rotate_log(house: &House) -> Result<Vec<u8>, Failure> {
    let keychain = house.store.keychain();
    let origin = keychain.origin()?;
    let keys = keychain.change_log(|ring| ring.rotate_log(&origin).map_err(failed))?;
    let mut entry = Entry::new(now(house), Kind::Key);
    entry.action = Some("rotated".to_owned());
    let rotating = house.engines.journal.ledger().rotate(keys, entry);
    match tokio::time::timeout(PUBLISHED_WAIT, rotating).await {
        Ok(Ok(Signing::Now)) => {}
        Ok(Ok(Signing::Later(why))) => return Err(signs_later(&why)),
        Ok(Err(error)) => {
            let why = format!("the new keys are in the ring and sign after the next start: {error}");
            return Err(Failure::other(why));
        }
        Err(_) => return Err(signs_later("the disk does not answer")),
    }
    let ring = keychain.open_log()?;
    let key = ring.current(Use::LogEd25519).map_err(failed)?;
    Ok(object(|out| write(out, key)))
}

fn signs_later(why: &str) -> Failure {
    let holds = "the new keys are in the ring and announced in the ledger, but do not sign yet";
    let remedy =
        "Make room on the ledger's disk: they sign by themselves then, and there is nothing to repeat";
    Failure::other(format!(
        "{holds}: the last checkpoint of the old keys cannot be written ({why}). {remedy}"
    ))
}

/// The key ring is sealed by the root key that the configuration names now. Nothing else is, so calls do not notice.
async fn rotate_root(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let config = args.text("config").map(PathBuf::from);
    let keychain = house.store.keychain().clone();
    let name = tokio::task::spawn_blocking(move || {
        let to = keychain.root_key(&meant_in(config.as_deref())?);
        let name = to.name();
        keychain.change_root(to, None).map(|()| name)
    });
    let name = name.await.map_err(failed)??;
    let mut entry = Entry::new(now(house), Kind::Key)
        .with("use", "root")
        .with("key", name.clone());
    entry.action = Some("rotated".to_owned());
    let ledger = house.engines.journal.ledger();
    ledger.append_durable(&entry).await.map_err(failed)?;
    Ok(object(|out| {
        out.string("id", &name);
        out.string("use", "root");
    }))
}

/// Ends a retired key for good.
pub(super) async fn destroy(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    let id = args.needed("id")?;
    let keychain = house.store.keychain();
    let in_use = house.store.state().wrapped_by(&id).map_err(failed)?;
    if in_use > 0 {
        let why = format!("the key `{id}` still wraps {in_use} data keys; rotate `wrap`, which destroys it");
        return Err(Failure::does_not_hold(why));
    }
    let _alone = house.store.people().lock().await;
    let _everywhere = house.store.alone_with(SUBJECTS).map_err(failed)?;
    let key = keychain.change(|ring| {
        if !ring.keys().iter().any(|key| key.id == id) {
            let why = format!("there is no key `{id}`; see `sallyport keys list`");
            return Err(Failure::configuration(why));
        }
        if ring.key(Use::Digest, &id).is_some() {
            nobody_is_held(house)?;
        }
        ring.destroy(&id).map_err(failed)?;
        digests_again(house, ring)?;
        let found = ring.keys().iter().find(|key| key.id == id).cloned();
        found.ok_or_else(|| Failure::does_not_hold(format!("there is no key `{id}`")))
    })?;
    record(house, "destroyed", key.purpose.as_str(), &key).await?;
    Ok(object(|out| write(out, &key)))
}

async fn record(house: &House, what: &str, word: &str, key: &Key) -> Result<(), Failure> {
    let mut entry = Entry::new(now(house), Kind::Key)
        .with("use", word)
        .with("key", key.id.clone());
    entry.action = Some(what.to_owned());
    let receipt = house.engines.journal.ledger().append_durable(&entry).await;
    receipt.map(|_| ()).map_err(failed)
}

/// The public halves that verify the log, and those that did, as verifier keys; or those of this gateway as a witness.
pub(super) fn public(house: &House, args: &Args<'_>) -> Result<Vec<u8>, Failure> {
    if let Some(name) = args.text("witness") {
        let cosigner = cosigner(&house.store, Some(name.as_str()).filter(|name| !name.is_empty()))?;
        return Ok(object(|out| {
            out.array("keys", |list| {
                cosigner
                    .verifiers()
                    .iter()
                    .for_each(|key| list.string(&key.to_string()))
            });
        }));
    }
    let keychain = house.store.keychain();
    let ring: KeyRing = keychain.open_log()?;
    let keys = ring.log_keys(&keychain.origin()?).map_err(failed)?;
    Ok(object(|out| {
        out.array("keys", |list| {
            keys.known().iter().for_each(|key| list.string(&key.to_string()))
        });
    }))
}

fn now(house: &House) -> u64 {
    u64::try_from(house.engines.ambient.now_ms()).unwrap_or(0)
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::does_not_hold(error.to_string())
}
