//! Schemas of a description as JSON Schema that stands alone: a tool's input schema leads nowhere outside of itself.
//!
//! References are followed, and what they lead to is written in their place; what holds itself is written once, under
//! `$defs`. Both versions of OpenAPI are written in the JSON Schema of MCP (2020-12): 3.0 has `nullable` and a boolean
//! `exclusiveMinimum` of its own. Keywords are copied by name, so what is not known here (`x-` keys above all) says
//! nothing to anybody.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use wire::json::{Kind, Node, ObjectWriter, Pointer, Writer, extended, object};

use super::description::{Source, Trouble, shown};

/// How deep a schema may be when its references are followed, how many schemas it may hold, and how many bytes.
const DEPTH_MAX: usize = 40;
const SCHEMAS_MAX: usize = 10_000;
pub(super) const BYTES_MAX: usize = 256 * 1024;

/// The version of OpenAPI.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Version {
    V3_0,
    V3_1,
}

/// What a value may be, as far as it matters for how it is written in a URL or a header.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Shape {
    /// A string, a number, a boolean.
    Plain,
    /// A list of those, or one of them.
    List,
    Other,
}

/// What is known of references: what each leads to in turn, and whether that is itself again. Asked for many operations,
/// found once.
#[derive(Debug, Default)]
pub(super) struct References {
    to: RefCell<BTreeMap<Pointer, Vec<Pointer>>>,
    recursive: RefCell<BTreeMap<Pointer, bool>>,
}

/// Keywords that are copied as they are.
const PLAIN: [&str; 26] = [
    "const",
    "contentEncoding",
    "contentMediaType",
    "default",
    "dependentRequired",
    "deprecated",
    "description",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "title",
    "uniqueItems",
];
/// Keywords that hold a schema, a list of schemas, schemas by name.
const ONE: [&str; 10] = [
    "additionalProperties",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
const LISTS: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
const NAMED: [&str; 3] = ["dependentSchemas", "patternProperties", "properties"];
/// Keywords that change what a reference means.
const MOVING: [&str; 7] = [
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$recursiveAnchor",
    "$recursiveRef",
    "$vocabulary",
];

impl Shape {
    /// Of the values a schema lets pass.
    pub(super) fn of<'d>(source: &Source<'d>, schema: Node<'d>) -> Result<Self, Trouble> {
        Self::within(source, schema, &mut (DEPTH_MAX, SCHEMAS_MAX))
    }

    /// `left` is how much deeper it may be, and how many more schemas it may hold.
    fn within<'d>(source: &Source<'d>, schema: Node<'d>, left: &mut (usize, usize)) -> Result<Self, Trouble> {
        let (Some(depth), Some(schemas)) = (left.0.checked_sub(1), left.1.checked_sub(1)) else {
            return Err(Trouble::unfit("the schema of a parameter is too large"));
        };
        *left = (depth, schemas);
        let shape = Self::here(source, schema, left)?;
        left.0 += 1;
        Ok(shape)
    }

    fn here<'d>(source: &Source<'d>, schema: Node<'d>, left: &mut (usize, usize)) -> Result<Self, Trouble> {
        if let Some(reference) = schema.get("$ref") {
            return Self::within(source, source.target(reference)?.1, left);
        }
        let mut shape = Self::Plain;
        let kinds = schema.get("type");
        let is = |word: &str| {
            kinds.is_some_and(|kinds| kinds.is_str(word) || kinds.elements().any(|k| k.is_str(word)))
        };
        if is("object") {
            return Ok(Self::Other);
        }
        if is("array") {
            let items = schema.get("items").map(|items| Self::within(source, items, left));
            shape = match items.transpose()? {
                Some(Self::Plain) => Self::List,
                Some(Self::List | Self::Other) | None => Self::Other,
            };
        }
        for keyword in ["allOf", "anyOf", "oneOf"] {
            for part in schema.get(keyword).into_iter().flat_map(Node::elements) {
                shape = shape.max(Self::within(source, part, left)?);
            }
        }
        Ok(shape)
    }
}

