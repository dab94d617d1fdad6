//! Pseudonyms: whose value has which, over two processes, and how they are found again.

use std::path::PathBuf;

use inspect::Settings;

use super::*;
use crate::storage::vault::{Layout, Vault};

thread_local! {
    /// Digests that were made.
    pub(super) static DIGESTS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Two processes on the tables of one directory.
struct House {
    directory: PathBuf,
    ambient: Ambient,
    inspector: Inspector,
    disguises: [Disguise; 2],
}

impl House {
    fn new(name: &str) -> Self {
        let directory = format!("sallyport-disguise-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(directory);
        let _ = std::fs::remove_dir_all(&directory);
        let ambient = Ambient::system();
        let layout = Layout::new(&directory);
        let disguises = [layout.clone(), layout.at_place(1)].map(|layout| {
            let vault = Vault::open(&layout, &ambient).unwrap();
            let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
            Disguise::new(vault.store().clone(), key)
        });
        Self {
            directory,
            ambient,
            inspector: Inspector::new(&Settings::default()).unwrap(),
            disguises,
        }
    }

    fn uncovered(&self, at: usize, text: &str) -> Vec<Uncovered> {
        let found = self.disguises[at].uncover("clinic", &[text]).unwrap();
        found.into_iter().flatten().collect()
    }

    fn given(&self, at: usize, (tenant, subject): (&str, &str), values: &[String]) -> Vec<String> {
        let like = |value| Like {
            detector: "personal/number",
            original: value,
            before: "",
            after: "",
        };
        let likes: Vec<Like<'_>> = values.iter().map(|value| like(value)).collect();
        let whose = Whose {
            tenant,
            subject: Some(subject),
        };
        let effort = &mut Effort::of_one_content();
        let given = self.disguises[at].of(whose, &likes, effort, (&self.inspector, &self.ambient));
        given.unwrap()
    }

    /// Whether this is known to be somebody's value in the clinic.
    fn is_real(&self, value: &str) -> bool {
        let key = self.disguises[0].key_real("clinic", value);
        self.disguises[0].store.get(TABLE, &key).unwrap().is_some()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Numbers from this one on whose pseudonyms have their form: none with a zero.
fn plain(from: u32, count: usize) -> Vec<String> {
    let all = (from..).map(|n| n.to_string());
    all.filter(|n| !n.contains('0')).take(count).collect()
}

/// Regression: a pseudonym was another's value, and who read it took it for that person's.
#[test]
fn no_pseudonym_is_anybodys_value_in_the_tenant() {
    let house = House::new("nobodys");
    // There are 6561 of this form.
    let (anns, bens) = (plain(1111, 600), plain(7111, 100));
    let names = house.given(0, ("clinic", "ann"), &anns);
    assert!(
        names.iter().all(|name| !anns.contains(name)),
        "of the same content"
    );
    let names = house.given(0, ("clinic", "ben"), &bens);
    assert!(names.iter().all(|name| !anns.contains(name)), "of another person");
    // Another tenant's are nobody's here.
    let names = house.given(0, ("bank", "ben"), &bens);
    assert!(names.iter().any(|name| anns.contains(name)));
    // Who is forgotten is forgotten here, too.
    assert!(house.is_real("1111") && house.is_real("1112"));
    let forget = |value: &str| house.disguises[0].forget("clinic", &[value.to_owned()].into());
    assert_eq!(forget("1111").unwrap(), 1);
    assert!(!house.is_real("1111") && house.is_real("1112"));
}

/// Regression: what two tenants called by one name was forgotten in both, so that the other's value had another name from
/// then on, and what it was told by before stood for nothing.
#[test]
fn forgetting_in_one_tenant_leaves_another_its_names() {
    let house = House::new("tenants");
    // There are 81 of this form: some names are given in both.
    let (anns, bens) = (plain(11, 40), plain(51, 40));
    let names = house.given(0, ("clinic", "ann"), &anns);
    let others = house.given(0, ("bank", "ben"), &bens);
    assert!(
        names.iter().any(|name| others.contains(name)),
        "{names:?} {others:?}"
    );
    // Some are from before a pseudonym said which value's it is.
    let disguise = &house.disguises[0];
    for name in &names[20..] {
        let is = disguise.key_is("clinic", name);
        let stored = disguise.store.get(TABLE, &is).unwrap().unwrap();
        let (_, old) = std::str::from_utf8(&stored).unwrap().split_once('\n').unwrap();
        disguise.store.put(TABLE, &is, old.as_bytes()).unwrap();
    }
    let forgotten: BTreeSet<String> = anns.iter().map(|value| same(value)).collect();
    assert_eq!(disguise.forget("clinic", &forgotten).unwrap(), anns.len());
    assert_eq!(house.given(1, ("bank", "ben"), &bens), others);
    let rows = disguise.store.list(TABLE).unwrap().len();
    assert_eq!(rows, 3 * bens.len(), "nothing of the other's is left");
}

/// Regression: after sixteen draws without a free one the whole answer was refused, and every later one, too.
#[test]
fn where_nothing_of_the_form_is_free_there_are_labels() {
    let house = House::new("labels");
    // There are 81 of this form; these are their own, and nobody's names.
    let values = plain(11, 60);
    let names = house.given(0, ("clinic", "ann"), &values);
    let labels = names.iter().filter(|name| name.starts_with("X-")).count();
    assert!((39..60).contains(&labels), "{labels} of 60");
    let all: HashSet<&String> = names.iter().collect();
    assert_eq!(all.len(), names.len());
    assert_eq!(house.given(0, ("clinic", "ann"), &values), names);
    // Whoever comes later gets labels, too, and they stand for something.
    let later = plain(71, 5);
    let more = house.given(1, ("clinic", "ben"), &later);
    assert!(more.iter().any(|name| name.starts_with("X-")), "{more:?}");
    for (name, value) in names.iter().zip(&values).chain(more.iter().zip(&later)) {
        let found = house.uncovered(0, &format!("It is {name}."));
        let [found] = found.as_slice() else {
            panic!("{name}: {found:?}");
        };
        assert_eq!(*found.original, **value);
    }
}

/// Regression: who had a pseudonym from before values were kept was never known to have the value, and neither was
/// who shared it with somebody who was erased.
#[test]
fn a_value_that_has_a_pseudonym_is_known_again_with_its_next_call() {
    let house = House::new("known");
    let values = plain(1111, 20);
    let names = house.given(0, ("clinic", "ann"), &values);
    let store = &house.disguises[0].store;
    for value in &values {
        let key = house.disguises[0].key_real("clinic", value);
        store.delete(TABLE, &key).unwrap();
        assert!(!house.is_real(value));
    }
    assert_eq!(house.given(0, ("clinic", "ann"), &values), names);
    assert!(values.iter().all(|value| house.is_real(value)));

    let shared = house.given(0, ("clinic", "ben"), &values);
    assert!(shared.iter().all(|name| !names.contains(name)));
    let ann = Owner::Subject {
        tenant: "clinic",
        subject: "ann",
    };
    assert_eq!(store.with(|state| state.shred(ann)).unwrap(), 3 * values.len());
    assert!(values.iter().all(|value| !house.is_real(value)));
    assert_eq!(house.given(0, ("clinic", "ben"), &values), shared);
    assert!(values.iter().all(|value| house.is_real(value)));
}

/// Regression: a process knew the pseudonyms that were given before it started and its own: it gave others' to
/// other values, and did not know what they stood for.
#[test]
fn what_one_process_gave_the_other_knows_and_gives_to_nobody_else() {
    let house = House::new("two");
    let (anns, bens) = (plain(11, 20), plain(51, 20));
    let names = house.given(0, ("clinic", "ann"), &anns);
    for (name, value) in names.iter().zip(&anns) {
        let known = house.uncovered(1, name);
        assert_eq!(known.first().map(|known| &*known.original), Some(value.as_str()));
    }
    let others = house.given(1, ("clinic", "ben"), &bens);
    assert!(
        others.iter().all(|name| !names.contains(name)),
        "{names:?} {others:?}"
    );
    let text = format!("{}, {}; {}", names[3], others[4], names[5]);
    let found = house.uncovered(0, &text);
    let found: Vec<_> = found.iter().map(|one| &*one.original).collect();
    assert_eq!(found, [&anns[3], &bens[4], &anns[5]].map(String::as_str));
}

/// Regression: of two processes that drew for one value at once the later won, and the first one's name, told
/// already, stood for the value only until then.
#[test]
fn of_all_who_draw_for_one_value_at_once_one_decides() {
    let house = House::new("race");
    // More than are stored at once.
    let values = plain(1111, AT_ONCE + 50);
    let backwards: Vec<String> = values.iter().rev().cloned().collect();
    let given: Vec<Vec<String>> = std::thread::scope(|scope| {
        let draw = |n: usize| {
            let (house, values, backwards) = (&house, &values, &backwards);
            scope.spawn(move || match n % 4 {
                0 | 1 => house.given(n % 2, ("clinic", "ann"), values),
                _ => {
                    let mut given = house.given(n % 2, ("clinic", "ann"), backwards);
                    given.reverse();
                    given
                }
            })
        };
        let all: Vec<_> = (0..8).map(draw).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(given.iter().all(|names| *names == given[0]));
    let names: HashSet<&String> = given[0].iter().collect();
    assert_eq!(names.len(), values.len());
    assert_eq!(house.given(0, ("clinic", "ann"), &values), given[0]);
    let rows = house.disguises[0].store.list(TABLE).unwrap();
    assert_eq!(
        rows.len(),
        3 * values.len(),
        "no name is left that stands for nothing"
    );
}

/// Words are looked up many at a time, of all texts together.
#[test]
fn pseudonyms_are_found_wherever_they_stand_in_a_long_text_and_in_many() {
    let house = House::new("long");
    let values = ["4111 1111 1111 1111".to_owned(), "5500 0000 0000 0004".to_owned()];
    let names = house.given(0, ("clinic", "ann"), &values);
    for before in [
        0,
        1,
        KEYS_AT_ONCE - 20,
        KEYS_AT_ONCE - 1,
        KEYS_AT_ONCE,
        2 * KEYS_AT_ONCE,
    ] {
        let words = "word ".repeat(before);
        let text = format!("{words}{} and {}", names[0], names[1]);
        let found = house.uncovered(1, &text);
        let found: Vec<_> = found
            .into_iter()
            .map(|one| (one.span, one.original.to_string()))
            .collect();
        let first = words.len()..words.len() + names[0].len();
        let second = first.end + " and ".len()..text.len();
        let expected = [(first, values[0].clone()), (second, values[1].clone())];
        assert_eq!(found, expected, "{before} words before");
    }
    let mut texts = vec!["word"; KEYS_AT_ONCE];
    texts.extend([names[0].as_str(), "word", &names[1]]);
    let found = house.disguises[1].uncover("clinic", &texts).unwrap();
    assert_eq!(found.len(), texts.len());
    let found = found.iter().enumerate().filter(|(_, found)| !found.is_empty());
    let found: Vec<_> = found.map(|(n, found)| (n, &*found[0].original)).collect();
    assert_eq!(
        found,
        [
            (KEYS_AT_ONCE, values[0].as_str()),
            (KEYS_AT_ONCE + 2, values[1].as_str())
        ]
    );
    let kinds = house.disguises[1]
        .kinds("clinic", &[names[0].clone(), "word".to_owned()])
        .unwrap();
    assert!(kinds[0].is_some() && kinds[1].is_none(), "{kinds:?}");
}

/// Regression: where one word of a call was a pseudonym, the keys of all others were made a second time.
#[test]
fn a_word_is_digested_once_whatever_stands_beside_it() {
    let house = House::new("once");
    let names = house.given(0, ("clinic", "ann"), &["4111 1111 1111 1111".to_owned()]);
    let text = format!("{}{}", "word ".repeat(2_000), names[0]);
    let before = DIGESTS.get();
    assert_eq!(house.uncovered(0, &text).len(), 1);
    // Of a number in four groups, those that follow a word and are numbers by themselves.
    let made = DIGESTS.get() - before;
    assert!((2_001..2_100).contains(&made), "{made}");
}

#[test]
fn words_lose_what_stands_around_them() {
    let text = "to <p-1@x.example>, (P-7Q2XKA). call tel:+1 415";
    let words: Vec<_> = words(text).into_iter().filter_map(|w| text.get(w)).collect();
    assert_eq!(words, ["to", "p-1@x.example", "P-7Q2XKA", "call", "+1", "415"]);
}

#[test]
fn numbers_in_groups_are_told_from_words() {
    for text in [
        "+1 415 555 2671 x12",
        "EC1A 1BB",
        "GB29 NWBK 6016 1331 9268 19",
        "4111 1111",
    ] {
        assert!(is_number(text), "{text}");
    }
    for text in ["good morning", "Room 12 please", "GOOD MORNING"] {
        assert!(!is_number(text), "{text}");
    }
}

#[test]
fn one_card_has_many_layouts_and_two_mailboxes_are_two() {
    assert_eq!(same("4111-1111 1111.1111"), same("4111111111111111"));
    assert_eq!(same("Ann@X.org"), same("ann@x.org"));
    assert_ne!(same("a.nn@x.org"), same("ann@x.org"));
}

#[test]
fn a_pseudonym_is_laid_out_as_the_value() {
    assert_eq!(
        laid_out("4929 0000 1111 2222", "4111111111111111"),
        "4929000011112222"
    );
    assert_eq!(laid_out("P-7Q2XKA", "Ann Lee"), "P-7Q2XKA");
}
