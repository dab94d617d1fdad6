use super::{CALLS_MIN, Seen, Sign, Signals, Thresholds};

const MINUTE: i64 = 60_000;

fn call<'c>(agent: &'c str, code: Option<&'static str>, now_ms: i64) -> Seen<'c> {
    Seen {
        agent,
        tool: Some("s__t"),
        code,
        untrusted: false,
        now_ms,
    }
}

/// The signals of so many equal calls.
fn signs(signals: &mut Signals, seen: &Seen<'_>, times: u32) -> Vec<Sign> {
    let all = (0..times).flat_map(|_| signals.take(seen));
    all.map(|(sign, _)| sign).collect()
}

#[test]
fn refusals_in_a_row_are_probing_once_in_a_window_and_not_when_they_are_spread() {
    let mut signals = Signals::default();
    let no = call("a", Some("not-permitted"), MINUTE);
    assert_eq!(signs(&mut signals, &no, 19), []);
    assert_eq!(signs(&mut signals, &no, 30), [Sign::Probing]);
    for minute in 100..200 {
        let spread = call("b", Some("target-unknown"), minute * MINUTE);
        assert_eq!(
            signs(&mut signals, &spread, 3),
            [],
            "three in a minute are a mistake"
        );
    }
    // What is somebody else's fault is no probing.
    let theirs = call("c", Some("upstream-timeout"), MINUTE);
    assert_eq!(signs(&mut signals, &theirs, 500), []);
}

#[test]
fn one_agents_refusals_are_not_anothers() {
    let mut signals = Signals::default();
    for n in 0..40 {
        let (a, b) = (format!("a{n}"), call("b", None, MINUTE));
        assert_eq!(
            signs(&mut signals, &call(&a, Some("not-permitted"), MINUTE), 5),
            []
        );
        assert_eq!(signs(&mut signals, &b, 1), []);
    }
}

#[test]
fn a_surge_is_measured_by_ones_own_past() {
    let mut signals = Signals::default();
    // A newcomer has no past to be compared with.
    assert_eq!(signs(&mut signals, &call("new", None, MINUTE), 5_000), []);
    for window in 1..6 {
        let calm = call("calm", None, window * 10 * MINUTE);
        assert_eq!(signs(&mut signals, &calm, 30), []);
        let busy = call("busy", None, window * 10 * MINUTE);
        assert_eq!(signs(&mut signals, &busy, 900), []);
    }
    assert_eq!(
        signs(&mut signals, &call("calm", None, 60 * MINUTE), 199),
        [],
        "few are no surge"
    );
    assert_eq!(
        signs(&mut signals, &call("calm", None, 60 * MINUTE), 200),
        [Sign::Volume]
    );
    assert_eq!(signs(&mut signals, &call("busy", None, 60 * MINUTE), 2_000), []);
}

#[test]
fn tools_never_used_are_news_only_to_who_has_a_past() {
    let mut signals = Signals::default();
    let names: Vec<String> = (0..10).map(|n| format!("s__{n}")).collect();
    let using = |signals: &mut Signals, agent: &str| {
        let calls = names.iter().map(|tool| Seen {
            tool: Some(tool),
            ..call(agent, None, MINUTE)
        });
        let calls: Vec<Seen<'_>> = calls.collect();
        calls
            .iter()
            .flat_map(|seen| signs(signals, seen, 1))
            .collect::<Vec<_>>()
    };
    assert_eq!(using(&mut signals, "new"), []);
    let past = u32::try_from(CALLS_MIN).expect("a small number");
    assert_eq!(signs(&mut signals, &call("old", None, MINUTE), past), []);
    assert_eq!(using(&mut signals, "old"), [Sign::Novelty]);
}

#[test]
fn untrusted_sources_loops_and_decoys() {
    let mut signals = Signals::new(Thresholds {
        decoys: ["s__t".to_owned()].into(),
        ..Thresholds::default()
    });
    assert_eq!(
        signs(&mut signals, &call("a", None, MINUTE), 2),
        [Sign::Decoy, Sign::Decoy]
    );
    let mut signals = Signals::default();
    let poisoned = Seen {
        untrusted: true,
        ..call("a", Some("not-permitted"), MINUTE)
    };
    assert_eq!(signs(&mut signals, &poisoned, 5), [Sign::Flow]);
    assert_eq!(
        signs(&mut signals, &call("b", Some("over-limit"), MINUTE), 60),
        [Sign::Loop]
    );
    let mut off = Signals::new(Thresholds {
        loops: 0,
        probing: 0,
        flow: 0,
        ..Thresholds::default()
    });
    assert_eq!(
        signs(&mut off, &call("b", Some("over-limit"), MINUTE), 600),
        [],
        "0 is never"
    );
    assert_eq!(signs(&mut off, &poisoned, 600), []);
}
