use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use policy::{Party, PartyKind};

use super::{
    desk::{Answer, DecideError, Desk, Say},
    request::{Asked, Demand, Requester},
    similar::Similar,
};
use crate::{
    ambient::Ambient,
    storage::vault::{Layout, Vault},
};

const HOUR_MS: i64 = 60 * 60 * 1000;
const HOUR: std::time::Duration = std::time::Duration::from_secs(60 * 60);

/// A data directory of its own, removed with the test.
struct Place(std::path::PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sallyport-desk-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    fn vault(&self) -> Vault {
        Vault::open(&Layout::new(&self.0), &Ambient::system()).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn party(name: &str) -> Party {
    let role = match name {
        "carol" | "dave" | "alice" => "controller",
        _ => "clerk",
    };
    Party {
        kind: PartyKind::User,
        name: name.to_owned(),
        roles: vec![role.to_owned()],
        groups: Vec::new(),
        tenant: None,
        attributes: BTreeMap::new(),
    }
}

fn known(name: &str) -> Option<Party> {
    ["alice", "bob", "carol", "dave"]
        .contains(&name)
        .then(|| party(name))
}

fn asked(needed: u8) -> Asked {
    Asked {
        requester: Requester {
            key: "agent/6:scribe/5:alice/-".to_owned(),
            agent: Some("scribe".to_owned()),
            user: Some("alice".to_owned()),
            tenant: None,
        },
        action: "invoke".to_owned(),
        tool: "bank__pay".to_owned(),
        args: "{\"amount\":100}".to_owned(),
        labels: vec!["trusted".to_owned(), "public".to_owned()],
        pin: Some("sha256:00".to_owned()),
        policy: "sha256:11".to_owned(),
        demands: vec![Demand {
            by: "role:controller".to_owned(),
            needed,
        }],
        ..Asked::default()
    }
}

#[test]
fn of_ten_thousand_racing_uses_of_one_approval_one_passes() {
    let place = Place::new("race");
    let vault = place.vault();
    let desk = Arc::new(Desk::open(vault.store().clone(), HOUR).unwrap());
    assert!(matches!(
        desk.ask(asked(1), "q", 0, known).unwrap(),
        Answer::Opened(_)
    ));
    desk.decide("q", &party("carol"), Say::Yes, 1, known).unwrap();
    let passed = Arc::new(AtomicUsize::new(0));
    let racers: Vec<_> = (0..16)
        .map(|racer| {
            let (desk, passed) = (Arc::clone(&desk), Arc::clone(&passed));
            std::thread::spawn(move || {
                for n in 0..625 {
                    let answer = desk.ask(asked(1), &format!("{racer}-{n}"), 2, known).unwrap();
                    if matches!(answer, Answer::Agreed(_)) {
                        passed.fetch_add(1, Ordering::SeqCst);
                    }
                }
            })
        })
        .collect();
    racers.into_iter().for_each(|racer| racer.join().unwrap());
    assert_eq!(passed.load(Ordering::SeqCst), 1);
    let left = desk.list(2);
    assert_eq!(left.len(), 1, "the next question waits, once");
    assert!(left.iter().all(|request| request.given.is_empty()));
}

#[test]
fn two_of_them_must_agree_and_neither_the_requester_nor_anybody_else_counts() {
    let place = Place::new("four-eyes");
    let vault = place.vault();
    let desk = Desk::open(vault.store().clone(), HOUR).unwrap();
    desk.ask(asked(2), "q", 0, known).unwrap();
    for nobody in ["alice", "bob"] {
        let refused = desk.decide("q", &party(nobody), Say::Yes, 1, known);
        assert!(
            matches!(refused, Err(DecideError::NotTheirs(_))),
            "{nobody}: {refused:?}"
        );
        let refused = desk.decide("q", &party(nobody), Say::No("no".to_owned()), 1, known);
        assert!(
            matches!(refused, Err(DecideError::NotTheirs(_))),
            "{nobody}: {refused:?}"
        );
    }
    desk.decide("q", &party("carol"), Say::Yes, 1, known).unwrap();
    assert!(
        desk.decide("q", &party("carol"), Say::Yes, 1, known).is_err(),
        "one person is one"
    );
    assert!(matches!(
        desk.ask(asked(2), "r", 2, known).unwrap(),
        Answer::Waiting(_)
    ));
    desk.decide("q", &party("dave"), Say::Yes, 2, known).unwrap();
    // Whoever has lost the role since, or has left, does not count any more.
    let left = |name: &str| known(name).filter(|_| name != "dave");
    assert!(matches!(
        desk.ask(asked(2), "r", 3, left).unwrap(),
        Answer::Waiting(_)
    ));
    assert!(matches!(
        desk.ask(asked(2), "r", 3, known).unwrap(),
        Answer::Agreed(_)
    ));
    assert!(matches!(
        desk.ask(asked(2), "r", 3, known).unwrap(),
        Answer::Opened(_)
    ));
}

#[test]
fn whatever_else_is_called_asks_anew() {
    let place = Place::new("bound");
    let vault = place.vault();
    let desk = Desk::open(vault.store().clone(), HOUR).unwrap();
    desk.ask(asked(1), "q", 0, known).unwrap();
    desk.decide("q", &party("carol"), Say::Yes, 1, known).unwrap();
    let changes: [fn(&mut Asked); 7] = [
        |asked| asked.args = "{\"amount\":101}".to_owned(),
        |asked| asked.labels = vec!["untrusted".to_owned(), "public".to_owned()],
        |asked| asked.pin = Some("sha256:01".to_owned()),
        |asked| asked.policy = "sha256:12".to_owned(),
        |asked| asked.purpose = Some("fun".to_owned()),
        |asked| asked.requester.key = "agent/6:other/-/-".to_owned(),
        |asked| asked.tool = "bank__close".to_owned(),
    ];
    for (n, change) in changes.iter().enumerate() {
        let mut other = asked(1);
        change(&mut other);
        let answer = desk.ask(other, &format!("other-{n}"), 2, known).unwrap();
        assert!(matches!(answer, Answer::Opened(_)), "{n}: {answer:?}");
    }
    assert!(matches!(
        desk.ask(asked(1), "r", 2, known).unwrap(),
        Answer::Agreed(_)
    ));
}

#[test]
fn what_is_agreed_expires_and_survives_a_restart_until_then() {
    let place = Place::new("restart");
    {
        let vault = place.vault();
        let desk = Desk::open(vault.store().clone(), HOUR).unwrap();
        desk.ask(asked(1), "q", 0, known).unwrap();
        desk.decide("q", &party("carol"), Say::Yes, 1, known).unwrap();
        let mut no = asked(1);
        no.args = "{}".to_owned();
        desk.ask(no, "n", 0, known).unwrap();
        desk.decide("n", &party("dave"), Say::No("never".to_owned()), 1, known)
            .unwrap();
        drop(desk);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(vault.close());
    }
    let vault = place.vault();
    let desk = Desk::open(vault.store().clone(), HOUR).unwrap();
    assert_eq!(desk.list(HOUR_MS - 1).len(), 2);
    let mut no = asked(1);
    no.args = "{}".to_owned();
    assert!(matches!(desk.ask(no, "m", 2, known).unwrap(), Answer::Denied(_)));
    assert!(
        desk.decide("q", &party("dave"), Say::Yes, HOUR_MS, known)
            .is_err(),
        "too late"
    );
    assert_eq!(desk.sweep(HOUR_MS).len(), 2);
    assert!(matches!(
        desk.ask(asked(1), "r", HOUR_MS, known).unwrap(),
        Answer::Opened(_)
    ));
}

#[test]
fn one_caller_cannot_flood_people() {
    let place = Place::new("flood");
    let vault = place.vault();
    let desk = Desk::open(vault.store().clone(), HOUR).unwrap();
    let mut opened = 0;
    for n in 0..100 {
        let mut one = asked(1);
        one.args = format!("{{\"n\":{n}}}");
        match desk.ask(one, &n.to_string(), 0, known).unwrap() {
            Answer::Opened(_) => opened += 1,
            Answer::TooMuch(_) => {}
            other @ (Answer::Agreed(_) | Answer::Denied(_) | Answer::Waiting(_)) => panic!("{other:?}"),
        }
    }
    assert_eq!(opened, 32);
    let mut other = asked(1);
    other.requester.key = "somebody else".to_owned();
    assert!(matches!(
        desk.ask(other, "o", 0, known).unwrap(),
        Answer::Opened(_)
    ));
}

#[test]
fn of_racing_calls_as_many_as_agreed_to_are_similar_and_pass() {
    let place = Place::new("similar");
    let vault = place.vault();
    let desk = Arc::new(Desk::open(vault.store().clone(), HOUR).unwrap());
    desk.ask(asked(2), "q", 0, known).unwrap();
    let similar = |bound: &str| {
        let args = &asked(2).args;
        Say::YesToSimilar(Similar::parse(&[bound.to_owned()], 5, 600, args).unwrap())
    };
    desk.decide("q", &party("carol"), similar("amount=0..100"), 1, known)
        .unwrap();
    let other = desk.decide("q", &party("dave"), similar("amount=0..1000"), 2, known);
    assert!(other.is_err(), "they must agree to the same");
    assert!(desk.decide("q", &party("dave"), Say::Yes, 2, known).is_err());
    desk.decide("q", &party("dave"), similar("amount=0..100"), 2, known)
        .unwrap();
    let passed = Arc::new(AtomicUsize::new(0));
    let racers: Vec<_> = (0..8)
        .map(|racer| {
            let (desk, passed) = (Arc::clone(&desk), Arc::clone(&passed));
            std::thread::spawn(move || {
                for n in 0..4 {
                    let mut one = asked(2);
                    one.args = format!("{{\"amount\":{}}}", racer * 4 + n);
                    let id = format!("{racer}-{n}");
                    if matches!(desk.ask(one, &id, 3, known).unwrap(), Answer::Agreed(_)) {
                        passed.fetch_add(1, Ordering::SeqCst);
                    }
                }
            })
        })
        .collect();
    racers.into_iter().for_each(|racer| racer.join().unwrap());
    assert_eq!(passed.load(Ordering::SeqCst), 5);
}

#[test]
fn what_stands_for_similar_calls_ends_survives_a_restart_and_covers_nothing_else() {
    let place = Place::new("standing");
    let vault = place.vault();
    let ask = |desk: &Desk, change: &dyn Fn(&mut Asked), now_ms: i64| {
        let mut one = asked(1);
        one.args = "{\"amount\":7}".to_owned();
        change(&mut one);
        let id = format!("{now_ms}-{}", desk.list(0).len());
        matches!(desk.ask(one, &id, now_ms, known).unwrap(), Answer::Agreed(_))
    };
    {
        let desk = Desk::open(vault.store().clone(), HOUR).unwrap();
        desk.ask(asked(1), "q", 0, known).unwrap();
        let bound = ["amount=0..100".to_owned()];
        let similar = Similar::parse(&bound, 5, 600, &asked(1).args).unwrap();
        desk.decide("q", &party("carol"), Say::YesToSimilar(similar), 1, known)
            .unwrap();
        assert!(ask(&desk, &|_| {}, 2));
    }
    let desk = Desk::open(vault.store().clone(), HOUR).unwrap();
    assert!(ask(&desk, &|_| {}, 3));
    let changes: [fn(&mut Asked); 5] = [
        |asked| asked.labels = vec!["untrusted".to_owned(), "public".to_owned()],
        |asked| asked.pin = Some("sha256:01".to_owned()),
        |asked| asked.policy = "sha256:12".to_owned(),
        |asked| asked.requester.key = "agent/6:other/-/-".to_owned(),
        |asked| asked.args = "{\"amount\":101}".to_owned(),
    ];
    for (n, change) in changes.iter().enumerate() {
        assert!(!ask(&desk, change, 4), "{n}");
    }
    let left = |name: &str| known(name).filter(|_| name != "carol");
    let mut one = asked(1);
    one.args = "{\"amount\":8}".to_owned();
    assert!(!matches!(
        desk.ask(one, "gone", 5, left).unwrap(),
        Answer::Agreed(_)
    ));
    assert!(!ask(&desk, &|_| {}, 1 + 600_000), "it has an end");
    assert!(ask(&desk, &|_| {}, 600_000));
    desk.decide("q", &party("dave"), Say::No("enough".to_owned()), 600_000, known)
        .unwrap();
    assert!(!ask(
        &desk,
        &|asked| asked.args = "{\"amount\":9}".to_owned(),
        600_000
    ));
}
