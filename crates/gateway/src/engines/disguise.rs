//! Pseudonyms: which stands for what. Each pair is sealed with the key of the person it is about, so that
//! erasing the person ends what their pseudonyms can say.
//!
//! One value of one person in one tenant has one pseudonym, in every call and after a restart, so that a
//! model can reason about it. Who stores a new one decides: of replicas that draw at once one is first, and the others
//! take over what it gave. Keys of the table are keyed digests; originals stand nowhere in clear.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
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
/// Draws in which a pseudonym that is nobody else's is to be found, and then of labels: there are some ten thousand
/// days of birth, but 700 million labels.
const DRAWS_MAX: usize = 16;
const LABELS_MAX: usize = 4;
/// How often what was drawn may be taken by others before it is stored.
const TRIES_MAX: usize = 8;
/// Values whose pseudonyms are stored at once, while all other writers wait.
const AT_ONCE: usize = 256;
/// Keys that are looked up at once.
const KEYS_AT_ONCE: usize = 1_024;
/// What has no form that a pseudonym could have.
const LABEL: Like<'_> = Like {
    detector: "",
    original: "",
    before: "",
    after: "",
};
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
    /// What it stands for: all pseudonyms of one value share it.
    pub(crate) original: Arc<str>,
    /// The kind of finding it was.
    pub(crate) kind: Arc<str>,
}

/// See the module.
pub(crate) struct Disguise {
    store: Store,
    key: hmac::Key,
}

/// A value of a content that is to have a pseudonym.
struct Wanted<'w> {
    like: &'w Like<'w>,
    /// Its keys: to its pseudonym, and by itself.
    of: String,
    real: String,
    /// The pseudonym that it has.
    name: Option<String>,
    /// One that was drawn for it and is not stored.
    drawn: Option<Drawn>,
    /// Everything about it is stored.
    is_kept: bool,
}

/// A pseudonym that may be had, with the keys under which it would be another value's, or a value.
struct Drawn {
    name: String,
    is: String,
    real: String,
}

impl std::fmt::Debug for Disguise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disguise")
    }
}

impl Disguise {
    /// Pseudonyms of a store. Nothing of it is remembered: other processes give out pseudonyms and forget them.
    pub(crate) fn new(store: Store, key: hmac::Key) -> Self {
        Self { store, key }
    }

