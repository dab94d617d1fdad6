//! JSON Schema over values as they were read: compiled once per pin, asked per call.
//!
//! Schemas come from servers, so they are input like any other: bounded in size and in how often one value
//! may be visited, free of references that lead outside, with patterns that run in linear time. A schema
//! that cannot be honoured does not compile, and whoever has no [`CompiledSchema`] refuses.
//!
//! It must not know which tool a schema belongs to or what follows from a finding.

mod shape;
mod value;

use std::borrow::Cow;

use jsonschema::{PatternOptions, ValidationOptions, Validator};
use wire::{
    bounds::POINTER_BYTES_MAX,
    json::{Node, Pointer},
};

use self::{shape::Shapes, value::Wire};
use crate::{Finding, FindingKind, Findings, Location, Part, Score};

pub use shape::ShapeFault;

/// Limits on schemas and on the work of checking.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SchemaBounds {
    /// Longest schema, in bytes as written.
    pub bytes_max: usize,
    /// Deepest nesting of a schema.
    pub depth_max: usize,
    /// Most schemas in a schema.
    pub subschemas_max: usize,
    /// Most schemas that may look at one value without going deeper into it.
    pub visits_max: usize,
    /// Largest compiled pattern, in bytes.
    pub pattern_bytes_max: usize,
    /// Most pairs of a schema and a value in one check.
    pub pairs_max: usize,
    /// Most findings of one check.
    pub findings_max: usize,
}

impl Default for SchemaBounds {
    fn default() -> Self {
        Self {
            bytes_max: 512 * 1024,
            depth_max: 64,
            subschemas_max: 10_000,
            visits_max: 2_000,
            pattern_bytes_max: 1024 * 1024,
            pairs_max: 100_000_000,
            findings_max: 16,
        }
    }
}

/// How schemas are read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SchemaOptions {
    /// What happens with `format`.
    pub format: Format,
    /// Limits.
    pub bounds: SchemaBounds,
}

/// What `format` means. The 2020-12 default is to note it and not to judge by it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Format {
    /// A note for readers.
    #[default]
    Annotation,
    /// A value that is not of the format is a finding.
    Assertion,
}

