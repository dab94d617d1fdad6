//! What was changed, for `_meta` and the record.

use std::{borrow::Cow, collections::BTreeMap};

use wire::{
    bounds::POINTER_BYTES_MAX,
    json::{Kind, Node, Pointer, Writer},
};

/// Changes listed in `_meta`; the rest is counted. There may be one for each value of an answer, and more.
const LISTED_MAX: usize = 64;

/// The changes of one content.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// The first of them, each with where it is.
    listed: Vec<(Pointer, &'static str, Cow<'static, str>)>,
    /// How many there are of each sort.
    counts: BTreeMap<(&'static str, Cow<'static, str>), usize>,
}

impl Said {
    /// Adds a change. Where it is costs a walk, and is asked only while there is room.
    pub(super) fn add(
        &mut self,
        at: impl FnOnce() -> Pointer,
        did: &'static str,
        what: impl Into<Cow<'static, str>>,
    ) {
        let what = what.into();
        if self.room() > 0 {
            self.listed
                .push((at().within(POINTER_BYTES_MAX), did, what.clone()));
        }
        self.count(did, what);
    }

    /// Adds a change that is not listed.
    pub(super) fn count(&mut self, did: &'static str, what: impl Into<Cow<'static, str>>) {
        *self.counts.entry((did, what.into())).or_default() += 1;
    }

    /// Takes over what was done within one value.
    pub(super) fn take_in(&mut self, within: Self, at: &Pointer) {
        for ((did, what), count) in within.counts {
            self.add(|| at.clone(), did, what.clone());
            *self.counts.entry((did, what)).or_default() += count - 1;
        }
    }

    /// How many more are listed.
    pub(super) fn room(&self) -> usize {
        LISTED_MAX.saturating_sub(self.listed.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// As the asker is told: names that were changed stand as they are in `texts`, by their places.
    pub(super) fn json(&self, said: Node<'_>, texts: &BTreeMap<u32, String>) -> Vec<u8> {
        let all: usize = self.counts.values().sum();
        let mut writer = Writer::default();
        writer.array(|list| {
            for (at, did, what) in &self.listed {
                list.object(|out| {
                    out.string("at", shown(at, said, texts).as_str());
                    out.string("did", did);
                    out.string("what", what);
                });
            }
            if all > self.listed.len() {
                list.object(|out| out.integer("more", i128::try_from(all - self.listed.len()).unwrap_or(0)));
            }
        });
        writer.into_bytes()
    }

    /// One line for each sort of change.
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |((did, what), count): (&(&str, Cow<'_, str>), &usize)| format!("{did} {what} {count}");
        self.counts.iter().map(line).collect()
    }
}

/// A place as the asker sees it: names that were changed stand as they are now.
fn shown(at: &Pointer, said: Node<'_>, texts: &BTreeMap<u32, String>) -> Pointer {
    let mut shown = Pointer::default();
    let mut node = said;
    for name in at.steps() {
        let step = match node.kind() {
            Kind::Object => node.members().find(|(key, _)| key.is_str(&name)),
            Kind::Array | Kind::Bool | Kind::Null | Kind::Number | Kind::String => Pointer::default()
                .child(&name)
                .find(node)
                .map(|element| (element, element)),
        };
        let Some((key, value)) = step else { break };
        let now = texts.get(&key.place()).filter(|_| node.kind() == Kind::Object);
        shown = shown.child(now.map_or(name.as_ref(), String::as_str));
        node = value;
    }
    shown
}

#[cfg(test)]
mod tests {
    use wire::{
        bounds::REQUEST,
        json::{Document, Keys},
    };

    use super::*;

    #[test]
    fn of_many_changes_the_first_have_places_that_are_not_long() {
        let long = "n".repeat(4_000);
        let text = format!(r#"{{"{long}":[0],"b":1}}"#);
        let document = Document::parse(text.into_bytes(), Keys::Exact, &REQUEST).unwrap();
        let (root, mut asked) = (document.root(), 0);
        let mut said = Said::default();
        for _ in 0..100_000 {
            let at = || {
                asked += 1;
                Pointer::default().child(&long).child("0")
            };
            said.add(at, "mask", "personal/email");
        }
        said.count("redact", "secret/token".to_owned());
        assert_eq!((asked, said.listed.len(), said.counts.len()), (64, 64, 2));
        let json = String::from_utf8(said.json(root, &BTreeMap::new())).unwrap();
        assert!(json.ends_with(r#"{"more":99937}]"#), "{}", json.len());
        assert!(json.len() < 8_000, "{}", json.len());
        assert_eq!(
            said.lines(),
            ["mask personal/email 100000", "redact secret/token 1"]
        );
    }
}
