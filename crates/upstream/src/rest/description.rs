//! Reading a description (OpenAPI 3.0 and 3.1): which operations there are, which cannot be offered, and what is wrong.
//!
//! Two kinds of trouble are kept apart. What the description says and cannot mean is a [`DescriptionError`], with the
//! place; whoever wrote it mends it. What it means and cannot be done rightly here leaves one operation out, with the
//! reason; the others are offered.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use pipeline::registry::Pin;
use thiserror::Error;
use wire::{
    bounds::{ANSWER, JsonBounds},
    json::{Document, Keys, Kind, Node, Pointer},
};

use super::{
    operation::{self, Operation},
    parameters::Reserved,
    schema::{References, Version},
};

/// Most operations of one description, and most bytes of what it offers.
const OPERATIONS_MAX: usize = 5_000;
const OFFERED_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How many references may lead on to each other where an object of OpenAPI may be one.
const HOPS_MAX: usize = 8;
/// Most characters of a text of the description that an error repeats.
const SHOWN_CHARS_MAX: usize = 80;

/// What may stand in a path item besides what is no method.
const METHODS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];

/// What a description may be.
const BOUNDS: JsonBounds = JsonBounds {
    text_bytes_max: ANSWER.text_bytes_max,
    ..ANSWER
};

/// What a REST service offers.
pub struct Description {
    digest: Pin,
    title: String,
    version: String,
    /// By name, in order.
    operations: BTreeMap<String, Operation>,
    left_out: Vec<LeftOut>,
    /// Headers that prove, as its security schemes say; in lower case.
    proofs: BTreeSet<String>,
}

/// An operation, or a parameter of one, that is not offered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LeftOut {
    /// Which, such as `POST /upload`.
    pub what: String,
    /// Why.
    pub why: String,
}

/// What is wrong with a description, where, and what to do.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{what}{}", place(.at))]
pub struct DescriptionError {
    /// A JSON pointer.
    pub at: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: &'static str,
}

fn place(at: &str) -> String {
    if at.is_empty() {
        String::new()
    } else {
        format!(", at `{at}`")
    }
}

/// Why an operation is none.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The description is broken.
    Broken(DescriptionError),
    /// It cannot be done rightly here.
    Unfit(String),
}

impl From<DescriptionError> for Trouble {
    fn from(error: DescriptionError) -> Self {
        Self::Broken(error)
    }
}

impl Trouble {
    pub(super) fn unfit(why: impl Into<String>) -> Self {
        Self::Unfit(why.into())
    }
}

/// Two descriptions are equal when they are the same text.
impl PartialEq for Description {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}
impl Eq for Description {}

impl fmt::Debug for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Description({})", self.digest)
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl Description {
    /// Reads one, as JSON. `own_headers` are headers that the gateway sets, which no argument may.
    ///
    /// # Errors
    /// When it is no description of this kind, or says what cannot be.
    pub fn parse<'h>(
        text: Vec<u8>,
        own_headers: impl IntoIterator<Item = &'h str>,
    ) -> Result<Self, DescriptionError> {
        let digest = Pin::of_bytes(&text);
        let document = Document::parse(text, Keys::Exact, &BOUNDS).map_err(|error| DescriptionError {
            at: String::new(),
            what: format!("it is no JSON that can be read in one way only: {error}"),
            remedy: "correct it; a key must not be there twice",
        })?;
        let root = document.root();
        let source = Source {
            root,
            version: version(root)?,
            reserved: Reserved::new(root, own_headers),
            references: References::default(),
        };
        let info = |name: &str| {
            let said = root.get("info").and_then(|info| info.get(name));
            let said = said.and_then(Node::as_str).unwrap_or_default();
            said.chars().filter(|c| !c.is_control()).take(200).collect()
        };
        let mut found = Found::default();
        source.paths(&mut found)?;
        found.settle(root)?;
        Ok(Self {
            digest,
            title: info("title"),
            version: info("version"),
            operations: found.operations,
            left_out: found.left_out,
            proofs: source.reserved.proofs(),
        })
    }

    /// What is not offered, in the order it was written.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// How many operations are offered.
    #[must_use]
    pub fn offered(&self) -> usize {
        self.operations.len()
    }

    /// Whether a header of this lower-case name proves somebody.
    pub(super) fn is_proof(&self, header: &str) -> bool {
        self.proofs.contains(header)
    }

    pub(super) fn operation(&self, name: &str) -> Option<&Operation> {
        self.operations.get(name)
    }

    pub(super) fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.operations.values()
    }

    /// What the service is called, and its version: hearsay.
    pub(super) fn identity(&self) -> (&str, &str) {
        (&self.title, &self.version)
    }
}

