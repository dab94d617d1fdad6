//! Pseudonyms: which stands for what. Each pair is sealed with the key of the person it is about, so that
//! erasing the person ends what their pseudonyms can say.
//!
//! One value of one person in one tenant has one pseudonym, in every call and after a restart, so that a
//! model can reason about it. Keys of the table are keyed digests; originals stand nowhere in clear.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use aws_lc_rs::hmac;
use inspect::{Effort, Inspector, Like, pseudonym};
use records::table::Owner;

use crate::{
    ambient::Ambient,
    known::concerned::same,
    storage::store::{Store, StoreError},
};

const TABLE: &str = "pseudonyms";
/// Draws before a pseudonym that is nobody else's is found.
const DRAWS_MAX: usize = 16;
/// Words that may make up one pseudonym: an IBAN in groups has nine.
const WORDS_MAX: usize = 9;
/// Bytes of a word that may be one, or a part of one.
const WORD_BYTES_MAX: usize = 64;

/// In whose name a value is disguised.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whose<'w> {
    /// The tenant; empty where there is but one.
    pub(crate) tenant: &'w str,
    /// The person the data is about, if the call says.
    pub(crate) subject: Option<&'w str>,
}

impl<'w> Whose<'w> {
    fn owner(self) -> Owner<'w> {
        match self.subject {
            Some(subject) => Owner::Subject {
                tenant: self.tenant,
                subject,
            },
            None => Owner::Tenant(self.tenant),
        }
    }
}

/// A pseudonym found in a text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Uncovered {
    /// Bytes of the text.
    pub(crate) span: std::ops::Range<usize>,
    /// What it stands for.
    pub(crate) original: String,
    /// The kind of finding it was.
    pub(crate) kind: String,
}

/// See the module.
pub(crate) struct Disguise {
    store: Store,
    key: hmac::Key,
    /// The digests of all pseudonyms given out; so that most words are not asked for.
    issued: Mutex<HashSet<String>>,
    /// Held by who draws or forgets: whoever only asks what was given out does not wait for that.
    drawing: Mutex<()>,
}

impl std::fmt::Debug for Disguise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disguise")
    }
}

impl Disguise {
    /// Pseudonyms of a store.
    pub(crate) fn open(store: Store, key: hmac::Key) -> Result<Self, StoreError> {
        let issued = store.list(TABLE)?.into_iter().map(|(key, _)| key);
        let issued = issued.filter(|key| key.starts_with(IS)).collect();
        Ok(Self {
            store,
            key,
            issued: Mutex::new(issued),
            drawing: Mutex::default(),
        })
    }

