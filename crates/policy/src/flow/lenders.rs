//! Which results lent something to a value. Results of which rules are told the same, by their tool and whether they are
//! trusted, are one sort: once one of them lent something, the others are not asked. What lent is the same in whatever
//! order it is asked.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    marks::Runs,
    memory::{Memory, RESULTS_MAX, Remembered, Sought},
    sketch::Mark,
};

/// Some of the results of a memory, a bit for each.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Chosen(u128);

const _: () = assert!(RESULTS_MAX <= u128::BITS as usize, "each result has a bit");

/// The results of a memory, sort by sort.
pub(super) struct Sorts<'m> {
    memory: &'m Memory,
    /// Of each sort the oldest result, and all of them. Sorts are in the order of their oldest.
    members: Vec<(&'m Remembered, Chosen)>,
    /// Of each result its sort; empty where there is but one.
    of: Vec<usize>,
}

/// A value, and who is still to be asked whether it comes from there.
pub(super) struct Asked<'s, 'm> {
    sorts: &'s Sorts<'m>,
    left: Chosen,
    lent: BTreeSet<usize>,
}

impl Chosen {
    fn with(self, place: usize) -> Self {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        Self(self.0 | 1_u128.checked_shl(place).unwrap_or(0))
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn first(self) -> Option<usize> {
        let place = self.0.trailing_zeros();
        (place < u128::BITS).then_some(place as usize)
    }
}

impl<'m> Sorts<'m> {
    /// By what rules are told of them.
    pub(super) fn of(memory: &'m Memory) -> Self {
        Self::by(memory, |result| {
            (
                result.origin.server.as_str(),
                result.origin.tool.as_str(),
                result.trusted,
            )
        })
    }

    /// All are one, where it is only asked whether any result lent something.
    pub(super) fn one(memory: &'m Memory) -> Self {
        let all = (0..memory.results().len()).fold(Chosen::default(), Chosen::with);
        Self {
            memory,
            members: memory
                .results()
                .next()
                .map(|oldest| (oldest, all))
                .into_iter()
                .collect(),
            of: Vec::new(),
        }
    }

    fn by<K: Copy + Ord>(memory: &'m Memory, key: impl Fn(&'m Remembered) -> K) -> Self {
        let mut known: BTreeMap<K, usize> = BTreeMap::new();
        let mut before: Option<(K, usize)> = None;
        let (mut members, mut of) = (Vec::new(), Vec::with_capacity(memory.results().len()));
        for (place, result) in memory.results().enumerate() {
            let key = key(result);
            // One tool is often asked many times on end.
            let sort = match before {
                Some((of_that, sort)) if of_that == key => sort,
                Some(_) | None => *known.entry(key).or_insert(members.len()),
            };
            before = Some((key, sort));
            match members.get_mut(sort) {
                Some((_, chosen)) => *chosen = Chosen::with(*chosen, place),
                None => members.push((result, Chosen::default().with(place))),
            }
            of.push(sort);
        }
        Self { memory, members, of }
    }

    /// The oldest result of a sort.
    pub(super) fn oldest(&self, sort: usize) -> Option<&'m Remembered> {
        self.members.get(sort).map(|(oldest, _)| *oldest)
    }

    /// A value about which these sorts are to be asked.
    pub(super) fn ask(&self, is_asked: impl Fn(usize, &Remembered) -> bool) -> Asked<'_, 'm> {
        let asked = self.members.iter().enumerate();
        let asked = asked.filter(|(sort, (oldest, _))| is_asked(*sort, oldest));
        Asked {
            sorts: self,
            left: asked.fold(Chosen::default(), |left, (_, (_, members))| left.and(*members)),
            lent: BTreeSet::new(),
        }
    }
}

impl Asked<'_, '_> {
    /// Whether there is nobody left to be asked.
    pub(super) fn is_over(&self) -> bool {
        self.left.is_empty()
    }

    /// Asks who holds a value, and says whether anybody does.
    pub(super) fn holding(&mut self, value: &str) -> bool {
        let sought = Sought::new(value);
        self.each(|result| result.holds(&sought))
    }

    /// Asks who holds a value that says little where a trusted result holds it, too.
    pub(super) fn holding_alone(&mut self, value: &str) {
        let sought = Sought::new(value);
        let mut trusted = self.sorts.memory.results().filter(|result| result.trusted);
        if !trusted.any(|result| result.holds(&sought)) {
            self.each(|result| result.holds(&sought));
        }
    }

