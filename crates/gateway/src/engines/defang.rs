//! Links and images in what somebody else says, made harmless where rules demand it.

use std::collections::{BTreeMap, BTreeSet};

use inspect::{Defang, defang};
use wire::json::{Kind, Node, Pointer};

use super::{
    rewrite::{replace, text_of},
    said::Said,
};

/// The member by which programs ask for something. It is no link that anybody is shown, but an image in it is none that
/// anybody asks for. What a picture is made of, and types, have no such signs unless they are something else.
const FOR_PROGRAMS: &str = "uri";

/// Changes every text, names of members included, so that nothing of these sorts is left; on top of other changes.
pub(super) fn harmless(
    said: Node<'_>,
    sorts: &BTreeSet<Defang>,
    texts: &mut BTreeMap<u32, String>,
    report: &mut Said,
) {
    if sorts.is_empty() {
        return;
    }
    let objects = said.walk().filter(|node| node.kind() == Kind::Object);
    let members = objects.flat_map(|object| object.members());
    let left: BTreeSet<u32> = members
        .filter(|(name, _)| name.is_str(FOR_PROGRAMS))
        .map(|(_, value)| value.place())
        .collect();
    for node in said.walk().filter(|node| node.kind() == Kind::String) {
        for sort in sorts {
            if *sort == Defang::Links && left.contains(&node.place()) {
                continue;
            }
            let text = match texts.get(&node.place()) {
                Some(text) => text.clone(),
                None => text_of(node).into_owned(),
            };
            let changes = defang(&text, *sort);
            if !changes.is_empty() {
                let at = || Pointer::to(said, node).unwrap_or_default();
                report.add(at, "defang", sort.as_str());
                texts.insert(node.place(), replace(&text, changes));
            }
        }
    }
}
