//! What keeps logging in from being a way to wear the gateway out, or to keep somebody else from it.

use std::time::Instant;

use aws_lc_rs::hmac;

use super::*;
use crate::{
    config::authorization::MeantAuthorization,
    known::authorization::{Elsewhere, HASHES_AT_ONCE},
    storage::vault::{Layout, Vault},
};

/// Somewhere with alice, who has a password; removed with the test.
struct Place {
    path: std::path::PathBuf,
    authorization: Arc<Authorization>,
}

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sallyport-login-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        let ambient = Ambient::system();
        let vault = Vault::open(&Layout::new(&path), &ambient).expect("a vault");
        let password = PasswordHash::of(&Secret::presented("correct".to_owned()), [7; 16]);
        let login = MeantLogin {
            password: password.expect("a hash"),
            totp: None,
        };
        let meant = MeantAuthorization {
            logins: [("alice".to_owned(), login)].into(),
            ..MeantAuthorization::default()
        };
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]);
        let store = vault.store().clone();
        let opened = Authorization::open((&meant, Elsewhere::default()), &key, store, &ambient);
        Self {
            path,
            authorization: Arc::new(opened.expect("it opens")),
        }
    }

    /// Somebody tries, in a task of its own.
    fn tries(&self, user: &str, password: &str) -> tokio::task::JoinHandle<Result<LoggedIn, NotLoggedIn>> {
        let (authorization, user) = (Arc::clone(&self.authorization), user.to_owned());
        let password = Secret::presented(password.to_owned());
        tokio::spawn(async move {
            let attempt = Attempt {
                user: &user,
                password,
                code: None,
                from: "192.0.2.1".parse().expect("an address"),
            };
            authorization.log_in(&Ambient::system(), attempt).await
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_passwords_are_looked_at_at_a_time_than_there_is_room_for() {
    let place = Place::new("permits");
    let begun = Instant::now();
    place
        .tries("alice", "correct")
        .await
        .expect("it ends")
        .expect("her password");
    let usual = begun.elapsed();
    let hashing = Arc::clone(&place.authorization.hashing);
    let all = u32::try_from(HASHES_AT_ONCE).expect("few");
    let held = Arc::clone(&hashing).acquire_many_owned(all).await.expect("open");
    let waiting = place.tries("alice", "correct");
    // As long as several would take that did not wait.
    tokio::time::sleep(usual * 5).await;
    assert!(!waiting.is_finished(), "it did not wait for its turn");
    drop(held);
    waiting.await.expect("it ends").expect("her password");
    // Who goes away leaves the work behind, and the work its place taken.
    let gone = place.tries("alice", "wrong");
    while hashing.available_permits() == HASHES_AT_ONCE {
        tokio::task::yield_now().await;
    }
    gone.abort();
    assert!(
        gone.await.is_err_and(|error| error.is_cancelled()),
        "the hash takes longer than that"
    );
    assert_eq!(
        hashing.available_permits(),
        HASHES_AT_ONCE - 1,
        "the work goes on without its place"
    );
    while hashing.available_permits() < HASHES_AT_ONCE {
        tokio::task::yield_now().await;
    }
}

/// Regression: of many wrong passwords that came at once, each was looked at, since none was wrong yet when it came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_guesses_many_times_at_once_waits_like_one_who_guesses_one_after_the_other() {
    let place = Place::new("crowd");
    let all: Vec<_> = (0..20).map(|_| place.tries("alice", "wrong")).collect();
    let (mut wrong, mut wait) = (0, 0);
    for one in all {
        match one.await.expect("it ends") {
            Err(NotLoggedIn::Wrong) => wrong += 1,
            Err(NotLoggedIn::Wait(_)) => wait += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(
        (5..=5 + HASHES_AT_ONCE).contains(&wrong),
        "{wrong} were looked at"
    );
    assert_eq!(wrong + wait, 20);
    let next = place.tries("alice", "correct").await.expect("it ends");
    assert!(matches!(next, Err(NotLoggedIn::Wait(_))), "{next:?}");
}

#[tokio::test]
async fn names_nobody_can_have_are_neither_looked_at_nor_remembered() {
    let place = Place::new("names");
    let long = "x".repeat(NAME_BYTES_MAX + 1);
    // More than one address may get wrong.
    for _ in 0..60 {
        let tried = place.tries(&long, "any").await.expect("it ends");
        assert_eq!(tried, Err(NotLoggedIn::Wrong));
    }
    place
        .tries("alice", "correct")
        .await
        .expect("it ends")
        .expect("nobody has to wait");
}
