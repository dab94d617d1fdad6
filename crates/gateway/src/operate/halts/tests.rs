use super::{Halt, Target};
use crate::{
    ambient::Ambient,
    operate::halts::Halts,
    storage::vault::{Layout, Vault},
};

/// Regression: what was stopped while the store failed went on when this replica read the store the next time.
#[test]
fn what_could_not_be_stored_stays_stopped_when_others_are_heard() {
    let directory = std::env::temp_dir().join(format!("sallyport-halts-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    let vault = Vault::open(&Layout::new(&directory), &Ambient::system()).unwrap();
    let halts = Halts::open(vault.store().clone()).unwrap();
    // Longer than a key of the store may be.
    let target = Target::Context("c".repeat(1000));
    let halt = Halt {
        target: target.clone(),
        why: "a test".to_owned(),
        by: None,
        since_ms: 1,
    };
    halts.put(&halt).unwrap_err();
    halts.take_over().unwrap();
    let stopped: Vec<Target> = halts.all().into_iter().map(|halt| halt.target).collect();
    assert_eq!(stopped, [target]);
    std::fs::remove_dir_all(&directory).unwrap();
}