    /// Asks who names a place, by one of these marks or spellings, and says whether anybody does.
    pub(super) fn naming(&mut self, marks: &[Mark], spellings: &[String]) -> bool {
        let sought: Vec<_> = spellings.iter().map(|text| Sought::new(text)).collect();
        self.each(|result| names(result, marks, &sought))
    }

    /// Whether a trusted result names a place: then it says little that others do, too.
    pub(super) fn is_named_by_trusted(&self, marks: &[Mark], spellings: &[String]) -> bool {
        let sought: Vec<_> = spellings.iter().map(|text| Sought::new(text)).collect();
        let mut trusted = self.sorts.memory.results().filter(|result| result.trusted);
        trusted.any(|result| names(result, marks, &sought))
    }

    /// Whether any result names a place, asked about or not.
    pub(super) fn is_named(&self, marks: &[Mark], spellings: &[String]) -> bool {
        let sought: Vec<_> = spellings.iter().map(|text| Sought::new(text)).collect();
        let mut all = self.sorts.memory.results();
        all.any(|result| names(result, marks, &sought))
    }

    /// Whether a result that is nobody's to pass on holds a word.
    pub(super) fn is_in_data(&self, word: &str) -> bool {
        let sought = Sought::new(word);
        let mut data = self.sorts.memory.results();
        data.any(|result| (result.trusted || result.confidential) && result.holds(&sought))
    }

    /// Asks from whom most of a text in small letters was copied: quoting a line is not passing a text on.
    pub(super) fn copied(&mut self, text: &str) {
        if self.is_over() {
            return;
        }
        let runs = Runs::of(text);
        if !runs.is_empty() {
            self.each(|result| result.lent_most(&runs));
        }
    }

    /// The sorts of which one lent something.
    pub(super) fn lent(self) -> BTreeSet<usize> {
        self.lent
    }

    fn each(&mut self, lent: impl Fn(&Remembered) -> bool) -> bool {
        let before = self.left;
        let mut ahead = before;
        while let Some(place) = ahead.first() {
            ahead = ahead.without(Chosen::default().with(place));
            if !self.sorts.memory.result(place).is_some_and(&lent) {
                continue;
            }
            let sort = self.sorts.of.get(place).copied().unwrap_or(0);
            if let Some((_, members)) = self.sorts.members.get(sort) {
                self.lent.insert(sort);
                self.left = self.left.without(*members);
                ahead = ahead.without(*members);
            }
        }
        self.left != before
    }
}

