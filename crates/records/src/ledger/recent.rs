//! The newest entries by their call, in memory, so that the question after a call that has just ended
//! reads no file but the bundles of its own entries.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

#[cfg(test)]
mod tests;

/// Entries remembered.
const ENTRIES_MAX: usize = 16_384;

/// Which of the newest entries belong to which call.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    by_call: HashMap<Arc<str>, Vec<u64>>,
    order: VecDeque<(u64, Arc<str>)>,
    from: Option<u64>,
}

impl Recent {
    /// Remembers an entry, and forgets the oldest when there are too many.
    pub(crate) fn note(&mut self, index: u64, call: &Arc<str>) {
        self.from.get_or_insert(index);
        if self.order.len() == ENTRIES_MAX {
            self.forget_oldest();
        }
        self.order.push_back((index, call.clone()));
        self.by_call.entry(call.clone()).or_default().push(index);
    }

    /// The entries of a call, and the index from which on all are remembered; nothing is remembered yet
    /// when there is no such index.
    pub(crate) fn of(&self, call: &str) -> (Vec<u64>, Option<u64>) {
        (self.by_call.get(call).cloned().unwrap_or_default(), self.from)
    }

    fn forget_oldest(&mut self) {
        let Some((index, call)) = self.order.pop_front() else {
            return;
        };
        self.from = Some(index + 1);
        if let Some(indices) = self.by_call.get_mut(&call) {
            indices.retain(|known| *known != index);
            if indices.is_empty() {
                self.by_call.remove(&call);
            }
        }
    }
}
