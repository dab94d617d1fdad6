use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use policy::{Party, PartyKind, Subject};

use super::*;

/// The bug: with the clock set back by an hour every call was refused for an hour, with the built-in limits, too.
#[tokio::test]
async fn a_clock_that_is_set_back_refuses_nobody() {
    const HOUR_MS: i64 = 3_600_000;
    let wall = Arc::new(AtomicI64::new(500_000 * HOUR_MS));
    let ambient = Ambient::by(Arc::clone(&wall));
    let limits = LimitStore::new(&[]).expect("the built-in limits");
    let subject = Subject {
        actor: Party {
            kind: PartyKind::Agent,
            name: "scribe".into(),
            roles: Vec::new(),
            groups: Vec::new(),
            tenant: None,
            attributes: BTreeMap::new(),
        },
        for_user: None,
    };
    let usage = Usage {
        subject: &subject,
        resource: &Resource::Gateway,
        purpose: None,
        context: Some("c"),
        arguments: "",
        bytes: 10,
        cost: 0,
        named: &[],
    };
    for step_ms in [0, -60_000, -HOUR_MS, 48 * HOUR_MS, -48 * HOUR_MS] {
        wall.fetch_add(step_ms, Ordering::Relaxed);
        let place = limits.place(&usage, &ambient).await;
        assert!(place.is_ok(), "after a step of {step_ms} ms: {place:?}");
    }
}
