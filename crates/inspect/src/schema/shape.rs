//! The outline of a schema: which names are declared where, and how often it comes back to itself.

use std::collections::{BTreeMap, BTreeSet};

use wire::json::{Kind, Node, Pointer, fold};

use super::{SchemaBounds, finding};
use crate::{Finding, FindingKind};

/// Why a schema is too much.
#[derive(Debug, thiserror::Error)]
pub enum ShapeFault {
    /// Many schemas look at the same value.
    #[error("more than {0} schemas look at one value; write the schema flatter")]
    Branching(usize),
    /// Too many bytes.
    #[error("the schema has more than {0} bytes")]
    Bytes(usize),
    /// Nested too deeply.
    #[error("the schema is nested deeper than {0}")]
    Depth(usize),
    /// A reference leads back to itself without going deeper into the value.
    #[error("a reference leads back to itself and never ends")]
    Endless,
    /// Neither an object nor a boolean.
    #[error("a schema must be an object or a boolean")]
    NotASchema,
    /// A reference to another document.
    #[error("the reference at `{0}` leads outside the schema; resolve it before publishing")]
    Outside(Pointer),
    /// Too many schemas in one.
    #[error("the schema holds more than {0} schemas")]
    Subschemas(usize),
}

/// Keywords whose schemas look at the same value.
const IN_PLACE_LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const IN_PLACE: [&str; 4] = ["not", "if", "then", "else"];

/// From this depth of a value on, a schema that comes back to itself is not asked for reasons.
const RECURSION_DEPTH_MAX: usize = 6;

/// Whether a schema comes back to itself, and how far a value lets it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Recursion {
    Deep,
    None,
    Shallow,
}

/// All schemas of a schema, the outermost first.
#[derive(Debug)]
pub(super) struct Shapes {
    shapes: Vec<Shape>,
    is_recursive: bool,
}

#[derive(Debug, Default)]
struct Shape {
    /// Declared names and what their values look like.
    properties: BTreeMap<Box<str>, usize>,
    /// Declared names as a parser without regard for case sees them.
    folded: BTreeSet<Box<str>>,
    /// Schemas of values without a declared name.
    rest: Vec<usize>,
    /// Schemas of elements.
    items: Vec<usize>,
    /// Schemas of the same value.
    in_place: Vec<usize>,
    /// This schema and those of the same value, however far.
    all: Vec<usize>,
}

struct Reader<'s> {
    root: Node<'s>,
    bounds: SchemaBounds,
    shapes: Vec<Shape>,
    by_place: BTreeMap<u32, usize>,
    /// Schemas being read, to notice that one comes back.
    open: BTreeSet<usize>,
    is_recursive: bool,
}

impl Shapes {
    pub(super) fn read(schema: Node<'_>, bounds: &SchemaBounds) -> Result<Self, ShapeFault> {
        if schema.written().len() > bounds.bytes_max {
            return Err(ShapeFault::Bytes(bounds.bytes_max));
        }
        if depth(schema, bounds.depth_max) > bounds.depth_max {
            return Err(ShapeFault::Depth(bounds.depth_max));
        }
        refuse_outside(schema)?;
        let mut reader = Reader {
            root: schema,
            bounds: *bounds,
            shapes: Vec::new(),
            by_place: BTreeMap::new(),
            open: BTreeSet::new(),
            is_recursive: false,
        };
        reader.shape(schema, 0)?;
        let mut shapes = Self {
            shapes: reader.shapes,
            is_recursive: reader.is_recursive,
        };
        shapes.close(bounds)?;
        Ok(shapes)
    }

    pub(super) fn len(&self) -> usize {
        self.shapes.len()
    }

    pub(super) fn recursion(&self, value: Node<'_>) -> Recursion {
        if !self.is_recursive {
            Recursion::None
        } else if depth(value, RECURSION_DEPTH_MAX) > RECURSION_DEPTH_MAX {
            Recursion::Deep
        } else {
            Recursion::Shallow
        }
    }

    /// Gathers for each schema all that look at the same value; counts visits, a schema reached on two roads
    /// twice.
    fn close(&mut self, bounds: &SchemaBounds) -> Result<(), ShapeFault> {
        let mut visits: Vec<Option<usize>> = vec![None; self.shapes.len()];
        for index in 0..self.shapes.len() {
            let mut road = BTreeSet::new();
            self.visits(index, &mut visits, &mut road, bounds)?;
        }
        for index in 0..self.shapes.len() {
            let mut all = vec![index];
            let mut seen = BTreeSet::from([index]);
            let mut at = 0;
            while let Some(&next) = all.get(at) {
                let in_place = self.shapes.get(next).map_or(&[][..], |shape| &shape.in_place);
                all.extend(in_place.iter().copied().filter(|n| seen.insert(*n)));
                at += 1;
            }
            if let Some(shape) = self.shapes.get_mut(index) {
                shape.all = all;
            }
        }
        Ok(())
    }

