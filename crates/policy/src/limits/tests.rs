use std::{
    collections::BTreeMap,
    future::Future,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use proptest::prelude::*;

use super::*;
use crate::{
    label::Labels,
    resource::{Resource, Sink, ToolFacts, Trust},
    subject::{Party, PartyKind, Subject},
};

const START: u64 = 1_795_248_000_000;

fn limit(name: &str, per: &[Dimension]) -> Limit {
    Limit {
        name: name.into(),
        applies: Applies::Always,
        per: per.to_vec(),
        rate: None,
        burst: None,
        concurrency: None,
        queue: 0,
        bytes: None,
        cost: None,
        total: None,
    }
}

fn rate(text: &str) -> Option<Rate> {
    Some(Rate::parse(text).expect(text))
}

fn subject(name: &str) -> Subject {
    Subject {
        actor: Party {
            kind: PartyKind::User,
            name: name.into(),
            roles: Vec::new(),
            groups: Vec::new(),
            tenant: None,
            attributes: BTreeMap::new(),
        },
        for_user: None,
    }
}

fn agent_for(agent: &str, user: &str) -> Subject {
    let actor = Party {
        kind: PartyKind::Agent,
        ..subject(agent).actor
    };
    Subject {
        actor,
        for_user: Some(subject(user).actor),
    }
}

fn tool(name: &str) -> Resource {
    Resource::Tool(ToolFacts {
        server: "s".into(),
        name: name.into(),
        sink: Sink::Read,
        trust: Trust::Trusted,
        labels: Labels::none(),
        tenant: None,
        cost: 1,
        arguments: None,
    })
}

/// A call by somebody, in a context, with these arguments.
fn usage<'c>(
    subject: &'c Subject,
    resource: &'c Resource,
    context: &'c str,
    arguments: &'c str,
) -> Usage<'c> {
    Usage {
        subject,
        resource,
        purpose: None,
        context: Some(context),
        arguments,
        bytes: 0,
        cost: 0,
        named: &[],
    }
}

fn takes(limiter: &Limiter, who: &str, now_ms: u64) -> Result<Place, Exceeded> {
    limiter.take(&usage(&subject(who), &tool("t"), "c", ""), now_ms)
}

fn wait(exceeded: Exceeded) -> Option<u64> {
    match exceeded {
        Exceeded::UsedUp { retry_after_ms, .. } => retry_after_ms,
        Exceeded::Unknown(name) => panic!("unknown {name}"),
    }
}