/// Which version of OpenAPI it is written in.
fn version(root: Node<'_>) -> Result<Version, DescriptionError> {
    let broken = |at: &str, what: String, remedy| DescriptionError {
        at: at.to_owned(),
        what,
        remedy,
    };
    const CONVERT: &str = "convert it to OpenAPI 3.1, or have the service write that";
    if root.kind() != Kind::Object {
        let what = "it is no object".to_owned();
        return Err(broken("", what, "name the file of an OpenAPI description"));
    }
    if root.get("swagger").is_some() {
        return Err(broken("/swagger", "Swagger 2.0 is not read".to_owned(), CONVERT));
    }
    let said = match root.get("openapi") {
        None => {
            let what = "it does not say `openapi`".to_owned();
            return Err(broken("", what, "name the file of an OpenAPI description"));
        }
        Some(said) => said
            .as_str()
            .map_or_else(|| said.written().to_owned(), |said| said.into_owned()),
    };
    let mut parts = said.split('.');
    match (parts.next(), parts.next()) {
        (Some("3"), Some("0")) => Ok(Version::V3_0),
        (Some("3"), Some("1")) => Ok(Version::V3_1),
        _ => {
            let what = format!("OpenAPI `{}` is not read", shown(&said));
            Err(broken("/openapi", what, CONVERT))
        }
    }
}

/// A text of the description, for an error.
pub(super) fn shown(text: &str) -> String {
    let escaped = text.chars().take(SHOWN_CHARS_MAX);
    escaped.flat_map(char::escape_debug).collect()
}

/// What was found so far.
#[derive(Default)]
struct Found {
    operations: BTreeMap<String, Operation>,
    /// Names that more than one operation has: the lower-case name, to the first that had it.
    names: BTreeMap<String, String>,
    left_out: Vec<LeftOut>,
    seen: usize,
    bytes: usize,
}

impl Found {
    fn leave_out(&mut self, what: &str, why: impl Into<String>) {
        self.left_out.push(LeftOut {
            what: what.to_owned(),
            why: why.into(),
        });
    }

    /// Takes one in, unless another has its name: then neither is offered, since a name must lead to one thing.
    fn take(&mut self, label: &str, operation: Operation) {
        let folded = operation.name.to_ascii_lowercase();
        let Some(first) = self.names.get(&folded).cloned() else {
            self.names.insert(folded, operation.name.clone());
            self.bytes += operation.definition.len();
            self.operations.insert(operation.name.clone(), operation);
            return;
        };
        let why = |other: &str| format!("another operation is called `{other}`, too");
        if let Some(first) = self.operations.remove(&first) {
            self.bytes -= first.definition.len();
            self.leave_out(&first.label(), why(&operation.name));
        }
        self.leave_out(label, why(&first));
    }

    fn settle(&self, root: Node<'_>) -> Result<(), DescriptionError> {
        let at = root.get("paths").map_or("", |_| "/paths").to_owned();
        if self.operations.is_empty() {
            let first = self.left_out.first().map(ToString::to_string);
            let why = first.map_or_else(
                || "it has none".to_owned(),
                |first| format!("the first is {first}"),
            );
            return Err(DescriptionError {
                at,
                what: format!("none of its operations can be offered: {why}"),
                remedy: "describe at least one operation with JSON, or without a body",
            });
        }
        if self.bytes > OFFERED_BYTES_MAX {
            return Err(DescriptionError {
                at,
                what: format!("what it offers is longer than {OFFERED_BYTES_MAX} bytes"),
                remedy: "leave out operations that agents do not need",
            });
        }
        Ok(())
    }
}