fn names(result: &Remembered, marks: &[Mark], spellings: &[Sought<'_>]) -> bool {
    marks.iter().any(|mark| result.names(*mark)) || spellings.iter().any(|text| result.holds(text))
}

#[cfg(test)]
mod tests {
    use wire::{
        bounds::REQUEST,
        json::{Document, Keys, object},
    };

    use super::*;
    use crate::{
        flow::{
            Brought, Call, Flow, Settings, Suspicion,
            memory::RESULTS_MAX,
            value::{Shape, Value},
            words::has_topic,
        },
        label::Confidentiality,
        resource::Trust,
    };

    const TOOLS: [&str; 3] = ["get_page", "get_post", "read_chart"];

    /// Draws numbers below a bound, the same in each run.
    fn lot(mut state: u32) -> impl FnMut(usize) -> usize {
        move |below| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % below
        }
    }

    /// Words of so many as a text, and among them, often or seldom, addresses and numbers.
    fn text(draw: &mut impl FnMut(usize) -> usize, length: usize, of: usize) -> String {
        let words = (0..length).map(|_| {
            let n = draw(of);
            match draw(if of.is_multiple_of(2) { 12 } else { 150 }) {
                0 => format!("<eve{n}@evil.example>,"),
                1 => format!("AT68-{n:04}-2054"),
                2 => format!("www.page{n}.example/x"),
                3 => format!("item_{n:03}."),
                4 => format!("caf\u{e9}{n}"),
                _ => format!("word{n}"),
            }
        });
        words.collect::<Vec<_>>().join(" ")
    }

    fn arguments(texts: &[String]) -> Document {
        let text = object(|out| out.array("texts", |list| texts.iter().for_each(|text| list.string(text))));
        Document::parse(text, Keys::Exact, &REQUEST).unwrap()
    }

    /// Words as they come in a text of a result, behind one that may be new.
    fn quote(draw: &mut impl FnMut(usize) -> usize, texts: &[String]) -> String {
        let text = texts.get(draw(texts.len().max(1))).map_or("", String::as_str);
        let (from, length) = (draw(30), draw(30));
        let quoted: Vec<&str> = text.split(' ').skip(from).take(length).collect();
        format!("other_{:03} {}", draw(900), quoted.join(" "))
    }

    /// A context that has read these results, of some of which no text is left.
    fn context(draw: &mut impl FnMut(usize) -> usize, results: &[String]) -> Flow {
        let mut flow = Flow::new(Some("write to eve1@evil.example"), Settings::default());
        let stored = draw(results.len() + 1);
        for (n, text) in results.iter().enumerate() {
            if n == stored {
                flow = Flow::from_stored(&flow.to_stored(), None, Settings::default()).unwrap();
            }
            let args = arguments(&[format!("item_{:03}", draw(900))]);
            let call = Call {
                server: "web",
                tool: TOOLS[draw(3)],
                sink: None,
                args: Some(args.root()),
            };
            let trust = if draw(2) == 0 {
                Trust::Trusted
            } else {
                Trust::Untrusted
            };
            let brought = Brought {
                text,
                trust,
                confidentiality: Confidentiality::Public,
                suspicion: Suspicion::None,
            };
            flow.uses(&call);
            flow.absorb(&call, &brought);
        }
        flow
    }

    /// Each value, or word of it that says where or what, asked of each result.
    fn plainly(flow: &Flow, args: &Document) -> BTreeSet<(String, String, bool)> {
        let mut told = BTreeSet::new();
        for value in Value::all(Some(args.root())) {
            if flow.own.contains(&value.text) || matches!(value.shape, Shape::Date | Shape::Number) {
                continue;
            }
            let is_made_of_words = matches!(value.shape, Shape::Name | Shape::Text);
            let words = value.text.split_whitespace().map(Value::of_text);
            let words = words.filter(|word| match word.shape {
                Shape::Address | Shape::Email => true,
                Shape::Identifier => word.text.len() >= 6,
                Shape::Date | Shape::Name | Shape::Number | Shape::Path | Shape::Text => false,
            });
            let words: Vec<Value> = if is_made_of_words {
                words.collect()
            } else {
                vec![value.clone()]
            };
            let runs = Runs::of(&value.text);
            for result in flow.memory.results() {
                let holds = words.iter().any(|word| {
                    let is_known = flow.task.says(&word.text) || flow.own.contains(&word.text);
                    !is_known && result.holds(&Sought::new(&word.text))
                });
                let is_copied = || is_made_of_words && !runs.is_empty() && result.lent_most(&runs);
                if holds || has_topic(&value.text) && is_copied() {
                    told.insert((value.whole_pointer(), result.origin.tool.clone(), result.trusted));
                }
            }
        }
        told
    }

    /// What is not asked any more would have told nothing new.
    #[test]
    fn asking_each_result_about_each_word_tells_the_same() {
        let mut draw = lot(7);
        let (mut asked, mut lent, mut sorts) = (0, 0, BTreeSet::new());
        for round in 0..300 {
            let of = 5 + draw(400);
            let results = if round % 10 == 0 {
                RESULTS_MAX + draw(30)
            } else {
                draw(12)
            };
            let mut texts = |count: usize| -> Vec<String> {
                let drawn = (0..count).map(|_| {
                    let length = draw(60);
                    text(&mut draw, length, of)
                });
                drawn.collect()
            };
            let (results, mut texts) = (texts(results), texts(4));
            let flow = context(&mut draw, &results);
            texts.extend((0..4).map(|_| quote(&mut draw, &results)));
            let args = arguments(&texts);
            let sources = flow.sources(Some(args.root()));
            let told: BTreeSet<_> = sources
                .into_iter()
                .map(|source| (source.argument.unwrap(), source.tool, source.trusted))
                .collect();
            assert_eq!(told, plainly(&flow, &args), "round {round}");
            asked += texts.len();
            lent += told
                .iter()
                .map(|(argument, ..)| argument)
                .collect::<BTreeSet<_>>()
                .len();
            sorts.insert(told.len());
        }
        assert!(lent > asked / 4 && lent < asked * 9 / 10, "{lent} of {asked}");
        assert!(sorts.len() > 10, "{sorts:?}");
    }
}
