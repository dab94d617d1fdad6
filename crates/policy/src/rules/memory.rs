//! Arrays, big objects and texts that are more than texts of one message, looked into once for all rules, so that a sender cannot make
//! every rule walk them again.

use std::{borrow::Cow, cell::RefCell, sync::Arc};

use wire::json::Node;

use super::datum::Datum;

/// From how many members on an object is indexed.
const INDEXED_FROM: usize = 32;

/// What was found so far, by the place of the value in its document.
///
/// No borrow of a cell outlives the method that takes it, and none of them calls back.
#[derive(Debug, Default)]
pub(super) struct Memory<'a> {
    values: RefCell<Vec<(u32, Option<Datum<'a>>)>>,
    objects: RefCell<Vec<(u32, Index<'a>)>>,
}

/// Members by name, sorted.
type Index<'a> = Arc<[(Cow<'a, str>, Node<'a>)]>;

impl<'a> Memory<'a> {
    /// What an argument is to rules: the value remembered, or else what `convert` makes of it.
    pub(super) fn value(
        &self,
        argument: Node<'a>,
        convert: impl FnOnce() -> Option<Datum<'a>>,
    ) -> Option<Datum<'a>> {
        if let Some(value) = recall(&self.values, argument.place()) {
            return value;
        }
        let value = convert();
        self.values.borrow_mut().push((argument.place(), value.clone()));
        value
    }

    /// The member of that name.
    pub(super) fn member(&self, object: Node<'a>, name: &str) -> Option<Node<'a>> {
        let index = match recall(&self.objects, object.place()) {
            Some(index) => index,
            None => {
                let mut first = object.members().take(INDEXED_FROM);
                let found = first.find(|(key, _)| key.is_str(name)).map(|(_, value)| value);
                if found.is_some() || object.members().nth(INDEXED_FROM).is_none() {
                    return found;
                }
                let index = index(object);
                self.objects
                    .borrow_mut()
                    .push((object.place(), Arc::clone(&index)));
                index
            }
        };
        let at = index.binary_search_by(|(key, _)| key.as_ref().cmp(name)).ok()?;
        index.get(at).map(|(_, value)| *value)
    }
}

fn recall<T: Clone>(cell: &RefCell<Vec<(u32, T)>>, place: u32) -> Option<T> {
    let kept = cell.borrow();
    kept.iter()
        .find(|(at, _)| *at == place)
        .map(|(_, value)| value.clone())
}

fn index<'a>(object: Node<'a>) -> Index<'a> {
    let mut members: Vec<_> = object
        .members()
        .map(|(key, value)| (key.as_str().unwrap_or_default(), value))
        .collect();
    members.sort_by(|(a, _), (b, _)| a.cmp(b));
    members.into()
}