#[test]
fn rates_are_read_as_people_write_them() {
    for (text, amount, shown) in [
        ("600/min", 600, "600/min"),
        (" 600 / minute ", 600, "600/min"),
        ("1/s", 1, "1/s"),
        ("5/500ms", 5, "5/500ms"),
        ("100/5min", 100, "100/5min"),
        ("10MB/hour", 10_000_000, "10000000/hour"),
        ("3 GB / day", 3_000_000_000, "3000000000/day"),
        ("2k/90m", 2000, "2000/90min"),
    ] {
        let rate = Rate::parse(text).expect(text);
        assert_eq!(rate.amount(), amount, "{text}");
        assert_eq!(Rate::parse(&rate.to_string()), Ok(rate), "{text}");
        assert!(
            rate.to_string()
                .starts_with(shown.split('/').next().expect("amount")),
            "{rate}"
        );
    }
    for text in [
        "",
        "600",
        "/min",
        "600/",
        "0/min",
        "600/0min",
        "-1/min",
        "1.5/s",
        "600/mins",
        "6e2/min",
        "min/600",
        "99999999999999999999/s",
        "18446744073709551615GB/s",
        "600/min/s",
    ] {
        assert!(Rate::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_burst_passes_and_then_the_rate() {
    let limiter = Limiter::new(
        vec![Limit {
            rate: rate("60/min"),
            burst: Some(3),
            ..limit("r", &[Dimension::Principal])
        }],
        KEYS_MAX,
    );
    for _ in 0..3 {
        takes(&limiter, "alice", START).expect("the burst");
    }
    let exceeded = takes(&limiter, "alice", START).expect_err("used up");
    assert_eq!(exceeded.to_string(), "the limit `r` on calls is used up");
    assert_eq!(wait(exceeded), Some(1_000));
    takes(&limiter, "bob", START).expect("bob has his own");
    assert_eq!(
        wait(takes(&limiter, "alice", START + 999).expect_err("a little early")),
        Some(1)
    );
    takes(&limiter, "alice", START + 1_000).expect("one came back");
    takes(&limiter, "alice", START + 1_000).expect_err("only one");
}

#[test]
fn places_are_given_back_when_calls_end() {
    let limiter = Limiter::new(
        vec![Limit {
            concurrency: Some(2),
            ..limit("c", &[])
        }],
        KEYS_MAX,
    );
    let first = takes(&limiter, "alice", START).expect("one");
    let _second = takes(&limiter, "bob", START).expect("two");
    let busy = takes(&limiter, "carol", START).expect_err("three");
    assert_eq!(wait(busy), Some(BUSY_RETRY_MS));
    drop(first);
    takes(&limiter, "carol", START).expect("a place came free");
}

#[test]
fn a_call_that_one_limit_refuses_counts_against_none() {
    let limiter = Limiter::new(
        vec![
            Limit {
                rate: rate("10/hour"),
                ..limit("wide", &[Dimension::Principal])
            },
            Limit {
                rate: rate("1/hour"),
                ..limit("narrow", &[Dimension::Principal, Dimension::Tool])
            },
        ],
        KEYS_MAX,
    );
    let alice = subject("alice");
    let call = |tool: &Resource| limiter.take(&usage(&alice, tool, "c", ""), START).map(drop);
    call(&tool("a")).expect("first");
    for _ in 0..100 {
        call(&tool("a")).expect_err("narrow");
    }
    for n in 0..9 {
        call(&tool(&format!("b{n}"))).expect("nine are left of the wide limit");
    }
    call(&tool("z")).expect_err("wide");
}

#[test]
fn volume_is_charged_afterwards_too() {
    let limiter = Limiter::new(
        vec![Limit {
            bytes: rate("1000/min"),
            ..limit("volume", &[Dimension::Principal])
        }],
        KEYS_MAX,
    );
    let (alice, t) = (subject("alice"), tool("t"));
    let with = |bytes| Usage {
        bytes,
        ..usage(&alice, &t, "c", "")
    };
    assert_eq!(
        wait(limiter.take(&with(1001), START).expect_err("never fits")),
        None
    );
    let place = limiter.take(&with(400), START).expect("fits");
    place.charge(1_600, 0, START);
    drop(place);
    let refused = limiter.take(&with(0), START).expect_err("overdrawn by 1000");
    assert_eq!(wait(refused), Some(60_000));
    limiter.take(&with(0), START + 60_000).expect("paid back");
}

#[test]
fn no_amount_is_too_large_to_count() {
    let limiter = Limiter::new(
        vec![Limit {
            cost: rate("18446744073709551615/100month"),
            ..limit("cost", &[])
        }],
        KEYS_MAX,
    );
    let place = takes(&limiter, "alice", u64::MAX / 2).expect("first");
    place.charge(u64::MAX, u64::MAX, u64::MAX / 2);
    place.charge(u64::MAX, u64::MAX, u64::MAX / 2);
    takes(&limiter, "alice", u64::MAX / 2).expect_err("overdrawn");
}

#[test]
fn a_total_does_not_come_back() {
    let limiter = Limiter::new(
        vec![Limit {
            total: Some(2),
            ..limit("context", &[Dimension::Context])
        }],
        KEYS_MAX,
    );
    takes(&limiter, "alice", START).expect("one");
    takes(&limiter, "alice", START + 3_600_000).expect("two");
    let refused = takes(&limiter, "bob", START + 7_200_000).expect_err("the same context");
    assert_eq!(wait(refused), None);
}

#[test]
fn the_same_call_again_and_again_is_a_loop() {
    let limiter = Limiter::new(defaults(), KEYS_MAX);
    let (alice, t) = (subject("alice"), tool("t"));
    let mut looped = 0;
    for _ in 0..350 {
        let outcome = limiter.take(&usage(&alice, &t, "c", "same"), START);
        looped += u32::from(matches!(outcome, Err(Exceeded::UsedUp { limit, .. }) if limit == "loop"));
    }
    assert_eq!(looped, 50);
    limiter
        .take(&usage(&alice, &t, "c", "other"), START)
        .expect("other arguments");
    limiter
        .take(&usage(&alice, &t, "d", "same"), START)
        .expect("another context");
}

#[test]
fn polling_once_a_second_is_no_loop() {
    let limiter = Limiter::new(defaults(), KEYS_MAX);
    for second in 0..600 {
        takes(&limiter, "alice", START + second * 1_000).expect("polling");
    }
}

#[test]
fn a_limit_that_is_named_counts_only_where_it_is_named() {
    let limiter = Limiter::new(
        vec![Limit {
            applies: Applies::WhenNamed,
            rate: rate("1/hour"),
            ..limit("charts", &[Dimension::User])
        }],
        KEYS_MAX,
    );
    let (who, t) = (agent_for("scribe", "alice"), tool("t"));
    let plain = usage(&who, &t, "c", "");
    let named = Usage {
        named: &["charts"],
        ..plain
    };
    for _ in 0..5 {
        limiter.take(&plain, START).expect("not named");
    }
    limiter.take(&named, START).expect("first");
    limiter.take(&named, START).expect_err("second");
    let other_agent = agent_for("other", "alice");
    let same_user = Usage {
        subject: &other_agent,
        ..named
    };
    limiter.take(&same_user, START).expect_err("the same user");
    let unknown = Usage {
        named: &["chart"],
        ..plain
    };
    assert_eq!(
        limiter.take(&unknown, START).map(drop),
        Err(Exceeded::Unknown("chart".into()))
    );
}

#[test]
fn callers_never_share_a_count_because_something_is_not_known() {
    for dimension in [Dimension::Agent, Dimension::Tenant, Dimension::Purpose] {
        let limiter = Limiter::new(
            vec![Limit {
                rate: rate("1/hour"),
                ..limit("l", &[dimension])
            }],
            KEYS_MAX,
        );
        takes(&limiter, "alice", START).expect("alice");
        takes(&limiter, "bob", START).expect("bob");
        takes(&limiter, "alice", START).expect_err("alice again");
    }
}

#[test]
fn names_cannot_be_made_up_to_share_or_escape_a_count() {
    let t = tool("t");
    let key = |who: &Subject, context: &str| {
        let per = [Dimension::Principal, Dimension::Context];
        key::key("l", &per, &usage(who, &t, context, ""))
    };
    let keys = [
        key(&subject("a"), "b"),
        key(&subject("ab"), ""),
        key(&subject("a"), "1:b"),
        key(&subject("a\" and User::\"b"), ""),
        key(&agent_for("a", "b"), ""),
        key(&agent_for("b", "a"), ""),
    ];
    let different: BTreeSet<_> = keys.iter().collect();
    assert_eq!(different.len(), keys.len(), "{keys:?}");
}

#[test]
fn many_names_make_nobody_forgotten_and_no_room_without_end() {
    let keys_max = 64;
    let limiter = Limiter::new(
        vec![Limit {
            rate: rate("2/hour"),
            ..limit("l", &[Dimension::Principal])
        }],
        keys_max,
    );
    takes(&limiter, "offender", START).expect("one");
    takes(&limiter, "offender", START).expect("two");
    let mut passed = 0;
    for n in 0..10_000 {
        passed += u32::from(takes(&limiter, &format!("name{n}"), START + n).is_ok());
        assert!(
            takes(&limiter, "offender", START + n).is_err(),
            "forgotten after {n}"
        );
    }
    assert!(limiter.keys() <= keys_max + SHARDS, "{}", limiter.keys());
    // Those who found room once each, and every shard's newcomers twice together.
    assert!(
        passed <= u32::try_from(keys_max + 2 * SHARDS).expect("small"),
        "{passed}"
    );
    let later = START + 7_200_000;
    takes(&limiter, "honest", later).expect("what has recovered makes room");
    takes(&limiter, "honest", later).expect("its own");
    takes(&limiter, "another", later).expect("not shared");
}

#[test]
fn small_totals_are_forgotten_before_big_ones() {
    let limiter = Limiter::new(
        vec![Limit {
            total: Some(20),
            ..limit("l", &[Dimension::Context])
        }],
        SHARDS,
    );
    let (alice, t) = (subject("alice"), tool("t"));
    let call = |context: &str, now| limiter.take(&usage(&alice, &t, context, ""), now).map(drop);
    for _ in 0..20 {
        call("heavy", START).expect("within the total");
    }
    for n in 0..200 {
        drop(call(&format!("light{n}"), START + 400_000 * n));
    }
    call("heavy", START + 80_000_000).expect_err("not forgotten");
}

#[test]
fn threads_together_take_what_one_could() {
    let limiter = Limiter::new(
        vec![Limit {
            rate: rate("100/day"),
            concurrency: Some(1_000),
            ..limit("l", &[])
        }],
        KEYS_MAX,
    );
    let passed = AtomicU32::new(0);
    thread::scope(|scope| {
        for n in 0..8 {
            let (limiter, passed) = (&limiter, &passed);
            scope.spawn(move || {
                for _ in 0..100 {
                    if takes(limiter, &format!("t{n}"), START).is_ok() {
                        passed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(passed.into_inner(), 100);
}

proptest! {
    #[test]
    fn no_window_holds_more_than_the_burst_and_what_the_rate_adds(
        amount in 1_u64..50,
        period_ms in 1_u64..10_000,
        burst in 0_u64..20,
        gaps in prop::collection::vec(0_u64..3_000, 1..200),
    ) {
        let limiter = Limiter::new(
            vec![Limit {
                rate: rate(&format!("{amount}/{period_ms}ms")),
                burst: Some(burst),
                ..limit("l", &[])
            }],
            KEYS_MAX,
        );
        let mut now = START;
        let mut passed = Vec::new();
        for gap in gaps {
            now += gap;
            match takes(&limiter, "a", now) {
                Ok(_) => passed.push(now),
                Err(exceeded) => {
                    let ms = wait(exceeded).expect("a rate recovers");
                    prop_assert!(ms > 0);
                    // Neither sooner than it said, nor later.
                    prop_assert!(takes(&limiter, "a", now + ms - 1).is_err());
                    now += ms;
                    prop_assert!(takes(&limiter, "a", now).is_ok());
                    passed.push(now);
                }
            }
        }
        for (first, start) in passed.iter().enumerate() {
            for (last, end) in passed.iter().enumerate().skip(first) {
                let added = (end - start) * amount / period_ms;
                let count = u64::try_from(last - first + 1).expect("small");
                prop_assert!(count <= burst.max(1) + added + 1, "{count} in {} ms", end - start);
            }
        }
    }
}

/// A limit everybody shares, with so many places and so many of each who may wait.
fn shared(places: u32, queue: usize) -> Limiter {
    let limit = Limit {
        concurrency: Some(places),
        queue,
        ..limit("shared", &[Dimension::Server])
    };
    Limiter::new(vec![limit], KEYS_MAX)
}

fn asks(limiter: &Limiter, who: &str, waited: Option<Waiting>) -> Result<Taken, Exceeded> {
    limiter.take_or_wait(&usage(&subject(who), &tool("t"), "c", ""), waited, START)
}

fn waits(limiter: &Limiter, who: &str) -> Waiting {
    match asks(limiter, who, None) {
        Ok(Taken::After(waiting)) => waiting,
        other => panic!("{who}: {other:?}"),
    }
}

fn is_called(waiting: &mut Waiting) -> bool {
    let mut called = std::pin::pin!(waiting.called());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    called.as_mut().poll(&mut context).is_ready()
}

fn goes_on(limiter: &Limiter, who: &str, waited: Waiting) -> Place {
    match asks(limiter, who, Some(waited)) {
        Ok(Taken::Now(place)) => place,
        other => panic!("{who}: {other:?}"),
    }
}

#[test]
fn a_greedy_principal_has_every_other_place_and_no_more() {
    let limiter = shared(1, 64);
    let mut place = Some(takes(&limiter, "greedy", START).expect("a place"));
    let mut line: Vec<(&str, Waiting)> = (0..50).map(|_| ("greedy", waits(&limiter, "greedy"))).collect();
    line.extend((0..5).map(|_| ("modest", waits(&limiter, "modest"))));
    let mut served = Vec::new();
    while !line.is_empty() {
        drop(place.take());
        let called: Vec<usize> = (0..line.len()).filter(|at| is_called(&mut line[*at].1)).collect();
        let [at] = called[..] else {
            panic!("one place, and {called:?} have it")
        };
        assert!(
            takes(&limiter, "newcomer", START).is_err(),
            "it is kept for who waited"
        );
        let (who, waiting) = line.remove(at);
        place = Some(goes_on(&limiter, who, waiting));
        served.push(who);
    }
    let modest: Vec<usize> = (0..served.len()).filter(|at| served[*at] == "modest").collect();
    assert_eq!(
        modest,
        [1, 3, 5, 7, 9],
        "every other place, though they came last"
    );
    drop(place);
    takes(&limiter, "newcomer", START).expect("nobody waits any more");
}

#[test]
fn a_line_is_bounded_for_each_and_who_gives_up_gives_the_place_on() {
    let limiter = shared(1, 2);
    let place = takes(&limiter, "a", START).expect("a place");
    let (mut first, second) = (waits(&limiter, "a"), waits(&limiter, "a"));
    let refused = asks(&limiter, "a", None).expect_err("its line is full");
    assert_eq!(wait(refused), Some(BUSY_RETRY_MS));
    let mut other = waits(&limiter, "b");
    assert!(!is_called(&mut first) && !is_called(&mut other));
    // One that waits gives up; then one that was called.
    drop(second);
    drop(place);
    assert!(is_called(&mut first) && !is_called(&mut other));
    drop(first);
    assert!(is_called(&mut other), "the place it did not take");
    let place = goes_on(&limiter, "b", other);
    assert!(takes(&limiter, "a", START).is_err());
    drop(place);
    takes(&limiter, "a", START).expect("a place");
}

#[test]
fn nobody_waits_in_a_line_for_what_only_time_heals() {
    let limit = Limit {
        rate: rate("1/min"),
        concurrency: Some(1),
        queue: 8,
        ..limit("shared", &[Dimension::Server])
    };
    let limiter = Limiter::new(vec![limit], KEYS_MAX);
    let _place = takes(&limiter, "a", START).expect("a place");
    let refused = asks(&limiter, "b", None).expect_err("the rate is used up");
    assert!(wait(refused) > Some(BUSY_RETRY_MS));
}

/// Threads that wait, take and give up at random: all places are free afterwards, and never more taken than there are.
#[test]
fn no_place_is_lost_or_made_up_by_threads_that_race() {
    struct Unpark(thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let (limiter, under_way, served) = (shared(3, 64), AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for worker in 0..8 {
            let (limiter, under_way, served) = (&limiter, &under_way, &served);
            scope.spawn(move || {
                let waker = std::task::Waker::from(std::sync::Arc::new(Unpark(thread::current())));
                let who = ["a", "b", "c"][worker % 3];
                for round in 0..200 {
                    let mut waited = None;
                    let place = loop {
                        match asks(limiter, who, waited.take()).expect("room in the line") {
                            Taken::Now(place) => break Some(place),
                            Taken::After(_) if round % 7 == worker => break None,
                            Taken::After(mut waiting) => {
                                let mut context = std::task::Context::from_waker(&waker);
                                while std::pin::pin!(waiting.called()).poll(&mut context).is_pending() {
                                    thread::park();
                                }
                                waited = Some(waiting);
                            }
                        }
                    };
                    if let Some(place) = place {
                        assert!(
                            under_way.fetch_add(1, Ordering::SeqCst) < 3,
                            "more than there are"
                        );
                        thread::yield_now();
                        under_way.fetch_sub(1, Ordering::SeqCst);
                        served.fetch_add(1, Ordering::SeqCst);
                        drop(place);
                    }
                }
            });
        }
    });
    assert!(served.into_inner() > 1_000);
    let all: Vec<_> = (0..3)
        .map(|_| takes(&limiter, "d", START).expect("a place"))
        .collect();
    assert!(takes(&limiter, "d", START).is_err());
    drop(all);
}
