//! Links and images in what somebody else says, made harmless where rules demand it.

use std::collections::{BTreeMap, BTreeSet};

use inspect::{Defang, defang};
use wire::json::{Kind, Node, Pointer};

use super::rewrite::{Said, replace, text_of};

/// The member by which programs ask for something. It is no link that anybody is shown, but an image in it is none that
/// anybody asks for. What a picture is made of, and types, have no such signs unless they are something else.
const FOR_PROGRAMS: &str = "uri";

/// Changes whose place is told: looking for one costs a walk, and there may be one for each value.
const TOLD_MAX: usize = 64;

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
    let mut told = 0;
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
                told += 1;
                let at = (told <= TOLD_MAX).then(|| Pointer::to(said, node)).flatten();
                report.add(at.unwrap_or_default(), "defang", sort.as_str());
                texts.insert(node.place(), replace(&text, changes));
            }
        }
    }
}
