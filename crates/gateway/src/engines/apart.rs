//! Names of members that changes make equal, told apart again.

use std::collections::{BTreeMap, BTreeSet};

use wire::json::{Kind, Node};

use super::rewrite::text_of;

/// Members of one object stay apart where what told their names apart was taken out: readers refuse, or lose, one of two
/// equal names.
pub(super) fn keep_apart(said: Node<'_>, texts: &mut BTreeMap<u32, String>) {
    if texts.is_empty() {
        return;
    }
    for object in said.walk().filter(|node| node.kind() == Kind::Object) {
        let names = || object.members().map(|(name, _)| name);
        if !names().any(|name| texts.contains_key(&name.place())) {
            continue;
        }
        let mut taken: BTreeSet<String> = names()
            .filter(|name| !texts.contains_key(&name.place()))
            .map(|name| text_of(name).into_owned())
            .collect();
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for name in names() {
            let Some(text) = texts.get_mut(&name.place()) else {
                continue;
            };
            let plain = text.clone();
            let times = times.entry(plain.clone()).or_insert(1);
            while !taken.insert(text.clone()) {
                *times += 1;
                *text = format!("{plain} ({times})");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use wire::{
        bounds::ANSWER,
        json::{Document, Keys},
    };

    use super::{super::rewrite::keys_of, *};

    /// The bug: two names that held a finding each became one, and the answer had two equal keys.
    #[test]
    fn names_that_were_cut_stay_apart() {
        let said = br#"{"a@x.example":1,"b@x.example":2,"[e-mail]":3,"c":{"d@x.example":4}}"#;
        let said = Document::parse(said.to_vec(), Keys::Exact, &ANSWER).expect("JSON");
        let cut = keys_of(said.root()).filter(|name| text_of(*name).contains('@'));
        let mut texts: BTreeMap<u32, String> =
            cut.map(|name| (name.place(), "[e-mail]".to_owned())).collect();
        keep_apart(said.root(), &mut texts);
        let texts: Vec<&str> = texts.values().map(String::as_str).collect();
        assert_eq!(texts, ["[e-mail] (2)", "[e-mail] (3)", "[e-mail]"]);
    }
}