/// A description while it is read.
pub(super) struct Source<'d> {
    pub(super) root: Node<'d>,
    pub(super) version: Version,
    pub(super) reserved: Reserved,
    pub(super) references: References,
}

impl<'d> Source<'d> {
    /// Something is wrong there.
    pub(super) fn broken(
        &self,
        at: Node<'_>,
        what: impl Into<String>,
        remedy: &'static str,
    ) -> DescriptionError {
        let at = Pointer::to(self.root, at).map(Pointer::into_text);
        DescriptionError {
            at: at.unwrap_or_default(),
            what: what.into(),
            remedy,
        }
    }

    fn paths(&self, found: &mut Found) -> Result<(), DescriptionError> {
        let Some(paths) = self.root.get("paths") else {
            return Ok(());
        };
        if paths.kind() != Kind::Object {
            return Err(self.broken(
                paths,
                "it is no object",
                "write `paths` as paths with their methods",
            ));
        }
        for (key, item) in paths.members() {
            let path = key.as_str().unwrap_or_default();
            if path.starts_with("x-") {
                continue;
            }
            if !path.starts_with('/') {
                return Err(self.broken(item, "a path must begin with `/`", "correct the path"));
            }
            self.path(&path, item, found)?;
        }
        Ok(())
    }

    fn path(&self, path: &str, item: Node<'d>, found: &mut Found) -> Result<(), DescriptionError> {
        let item = match self.follow(item) {
            Ok(item) => item,
            Err(Trouble::Broken(error)) => return Err(error),
            Err(Trouble::Unfit(why)) => {
                found.leave_out(&shown(path), why);
                return Ok(());
            }
        };
        for (key, operation) in item.members() {
            let method = key.as_str().unwrap_or_default();
            if !METHODS.contains(&method.as_ref()) {
                continue;
            }
            found.seen += 1;
            if found.seen > OPERATIONS_MAX {
                let what = format!("it has more than {OPERATIONS_MAX} operations");
                return Err(self.broken(operation, what, "leave out those that agents do not need"));
            }
            let label = format!("{} {}", method.to_ascii_uppercase(), shown(path));
            match operation::read(self, &method, path, (item, operation)) {
                Ok((operation, without)) => {
                    for why in without {
                        found.leave_out(&label, why);
                    }
                    found.take(&label, operation);
                }
                Err(Trouble::Broken(error)) => return Err(error),
                Err(Trouble::Unfit(why)) => found.leave_out(&label, why),
            }
        }
        Ok(())
    }

    /// An object of OpenAPI that may be a reference to one.
    pub(super) fn follow(&self, object: Node<'d>) -> Result<Node<'d>, Trouble> {
        let mut object = object;
        for _ in 0..HOPS_MAX {
            if object.kind() != Kind::Object {
                return Err(self
                    .broken(object, "an object is expected here", "correct it")
                    .into());
            }
            match object.get("$ref") {
                None => return Ok(object),
                Some(reference) => object = self.target(reference)?.1,
            }
        }
        let what = "references that lead to each other";
        Err(self.broken(object, what, "write the object itself").into())
    }

    /// Where a reference leads, within the description and nowhere else.
    pub(super) fn target(&self, reference: Node<'d>) -> Result<(Pointer, Node<'d>), Trouble> {
        let text = reference.as_str().ok_or_else(|| {
            self.broken(
                reference,
                "a reference is a string",
                "write it as `#/components/...`",
            )
        })?;
        let Some(fragment) = text.strip_prefix('#') else {
            // Fetching what a text names is how a gateway is made to fetch; reading beside it is not needed.
            let why = format!("`{}` leads out of the description", shown(&text));
            return Err(Trouble::Unfit(why));
        };
        let nowhere = || {
            let what = format!("`{}` leads nowhere", shown(&text));
            self.broken(reference, what, "add what it names, or correct it")
        };
        let decoded = super::route::decoded(fragment).ok_or_else(nowhere)?;
        let pointer = Pointer::parse(&decoded).ok_or_else(nowhere)?;
        let target = pointer.find(self.root).ok_or_else(nowhere)?;
        Ok((pointer, target))
    }
}