    /// The pseudonym of each value, in its order. One that has one keeps it, whoever gave it; what was drawn is stored
    /// only if it is still free then, for other replicas draw meanwhile.
    pub(crate) fn of(
        &self,
        whose: Whose<'_>,
        values: &[Like<'_>],
        effort: &mut Effort,
        (inspector, ambient): (&Inspector, &Ambient),
    ) -> Result<Vec<String>, StoreError> {
        // No value of this content is another's name in it.
        let here: HashSet<String> = values.iter().map(|like| same(like.original)).collect();
        let (mut wanted, places) = self.wanted(whose, values)?;
        let mut draw = |like: &Like<'_>| pseudonym(inspector, like, effort, || number(ambient));
        for _ in 0..TRIES_MAX {
            let open = wanted.iter_mut().filter(|one| !one.is_kept);
            let mut open: Vec<&mut Wanted<'_>> = open.collect();
            if open.is_empty() {
                break;
            }
            self.draw(whose.tenant, &here, &mut open, &mut draw)?;
            for some in open.chunks_mut(AT_ONCE) {
                self.keep(whose, some)?;
            }
        }
        let given = places.iter().zip(values).map(|(place, like)| {
            let one = wanted.get(*place).filter(|one| one.is_kept)?;
            Some(laid_out(one.name.as_deref()?, like.original).into_owned())
        });
        let given: Option<Vec<String>> = given.collect();
        given
            .ok_or_else(|| StoreError::other("no pseudonym that was drawn stayed free; try again".to_owned()))
    }

    /// What is known of each value, and which of them each stands for.
    fn wanted<'w>(
        &self,
        whose: Whose<'_>,
        values: &'w [Like<'w>],
    ) -> Result<(Vec<Wanted<'w>>, Vec<usize>), StoreError> {
        let mut wanted: Vec<Wanted<'w>> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        let mut places = Vec::with_capacity(values.len());
        for like in values {
            let of = self.key_of(whose, like);
            let place = *known.entry(of.clone()).or_insert(wanted.len());
            places.push(place);
            if place == wanted.len() {
                wanted.push(Wanted {
                    like,
                    of,
                    real: self.key_real(whose.tenant, like.original),
                    name: None,
                    drawn: None,
                    is_kept: false,
                });
            }
        }
        let keys = wanted.iter().flat_map(|one| [one.of.as_str(), &one.real]);
        let mut found = self.store.get_all(TABLE, &keys.collect::<Vec<_>>())?;
        for one in &mut wanted {
            one.name = found
                .remove(&one.of)
                .and_then(|name| String::from_utf8(name).ok());
            one.is_kept = one.name.is_some() && found.contains_key(&one.real);
        }
        Ok((wanted, places))
    }

    /// Draws for each that has none a pseudonym that stands for nothing else in the tenant and is nobody's value there
    /// that was given one: whoever reads it would take it for that person's. Where none like the value is free, it
    /// becomes a label, of which there are enough.
    fn draw(
        &self,
        tenant: &str,
        here: &HashSet<String>,
        open: &mut [&mut Wanted<'_>],
        draw: &mut dyn FnMut(&Like<'_>) -> String,
    ) -> Result<(), StoreError> {
        let mut taken: HashSet<String> = HashSet::new();
        for round in 0..DRAWS_MAX + LABELS_MAX {
            let mut candidates: Vec<(&mut Wanted<'_>, Drawn)> = Vec::new();
            let without = open
                .iter_mut()
                .filter(|one| one.name.is_none() && one.drawn.is_none());
            for one in without {
                let name = draw(if round < DRAWS_MAX { one.like } else { &LABEL });
                let (is, real) = (self.key_is(tenant, &name), self.key_real(tenant, &name));
                if !here.contains(&same(&name)) && taken.insert(is.clone()) {
                    candidates.push((one, Drawn { name, is, real }));
                }
            }
            let keys = candidates
                .iter()
                .flat_map(|(_, drawn)| [drawn.is.as_str(), &drawn.real]);
            let found = self.store.get_all(TABLE, &keys.collect::<Vec<_>>())?;
            for (one, drawn) in candidates {
                let is_free = !found.contains_key(&drawn.is) && !found.contains_key(&drawn.real);
                one.drawn = is_free.then_some(drawn);
            }
        }
        Ok(())
    }

    /// Stores what is missing of these: the three rows of a pseudonym together. What another replica gave a name
    /// meanwhile has that, and whose name was taken meanwhile is left without.
    fn keep(&self, whose: Whose<'_>, some: &mut [&mut Wanted<'_>]) -> Result<(), StoreError> {
        let mut keys: Vec<&str> = Vec::new();
        for one in some.iter() {
            keys.extend([one.of.as_str(), &one.real]);
            keys.extend(
                one.drawn
                    .iter()
                    .flat_map(|drawn| [drawn.is.as_str(), &drawn.real]),
            );
        }
        let names = self.store.settle((whose.owner(), TABLE), &keys, |found| {
            let mut rows = Vec::new();
            let each = some.iter().map(|one| {
                let known = found.get(&one.of);
                let known = known.and_then(|name| String::from_utf8(name.clone()).ok());
                let name = match (known, &one.drawn) {
                    (Some(known), _) => known,
                    (None, Some(Drawn { name, is, real })) => {
                        if found.contains_key(is) || found.contains_key(real) {
                            return None;
                        }
                        let kind = one.like.detector.split('/').next().unwrap_or_default();
                        rows.push((one.of.clone(), name.clone().into_bytes()));
                        let told = format!("{}\n{kind}\n{}", one.of, one.like.original);
                        rows.push((is.clone(), told.into_bytes()));
                        name.clone()
                    }
                    // It was forgotten since it was looked up.
                    (None, None) => return None,
                };
                if !found.contains_key(&one.real) {
                    rows.push((one.real.clone(), b"1".to_vec()));
                }
                Some(name)
            });
            (each.collect::<Vec<_>>(), rows)
        })?;
        for (one, name) in some.iter_mut().zip(names) {
            one.drawn = None;
            one.is_kept = name.is_some();
            one.name = name;
        }
        Ok(())
    }

    /// The pseudonyms in each of these texts that this tenant was given, with what they stand for.
    pub(crate) fn uncover(&self, tenant: &str, texts: &[&str]) -> Result<Vec<Vec<Uncovered>>, StoreError> {
        let mut found: Vec<Vec<Uncovered>> = vec![Vec::new(); texts.len()];
        let mut shared: HashSet<Arc<str>> = HashSet::new();
        // The first word that may begin the next one: of those that overlap the first is taken, and of those the longest.
        let mut next = (0, 0);
        let places = texts.iter().enumerate().flat_map(|(text, whole)| {
            let words = words(whole);
            (0..words.len()).flat_map(move |at| {
                let each = stretches(whole, &words, at).into_iter();
                each.map(move |(taken, span, word)| (self.key_is(tenant, word), ((text, at), taken, span)))
            })
        });
        self.known(places, |(at, taken, span), stored| {
            let (Some(told), Some(text)) = (Told::read(stored), texts.get(at.0)) else {
                return;
            };
            let (Some(word), true) = (text.get(span.clone()), at >= next) else {
                return;
            };
            next = (at.0, at.1 + taken);
            // A tool gets a number in the layout it was asked with, which is the one its schema was told with.
            let original = if is_number(word) && is_number(told.original) {
                laid_out(told.original, word)
            } else {
                Cow::Borrowed(told.original)
            };
            let (original, kind) = (one_of(&mut shared, &original), one_of(&mut shared, told.kind));
            if let Some(found) = found.get_mut(at.0) {
                found.push(Uncovered { span, original, kind });
            }
        })?;
        Ok(found)
    }

    /// For each word the kind of what it stands for; None where it is nobody's pseudonym.
    pub(crate) fn kinds(&self, tenant: &str, words: &[String]) -> Result<Vec<Option<String>>, StoreError> {
        let mut kinds = vec![None; words.len()];
        let places = words.iter().enumerate();
        let places = places.map(|(at, word)| (self.key_is(tenant, word), at));
        self.known(places, |at, stored| {
            if let (Some(told), Some(kind)) = (Told::read(stored), kinds.get_mut(at)) {
                *kind = Some(told.kind.to_owned());
            }
        })?;
        Ok(kinds)
    }

    /// Tells each place whose key is there what stands there, in their order. Many are asked for at once: a call may have
    /// a million.
    fn known<P>(
        &self,
        mut places: impl Iterator<Item = (String, P)>,
        mut tell: impl FnMut(P, &[u8]),
    ) -> Result<(), StoreError> {
        loop {
            let some: Vec<(String, P)> = places.by_ref().take(KEYS_AT_ONCE).collect();
            if some.is_empty() {
                return Ok(());
            }
            let keys: Vec<&str> = some.iter().map(|(key, _)| key.as_str()).collect();
            let known = self.store.get_all(TABLE, &keys)?;
            for (key, place) in some {
                if let Some(stored) = known.get(&key) {
                    tell(place, stored);
                }
            }
        }
    }

    /// Forgets what stands for any of these values in a tenant, whoever's key sealed it. Gives how many
    /// pseudonyms it were.
    pub(crate) fn forget(&self, tenant: &str, identifiers: &BTreeSet<String>) -> Result<usize, StoreError> {
        let all: HashMap<String, Vec<u8>> = self.store.list(TABLE)?.into_iter().collect();
        let told = all.iter().filter(|(key, _)| key.starts_with(IS));
        let told = told.filter_map(|(is, stored)| Some((is, Told::read(stored)?)));
        let told: Vec<(&String, Told<'_>)> = told.collect();
        let name = |of: &str| all.get(of).map(|name| String::from_utf8_lossy(name));
        let nameless = self.nameless(tenant, &all, &told);
        let mut gone = 0;
        for (is, told) in told {
            if !identifiers.contains(&same(told.original)) {
                continue;
            }
            let real = self.key_real(tenant, told.original);
            let of = match told.of {
                // Another tenant may have given the same name: this is the one whose name it is in this tenant.
                Some(of) => name(of)
                    .is_some_and(|name| self.key_is(tenant, &name) == *is)
                    .then_some(of),
                None => nameless.get(is).copied(),
            };
            if let Some(of) = of {
                self.store.delete_all(TABLE, &[of, is, &real])?;
                gone += 1;
            }
        }
        Ok(gone)
    }

    /// Of rows from before a pseudonym said which value's it is: that value's key, by the key of the pseudonym in this
    /// tenant. Where two tenants gave the same name then, it may be the other's.
    fn nameless<'a>(
        &self,
        tenant: &str,
        all: &'a HashMap<String, Vec<u8>>,
        told: &[(&String, Told<'_>)],
    ) -> HashMap<String, &'a str> {
        if told.iter().all(|(_, told)| told.of.is_some()) {
            return HashMap::new();
        }
        let said: HashSet<&str> = told.iter().filter_map(|(_, told)| told.of).collect();
        let rest = all
            .iter()
            .filter(|(key, _)| key.starts_with(OF) && !said.contains(key.as_str()));
        rest.map(|(of, name)| (self.key_is(tenant, &String::from_utf8_lossy(name)), of.as_str()))
            .collect()
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

    /// Names what is between parties without naming them.
    pub(crate) fn key_between(&self, parties: [&str; 3]) -> String {
        self.digest(&parties)
    }

    fn digest(&self, parts: &[&str]) -> String {
        #[cfg(test)]
        tests::DIGESTS.with(|count| count.set(count.get() + 1));
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

/// What is stored of a pseudonym.
struct Told<'s> {
    /// The key of the value it stands for; older rows do not say.
    of: Option<&'s str>,
    /// The kind of that value.
    kind: &'s str,
    /// The value.
    original: &'s str,
}

impl<'s> Told<'s> {
    fn read(stored: &'s [u8]) -> Option<Self> {
        let (first, rest) = str::from_utf8(stored).ok()?.split_once('\n')?;
        // No kind has a colon in it.
        let (of, (kind, original)) = if first.starts_with(OF) {
            (Some(first), rest.split_once('\n')?)
        } else {
            (None, (first, rest))
        };
        Some(Self { of, kind, original })
    }
}

/// The stretches from one word on that may be a pseudonym, the longest first, and how many words each has. Only numbers
/// are written in groups; most words of a text are not looked up in pairs.
fn stretches<'t>(
    text: &'t str,
    words: &[std::ops::Range<usize>],
    at: usize,
) -> Vec<(usize, std::ops::Range<usize>, &'t str)> {
    let most = WORDS_MAX.min(words.len() - at);
    let stretch = |count: usize| {
        let span = words.get(at)?.start..words.get(at + count - 1)?.end;
        let word = text.get(span.clone())?;
        (count == 1 || is_number(word)).then_some((count, span, word))
    };
    (1..=most).rev().filter_map(stretch).collect()
}

/// A text that is kept once, however often it is asked for.
fn one_of(shared: &mut HashSet<Arc<str>>, text: &str) -> Arc<str> {
    if let Some(known) = shared.get(text) {
        return Arc::clone(known);
    }
    let text: Arc<str> = Arc::from(text);
    shared.insert(Arc::clone(&text));
    text
}

fn number(ambient: &Ambient) -> u64 {
    u64::from_le_bytes(ambient.bytes::<8>())
}

/// Whether a text is a number, or one of digits and capitals: `+1 415 555 2671 x12`, `EC1A 1BB`.
fn is_number(text: &str) -> bool {
    let count = |what: fn(&u8) -> bool| text.bytes().filter(what).count();
    let digits = count(u8::is_ascii_digit);
    digits * 2 >= count(u8::is_ascii_alphanumeric) || digits > 0 && count(u8::is_ascii_lowercase) == 0
}

/// A pseudonym in the layout of a value: `4111 1111 ...` and `4111-1111-...` are one card. A text may have a million of
/// them: what has the layout already is not copied.
pub(super) fn laid_out<'n>(name: &'n str, value: &str) -> Cow<'n, str> {
    let letters = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).count();
    let same = name.is_ascii() && value.is_ascii() && !value.contains('@') && letters(name) == letters(value);
    let alike = |(a, b): (char, char)| a == b || a.is_ascii_alphanumeric() && b.is_ascii_alphanumeric();
    if !same || name.len() == value.len() && name.chars().zip(value.chars()).all(alike) {
        return Cow::Borrowed(name);
    }
    let mut from = name.chars().filter(char::is_ascii_alphanumeric);
    let laid_out = value.chars().map(|c| {
        if c.is_ascii_alphanumeric() {
            from.next().unwrap_or(c)
        } else {
            c
        }
    });
    Cow::Owned(laid_out.collect())
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
mod tests;
