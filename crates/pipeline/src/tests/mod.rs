//! The road under test: every port fails once, every await is dropped once, and each time exactly one
//! outcome is recorded and nothing ran that should not have.

mod cost;
mod world;

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use proptest::prelude::*;
use world::{PORTS, World, arrival};

use crate::{Body, Pipeline, Refusal, Reply, refusal};

fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    for _ in 0..1000 {
        if let Poll::Ready(value) = poll(future.as_mut()) {
            return value;
        }
    }
    panic!("the fake world waits a few times at most");
}

fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn carry(world: &Arc<World>) -> Result<Reply, Refusal> {
    run(Pipeline::new(Arc::clone(world)).carry(arrival()))
}

#[test]
fn a_permitted_call_crosses_in_order() {
    let world = Arc::new(World::permitting());
    let reply = carry(&world).expect("permitted");
    assert!(matches!(reply.body, Body::Foreign(..)));
    assert_eq!(world.log(), [PORTS.as_slice(), &["outcome: answered"]].concat());
}

#[test]
fn a_refusal_anywhere_stops_the_call_and_is_recorded_once() {
    for (n, port) in PORTS.iter().enumerate() {
        let world = Arc::new(World {
            fail_at: Some(n),
            ..World::permitting()
        });
        let result = carry(&world);
        let log = world.log();
        let outcomes: Vec<_> = log.iter().filter(|line| line.starts_with("outcome")).collect();
        assert_eq!(outcomes.len(), 1, "{port}: {log:?}");
        assert_eq!(
            log.last(),
            outcomes.last().copied(),
            "{port}: nothing runs after the outcome"
        );
        if *port == "absorb" {
            continue; // Taking labels in cannot fail.
        }
        let refusal = result.expect_err(port);
        assert_eq!(*outcomes[0], format!("outcome: refused by {}", refusal.stage()));
        let after: Vec<_> = PORTS
            .iter()
            .skip(n + 1)
            .filter(|later| log.contains(&(**later).to_owned()))
            .collect();
        let allowed: &[&str] = match *port {
            // Findings are facts; what follows from them is decided after the rules.
            "inspect" => &["decide"],
            // The intent and the confirmation run side by side; neither is the call itself.
            "intent" => &["confirm"],
            // What was read is taken in even when its release is refused.
            "screen" => &["absorb"],
            _ => &[],
        };
        assert!(
            after.iter().all(|ran| allowed.contains(ran)),
            "{port}: {after:?} ran"
        );
        assert_eq!(
            log.contains(&"send".to_owned()),
            n >= world::position("send"),
            "{port}"
        );
    }
}

#[test]
fn a_client_is_told_only_what_its_context_knows_of() {
    let told = |fails| {
        let world = Arc::new(World {
            fails,
            is_for_client: true,
            ..World::permitting()
        });
        let result = carry(&world);
        let log = world.log();
        let told = ["hears", "overhear", "deliver"];
        let told = log.into_iter().filter(|line| told.contains(&line.as_str()));
        (result.is_ok(), told.collect::<Vec<_>>().join(" "))
    };
    assert_eq!(told(None), (true, "hears overhear deliver".to_owned()));
    assert_eq!(told(Some("overhear")), (false, "hears overhear".to_owned()));
    assert_eq!(told(Some("hears")), (false, "hears".to_owned()));
}

#[test]
fn a_client_that_hangs_up_is_recorded_whenever_it_does() {
    let whole = {
        let world = Arc::new(World::permitting());
        let pipeline = Pipeline::new(Arc::clone(&world));
        let mut call = pin!(pipeline.carry(arrival()));
        let mut polls = 1;
        while poll(call.as_mut()).is_pending() {
            polls += 1;
        }
        polls
    };
    assert!(whole >= 5, "the fake world waits in every asynchronous port");
    for polls in 0..whole {
        let world = Arc::new(World::permitting());
        {
            let pipeline = Pipeline::new(Arc::clone(&world));
            let mut call = pin!(pipeline.carry(arrival()));
            for _ in 0..polls {
                assert!(poll(call.as_mut()).is_pending());
            }
        }
        let hung_up = world.log();
        world.run_detached();
        let log = world.log();
        let outcomes: Vec<_> = log.iter().filter(|line| line.starts_with("outcome")).collect();
        if polls == 0 {
            assert_eq!(log, [""; 0], "a message never looked at is no message");
        } else if hung_up.contains(&"approve".to_owned()) {
            assert_eq!(outcomes, ["outcome: answered"], "after {polls}: {log:?}");
        } else {
            assert_eq!(outcomes, ["outcome: abandoned"], "after {polls}: {log:?}");
            assert!(!log.contains(&"send".to_owned()));
        }
    }
}

