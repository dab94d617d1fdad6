//! Facts to permits: may exactly this principal, for this purpose, do exactly this, here and now.
//!
//! Everything here is a pure function of its arguments and one immutable [snapshot](registry::Registry). This crate
//! must not know tokio, files or clocks (time is an argument), how a principal was proven, or how a text was
//! scanned. No verdict is a `bool`, no rule means no, and a rule that errors never allows.

mod action;
mod context;
mod facts;
pub mod flow;
mod label;
pub mod limits;
pub mod packs;
mod permit;
pub mod registry;
mod resource;
pub mod rules;
mod subject;

pub use action::Action;
pub use context::Context;
pub use facts::{FINDING_KINDS, Facts, Source, TlsFacts};
pub use label::{Categories, Confidentiality, Integrity, Labels};
pub use permit::{Decision, Denial, Judging, Obligation, Permit, Reviewers, RuleId};
pub use resource::{Resource, Sink, ToolFacts, Trust};
pub use subject::{Party, PartyKind, Subject};
