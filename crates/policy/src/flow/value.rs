//! What a value among the arguments looks like, and whether it says where something goes.

use std::sync::Arc;

use wire::{
    bounds::POINTER_BYTES_MAX,
    json::{Kind, Node, Pointer},
};

use super::{
    parts::{ACCOUNT_DIGITS_MIN, as_read, host_of},
    words::{name_words, small},
};

/// What a value is, by its looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shape {
    /// A network address.
    Address,
    /// A day or a time.
    Date,
    /// A mailbox.
    Email,
    /// A word with digits, slashes or underscores: a thing's own name in some system.
    Identifier,
    /// A few words.
    Name,
    /// A number.
    Number,
    /// A place in a file system.
    Path,
    /// More than a few words.
    Text,
}

/// Names of arguments that say where something goes, who gets it, or what opens a door.
const DIRECTING: &[&str] = &[
    "account",
    "address",
    "bcc",
    "cc",
    "channel",
    "collaborator",
    "destination",
    "email",
    "endpoint",
    "host",
    "iban",
    "key",
    "owner",
    "participant",
    "participants",
    "password",
    "payee",
    "phone",
    "recipient",
    "recipients",
    "secret",
    "to",
    "token",
    "uri",
    "url",
    "webhook",
];

/// Names of arguments that title what is made.
const TITLING: &[&str] = &["name", "subject", "summary", "title"];

/// Places whose content opens doors, or whose change opens them.
const SENSITIVE: &[&str] = &[
    "/.aws",
    "/.bash",
    "/.env",
    "/.git/hooks",
    "/.kube",
    "/.netrc",
    "/.profile",
    "/.ssh",
    "/.zsh",
    "/etc/",
    "/system/",
    "authorized_keys",
    "credentials",
    "id_ed25519",
    "id_rsa",
    "shadow",
];

/// Most words of a [`Shape::Name`].
const NAME_WORDS_MAX: usize = 8;

/// One value of the arguments.
#[derive(Clone, Debug)]
pub(super) struct Value {
    at: Way,
    /// The words of the nearest name above it. All elements of a list share them.
    key: Arc<[String]>,
    /// In small letters.
    pub(super) text: String,
    pub(super) shape: Shape,
}

impl Value {
    /// Every string and number below `args`, with where it stands.
    pub(super) fn all(args: Option<Node<'_>>) -> Vec<Self> {
        let mut found = Vec::new();
        if let Some(args) = args {
            gather(args, &Way::default(), &Arc::default(), &mut found);
        }
        found
    }

    fn new(at: Way, key: Arc<[String]>, text: &str) -> Self {
        let text = small(as_read(text).trim());
        let shape = shape(&key, &text);
        Self { at, key, text, shape }
    }

    /// A word of a longer text.
    pub(super) fn of_text(word: &str) -> Self {
        Self::new(Way::default(), Arc::default(), bare(word))
    }

    /// JSON pointer into the arguments, or to what holds the value where that is long: to be told.
    pub(super) fn pointer(&self) -> String {
        self.at.pointer(POINTER_BYTES_MAX)
    }

    /// The whole pointer, however long: rules compare it.
    pub(super) fn whole_pointer(&self) -> String {
        self.at.pointer(usize::MAX)
    }

    /// How many names are above it.
    pub(super) fn depth(&self) -> usize {
        self.at.steps().count()
    }

    /// Whether it is made of words: a sum or a day is in many a task, and no question is about it.
    pub(super) fn is_words(&self) -> bool {
        !matches!(self.shape, Shape::Date | Shape::Number)
    }

    /// Whether its name says where something goes.
    pub(super) fn directs(&self) -> bool {
        matches!(self.shape, Shape::Address | Shape::Email) || self.named(DIRECTING)
    }

    /// Whether it is a number that says where something goes: an account, a telephone.
    pub(super) fn is_account(&self) -> bool {
        let digits = || self.text.bytes().filter(u8::is_ascii_digit).count();
        self.shape == Shape::Number && self.directs() && digits() >= ACCOUNT_DIGITS_MIN
    }

