//! Content to findings; rewriting: redact, pseudonymise, filter.
//!
//! Findings are facts with a place, a kind and a score. This crate must not know who asks or what is
//! allowed, and reads and writes nothing outside memory. What it found depends on the content and the settings alone,
//! whatever it remembers (`recall`).

mod bitmap;
mod detect;
mod finding;
mod injection;
mod inspector;
pub mod learned;
mod own;
mod pattern;
mod personal;
mod poisoning;
mod recall;
mod rewrite;
mod scan;
pub mod schema;
mod secret;
mod surface;
mod texts;
mod unicode;
mod verdict;
mod view;

pub use detect::{Detector, Passage, Report, Sighting};
pub use finding::{FINDINGS_MAX, Finding, FindingKind, Findings, Location, Part, Score};
pub use inspector::{Inspector, SettingsError};
pub use own::{Check, OwnKind, Pass, Settings};
pub use recall::Digest;
pub use rewrite::{
    Choice, Defang, Effort, Lasting, Like, Marked, Marks, Others, Spotlight, Strung, defang, mask, plain,
    pseudonym, redact, select, select_text,
};
pub use secret::{ASKED_FOR, asked_for};
pub use surface::{Scope, Surface};
pub use texts::Texts;
pub use verdict::{HOSTILE_MIN, SUSPECT_MIN, Verdict};
pub use view::{Reading, View};

#[cfg(test)]
mod tests;