#[test]
fn an_outcome_that_cannot_be_recorded_is_not_an_answer() {
    let world = Arc::new(World {
        outcome_fails: true,
        ..World::permitting()
    });
    let refusal = carry(&world).expect_err("no record, no answer");
    assert_eq!(refusal.code(), &refusal::LEDGER_UNAVAILABLE);
}

#[test]
fn the_record_of_a_refusal_names_who_asked_for_what() {
    let world = Arc::new(World {
        rules: world::rules("forbid(principal, action, resource);"),
        ..World::permitting()
    });
    carry(&world).expect_err("forbidden");
    let known = world.known();
    assert_eq!(
        known
            .caller
            .map(|caller| caller.principal.actor().name.clone())
            .as_deref(),
        Some("owner")
    );
    assert!(known.resolution.and_then(|resolution| resolution.pin()).is_some());
    assert!(!known.permitted);
    assert_eq!(known.rules.len(), 1);
    assert_eq!(known.intent, None);
}

#[test]
fn what_may_not_be_discovered_answers_as_unknown() {
    for (rules, code) in [
        ("", &refusal::TARGET_UNKNOWN),
        ("forbid(principal, action, resource);", &refusal::TARGET_UNKNOWN),
        (
            "permit(principal, action == Action::\"invoke\", resource) when { context.args.path == \"/other\" };",
            &refusal::NOT_PERMITTED,
        ),
        (
            "permit(principal, action == Action::\"invoke\", resource) when { context.args.missing == 1 };",
            &refusal::RULE_FAILED,
        ),
    ] {
        let world = Arc::new(World {
            rules: world::rules(rules),
            ..World::permitting()
        });
        assert_eq!(carry(&world).expect_err(rules).code(), code, "{rules}");
        assert!(!world.log().contains(&"send".to_owned()), "{rules}");
    }
}

#[test]
fn every_refusal_has_a_name_and_a_remedy_of_its_own() {
    let mut names: Vec<_> = refusal::REFUSALS.iter().map(|code| code.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), refusal::REFUSALS.len());
    for code in refusal::REFUSALS {
        assert!(
            !code.remedy.is_empty() && !code.outside.ends_with('.'),
            "{}",
            code.name
        );
        let ours = code.rpc == wire::mcp::code::REFUSED || (-32768..=-32000).contains(&code.rpc);
        assert!(ours, "{}", code.name);
    }
}

proptest! {
    /// Whatever the rules and whatever fails: nothing is sent without a durable intent before it, and each
    /// message has exactly one outcome.
    #[test]
    fn nothing_is_sent_without_an_intent(permit in any::<bool>(), forbid in any::<bool>(), fail in 0usize..20) {
        let mut text = String::new();
        if permit { text += "permit(principal, action, resource);"; }
        if forbid { text += "forbid(principal, action == Action::\"invoke\", resource) when { context.args.path == \"/etc\" };"; }
        let world = Arc::new(World { rules: world::rules(&text), fail_at: Some(fail), ..World::permitting() });
        let result = carry(&world);
        let log = world.log();
        let at = |what: &str| log.iter().position(|line| line == what);
        if let Some(sent) = at("send") {
            prop_assert!(at("intent").is_some_and(|intent| intent < sent));
            prop_assert!(permit && !forbid);
        }
        prop_assert_eq!(log.iter().filter(|line| line.starts_with("outcome")).count(), 1);
        if result.is_ok() {
            prop_assert!(at("send").is_some());
        }
    }
}