impl References {
    /// Whether what a pointer names holds itself.
    fn is_recursive(&self, source: &Source<'_>, pointer: &Pointer) -> bool {
        if let Some(known) = self.recursive.borrow().get(pointer) {
            return *known;
        }
        let mut seen = BTreeSet::new();
        let mut open = self.of(source, pointer);
        while let Some(next) = open.pop() {
            if seen.insert(next.clone()) {
                open.extend(self.of(source, &next));
            }
        }
        let recursive = seen.contains(pointer);
        self.recursive.borrow_mut().insert(pointer.clone(), recursive);
        recursive
    }

    /// To what the value that a pointer names refers.
    fn of(&self, source: &Source<'_>, pointer: &Pointer) -> Vec<Pointer> {
        if let Some(known) = self.to.borrow().get(pointer) {
            return known.clone();
        }
        let node = pointer.find(source.root);
        let references = node
            .into_iter()
            .flat_map(Node::walk)
            .filter_map(|node| node.get("$ref"))
            .filter_map(|reference| source.target(reference).ok())
            .map(|(pointer, _)| pointer);
        let found: BTreeSet<Pointer> = references.collect();
        let found: Vec<Pointer> = found.into_iter().collect();
        self.to.borrow_mut().insert(pointer.clone(), found.clone());
        found
    }
}

/// Writes the schemas of one tool.
pub(super) struct Schemas<'s, 'd> {
    source: &'s Source<'d>,
    /// Names under `$defs`, by what they stand for.
    names: BTreeMap<Pointer, String>,
    schemas: usize,
    bytes: usize,
}

impl<'s, 'd> Schemas<'s, 'd> {
    pub(super) fn new(source: &'s Source<'d>) -> Self {
        Self {
            source,
            names: BTreeMap::new(),
            schemas: 0,
            bytes: 0,
        }
    }

    /// A schema, as text.
    pub(super) fn schema(&mut self, node: Node<'d>) -> Result<Vec<u8>, Trouble> {
        self.at(node, 0)
    }

    /// What `$defs` must hold for the schemas written so far.
    pub(super) fn definitions(&mut self) -> Result<Vec<(String, Vec<u8>)>, Trouble> {
        let mut written: BTreeMap<Pointer, (String, Vec<u8>)> = BTreeMap::new();
        // What is written may refer to more.
        loop {
            let open = self
                .names
                .iter()
                .find(|(pointer, _)| !written.contains_key(*pointer));
            let Some((pointer, name)) = open.map(|(pointer, name)| (pointer.clone(), name.clone())) else {
                return Ok(written.into_values().collect());
            };
            let node = pointer.find(self.source.root).unwrap_or(self.source.root);
            let text = self.at(node, 1)?;
            written.insert(pointer, (name, text));
        }
    }

    fn at(&mut self, node: Node<'d>, depth: usize) -> Result<Vec<u8>, Trouble> {
        self.schemas += 1;
        if depth > DEPTH_MAX || self.schemas > SCHEMAS_MAX {
            return Err(Trouble::unfit(
                "its schema is too large when its references are followed",
            ));
        }
        match node.kind() {
            Kind::Bool => return Ok(node.written().as_bytes().to_vec()),
            Kind::Object => {}
            Kind::Array | Kind::Null | Kind::Number | Kind::String => {
                return Err(self
                    .source
                    .broken(node, "a schema is an object", "correct it")
                    .into());
            }
        }
        if let Some(reference) = node.get("$ref").filter(|of| of.kind() == Kind::String) {
            return self.reference(node, reference, depth);
        }
        self.members(node, depth)
    }

