//! RFC 6901: where a value stands, in words others understand.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
    iter::Peekable,
};

use super::{Kind, Node};

/// A JSON pointer.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Pointer(String);

impl Pointer {
    /// Reads a pointer: empty, or starting with `/`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (text.is_empty() || text.starts_with('/')).then(|| Self(text.to_owned()))
    }

    /// The pointer to a member or element below this one.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        let mut child = String::with_capacity(self.0.len() + 1 + name.len());
        child.push_str(&self.0);
        push(&mut child, Step::Member(name));
        Self(child)
    }

    /// The pointer to what holds the value this one names.
    #[must_use]
    pub fn parent(&self) -> Self {
        let parent = self.0.rsplit_once('/').map_or("", |(parent, _)| parent);
        Self(parent.to_owned())
    }

    /// The pointer, or where it is longer than this, the longest one to what holds its value that is not.
    #[must_use]
    pub fn within(mut self, bytes_max: usize) -> Self {
        if let Some(longer) = bytes_max.checked_add(1).filter(|longer| *longer <= self.0.len()) {
            let end = self.0.bytes().take(longer).rposition(|byte| byte == b'/');
            self.0.truncate(end.unwrap_or_default());
        }
        self
    }

    /// The pointer as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The pointer as text of its own.
    #[must_use]
    pub fn into_text(self) -> String {
        self.0
    }

    /// The names and numbers it is made of, each as it is without a pointer around it.
    pub fn steps(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.0.split('/').skip(1).map(|token| {
            if token.contains('~') {
                // In this order, so that `~01` is `~1`.
                Cow::Owned(token.replace("~1", "/").replace("~0", "~"))
            } else {
                Cow::Borrowed(token)
            }
        })
    }

    /// The value the pointer names, if there is one.
    #[must_use]
    pub fn find<'d>(&self, root: Node<'d>) -> Option<Node<'d>> {
        self.steps().try_fold(root, |node, name| match node.kind() {
            Kind::Object => node.get(&name),
            Kind::Array => node.elements().nth(name.parse().ok()?),
            Kind::Bool | Kind::Null | Kind::Number | Kind::String => None,
        })
    }

    /// The pointers from `root` to values below it, by their places: as [`Self::to`] has them and none longer than
    /// [`Self::within`] leaves it, in one walk for all.
    #[must_use]
    pub fn to_each(
        root: Node<'_>,
        places: impl IntoIterator<Item = u32>,
        bytes_max: usize,
    ) -> BTreeMap<u32, Self> {
        let each = ways_to(root, places, bytes_max, push).into_iter();
        each.map(|(place, text)| (place, Self(text))).collect()
    }

    /// The pointer from `root` to a value below it. Costs a walk; meant for one.
    #[must_use]
    pub fn to(root: Node<'_>, target: Node<'_>) -> Option<Self> {
        let mut here = String::new();
        let mut node = root;
        // Places grow in reading order, so each step goes into the child that spans the target.
        while node != target {
            let (step, child) = match node.kind() {
                Kind::Object => node
                    .members()
                    .take_while(|(key, _)| key.place() <= target.place())
                    .last()
                    .map(|(key, value)| (key.as_str().unwrap_or_default().into_owned(), value))?,
                Kind::Array => node
                    .elements()
                    .enumerate()
                    .take_while(|(_, element)| element.place() <= target.place())
                    .last()
                    .map(|(n, element)| (n.to_string(), element))?,
                Kind::Bool | Kind::Null | Kind::Number | Kind::String => return None,
            };
            push(&mut here, Step::Member(&step));
            // A key is named by the pointer to its member.
            if child.place() > target.place() {
                break;
            }
            node = child;
        }
        Some(Self(here))
    }
}

/// One step on the way to a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step<'s> {
    /// An element, from 0 on.
    Element(usize),
    /// A member.
    Member(&'s str),
}

/// How a step is written behind those before it.
pub type Spell = fn(&mut String, Step<'_>);

/// The ways from `root` to values below it, by their places, in one walk for all. One that is longer than `bytes_max`
/// ends above: at the last value that can be named.
#[must_use]
pub fn ways_to(
    root: Node<'_>,
    places: impl IntoIterator<Item = u32>,
    bytes_max: usize,
    spell: Spell,
) -> BTreeMap<u32, String> {
    let wanted: BTreeSet<u32> = places.into_iter().collect();
    let mut way = Way {
        text: String::new(),
        is_cut: false,
        bytes_max,
        spell,
        found: BTreeMap::new(),
    };
    way.gather(root, &mut wanted.into_iter().peekable());
    way.found
}

fn push(text: &mut String, step: Step<'_>) {
    text.push('/');
    match step {
        Step::Element(at) => text.push_str(&at.to_string()),
        Step::Member(name) if name.contains(['~', '/']) => {
            text.push_str(&name.replace('~', "~0").replace('/', "~1"));
        }
        Step::Member(name) => text.push_str(name),
    }
}

/// Where a walk is, and what it found.
struct Way {
    text: String,
    /// Whether what was entered last had no room any more, and so nothing below it has.
    is_cut: bool,
    bytes_max: usize,
    spell: Spell,
    found: BTreeMap<u32, String>,
}

impl Way {
    /// What is wanted at and below a node.
    fn gather(&mut self, node: Node<'_>, wanted: &mut Peekable<impl Iterator<Item = u32>>) {
        while wanted.next_if(|place| *place < node.place()).is_some() {}
        if let Some(place) = wanted.next_if_eq(&node.place()) {
            self.found.insert(place, self.text.clone());
        }
        match node.kind() {
            Kind::Object => {
                let mut members = node.members().peekable();
                while let Some((key, value)) = members.next() {
                    // Places grow in reading order: what is wanted of this one lies before the next.
                    let next = members.peek().map(|(key, _)| key.place());
                    if !is_before(wanted.peek(), next) {
                        continue;
                    }
                    let above = self.enter(Step::Member(&key.as_str().unwrap_or_default()));
                    // A key is named by the pointer to its member.
                    if let Some(place) = wanted.next_if_eq(&key.place()) {
                        self.found.insert(place, self.text.clone());
                    }
                    self.gather(value, wanted);
                    self.leave(above);
                }
            }
            Kind::Array => {
                let mut elements = node.elements().enumerate().peekable();
                while let Some((at, element)) = elements.next() {
                    let next = elements.peek().map(|(_, next)| next.place());
                    if !is_before(wanted.peek(), next) {
                        continue;
                    }
                    let above = self.enter(Step::Element(at));
                    self.gather(element, wanted);
                    self.leave(above);
                }
            }
            Kind::Bool | Kind::Null | Kind::Number | Kind::String => {}
        }
    }

    /// Goes one step on; gives what [`Self::leave`] needs to come back.
    fn enter(&mut self, step: Step<'_>) -> (usize, bool) {
        let above = (self.text.len(), self.is_cut);
        if !self.is_cut {
            (self.spell)(&mut self.text, step);
        }
        if self.text.len() > self.bytes_max {
            self.text.truncate(above.0);
            self.is_cut = true;
        }
        above
    }

    fn leave(&mut self, (length, is_cut): (usize, bool)) {
        self.text.truncate(length);
        self.is_cut = is_cut;
    }
}

/// Whether a place is wanted before the next one of a list begins.
fn is_before(wanted: Option<&u32>, next: Option<u32>) -> bool {
    wanted.is_some_and(|wanted| next.is_none_or(|next| *wanted < next))
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
