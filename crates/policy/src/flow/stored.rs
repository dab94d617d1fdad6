//! What a context remembers, as JSON for the store: fingerprints and not the text, which is nobody's to keep.

use thiserror::Error;
use wire::{
    bounds::ANSWER,
    json::{Document, Keys, Node, ObjectWriter, object},
};

use super::{Flow, Origin, Settings, Suspicion, memory::Remembered, sketch::Sketch};
use crate::label::{Confidentiality, Integrity, Labels};

/// What is stored is not what we wrote.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("the stored context is damaged at `{0}`")]
pub struct Damaged(pub(super) &'static str);

impl Suspicion {
    const ALL: [Self; 3] = [Self::None, Self::Slight, Self::Marked];

    fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Slight => "slight",
            Self::Marked => "marked",
        }
    }
}

impl Flow {
    /// Writes what is remembered, without any text of a result.
    #[must_use]
    pub fn to_stored(&self) -> Vec<u8> {
        object(|out| {
            write_labels(&self.labels, out);
            out.string("suspicion", self.suspicion.as_str());
            out.boolean("unconfirmed", self.unconfirmed);
            out.integer("steps", self.steps);
            let sets = [
                ("hosts", &self.hosts),
                ("written", &self.written),
                ("own", &self.own),
            ];
            for (name, set) in sets {
                out.array(name, |list| set.iter().for_each(|text| list.string(text)));
            }
            out.array("results", |list| {
                for result in self.memory.results() {
                    list.object(|out| write_result(result, out));
                }
            });
        })
    }

    /// Reads what [`Flow::to_stored`] wrote, for the task the caller declares now.
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_stored(text: &[u8], task: Option<&str>, settings: Settings) -> Result<Self, Damaged> {
        let document = Document::parse(text.to_vec(), Keys::Exact, &ANSWER).map_err(|_| Damaged("text"))?;
        let root = document.root();
        let mut flow = Self::new(task, settings);
        flow.labels = labels_at(root)?;
        let suspicion = text_at(root, "suspicion")?;
        let known = Suspicion::ALL
            .into_iter()
            .find(|known| known.as_str() == suspicion);
        flow.suspicion = known.ok_or(Damaged("suspicion"))?;
        flow.unconfirmed = boolean_at(root, "unconfirmed")?;
        flow.steps = step_at(root, "steps")?;
        flow.hosts = texts_at(root, "hosts")?.collect();
        flow.written = texts_at(root, "written")?.collect();
        flow.own = texts_at(root, "own")?.collect();
        for node in root.get("results").ok_or(Damaged("results"))?.elements() {
            flow.memory.add(read_result(node)?);
        }
        Ok(flow)
    }
}

fn write_result(result: &Remembered, out: &mut ObjectWriter<'_>) {
    out.string("server", &result.origin.server);
    out.string("tool", &result.origin.tool);
    out.integer("step", result.origin.step);
    out.boolean("trusted", result.trusted);
    out.boolean("hostile", result.hostile);
    out.boolean("confidential", result.confidential);
    out.string("words", &result.words.to_text());
    out.string("runs", &result.runs.to_text());
}

fn read_result(node: Node<'_>) -> Result<Remembered, Damaged> {
    let origin = Origin {
        server: text_at(node, "server")?,
        tool: text_at(node, "tool")?,
        step: step_at(node, "step")?,
    };
    // `meant` and `answers_task` speak for a result's text, which is gone.
    let mut result = Remembered::forgotten(origin, sketch_at(node, "words")?, sketch_at(node, "runs")?);
    result.trusted = boolean_at(node, "trusted")?;
    result.hostile = boolean_at(node, "hostile")?;
    result.confidential = boolean_at(node, "confidential")?;
    Ok(result)
}

impl Labels {
    /// As JSON, for the store.
    #[must_use]
    pub fn to_stored(&self) -> Vec<u8> {
        object(|out| write_labels(self, out))
    }

    /// Reads what [`Labels::to_stored`] wrote.
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_stored(text: &[u8]) -> Result<Self, Damaged> {
        let document = Document::parse(text.to_vec(), Keys::Exact, &ANSWER).map_err(|_| Damaged("text"))?;
        labels_at(document.root())
    }
}

pub(super) fn write_labels(labels: &Labels, out: &mut ObjectWriter<'_>) {
    out.string("integrity", labels.integrity.as_str());
    out.string("confidentiality", labels.confidentiality.as_str());
    out.array("categories", |list| {
        labels.categories.iter().for_each(|word| list.string(word))
    });
}

pub(super) fn labels_at(node: Node<'_>) -> Result<Labels, Damaged> {
    Ok(Labels {
        integrity: Integrity::parse(&text_at(node, "integrity")?).ok_or(Damaged("integrity"))?,
        confidentiality: Confidentiality::parse(&text_at(node, "confidentiality")?)
            .ok_or(Damaged("confidentiality"))?,
        categories: texts_at(node, "categories")?.collect(),
    })
}

pub(super) fn sketch_at(node: Node<'_>, name: &'static str) -> Result<Sketch, Damaged> {
    Sketch::from_text(&text_at(node, name)?).ok_or(Damaged(name))
}

fn text_at(node: Node<'_>, name: &'static str) -> Result<String, Damaged> {
    let text = node.get(name).and_then(Node::as_str);
    text.map(std::borrow::Cow::into_owned).ok_or(Damaged(name))
}

fn boolean_at(node: Node<'_>, name: &'static str) -> Result<bool, Damaged> {
    node.get(name).and_then(Node::as_bool).ok_or(Damaged(name))
}

fn step_at(node: Node<'_>, name: &'static str) -> Result<u32, Damaged> {
    let number = node
        .get(name)
        .and_then(Node::as_number)
        .and_then(|number| number.as_u64());
    number
        .and_then(|number| u32::try_from(number).ok())
        .ok_or(Damaged(name))
}

fn texts_at<'n>(node: Node<'n>, name: &'static str) -> Result<impl Iterator<Item = String> + 'n, Damaged> {
    let list = node.get(name).ok_or(Damaged(name))?;
    Ok(list
        .elements()
        .filter_map(|text| Some(text.as_str()?.into_owned())))
}