    fn reference(&mut self, node: Node<'d>, reference: Node<'d>, depth: usize) -> Result<Vec<u8>, Trouble> {
        let (pointer, target) = self.source.target(reference)?;
        let led = if self.source.references.is_recursive(self.source, &pointer) {
            let name = self.name(&pointer);
            object(|out| out.string("$ref", &format!("#/$defs/{name}")))
        } else {
            self.at(target, depth + 1)?
        };
        // 3.0 knows nothing beside a reference; in 3.1 both hold.
        let beside = self.source.version == Version::V3_1 && node.members().count() > 1;
        if !beside {
            return Ok(led);
        }
        let own = self.members(node, depth)?;
        if own == b"{}" {
            return Ok(led);
        }
        let both = object(|out| {
            out.array("allOf", |list| {
                list.json(&led);
                list.json(&own);
            });
        });
        let alone = || extended(&own, |out| out.array("allOf", |list| list.json(&led)));
        Ok(if node.get("allOf").is_some() {
            both
        } else {
            alone()
        })
    }

    fn name(&mut self, pointer: &Pointer) -> String {
        if let Some(name) = self.names.get(pointer) {
            return name.clone();
        }
        let last = pointer.steps().last().unwrap_or_default().into_owned();
        let plain: String = last
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(40)
            .collect();
        let mut name = plain.clone();
        // Letters alone may differ in case, which keys here must not.
        let taken = |name: &str, names: &BTreeMap<Pointer, String>| {
            name.is_empty() || names.values().any(|other| other.eq_ignore_ascii_case(name))
        };
        let mut n = 2;
        while taken(&name, &self.names) {
            name = format!("{plain}_{n}");
            n += 1;
        }
        self.names.insert(pointer.clone(), name.clone());
        name
    }

    /// The keywords of a schema but its reference.
    fn members(&mut self, node: Node<'d>, depth: usize) -> Result<Vec<u8>, Trouble> {
        let v3_0 = self.source.version == Version::V3_0;
        let is_true = |name| node.get(name).and_then(Node::as_bool) == Some(true);
        let nullable = v3_0 && is_true("nullable");
        // What the service alone sets is nobody's to send.
        let own: BTreeSet<String> = self.read_only(node);
        let mut parts: Vec<(String, Vec<u8>)> = Vec::new();
        for (key, value) in node.members() {
            let key = key.as_str().unwrap_or_default();
            let key = key.as_ref();
            let text = match key {
                "type" => kinds(value, nullable),
                "enum" if nullable => with_null(value),
                "minimum" if v3_0 && is_true("exclusiveMinimum") => {
                    parts.push(("exclusiveMinimum".to_owned(), self.plain(value)?));
                    continue;
                }
                "maximum" if v3_0 && is_true("exclusiveMaximum") => {
                    parts.push(("exclusiveMaximum".to_owned(), self.plain(value)?));
                    continue;
                }
                "exclusiveMinimum" | "exclusiveMaximum" if v3_0 => continue,
                "required" => array(value.elements().filter(|name| {
                    let name = name.as_str().unwrap_or_default();
                    !own.contains(name.as_ref())
                })),
                key if PLAIN.contains(&key) => self.plain(value)?,
                "items" if value.kind() == Kind::Array => {
                    return Err(Trouble::unfit("its schema has `items` of an older JSON Schema"));
                }
                key if ONE.contains(&key) => self.at(value, depth + 1)?,
                key if LISTS.contains(&key) => self.list(value, depth)?,
                key if NAMED.contains(&key) => {
                    let left_out = if key == "properties" {
                        &own
                    } else {
                        &BTreeSet::new()
                    };
                    self.named(value, left_out, depth)?
                }
                key if MOVING.contains(&key) => {
                    return Err(Trouble::unfit(format!("its schema uses `{}`", shown(key))));
                }
                _ => continue,
            };
            parts.push((key.to_owned(), text));
        }
        if !own.is_empty() {
            parts.push(closed_to(&own, node)?);
        }
        Ok(object(|out| {
            parts.iter().for_each(|(key, text)| out.json(key, text))
        }))
    }