    /// The pseudonym of each value, in its order.
    pub(crate) fn of(
        &self,
        whose: Whose<'_>,
        values: &[Like<'_>],
        effort: &mut Effort,
        (inspector, ambient): (&Inspector, &Ambient),
    ) -> Result<Vec<String>, StoreError> {
        let _drawing = self.drawing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fresh: Vec<(String, Vec<u8>)> = Vec::new();
        let mut given = Vec::with_capacity(values.len());
        let mut lately: HashMap<String, String> = HashMap::new();
        // No value of this content is another's name in it.
        let here: HashSet<String> = values.iter().map(|like| same(like.original)).collect();
        for like in values {
            let key = self.key_of(whose, like);
            if let Some(known) = lately.get(&key) {
                given.push(laid_out(known, like.original));
                continue;
            }
            let known = self.store.get(TABLE, &key)?;
            let known = known.and_then(|bytes| String::from_utf8(bytes).ok());
            let name = match known {
                Some(known) => known,
                None => {
                    let mut drawn = || pseudonym(inspector, like, effort, || number(ambient));
                    let name = self.free(whose.tenant, &here, &mut drawn)?;
                    let name = name.ok_or_else(|| {
                        let why = format!("no pseudonym like a {} is free any more", like.detector);
                        StoreError::other(why)
                    })?;
                    let is = self.key_is(whose.tenant, &name);
                    let kind = like.detector.split('/').next().unwrap_or_default();
                    fresh.push((key.clone(), name.clone().into_bytes()));
                    let real = self.key_real(whose.tenant, like.original);
                    if self.store.get(TABLE, &real)?.is_none() {
                        fresh.push((real, b"1".to_vec()));
                    }
                    fresh.push((is.clone(), format!("{kind}\n{}", like.original).into_bytes()));
                    self.issued().insert(is);
                    name
                }
            };
            given.push(laid_out(&name, like.original));
            lately.insert(key, name);
        }
        if !fresh.is_empty() {
            self.store.put_all(whose.owner(), TABLE, &fresh)?;
        }
        Ok(given)
    }

    /// A pseudonym that stands for nothing else in the tenant and is nobody's value there, as far as values were seen:
    /// whoever reads it would take it for that person's.
    fn free(
        &self,
        tenant: &str,
        here: &HashSet<String>,
        drawn: &mut dyn FnMut() -> String,
    ) -> Result<Option<String>, StoreError> {
        for _ in 0..DRAWS_MAX {
            let name = drawn();
            let is_given = || self.issued().contains(&self.key_is(tenant, &name));
            if here.contains(&same(&name)) || is_given() {
                continue;
            }
            if self.store.get(TABLE, &self.key_real(tenant, &name))?.is_none() {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// The pseudonyms in a text that this tenant was given, with what they stand for.
    pub(crate) fn uncover(&self, tenant: &str, text: &str) -> Result<Vec<Uncovered>, StoreError> {
        let mut found = Vec::new();
        let words = words(text);
        let mut at = 0;
        while at < words.len() {
            let most = WORDS_MAX.min(words.len() - at);
            let mut taken = 1;
            for count in (1..=most).rev() {
                let (Some(first), Some(last)) = (words.get(at), words.get(at + count - 1)) else {
                    continue;
                };
                let span = first.start..last.end;
                let word = text.get(span.clone()).unwrap_or_default();
                // Only numbers are written in groups; most words of a text are not looked up in pairs.
                if count > 1 && !is_number(word) {
                    continue;
                }
                if let Some((kind, original)) = self.original(tenant, word)? {
                    // A tool gets a number in the layout it was asked with, which is the one its schema was told with.
                    let is_numbers = is_number(word) && is_number(&original);
                    let original = if is_numbers {
                        laid_out(&original, word)
                    } else {
                        original
                    };
                    found.push(Uncovered { span, original, kind });
                    taken = count;
                    break;
                }
            }
            at += taken;
        }
        Ok(found)
    }

    /// What one word stands for, and of which kind it is; None where it is nobody's pseudonym.
    pub(crate) fn original(&self, tenant: &str, word: &str) -> Result<Option<(String, String)>, StoreError> {
        let key = self.key_is(tenant, word);
        if !self.issued().contains(&key) {
            return Ok(None);
        }
        // None is there when the person was erased meanwhile.
        let sealed = self.store.get(TABLE, &key)?;
        let text = sealed.and_then(|bytes| String::from_utf8(bytes).ok());
        Ok(text.and_then(|text| {
            let (kind, original) = text.split_once('\n')?;
            Some((kind.to_owned(), original.to_owned()))
        }))
    }

    /// Forgets what stands for any of these values in a tenant, whoever's key sealed it. Gives how many
    /// pseudonyms it were.
    pub(crate) fn forget(&self, tenant: &str, identifiers: &BTreeSet<String>) -> Result<usize, StoreError> {
        let _drawing = self.drawing.lock().unwrap_or_else(PoisonError::into_inner);
        let all: HashMap<String, Vec<u8>> = self.store.list(TABLE)?.into_iter().collect();
        let stands_for = |is: &str| {
            let text = String::from_utf8_lossy(all.get(is)?);
            let (_, original) = text.split_once('\n')?;
            identifiers.contains(&same(original)).then(|| original.to_owned())
        };
        let mut gone = 0;
        for (of, name) in all.iter().filter(|(key, _)| key.starts_with(OF)) {
            let is = self.key_is(tenant, &String::from_utf8_lossy(name));
            if let Some(original) = stands_for(&is) {
                self.store.delete(TABLE, &self.key_real(tenant, &original))?;
                self.store.delete(TABLE, of)?;
                self.store.delete(TABLE, &is)?;
                self.issued().remove(&is);
                gone += 1;
            }
        }
        Ok(gone)
    }

    /// Another value of the form of this one, by a key that is thrown away: nobody can undo it.
    pub(crate) fn anonym(
        inspector: &Inspector,
        like: &Like<'_>,
        effort: &mut Effort,
        ambient: &Ambient,
    ) -> String {
        pseudonym(inspector, like, effort, || number(ambient))
    }

    fn issued(&self) -> MutexGuard<'_, HashSet<String>> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key_of(&self, whose: Whose<'_>, like: &Like<'_>) -> String {
        let subject = whose.subject.unwrap_or_default();
        let parts = [whose.tenant, subject, like.detector, &same(like.original)];
        format!("{OF}{}", self.digest(&parts))
    }

    fn key_is(&self, tenant: &str, name: &str) -> String {
        format!("{IS}{}", self.digest(&[tenant, &same(name)]))
    }

    /// That this is somebody's value, whose and of which kind not being said.
    fn key_real(&self, tenant: &str, value: &str) -> String {
        format!("{REAL}{}", self.digest(&[tenant, &same(value)]))
    }

    fn digest(&self, parts: &[&str]) -> String {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part.as_bytes());
        }
        records::digest::hex(context.sign().as_ref())
    }
}

/// Keys from values to pseudonyms, and back; and of values by themselves.
const OF: &str = "of:";
const IS: &str = "is:";
const REAL: &str = "real:";

fn number(ambient: &Ambient) -> u64 {
    u64::from_le_bytes(ambient.bytes::<8>())
}

/// Whether a text is a number, or one of digits and capitals: `+1 415 555 2671 x12`, `EC1A 1BB`.
fn is_number(text: &str) -> bool {
    let count = |what: fn(&u8) -> bool| text.bytes().filter(what).count();
    let digits = count(u8::is_ascii_digit);
    digits * 2 >= count(u8::is_ascii_alphanumeric) || digits > 0 && count(u8::is_ascii_lowercase) == 0
}

/// A pseudonym in the layout of a value: `4111 1111 ...` and `4111-1111-...` are one card.
pub(super) fn laid_out(name: &str, value: &str) -> String {
    let letters = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).count();
    let same = name.is_ascii() && value.is_ascii() && !value.contains('@') && letters(name) == letters(value);
    if !same {
        return name.to_owned();
    }
    let mut from = name.chars().filter(char::is_ascii_alphanumeric);
    value
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                from.next().unwrap_or(c)
            } else {
                c
            }
        })
        .collect()
}