    /// Whether its name says that it titles what is made.
    pub(super) fn titles(&self) -> bool {
        self.named(TITLING)
    }

    /// Whether it looks like a one-time code.
    pub(super) fn is_code(&self) -> bool {
        let digits = self.text.chars().filter(char::is_ascii_digit).count();
        (4..=10).contains(&self.text.len()) && digits >= 3
    }

    fn named(&self, names: &[&str]) -> bool {
        self.key.iter().any(|word| names.contains(&word.as_str()))
    }

    /// Whether it names a place whose content or change opens doors.
    pub(super) fn sensitive(&self) -> bool {
        let place = matches!(
            self.shape,
            Shape::Path | Shape::Address | Shape::Identifier | Shape::Name
        );
        place && SENSITIVE.iter().any(|part| self.text.contains(part))
    }

    /// The host of an address.
    pub(super) fn host(&self) -> &str {
        host_of(&self.text)
    }
}

/// A word of a longer text in small letters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word<'t> {
    /// Without the punctuation around it.
    pub(super) text: &'t str,
    pub(super) shape: Shape,
}

impl<'t> Word<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let text = bare(text).trim();
        let shape = shape(&[], text);
        Self { text, shape }
    }

    /// Whether it is a place in a file system below another, which no sentence has by chance.
    pub(super) fn is_deep_path(&self) -> bool {
        self.shape == Shape::Path && self.text.trim_start_matches(['.', '~', '/']).contains('/')
    }
}

/// A word without the punctuation around it.
fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric() && c != '/')
}

/// The steps to a value. All that is below a value shares those to it: there may be a million below a way of 400 kB.
#[derive(Clone, Debug, Default)]
struct Way(Option<Arc<Step>>);

#[derive(Debug)]
struct Step {
    above: Way,
    name: Box<str>,
}

impl Way {
    fn below(&self, name: &str) -> Self {
        Self(Some(Arc::new(Step {
            above: self.clone(),
            name: name.into(),
        })))
    }

    /// From the value up.
    fn steps(&self) -> impl Iterator<Item = &Step> {
        std::iter::successors(self.0.as_deref(), |step| step.above.0.as_deref())
    }

    /// The pointer to the last value on the way that can be named in so many bytes.
    fn pointer(&self, most: usize) -> String {
        let names: Vec<&str> = self.steps().map(|step| step.name.as_ref()).collect();
        let mut pointer = Pointer::default();
        for name in names.into_iter().rev() {
            let below = pointer.child(name);
            if below.as_str().len() > most {
                break;
            }
            pointer = below;
        }
        pointer.into_text()
    }
}

fn gather(node: Node<'_>, at: &Way, key: &Arc<[String]>, found: &mut Vec<Value>) {
    match node.kind() {
        Kind::Object => {
            for (name, value) in node.members() {
                let name = name.as_str().unwrap_or_default();
                let below = at.below(&name);
                // A name that is a mailbox or an address is as good a place for one as a value.
                if name.contains('@') || name.contains("://") {
                    found.push(Value::new(below.clone(), Arc::clone(key), &name));
                }
                gather(value, &below, &name_words(&name).into(), found);
            }
        }
        Kind::Array => {
            for (n, value) in node.elements().enumerate() {
                gather(value, &at.below(&n.to_string()), key, found);
            }
        }
        Kind::Number => found.push(Value::new(at.clone(), Arc::clone(key), node.written())),
        Kind::String => {
            let text = node.as_str().unwrap_or_default();
            if !text.trim().is_empty() {
                found.push(Value::new(at.clone(), Arc::clone(key), &text));
            }
        }
        Kind::Bool | Kind::Null => {}
    }
}