    fn plain(&mut self, value: Node<'_>) -> Result<Vec<u8>, Trouble> {
        let mut writer = Writer::default();
        writer.node(value);
        let text = writer.into_bytes();
        self.bytes += text.len();
        if self.bytes > BYTES_MAX {
            return Err(Trouble::unfit(format!(
                "its schema has more than {BYTES_MAX} bytes"
            )));
        }
        Ok(text)
    }

    fn list(&mut self, value: Node<'d>, depth: usize) -> Result<Vec<u8>, Trouble> {
        let texts: Vec<_> = value
            .elements()
            .map(|schema| self.at(schema, depth + 1))
            .collect::<Result<_, _>>()?;
        let mut writer = Writer::default();
        writer.array(|list| texts.iter().for_each(|text| list.json(text)));
        Ok(writer.into_bytes())
    }

    fn named(
        &mut self,
        value: Node<'d>,
        without: &BTreeSet<String>,
        depth: usize,
    ) -> Result<Vec<u8>, Trouble> {
        let mut texts = Vec::new();
        for (name, schema) in value.members() {
            let name = name.as_str().unwrap_or_default();
            self.bytes += name.len();
            if !without.contains(name.as_ref()) {
                texts.push((name, self.at(schema, depth + 1)?));
            }
        }
        let write = |out: &mut ObjectWriter<'_>| texts.iter().for_each(|(name, text)| out.json(name, text));
        Ok(object(write))
    }

    /// The properties of an object that only the service sets.
    fn read_only(&self, node: Node<'d>) -> BTreeSet<String> {
        let is_own = |schema: Node<'d>| {
            let target = schema.get("$ref").and_then(|of| self.source.target(of).ok());
            let said = |schema: Node<'_>| schema.get("readOnly").and_then(Node::as_bool) == Some(true);
            said(schema) || target.is_some_and(|(_, target)| said(target))
        };
        let properties = node.get("properties").into_iter().flat_map(Node::members);
        let own = properties.filter(|(_, schema)| is_own(*schema));
        own.filter_map(|(name, _)| name.as_str().map(std::borrow::Cow::into_owned))
            .collect()
    }
}

/// The keyword that keeps an object open and these names out of it. A name that is left out of `properties` alone is one that
/// anybody may send.
fn closed_to(own: &BTreeSet<String>, node: Node<'_>) -> Result<(String, Vec<u8>), Trouble> {
    let none_of = object(|out| {
        out.object("not", |out| {
            out.array("enum", |list| own.iter().for_each(|name| list.string(name)));
        });
    });
    let none_there = || object(|out| own.iter().for_each(|name| out.boolean(name, false)));
    match (node.get("propertyNames"), node.get("dependentSchemas")) {
        (None, _) => Ok(("propertyNames".to_owned(), none_of)),
        (Some(_), None) => Ok(("dependentSchemas".to_owned(), none_there())),
        (Some(_), Some(_)) => Err(Trouble::unfit(
            "its schema has properties that are `readOnly` beside `propertyNames` and `dependentSchemas`",
        )),
    }
}

/// A `type`, with `null` in it where the schema says so in its own way.
fn kinds(value: Node<'_>, nullable: bool) -> Vec<u8> {
    let mut writer = Writer::default();
    match value.as_str() {
        Some(kind) if nullable => writer.array(|list| {
            list.string(&kind);
            list.string("null");
        }),
        Some(_) | None => writer.node(value),
    }
    writer.into_bytes()
}

fn with_null(value: Node<'_>) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.array(|list| {
        value.elements().for_each(|element| list.node(element));
        if !value.elements().any(Node::is_null) {
            list.json(b"null");
        }
    });
    writer.into_bytes()
}

fn array<'d>(elements: impl Iterator<Item = Node<'d>>) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.array(|list| elements.for_each(|element| list.node(element)));
    writer.into_bytes()
}
