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
        child.push('/');
        if name.contains(['~', '/']) {
            child.push_str(&name.replace('~', "~0").replace('/', "~1"));
        } else {
            child.push_str(name);
        }
        Self(child)
    }

    /// The pointer to what holds the value this one names.
    #[must_use]
    pub fn parent(&self) -> Self {
        let parent = self.0.rsplit_once('/').map_or("", |(parent, _)| parent);
        Self(parent.to_owned())
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

    /// The pointers from `root` to values below it, by their places: as [`Self::to`] has them, in one walk for all.
    #[must_use]
    pub fn to_each(root: Node<'_>, places: impl IntoIterator<Item = u32>) -> BTreeMap<u32, Self> {
        let wanted: BTreeSet<u32> = places.into_iter().collect();
        let mut wanted = wanted.into_iter().peekable();
        let mut found = BTreeMap::new();
        gather(root, &Self::default(), &mut wanted, &mut found);
        found
    }

    /// The pointer from `root` to a value below it. Costs a walk; meant for one.
    #[must_use]
    pub fn to(root: Node<'_>, target: Node<'_>) -> Option<Self> {
        let mut here = Self::default();
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
            here = here.child(&step);
            // A key is named by the pointer to its member.
            if child.place() > target.place() {
                return Some(here);
            }
            node = child;
        }
        Some(here)
    }
}

/// The pointers to what is wanted at and below a node.
fn gather(
    node: Node<'_>,
    here: &Pointer,
    wanted: &mut Peekable<impl Iterator<Item = u32>>,
    found: &mut BTreeMap<u32, Pointer>,
) {
    while wanted.next_if(|place| *place < node.place()).is_some() {}
    if let Some(place) = wanted.next_if_eq(&node.place()) {
        found.insert(place, here.clone());
    }
    match node.kind() {
        Kind::Object => {
            let mut members = node.members().peekable();
            while let Some((key, value)) = members.next() {
                // Places grow in reading order: what is wanted of this one lies before the next.
                let next = members.peek().map(|(key, _)| key.place());
                if wanted
                    .peek()
                    .is_none_or(|place| next.is_some_and(|next| *place >= next))
                {
                    continue;
                }
                let child = here.child(&key.as_str().unwrap_or_default());
                // A key is named by the pointer to its member.
                if let Some(place) = wanted.next_if_eq(&key.place()) {
                    found.insert(place, child.clone());
                }
                gather(value, &child, wanted, found);
            }
        }
        Kind::Array => {
            let mut elements = node.elements().enumerate().peekable();
            while let Some((at, element)) = elements.next() {
                let next = elements.peek().map(|(_, next)| next.place());
                if wanted
                    .peek()
                    .is_none_or(|place| next.is_some_and(|next| *place >= next))
                {
                    continue;
                }
                gather(element, &here.child(&at.to_string()), wanted, found);
            }
        }
        Kind::Bool | Kind::Null | Kind::Number | Kind::String => {}
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