    fn visits(
        &self,
        index: usize,
        known: &mut Vec<Option<usize>>,
        road: &mut BTreeSet<usize>,
        bounds: &SchemaBounds,
    ) -> Result<usize, ShapeFault> {
        if let Some(visits) = known.get(index).copied().flatten() {
            return Ok(visits);
        }
        if !road.insert(index) || road.len() > bounds.visits_max.min(512) {
            return Err(ShapeFault::Endless);
        }
        let mut visits: usize = 1;
        for next in self.shapes.get(index).map_or(&[][..], |shape| &shape.in_place) {
            visits = visits.saturating_add(self.visits(*next, known, road, bounds)?);
        }
        road.remove(&index);
        if visits > bounds.visits_max {
            return Err(ShapeFault::Branching(bounds.visits_max));
        }
        if let Some(slot) = known.get_mut(index) {
            *slot = Some(visits);
        }
        Ok(visits)
    }

    /// Keys that are a declared name to a parser without regard for case, and are not it.
    pub(super) fn variants(&self, value: Node<'_>, findings_max: usize) -> Vec<Finding> {
        let mut walk = Walk {
            shapes: self,
            root: value,
            findings: Vec::new(),
            findings_max,
        };
        walk.value(value, &[0]);
        walk.findings
    }

    fn all<'s>(&'s self, of: &[usize]) -> BTreeSet<usize> {
        of.iter()
            .filter_map(|index| self.shapes.get(*index))
            .flat_map(|shape: &'s Shape| shape.all.iter().copied())
            .collect()
    }
}

struct Walk<'w> {
    shapes: &'w Shapes,
    root: Node<'w>,
    findings: Vec<Finding>,
    findings_max: usize,
}

impl Walk<'_> {
    fn value(&mut self, value: Node<'_>, of: &[usize]) {
        let scalar = !matches!(value.kind(), Kind::Array | Kind::Object);
        if of.is_empty() || scalar || self.findings.len() >= self.findings_max {
            return;
        }
        let shapes: Vec<&Shape> = self
            .shapes
            .all(of)
            .iter()
            .filter_map(|index| self.shapes.shapes.get(*index))
            .collect();
        if value.kind() == Kind::Array {
            let items: Vec<usize> = shapes
                .iter()
                .flat_map(|shape| shape.items.iter().copied())
                .collect();
            value.elements().for_each(|element| self.value(element, &items));
            return;
        }
        let rest: Vec<usize> = shapes
            .iter()
            .flat_map(|shape| shape.rest.iter().copied())
            .collect();
        for (key, member) in value.members() {
            let name = key.as_str().unwrap_or_default();
            let declared: Vec<usize> = shapes
                .iter()
                .filter_map(|shape| shape.properties.get(name.as_ref()).copied())
                .collect();
            if !declared.is_empty() {
                self.value(member, &declared);
                continue;
            }
            let folded = fold(&name);
            if shapes.iter().any(|shape| shape.folded.contains(folded.as_ref())) {
                self.refuse(key);
                continue;
            }
            self.value(member, &rest);
        }
    }

    fn refuse(&mut self, key: Node<'_>) {
        if self.findings.len() >= self.findings_max {
            return;
        }
        let pointer = self
            .root
            .document()
            .at(key.place())
            .and_then(|key| Pointer::to(self.root, key));
        let mut found = finding(
            self.root,
            pointer.unwrap_or_default(),
            FindingKind::Schema,
            "schema/case-variant",
            "a declared name in other letters".into(),
        );
        found.location.part = crate::Part::Key;
        found.location.place = key.place();
        found.location.span = 0..key.as_str().map_or(0, |name| name.len());
        self.findings.push(found);
    }
}

impl<'s> Reader<'s> {
    /// Reads one schema, or gives the index of one already read.
    fn shape(&mut self, schema: Node<'s>, depth: usize) -> Result<usize, ShapeFault> {
        if let Some(index) = self.by_place.get(&schema.place()) {
            self.is_recursive |= self.open.contains(index);
            return Ok(*index);
        }
        if !matches!(schema.kind(), Kind::Object | Kind::Bool) {
            return Err(ShapeFault::NotASchema);
        }
        let index = self.shapes.len();
        if index >= self.bounds.subschemas_max {
            return Err(ShapeFault::Subschemas(self.bounds.subschemas_max));
        }
        // References may chain further than the text nests.
        if depth > self.bounds.depth_max * 4 {
            return Err(ShapeFault::Depth(self.bounds.depth_max));
        }
        self.shapes.push(Shape::default());
        self.by_place.insert(schema.place(), index);
        self.open.insert(index);
        let shape = self.members(schema, depth + 1)?;
        self.open.remove(&index);
        if let Some(slot) = self.shapes.get_mut(index) {
            *slot = shape;
        }
        Ok(index)
    }