fn shape(key: &[String], text: &str) -> Shape {
    let spaced = text.contains(char::is_whitespace);
    let keyed = |names: &[&str]| key.iter().any(|word| names.contains(&word.as_str()));
    if !spaced && email(text) {
        Shape::Email
    } else if address(text) || keyed(&["url", "uri", "link", "href"]) {
        Shape::Address
    } else if ["/", "~/", "./"].iter().any(|head| text.starts_with(head))
        || keyed(&["path", "dir", "directory"])
    {
        Shape::Path
    } else if text
        .chars()
        .all(|c| c.is_ascii_digit() || matches!(c, '.' | ',' | '-'))
    {
        Shape::Number
    } else if date(text) {
        Shape::Date
    } else if !spaced && text.chars().any(|c| c.is_ascii_digit() || matches!(c, '/' | '_')) {
        Shape::Identifier
    } else if text.split_whitespace().nth(NAME_WORDS_MAX).is_none() {
        Shape::Name
    } else {
        Shape::Text
    }
}

fn email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, host)| {
        !local.is_empty() && host.contains('.') && !host.starts_with('.') && !host.contains(['@', '/'])
    })
}

fn address(text: &str) -> bool {
    if text.contains(char::is_whitespace) {
        return false;
    }
    let host = text.split('/').next().unwrap_or_default();
    let bare = text.contains('/') && host.contains('.') && !host.starts_with('.') && !host.ends_with('.');
    text.contains("://") || text.starts_with("www.") || bare
}

fn date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let digits = |part: Option<&str>, n: usize| {
        part.is_some_and(|part| part.len() >= n && part.chars().take(n).all(|c| c.is_ascii_digit()))
    };
    digits(parts.next(), 4) && digits(parts.next(), 2) && digits(parts.next(), 2)
}

#[cfg(test)]
mod tests {
    use wire::{
        bounds::REQUEST,
        json::{Document, Keys},
    };

    use super::*;

    fn value(key: &str, text: &str) -> Value {
        Value::new(Way::default(), name_words(key).into(), text)
    }

    /// Regression: each value held the words of the name above it and its whole pointer, by which a message of 2 MB was
    /// worth some GB.
    #[test]
    fn values_beside_each_other_share_what_is_above_them() {
        let (long, short) = (vec!["word"; 800].join("-"), "s".repeat(300));
        let text = format!(r#"{{"{short}":{{"{long}":[{}"a/b"]}}}}"#, "1,".repeat(1_000));
        let document = Document::parse(text.into_bytes(), Keys::Exact, &REQUEST).unwrap();
        let values = Value::all(Some(document.root()));
        assert_eq!((values.len(), values[0].key.len()), (1_001, 800));
        let above = |value: &Value| value.at.0.clone().and_then(|step| step.above.0.clone()).unwrap();
        for value in &values {
            assert!(Arc::ptr_eq(&value.key, &values[0].key));
            assert!(Arc::ptr_eq(&above(value), &above(&values[0])));
            assert_eq!(
                value.pointer(),
                format!("/{short}"),
                "what is too long ends above"
            );
        }
        let document = Document::parse(br#"{"a/b":[0,{"c":1}]}"#.to_vec(), Keys::Exact, &REQUEST).unwrap();
        let values = Value::all(Some(document.root()));
        let pointers: Vec<_> = values.iter().map(Value::pointer).collect();
        assert_eq!(pointers, ["/a~1b/0", "/a~1b/1/c"]);
    }

    #[test]
    fn a_value_is_known_by_its_looks() {
        let looks = [
            ("to", "Ann.Lee@example.com", Shape::Email),
            ("page", "www.example.com", Shape::Address),
            ("page", "example.com/x", Shape::Address),
            ("link", "anything", Shape::Address),
            ("file", "/user/info.txt", Shape::Path),
            ("amount", "1,653.10", Shape::Number),
            ("on", "2024-05-19 10:00", Shape::Date),
            ("recipient", "AT6854532054", Shape::Identifier),
            ("title", "Day off", Shape::Name),
        ];
        for (key, text, shape) in looks {
            assert_eq!(value(key, text).shape, shape, "{text}");
        }
    }

    #[test]
    fn the_host_is_what_lies_between_scheme_and_path() {
        for text in [
            "https://www.Example.com/a?b",
            "example.com:443",
            "www.example.com#x",
        ] {
            assert_eq!(value("url", text).host(), "example.com");
        }
    }
}
