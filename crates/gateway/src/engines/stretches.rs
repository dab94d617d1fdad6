//! Stretches of a text, of which there may be a million, and whether one of them holds another.

use wire::json::Node;

/// Where each begins, and how far any until there goes.
#[derive(Debug)]
pub(super) struct Stretches(Vec<(usize, usize)>);

impl Stretches {
    /// Those from a first byte to one past the last.
    pub(super) fn of(spans: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut stretches: Vec<(usize, usize)> = spans.into_iter().collect();
        stretches.sort_unstable();
        let mut furthest = 0;
        for (_, end) in &mut stretches {
            furthest = furthest.max(*end);
            *end = furthest;
        }
        Self(stretches)
    }

    /// Where these values stand in their document.
    pub(super) fn of_all(nodes: &[Node<'_>]) -> Self {
        Self::of(nodes.iter().map(|node| node.span()))
    }

    /// Whether one of them holds all of a stretch.
    pub(super) fn hold(&self, (start, end): (usize, usize)) -> bool {
        let until = self.0.partition_point(|(first, _)| *first <= start);
        let last = until.checked_sub(1).and_then(|at| self.0.get(at));
        last.is_some_and(|(_, furthest)| end <= *furthest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As looking at one after the other would have it.
    #[test]
    fn a_stretch_is_held_by_one_that_begins_before_and_ends_behind() {
        let spans = [(4, 9), (20, 30), (5, 6), (22, 25), (12, 12)];
        let stretches = Stretches::of(spans);
        for start in 0..35 {
            for end in start..35 {
                let held = spans.iter().any(|(first, last)| *first <= start && end <= *last);
                assert_eq!(stretches.hold((start, end)), held, "{start}..{end}");
            }
        }
        assert!(!Stretches::of([]).hold((0, 0)));
    }
}