    fn members(&mut self, schema: Node<'s>, depth: usize) -> Result<Shape, ShapeFault> {
        let mut shape = Shape::default();
        for (key, value) in schema.members() {
            let keyword = key.as_str().unwrap_or_default();
            match keyword.as_ref() {
                "properties" => {
                    for (name, property) in value.members() {
                        let name = name.as_str().unwrap_or_default();
                        shape.folded.insert(fold(&name).into());
                        let index = self.shape(property, depth)?;
                        shape.properties.insert(name.into(), index);
                    }
                }
                "patternProperties" => {
                    for (_, property) in value.members() {
                        shape.rest.push(self.shape(property, depth)?);
                    }
                }
                "additionalProperties" | "unevaluatedProperties" if is_schema(value) => {
                    shape.rest.push(self.shape(value, depth)?);
                }
                "items" | "prefixItems" | "additionalItems" | "unevaluatedItems" | "contains" => {
                    let one = is_schema(value).then_some(value);
                    for item in one.into_iter().chain(value.elements()) {
                        shape.items.push(self.shape(item, depth)?);
                    }
                }
                "dependentSchemas" => {
                    for (_, dependent) in value.members() {
                        shape.in_place.push(self.shape(dependent, depth)?);
                    }
                }
                "$ref" => {
                    if let Some(target) = self.target(value) {
                        shape.in_place.push(self.shape(target, depth)?);
                    }
                }
                list if IN_PLACE_LISTS.contains(&list) => {
                    for branch in value.elements() {
                        shape.in_place.push(self.shape(branch, depth)?);
                    }
                }
                one if IN_PLACE.contains(&one) && is_schema(value) => {
                    shape.in_place.push(self.shape(value, depth)?);
                }
                _ => {}
            }
        }
        Ok(shape)
    }

    /// What a reference by pointer leads to. Anchors are the library's to follow.
    fn target(&self, reference: Node<'s>) -> Option<Node<'s>> {
        let text = reference.as_str()?;
        let pointer = Pointer::parse(&percent_decoded(text.strip_prefix('#')?))?;
        pointer.find(self.root).filter(|target| is_schema(*target))
    }
}

fn is_schema(value: Node<'_>) -> bool {
    matches!(value.kind(), Kind::Object | Kind::Bool)
}

/// Nothing is ever fetched, so a reference must stay in the schema: a fragment, or an `$id` in it.
fn refuse_outside(schema: Node<'_>) -> Result<(), ShapeFault> {
    let ids: Vec<_> = objects(schema)
        .filter_map(|object| object.get("$id")?.as_str())
        .collect();
    for object in objects(schema) {
        for keyword in ["$ref", "$dynamicRef", "$recursiveRef"] {
            let Some(reference) = object.get(keyword) else {
                continue;
            };
            let Some(text) = reference.as_str() else { continue };
            let document = text.split('#').next().unwrap_or_default();
            let inside = document.is_empty() || ids.iter().any(|id| id.ends_with(document));
            if !inside {
                return Err(ShapeFault::Outside(
                    Pointer::to(schema, reference).unwrap_or_default(),
                ));
            }
        }
    }
    Ok(())
}

fn objects(schema: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    schema.walk().filter(|node| node.kind() == Kind::Object)
}

/// How deeply a value is nested, counted no further than one beyond `most`.
fn depth(value: Node<'_>, most: usize) -> usize {
    if most == 0 && matches!(value.kind(), Kind::Array | Kind::Object) {
        return 1;
    }
    let deepest = |children: &mut dyn Iterator<Item = Node<'_>>| {
        let mut deepest = 0;
        for child in children {
            deepest = deepest.max(depth(child, most - 1));
            if deepest > most - 1 {
                break;
            }
        }
        deepest + 1
    };
    match value.kind() {
        Kind::Array => deepest(&mut value.elements()),
        Kind::Object => deepest(&mut value.members().map(|(_, member)| member)),
        Kind::Bool | Kind::Null | Kind::Number | Kind::String => 0,
    }
}

/// RFC 3986 section 2.1, as fragments are written.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let pair: Vec<u8> = rest.clone().take(2).collect();
        let code = std::str::from_utf8(&pair)
            .ok()
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match code {
            Some(code) if byte == b'%' && pair.len() == 2 => {
                bytes.push(code);
                rest.nth(1);
            }
            Some(_) | None => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