/// Stretches that may be a pseudonym or part of one, without the punctuation around them.
fn words(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut words = Vec::new();
    let mut start = 0;
    for part in text.split(|c: char| c.is_whitespace() || "\"'<>()[]{},;=".contains(c)) {
        let clean = part.trim_end_matches(['.', ':', '!', '?']);
        let clean = clean
            .strip_prefix("mailto:")
            .or(clean.strip_prefix("tel:"))
            .unwrap_or(clean);
        let from = start + (part.trim_end_matches(['.', ':', '!', '?']).len() - clean.len());
        if !clean.is_empty() && clean.len() <= WORD_BYTES_MAX {
            words.push(from..from + clean.len());
        }
        start += part.len();
        start += text
            .get(start..)
            .and_then(|rest| rest.chars().next())
            .map_or(0, char::len_utf8);
    }
    words
}

#[cfg(test)]
mod tests {
    use inspect::Settings;

    use super::*;
    use crate::storage::vault::{Layout, Vault};

    /// Regression: a pseudonym was another's value, and who read it took it for that person's.
    #[test]
    fn no_pseudonym_is_anybodys_value_in_the_tenant() {
        let directory = std::env::temp_dir().join(format!("sallyport-disguise-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        let ambient = Ambient::system();
        let vault = Vault::open(&Layout::new(&directory), &ambient).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
        let disguise = Disguise::open(vault.store().clone(), key).unwrap();
        let inspector = Inspector::new(&Settings::default()).unwrap();
        let given = |tenant, subject, values: &[String]| {
            let like = |value| Like {
                detector: "personal/number",
                original: value,
                before: "",
                after: "",
            };
            let likes: Vec<Like<'_>> = values.iter().map(|value| like(value)).collect();
            let subject = Some(subject);
            let effort = &mut Effort::of_one_content();
            let given = disguise.of(Whose { tenant, subject }, &likes, effort, (&inspector, &ambient));
            given.unwrap()
        };
        // There are 6561 of this form.
        let plain = |from: u32| {
            (from..)
                .filter(|n| !n.to_string().contains('0'))
                .map(|n| n.to_string())
        };
        let anns: Vec<String> = plain(1111).take(600).collect();
        let bens: Vec<String> = plain(7111).take(100).collect();
        let names = given("clinic", "ann", &anns);
        assert!(
            names.iter().all(|name| !anns.contains(name)),
            "of the same content"
        );
        let names = given("clinic", "ben", &bens);
        assert!(names.iter().all(|name| !anns.contains(name)), "of another person");
        // Another tenant's are nobody's here.
        let names = given("bank", "ben", &bens);
        assert!(names.iter().any(|name| anns.contains(name)));
        // Who is forgotten is forgotten here, too.
        let real = |value: &str| {
            let key = disguise.key_real("clinic", value);
            disguise.store.get(TABLE, &key).unwrap().is_some()
        };
        assert!(real("1111") && real("1112"));
        assert_eq!(disguise.forget("clinic", &["1111".to_owned()].into()).unwrap(), 1);
        assert!(!real("1111") && real("1112"));
        drop(disguise);
        std::fs::remove_dir_all(&directory).unwrap();
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
}
