//! RFC 6901: where a value stands, in words others understand.

use std::{borrow::Cow, fmt};

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

    /// The pointer from `root` to a value below it. Costs a walk; meant for findings, which are few.
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

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
