//! The words between the texts and the engines that look at them.

use std::{borrow::Cow, fmt, ops::Range};

use crate::{
    FindingKind, Score, Surface,
    view::{HiddenRun, View, decoded, plain, respelled, smuggled},
};

/// An engine that looks at text. It sees every view of a passage and reports in bytes as written.
///
/// A detector is a value without state, shared by all threads; its work is linear in the passage.
pub trait Detector: fmt::Debug + Send + Sync {
    /// The name under which it is listed in documentation and figures.
    fn name(&self) -> &'static str;

    /// Looks at one passage.
    fn look(&self, passage: &Passage<'_>, report: &mut Report);
}

/// A stretch of text, short enough to be held, with its views.
#[derive(Debug)]
pub struct Passage<'t> {
    surface: Surface,
    written: &'t str,
    views: Vec<View<'t>>,
    hidden: Vec<HiddenRun>,
}

/// Encodings in encodings that are read.
const DEPTH_MAX: usize = 3;

impl<'t> Passage<'t> {
    pub(crate) fn new(written: &'t str, surface: Surface) -> Self {
        let (view, hidden) = plain(written);
        let mut views = vec![view];
        views.extend(smuggled(written, &hidden));
        // What is decoded may hold what is encoded; each time it is shorter, and the times are bounded.
        let mut first = 0;
        for _ in 0..DEPTH_MAX {
            let next: Vec<_> = views
                .iter()
                .skip(first)
                .flat_map(|view| decoded(view).into_iter().chain(respelled(view)))
                .collect();
            if next.is_empty() {
                break;
            }
            first = views.len();
            views.extend(next);
        }
        Self {
            surface,
            written,
            views,
            hidden,
        }
    }

    /// What the text is for.
    #[must_use]
    pub fn surface(&self) -> Surface {
        self.surface
    }

    /// The text as written.
    #[must_use]
    pub fn written(&self) -> &'t str {
        self.written
    }

    /// The views, the plain one first.
    #[must_use]
    pub fn views(&self) -> &[View<'t>] {
        &self.views
    }

    pub(crate) fn hidden(&self) -> &[HiddenRun] {
        &self.hidden
    }
}

/// What a detector saw, before it has a place in a document.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// What sort of fact.
    pub kind: FindingKind,
    /// The detector and its rule, such as `secret/aws-access-key`.
    pub detector: Cow<'static, str>,
    /// Bytes of the passage as written.
    pub written: Range<usize>,
    /// How sure.
    pub score: Score,
    /// What a person should know, never the content itself.
    pub note: Cow<'static, str>,
}

/// What the detectors saw in one passage.
#[derive(Debug, Default)]
pub struct Report {
    sightings: Vec<Sighting>,
}

impl Report {
    /// Adds a fact.
    pub fn add(&mut self, sighting: Sighting) {
        self.sightings.push(sighting);
    }

    pub(crate) fn into_sightings(self) -> Vec<Sighting> {
        self.sightings
    }
}
