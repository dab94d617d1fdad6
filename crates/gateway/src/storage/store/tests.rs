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