/// Why a schema cannot be honoured.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The library refuses it: unknown dialect, reference to elsewhere, a pattern that needs backtracking,
    /// or simply not a schema.
    #[error("the schema cannot be honoured at `{place}`: `{keyword}`")]
    Refused {
        /// The place in the schema, a JSON pointer.
        place: String,
        /// The keyword that fails.
        keyword: String,
    },
    /// A bound is exceeded or a reference goes round.
    #[error(transparent)]
    Shape(#[from] ShapeFault),
    /// It could not be read again.
    #[error("the schema is not JSON")]
    Unreadable(#[source] serde_json::Error),
}

impl SchemaError {
    /// The same as a finding, for the definition that holds the schema.
    #[must_use]
    pub fn finding(&self, pointer: Pointer) -> Finding {
        Finding {
            kind: FindingKind::Uninspectable,
            detector: Cow::Borrowed("uninspectable/schema"),
            location: Location {
                pointer,
                part: Part::Value,
                place: 0,
                span: 0..0,
            },
            score: Score::CERTAIN,
            note: Cow::Owned(self.to_string()),
        }
    }
}

/// A schema made ready. Cheap to ask, shared by all threads; the caller keeps one per pin.
#[derive(Debug)]
pub struct CompiledSchema {
    validator: Validator<Wire>,
    shapes: Shapes,
    bounds: SchemaBounds,
}

impl CompiledSchema {
    /// Compiles a schema. The dialect is 2020-12 unless `$schema` names another one that is known.
    ///
    /// # Errors
    /// Why the schema cannot be honoured.
    pub fn compile(schema: Node<'_>, options: &SchemaOptions) -> Result<Self, SchemaError> {
        let bounds = options.bounds;
        let shapes = Shapes::read(schema, &bounds)?;
        let value: serde_json::Value =
            serde_json::from_str(schema.written()).map_err(SchemaError::Unreadable)?;
        let validator = ValidationOptions::<'_, _, Wire>::default()
            .offline()
            .with_pattern_options(
                PatternOptions::regex()
                    .size_limit(bounds.pattern_bytes_max)
                    .dfa_size_limit(bounds.pattern_bytes_max),
            )
            .should_validate_formats(options.format == Format::Assertion)
            .should_ignore_unknown_formats(true)
            .build(&value)
            .map_err(|error| SchemaError::Refused {
                place: error.instance_path().to_string(),
                keyword: error.kind().keyword().to_owned(),
            })?;
        Ok(Self {
            validator,
            shapes,
            bounds,
        })
    }

    /// Checks a value. No findings: it satisfies the schema, and no key of it is a declared name in other
    /// letters.
    #[must_use]
    pub fn check(&self, value: Node<'_>) -> Findings {
        let values = value.walk().count();
        if self.shapes.len().saturating_mul(values) > self.bounds.pairs_max {
            return Findings::new(vec![finding(
                value,
                Pointer::default(),
                FindingKind::Uninspectable,
                "uninspectable/schema",
                "too many values for a schema of this size".into(),
            )]);
        }
        let mut findings = self.shapes.variants(value, self.bounds.findings_max);
        if !self.validator.is_valid(value::JsonNode::Wire(value)) {
            self.explain(value, values, &mut findings);
        }
        Findings::new(findings)
    }

    /// Says where an invalid value is invalid.
    fn explain(&self, value: Node<'_>, values: usize, findings: &mut Vec<Finding>) {
        let before = findings.len();
        let node = value::JsonNode::Wire(value);
        let errors: Vec<_> = match self.reasons(value, values) {
            Reasons::All => self
                .validator
                .iter_errors(node)
                .take(self.bounds.findings_max)
                .collect(),
            Reasons::First => self.validator.validate(node).err().into_iter().collect(),
            Reasons::None => Vec::new(),
        };
        for error in errors {
            let pointer = Pointer::parse(error.instance_path().as_str()).unwrap_or_default();
            let note = format!("does not satisfy `{}`", error.schema_path());
            findings.push(finding(
                value,
                pointer,
                FindingKind::Schema,
                "schema/invalid",
                note.into(),
            ));
        }
        if findings.len() == before {
            findings.push(finding(
                value,
                Pointer::default(),
                FindingKind::Schema,
                "schema/invalid",
                "does not satisfy the schema".into(),
            ));
        }
    }

    /// The library remembers the yes or no between visits but not the reasons, so a schema that comes back
    /// to itself is asked for one, and where even that may take long, for none.
    fn reasons(&self, value: Node<'_>, values: usize) -> Reasons {
        match self.shapes.recursion(value) {
            shape::Recursion::Deep => Reasons::None,
            shape::Recursion::Shallow => Reasons::First,
            shape::Recursion::None if values > EXPLAINED_VALUES_MAX => Reasons::First,
            shape::Recursion::None => Reasons::All,
        }
    }
}

/// How much is said about what is wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reasons {
    All,
    First,
    None,
}

/// Values of more parts than this are told the first thing that is wrong with them only.
const EXPLAINED_VALUES_MAX: usize = 1_000;

fn finding(
    root: Node<'_>,
    pointer: Pointer,
    kind: FindingKind,
    detector: &'static str,
    note: Cow<'static, str>,
) -> Finding {
    let at = pointer.find(root).unwrap_or(root);
    let pointer = pointer.within(POINTER_BYTES_MAX);
    Finding {
        kind,
        detector: Cow::Borrowed(detector),
        location: Location {
            pointer,
            part: Part::Value,
            place: at.place(),
            span: 0..at.as_str().map_or(at.written().len(), |text| text.len()),
        },
        score: Score::CERTAIN,
        note,
    }
}

#[cfg(test)]
mod tests;
