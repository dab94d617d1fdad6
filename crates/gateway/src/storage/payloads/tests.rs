use super::*;
use crate::{
    ambient::Ambient,
    storage::vault::{Layout, Vault},
};

async fn result_of(payloads: &Payloads, call: &str, person: &str) -> Item {
    Item {
        call: call.to_owned(),
        part: Part::Result,
        since: payloads.since(call).await.unwrap().unwrap(),
        time_ms: 1,
        tenant: "north".to_owned(),
        people: BTreeSet::from([person.to_owned()]),
        subjects: vec![format!("hmac-sha256:{person}")],
        bytes: Secret::new(b"what was said".to_vec()),
    }
}

/// The order that matters: intent, erasure, outcome.
#[tokio::test]
async fn what_a_call_in_flight_brings_of_somebody_who_is_erased_is_not_kept_under_a_new_key() {
    let place = std::env::temp_dir().join(format!("sallyport-in-flight-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&place);
    let vault = Vault::open(&Layout::new(&place), &Ambient::system()).unwrap();
    let meant = MeantPayloads {
        on: true,
        strict: true,
        retention_ms: u64::MAX,
    };
    let payloads = Payloads::open(vault.store().clone(), vault.payloads().unwrap(), meant).unwrap();
    for call in ["p1-earlier", "p1-late", "p2-late"] {
        payloads.begin(call).await.unwrap();
    }
    assert!(
        payloads
            .keep(result_of(&payloads, "p1-earlier", "p1").await)
            .await
    );
    let erased = Owner::Subject {
        tenant: "north",
        subject: "p1",
    };
    vault.store().state().shred(erased).unwrap();
    // Nobody waits in vain: that it is not kept is what was asked for.
    assert!(payloads.keep(result_of(&payloads, "p1-late", "p1").await).await);
    assert!(payloads.keep(result_of(&payloads, "p2-late", "p2").await).await);
    payloads.begin("p1-after").await.unwrap();
    assert!(payloads.keep(result_of(&payloads, "p1-after", "p1").await).await);
    let opened = |call: &str| -> Vec<Option<Vec<u8>>> {
        let found = payloads.of_call(call).unwrap();
        found.into_iter().map(|(_, bytes)| bytes).collect()
    };
    let said = Some(b"what was said".to_vec());
    assert_eq!(opened("p1-earlier"), [None], "destroyed");
    assert_eq!(opened("p1-late"), [], "no new key keeps it");
    assert_eq!(opened("p2-late"), std::slice::from_ref(&said), "somebody else's");
    assert_eq!(opened("p1-after"), [said], "said anew, after");
    let counts = payloads.counts();
    assert_eq!((counts.kept, counts.lost, counts.dropped), (3, 0, 1));
    let _ = std::fs::remove_dir_all(&place);
}
