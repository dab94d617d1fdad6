//! Keys: refused when weak or open, lost when the root key is lost, never printed.

use std::{collections::HashMap, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use super::*;
use crate::{
    ambient::{Clock, Random},
    disk::{Disk, RealDisk, replace, sim::SimDisk},
    ledger::{checkpoint::Checkpoint, note::SignatureType},
};

const HEX: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn ring_path() -> &'static Path {
    Path::new("/data/keys/ring")
}

fn root(byte: u8) -> Secret {
    Secret::new(vec![byte; 32])
}

fn create(disk: &SimDisk) -> KeyRing {
    let clock = Clock::new(|| 5);
    KeyRing::create(
        ring_path(),
        root(1),
        Arc::new(disk.clone()),
        clock,
        Random::system(),
    )
    .unwrap()
}

fn open(disk: &SimDisk, root: Secret) -> Result<KeyRing, RingError> {
    KeyRing::open(
        ring_path(),
        root,
        Arc::new(disk.clone()),
        Clock::new(|| 9),
        Random::system(),
    )
}

#[test]
fn a_secret_does_not_print() {
    let secret = Secret::new(b"hunter2".to_vec());
    assert_eq!(format!("{secret:?}"), "Secret(hidden)");
}

#[test]
fn a_logs_keys_print_their_public_halves_only() {
    let keys = LogKeys::generate("log.example", &Random::system()).unwrap();
    let shown = format!("{keys:?}");
    assert!(
        shown.contains("log.example+") && !shown.contains("seed"),
        "{shown}"
    );
}

#[test]
fn a_log_whose_name_cannot_stand_in_a_note_gets_no_keys() {
    for name in ["", "two words", "plus+sign", "line\nbreak"] {
        assert!(LogKeys::generate(name, &Random::system()).is_err(), "{name:?}");
    }
}

#[test]
fn a_secret_is_refused_when_missing_weak_or_of_another_length() {
    let variables = HashMap::from([
        ("GOOD", HEX.to_owned()),
        ("UPPER", HEX.to_uppercase()),
        (
            "BASE64",
            "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8=\n".to_owned(),
        ),
        ("SHORT", "abc".to_owned()),
        ("REGULAR", "00".repeat(32)),
        ("LONG", format!("{HEX}00")),
        ("PHRASE", "correct horse battery staple and so on".to_owned()),
        ("EMPTY", String::new()),
    ]);
    let read = |name: &str| {
        let environment = |name: &str| variables.get(name).cloned();
        SecretSource::Env(name.to_owned()).read_key(&SimDisk::new(), &environment)
    };
    for good in ["GOOD", "UPPER", "BASE64"] {
        assert_eq!(crate::digest::hex(read(good).unwrap().expose()), HEX, "{good}");
    }
    for (name, sentence) in [
        ("NONE", "there is no secret in `env:NONE`"),
        ("EMPTY", "there is no secret in `env:EMPTY`"),
        ("SHORT", "can be guessed"),
        ("REGULAR", "can be guessed"),
        ("LONG", "must be 32 bytes"),
        ("PHRASE", "must be 32 bytes"),
    ] {
        let error = read(name).unwrap_err().to_string();
        assert!(error.contains(sentence) && error.contains(';'), "{name}: {error}");
    }
}

