//! The store under a runtime: who waits for it, and who does not.

use std::{sync::mpsc, time::Duration};

use super::*;
use crate::{
    ambient::Ambient,
    storage::vault::{Layout, Vault},
};

/// Regression: a call that waited for the tables held a thread of the runtime, and with it all other calls of that thread.
#[test]
fn who_waits_for_the_tables_keeps_nobody_else_waiting() {
    let directory = std::env::temp_dir().join(format!("sallyport-store-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    let vault = Vault::open(&Layout::new(&directory), &Ambient::system()).unwrap();
    let store = vault.store().clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let ((held, is_held), (release, released)) = (mpsc::channel(), mpsc::channel());
    let holder = {
        let store = store.clone();
        let released = Mutex::new(released);
        std::thread::spawn(move || {
            let hold = |state: &State| {
                state.transact(|_| {
                    held.send(()).unwrap();
                    Ok(released
                        .lock()
                        .unwrap()
                        .recv_timeout(Duration::from_secs(20))
                        .is_ok())
                })
            };
            store.with(hold).unwrap()
        })
    };
    is_held.recv().unwrap();
    let waiting = runtime.spawn(async move {
        tokio::task::spawn(async move { release.send(()).unwrap() });
        // As with a database on a network; a file's tables are not worth the hand-over.
        aside(|| store.get("pseudonyms", "one").unwrap())
    });
    assert_eq!(runtime.block_on(waiting).unwrap(), None);
    assert!(
        holder.join().unwrap(),
        "the other work of the thread waited for the tables"
    );
    drop((runtime, vault));
    // Whoever closes the tables may still be at it.
    let _ = std::fs::remove_dir_all(&directory);
}

/// Regression: whoever waited for a lock that was held while the tables were waited for held a thread of the runtime.
#[test]
fn who_waits_for_who_waits_for_the_tables_keeps_nobody_else_waiting() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let mutex = Arc::new(Mutex::new(()));
    let (release, released) = mpsc::channel();
    let ((held, is_held), holding) = (mpsc::channel(), Arc::clone(&mutex));
    let holder = std::thread::spawn(move || {
        let _alone = lock_aside(&holding);
        held.send(()).unwrap();
        released.recv_timeout(Duration::from_secs(20)).is_ok()
    });
    is_held.recv().unwrap();
    let waiting = runtime.spawn(async move {
        tokio::task::spawn(async move { release.send(()).unwrap() });
        drop(lock_aside(&mutex));
    });
    runtime.block_on(waiting).unwrap();
    assert!(
        holder.join().unwrap(),
        "the other work of the thread waited for the lock"
    );
}

/// Regression: pseudonyms that could not be looked up while the database was away were refused as `obligation-unmet`, and a
/// full disk as `internal`. Of what was made nobody says to send it again.
#[test]
fn what_is_away_or_full_is_told_as_such_whatever_else_a_failure_is_called() {
    let broken = StoreError::other("it is broken".to_owned());
    let away = StoreError::from(StateError::Unreachable("connection refused".to_owned()));
    let full = StoreError::from(StateError::Io {
        path: "state.db".into(),
        source: std::io::ErrorKind::StorageFull.into(),
    });
    for (error, before, after) in [
        (&away, "state-unavailable", "outcome-unrecorded"),
        (&full, "ledger-unavailable", "outcome-unrecorded"),
        (&broken, "obligation-unmet", "obligation-unmet"),
    ] {
        let unmet = &refusal::OBLIGATION_UNMET;
        let told = error.objection_or(unmet, String::new());
        assert_eq!(told.code.name, before);
        assert_eq!(told.retry_after_ms.is_some(), told.code.http == 503, "{before}");
        assert_eq!(error.objection_when_made(unmet, String::new()).code.name, after);
    }
    assert_eq!(broken.objection().code.name, "internal");
}
