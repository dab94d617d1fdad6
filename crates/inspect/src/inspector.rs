//! All detectors, built once and shared.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use wire::json::Node;

use crate::{
    Detector, Findings, OwnKind, Part, Scope, Settings, injection, own::Own, personal, poisoning, scan::Scan,
    secret, unicode::HiddenCharacters,
};

/// Looks at content. Cheap to clone, shared by all threads; all clones follow when an operator's settings change.
#[derive(Clone)]
pub struct Inspector {
    detectors: Arc<[Box<dyn Detector>]>,
    own: Arc<RwLock<Arc<Own>>>,
}

impl fmt::Debug for Inspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.detectors.iter().map(|detector| detector.name()))
            .finish()
    }
}

/// Why settings do not make an inspector.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Weights that are none: the build is broken.
    #[error("the weights of `{name}` cannot be read; train it anew (`examples/train.rs`) and build again")]
    Model {
        /// The model.
        name: &'static str,
    },
    /// A pattern that matches where nothing is.
    #[error("`{name}` has a pattern that matches the empty text; write what must be there")]
    Empty {
        /// The kind it belongs to.
        name: String,
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
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        Ok(Self {
            own: Arc::new(RwLock::new(Arc::new(Own::new(settings)?))),
            detectors: Arc::new([
                Box::new(HiddenCharacters),
                Box::new(injection::Injection::new()?),
                Box::new(poisoning::Poisoning::new()?),
                Box::new(secret::Secrets::new()?),
                Box::new(personal::Personal::new()?),
            ]),
        })
    }

    /// Whether a kind makes sense.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(kind: &OwnKind) -> Result<(), SettingsError> {
        Own::kind(kind).map(|_| ())
    }

    /// Takes other settings, for what is read from now on.
    ///
    /// # Errors
    /// The first setting that does not make sense; nothing has changed then.
    pub fn adopt(&self, settings: &Settings) -> Result<(), SettingsError> {
        let own = Arc::new(Own::new(settings)?);
        *self.own.write().unwrap_or_else(PoisonError::into_inner) = own;
        Ok(())
    }

    /// The operator's settings as they are now.
    pub(crate) fn own(&self) -> Arc<Own> {
        Arc::clone(&self.own.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at a parsed value: every string, number and key in it.
    #[must_use]
    pub fn inspect_node<'n>(&self, node: Node<'_>, scope: impl Into<Scope<'n>>) -> Findings {
        let mut scan = Scan::new(self, scope.into());
        scan.node(node);
        scan.finish(Some(node))
    }

    /// Looks at some members, with their names, of objects in a document; places are named from `root`.
    pub fn inspect_members<'n, 'd>(
        &self,
        root: Node<'d>,
        members: impl Iterator<Item = (Node<'d>, Node<'d>)>,
        scope: impl Into<Scope<'n>>,
    ) -> Findings {
        let mut members = members.peekable();
        if members.peek().is_none() {
            return Findings::default();
        }
        let mut scan = Scan::new(self, scope.into());
        members.for_each(|(key, value)| scan.member(key, value));
        scan.finish(Some(root))
    }

    /// Looks at a text alone.
    #[must_use]
    pub fn inspect_text<'n>(&self, text: &str, scope: impl Into<Scope<'n>>) -> Findings {
        let mut scan = Scan::new(self, scope.into());
        scan.piece(text, 0, Part::Value);
        scan.finish(None)
    }

    pub(crate) fn detectors(&self) -> impl Iterator<Item = &dyn Detector> {
        self.detectors.iter().map(AsRef::as_ref)
    }
}