#[test]
fn a_secret_that_others_can_read_is_refused_with_the_remedy() {
    let dir = std::env::temp_dir().join(format!("records-{}-secrets", std::process::id()));
    let path = dir.join("root.key");
    create_key_file(&RealDisk, &path, &Random::system()).unwrap();
    let source = SecretSource::File(path.clone());
    let read = || source.read_key(&RealDisk, &|_| None);
    let first = read().unwrap();
    create_key_file(&RealDisk, &path, &Random::system()).expect_err("it is never overwritten");
    assert_eq!(read().unwrap().expose(), first.expose());
    for mode in [0o640, 0o604, 0o660, 0o620] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let error = read().unwrap_err().to_string();
        assert!(
            error.contains(&format!("chmod 600 {}", path.display())),
            "{error}"
        );
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_ring_opens_with_its_root_key_and_no_other() {
    let disk = SimDisk::new();
    let made = create(&disk);
    let opened = open(&disk, root(1)).unwrap();
    for purpose in Use::ALL {
        let (before, after) = (made.current(*purpose).unwrap(), opened.current(*purpose).unwrap());
        assert_eq!((&before.id, &before.public), (&after.id, &after.public));
        assert_eq!(
            before.secret.as_ref().unwrap().expose(),
            after.secret.as_ref().unwrap().expose()
        );
    }
    assert!(matches!(
        open(&disk, root(2)).unwrap_err(),
        RingError::WrongRoot(_)
    ));
    let again = KeyRing::create(
        ring_path(),
        root(1),
        Arc::new(disk.clone()),
        Clock::new(|| 5),
        Random::system(),
    );
    assert!(matches!(again.unwrap_err(), RingError::Exists(_)));
    assert!(matches!(
        open(&SimDisk::new(), root(1)).unwrap_err(),
        RingError::Missing(_)
    ));
    let stored = String::from_utf8(disk.bytes(ring_path()).unwrap()).unwrap();
    for purpose in Use::ALL {
        let secret = made.current(*purpose).unwrap().secret.clone().unwrap();
        assert!(
            !stored.contains(&crate::digest::hex(secret.expose())),
            "sealed, not written"
        );
    }
}

#[test]
fn a_ring_that_was_touched_is_refused() {
    let disk = SimDisk::new();
    create(&disk);
    let stored = String::from_utf8(disk.bytes(ring_path()).unwrap()).unwrap();
    let moved = stored.replacen("\"use\":\"digest\"", "\"use\":\"wrap\"", 1);
    let retired = stored.replacen(",\"sealed\"", ",\"retired\":7,\"sealed\"", 1);
    let newer = stored.replacen("\"v\":1", "\"v\":3", 1);
    let cut = stored.get(..stored.len() / 2).unwrap().to_owned();
    for (what, text, error) in [
        ("a key moved to another use", moved, "does not open the key ring"),
        ("a key marked as retired", retired, "does not open the key ring"),
        ("a newer version", newer, "use a newer one"),
        ("a cut file", cut, "is damaged"),
        (
            "no keys",
            r#"{"keys":[],"log_begun":false,"v":1}"#.to_owned(),
            "is damaged",
        ),
    ] {
        assert_ne!(text, stored, "{what}");
        replace(&disk, ring_path(), text.as_bytes()).unwrap();
        let refused = open(&disk, root(1)).unwrap_err().to_string();
        assert!(refused.contains(error), "{what}: {refused}");
    }
}

#[test]
fn rotated_keys_are_forgotten_or_kept_as_old_data_demands() {
    let disk = SimDisk::new();
    let mut ring = create(&disk);
    let before: HashMap<Use, String> = Use::ALL
        .iter()
        .map(|purpose| (*purpose, ring.current(*purpose).unwrap().id.clone()))
        .collect();
    for purpose in [Use::Digest, Use::Token, Use::Wrap] {
        let id = ring.rotate(purpose).unwrap().id.clone();
        assert_ne!(id, before[&purpose]);
    }
    for purpose in [Use::LogEd25519, Use::LogMlDsa44, Use::LogFrames] {
        assert!(matches!(ring.rotate(purpose), Err(RingError::WithTheLog)));
    }
    // What is looked up in tables has no other key.
    assert!(matches!(ring.rotate(Use::Index), Err(RingError::InUse(_))));
    ring.rotate_log("log.example").unwrap();
    let opened = open(&disk, root(1)).unwrap();
    for (purpose, keeps) in [
        (Use::Digest, true),
        (Use::Wrap, true),
        (Use::Token, false),
        (Use::LogEd25519, false),
        (Use::LogMlDsa44, false),
    ] {
        let old = opened.key(purpose, &before[&purpose]).unwrap();
        assert_eq!(
            (old.retired_ms, old.secret.is_some()),
            (Some(5), keeps),
            "{purpose:?}"
        );
        assert_ne!(opened.current(purpose).unwrap().id, before[&purpose]);
    }
    assert_eq!(
        opened.current(Use::LogFrames).unwrap().id,
        before[&Use::LogFrames]
    );
}

#[test]
fn a_key_is_destroyed_only_after_it_was_retired() {
    let disk = SimDisk::new();
    let mut ring = create(&disk);
    let first = ring.current(Use::Wrap).unwrap().id.clone();
    let frames = ring.current(Use::LogFrames).unwrap().id.clone();
    for (id, what) in [
        (first.as_str(), "in use"),
        (&frames, "tags the log"),
        ("0000000000000000", "nobody's"),
    ] {
        assert!(matches!(ring.destroy(id), Err(RingError::InUse(_))), "{what}");
    }
    ring.rotate(Use::Wrap).unwrap();
    let sealed = disk.read(ring_path(), 1 << 20).unwrap().unwrap();
    ring.destroy(&first).unwrap();
    let opened = open(&disk, root(1)).unwrap();
    assert!(opened.key(Use::Wrap, &first).unwrap().secret.is_none());
    assert!(opened.current(Use::Wrap).is_ok());
    assert_ne!(disk.read(ring_path(), 1 << 20).unwrap().unwrap(), sealed);
}

#[test]
fn old_checkpoints_verify_after_a_rotation() {
    let disk = SimDisk::new();
    let mut ring = create(&disk);
    let old = ring.log_keys("log.example").unwrap();
    let head = Checkpoint {
        origin: "log.example".to_owned(),
        size: 0,
        root: crate::ledger::merkle::empty_root(),
    };
    let note = head.sign(&old, 5).unwrap().to_string();
    let new = ring.rotate_log("log.example").unwrap();
    assert_eq!(new.known().len(), 4);
    let (_, vouched) = Checkpoint::verify(note.as_bytes(), "log.example", &new.known()).unwrap();
    let kinds: Vec<_> = vouched.iter().map(|one| one.key.kind()).collect();
    assert_eq!(kinds, [SignatureType::Ed25519, SignatureType::MlDsa44]);
    Checkpoint::verify(note.as_bytes(), "log.example", new.verifiers()).unwrap_err();
}

#[test]
fn another_root_key_takes_over_and_the_old_one_opens_nothing() {
    let disk = SimDisk::new();
    let mut ring = create(&disk);
    ring.mark_log_begun().unwrap();
    ring.change_root(root(2)).unwrap();
    assert!(matches!(
        open(&disk, root(1)).unwrap_err(),
        RingError::WrongRoot(_)
    ));
    let opened = open(&disk, root(2)).unwrap();
    assert!(opened.log_begun());
    assert_eq!(
        opened.current(Use::Digest).unwrap().id,
        ring.current(Use::Digest).unwrap().id
    );
}

#[test]
fn what_cannot_be_saved_has_not_happened() {
    let disk = SimDisk::new();
    let mut ring = create(&disk);
    let before = ring.current(Use::Token).unwrap().id.clone();
    disk.fail(|_, _, _| Some(crate::disk::sim::Fault::Fails(std::io::ErrorKind::StorageFull)));
    ring.rotate(Use::Token).unwrap_err();
    ring.change_root(root(2)).unwrap_err();
    ring.mark_log_begun().unwrap_err();
    disk.heal();
    assert_eq!(
        (ring.current(Use::Token).unwrap().id.as_str(), ring.log_begun()),
        (before.as_str(), false)
    );
    assert_eq!(
        open(&disk, root(1)).unwrap().current(Use::Token).unwrap().id,
        before
    );
}

#[test]
fn a_ring_is_for_its_owner_alone() {
    let dir = std::env::temp_dir().join(format!("records-{}-ring", std::process::id()));
    let path = dir.join("keys/ring");
    let made = |disk| KeyRing::create(&path, root(1), disk, Clock::new(|| 5), Random::system());
    made(Arc::new(RealDisk)).unwrap();
    assert_eq!(RealDisk.mode(&path).unwrap(), 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let opened = KeyRing::open(
        &path,
        root(1),
        Arc::new(RealDisk),
        Clock::new(|| 5),
        Random::system(),
    );
    let error = opened.unwrap_err().to_string();
    assert!(error.contains("chmod 600"), "{error}");
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn what_is_sealed_opens_in_its_place_alone() {
    let random = Random::system();
    let sealed = seal::seal(&root(1), b"here", b"plain", &random).unwrap();
    assert_eq!(seal::open(&root(1), b"here", &sealed).unwrap().expose(), b"plain");
    assert!(!sealed.windows(5).any(|part| part == b"plain"));
    assert_eq!(
        seal::open(&root(1), b"there", &sealed).unwrap_err(),
        SealError::Broken
    );
    assert_eq!(
        seal::open(&root(2), b"here", &sealed).unwrap_err(),
        SealError::Broken
    );
    assert_eq!(
        seal::open(&Secret::new(vec![1; 16]), b"here", &sealed).unwrap_err(),
        SealError::Key
    );
    for at in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[at] ^= 1;
        assert_eq!(
            seal::open(&root(1), b"here", &altered).unwrap_err(),
            SealError::Broken,
            "byte {at}"
        );
        assert_eq!(
            seal::open(&root(1), b"here", &sealed[..at]).unwrap_err(),
            SealError::Broken,
            "cut {at}"
        );
    }
    assert_ne!(
        sealed,
        seal::seal(&root(1), b"here", b"plain", &random).unwrap(),
        "a nonce is used once"
    );
}

/// Keeps a key as a token does; counts how often it is asked, and may be away or lie.
#[derive(Debug, Default)]
struct Keeper {
    asked: std::sync::atomic::AtomicUsize,
    away: std::sync::atomic::AtomicBool,
    lies: bool,
}

impl RootKeeper for Keeper {
    fn name(&self) -> String {
        "token:test".to_owned()
    }

    fn wrap(&self, key: &Secret) -> Result<Vec<u8>, KeeperError> {
        self.answer(key.expose())
    }

    fn unwrap(&self, wrapped: &[u8]) -> Result<Secret, KeeperError> {
        let mut bytes = self.answer(wrapped)?;
        if self.lies {
            bytes[0] ^= 1;
        }
        Ok(Secret::new(bytes))
    }
}

impl Keeper {
    fn answer(&self, bytes: &[u8]) -> Result<Vec<u8>, KeeperError> {
        use std::sync::atomic::Ordering;
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.away.load(Ordering::Relaxed) {
            let (what, remedy) = ("is away".to_owned(), "plug it in".to_owned());
            let keeper = self.name();
            return Err(KeeperError::Refused { keeper, what, remedy });
        }
        Ok(bytes.iter().map(|byte| byte ^ 0xA5).collect())
    }
}

fn open_with(disk: &SimDisk, root: Root) -> Result<KeyRing, RingError> {
    KeyRing::open(
        ring_path(),
        root,
        Arc::new(disk.clone()),
        Clock::new(|| 9),
        Random::system(),
    )
}

#[test]
fn a_keeper_is_asked_once_and_whoever_was_told_goes_on_without() {
    use std::sync::atomic::Ordering;
    let (disk, keeper) = (SimDisk::new(), Arc::new(Keeper::default()));
    let mut ring = create(&disk);
    let wrapping = ring.current(Use::Wrap).unwrap().id.clone();
    let kept = Kept::by(Arc::clone(&keeper) as Arc<dyn RootKeeper>);
    ring.change_root(Root::Kept(kept.clone())).unwrap();
    // The root key of before opens nothing, and does not hide that somebody else is to be asked.
    assert!(matches!(open(&disk, root(1)), Err(RingError::KeptElsewhere { by, .. }) if by == "token:test"));
    keeper.away.store(true, Ordering::Relaxed);
    let asked = keeper.asked.load(Ordering::Relaxed);
    let mut again = open_with(&disk, Root::Kept(kept)).unwrap();
    assert_eq!(again.current(Use::Wrap).unwrap().id, wrapping);
    again.rotate(Use::Wrap).unwrap();
    assert_eq!(keeper.asked.load(Ordering::Relaxed), asked, "nobody asks again");
    // Who was told nothing has to ask, and hears why not.
    let anew = || Root::Kept(Kept::by(Arc::clone(&keeper) as Arc<dyn RootKeeper>));
    let why = open_with(&disk, anew()).unwrap_err().to_string();
    assert!(why.contains("is away") && why.contains("plug it in"), "{why}");
    keeper.away.store(false, Ordering::Relaxed);
    let mut back = open_with(&disk, anew()).unwrap();
    // Back to a key that is here.
    back.change_root(root(2)).unwrap();
    assert!(matches!(open_with(&disk, anew()), Err(RingError::NotKept { .. })));
    assert!(open(&disk, root(2)).is_ok());
}

#[test]
fn a_keeper_that_gives_another_key_back_or_none_changes_nothing() {
    let disk = SimDisk::new();
    let mut ring = create(&disk);
    let lying = Keeper {
        lies: true,
        ..Keeper::default()
    };
    for keeper in [lying, {
        let away = Keeper::default();
        away.away.store(true, std::sync::atomic::Ordering::Relaxed);
        away
    }] {
        let refused = ring.change_root(Root::Kept(Kept::by(Arc::new(keeper))));
        assert!(matches!(refused, Err(RingError::Keeper(_))), "{refused:?}");
    }
    ring.rotate(Use::Wrap).unwrap();
    assert!(open(&disk, root(1)).is_ok());
}
