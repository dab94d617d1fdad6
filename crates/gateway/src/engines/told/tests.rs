//! What is in memory of what servers were told, over two processes.

use aws_lc_rs::hmac;

use super::*;
use crate::storage::vault::{Layout, Vault};

const BETWEEN: Between<'_> = Between {
    tenant: "clinic",
    caller: "ann",
    server: "mail",
};

/// Two processes on the tables of one directory.
fn houses(name: &str) -> (std::path::PathBuf, [(Told, Disguise); 2]) {
    let directory = std::env::temp_dir().join(format!("sallyport-told-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    let layout = Layout::new(&directory);
    let houses = [layout.clone(), layout.at_place(1)].map(|layout| {
        let vault = Vault::open(&layout, &Ambient::system()).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
        let told = Told::open(vault.store().clone()).unwrap();
        (told, Disguise::new(vault.store().clone(), key))
    });
    (directory, houses)
}

fn tell((told, disguise): &(Told, Disguise), caller: &str, value: &str) {
    let pairs = [(value.to_owned(), format!("P-{value}"))];
    told.tell(disguise, Between { caller, ..BETWEEN }, &pairs)
        .unwrap();
}

/// Regression: what a replica had read of somebody stayed in its memory, whoever erased them at another.
#[test]
fn what_one_replica_erases_the_others_let_go() {
    let (directory, [one, other]) = houses("erased");
    let in_memory = |house: &(Told, Disguise)| house.0.lock().by_key.len();
    one.0.take_over().unwrap();
    other.0.take_over().unwrap();
    for house in [&one, &other] {
        tell(house, "ann", "4111 1111");
        assert_eq!(in_memory(house), 1);
    }
    other.0.take_over().unwrap();
    assert_eq!(in_memory(&other), 1, "nobody was erased");
    one.0.forget(&Ambient::system()).unwrap();
    assert_eq!(in_memory(&one), 0);
    assert_eq!(in_memory(&other), 1, "it has not looked");
    other.0.take_over().unwrap();
    assert_eq!(in_memory(&other), 0);
    assert_eq!(other.0.lock().bytes, 0);
    tell(&other, "ann", "4111 2222");
    other.0.take_over().unwrap();
    assert_eq!(in_memory(&other), 1, "that was before");
    let _ = std::fs::remove_dir_all(directory);
}

/// Whatever is in memory is counted once, and what was used longest ago gives way.
#[test]
fn lists_take_as_much_room_as_they_are_counted_for() {
    let mut lists = Lists::default();
    let keep = |lists: &mut Lists, key: &str, bytes: usize| {
        lists.uses += 1;
        lists.keep(key.to_owned(), Shared::default(), bytes);
    };
    for _ in 0..3 {
        keep(&mut lists, "a", LISTS_BYTES_MAX / 4);
    }
    assert_eq!(lists.bytes, LISTS_BYTES_MAX / 4, "the same list, three times");
    keep(&mut lists, "b", LISTS_BYTES_MAX / 4);
    keep(&mut lists, "c", LISTS_BYTES_MAX / 4);
    assert!(lists.used("a").is_some());
    keep(&mut lists, "d", LISTS_BYTES_MAX / 2);
    let mut left: Vec<&str> = lists.by_key.keys().map(String::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["d"]);
    assert_eq!(lists.bytes, LISTS_BYTES_MAX / 2);
}

/// Regression: an original came back as the gateway had written it into a path or query, and was not known.
#[test]
fn what_was_told_is_found_percent_encoded() {
    let mut list = List::default();
    list.add("ann.lee@clinic.org", "p-1@pseudonym.example");
    list.add("4111 1111 1111 1111", "4929 1234 5678 9012");
    for (text, written) in [
        (
            "not found: /people/ann.lee%40clinic.org?x",
            "ann.lee%40clinic.org",
        ),
        ("/people/ann%2Elee%40clinic%2eorg", "ann%2Elee%40clinic%2eorg"),
        ("?card=4111%201111%201111%201111&", "4111%201111%201111%201111"),
        ("\u{fc} %ff %zz ann.lee%40clinic.org", "ann.lee%40clinic.org"),
        ("100% ann.lee@clinic.org", "ann.lee@clinic.org"),
    ] {
        let found = list.find(text);
        let found: Vec<_> = found
            .iter()
            .filter_map(|(span, _)| text.get(span.clone()))
            .collect();
        assert_eq!(found, [written], "{text}");
    }
    assert!(list.find("100% sure, %41%42").is_empty());
}
