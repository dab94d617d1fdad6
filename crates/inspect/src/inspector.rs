//! All detectors, built once and shared.

use std::{fmt, sync::Arc};

use wire::json::Node;

use crate::{
    Detector, Findings, Part, Scope, injection, personal, poisoning, scan::Scan, secret,
    unicode::HiddenCharacters,
};

/// Looks at content. Immutable, cheap to clone, shared by all threads; made anew when its settings change.
#[derive(Clone)]
pub struct Inspector {
    detectors: Arc<[Box<dyn Detector>]>,
}

impl fmt::Debug for Inspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.detectors.iter().map(|detector| detector.name()))
            .finish()
    }
}

/// What an operator may set.
#[derive(Clone, Debug, Default)]
pub struct Settings {}

/// Why settings do not make an inspector.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Weights that are none: the build is broken.
    #[error("the weights of `{name}` cannot be read; train it anew (`examples/train.rs`) and build again")]
    Model {
        /// The model.
        name: &'static str,
    },
    /// A pattern that is none.
    #[error("`{name}` has a pattern that cannot be read; write a linear-time regular expression")]
    Pattern {
        /// The kind it belongs to.
        name: String,
        /// What is wrong with it.
        source: Box<regex::Error>,
    },
}

impl Inspector {
    /// Builds the detectors.
    ///
    /// # Errors
    /// The first setting that does not make sense.
    pub fn new(_settings: &Settings) -> Result<Self, SettingsError> {
        Ok(Self {
            detectors: Arc::new([
                Box::new(HiddenCharacters),
                Box::new(injection::Injection::new()?),
                Box::new(poisoning::Poisoning::new()?),
                Box::new(secret::Secrets::new()?),
                Box::new(personal::Personal::new()?),
            ]),
        })
    }

    /// Looks at a parsed value: every string, number and key in it.
    #[must_use]
    pub fn inspect_node<'n>(&self, node: Node<'_>, scope: impl Into<Scope<'n>>) -> Findings {
        let mut scan = Scan::new(self, scope.into().surface);
        scan.node(node);
        scan.finish(Some(node))
    }

    /// Looks at a text alone.
    #[must_use]
    pub fn inspect_text<'n>(&self, text: &str, scope: impl Into<Scope<'n>>) -> Findings {
        let mut scan = Scan::new(self, scope.into().surface);
        scan.piece(text, 0, Part::Value);
        scan.finish(None)
    }

    pub(crate) fn detectors(&self) -> impl Iterator<Item = &dyn Detector> {
        self.detectors.iter().map(AsRef::as_ref)
    }
}
