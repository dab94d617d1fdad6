//! Strict JSON, read once and borrowed from then on.
//!
//! Ordinary parsers disagree about duplicate keys, case, big numbers, lone surrogates and trailing bytes,
//! and every disagreement is a way to show a guard one message and the far side another. So this reader
//! refuses whatever two parsers could read differently, keeps numbers as text, and remembers where each
//! value stands. It must not know what a message means.

mod canonical;
mod document;
mod edit;
mod fold;
mod number;
mod parse;
mod pointer;
mod write;

pub use canonical::canonical;
pub use document::{Document, Elements, Kind, Members, Node};
pub use edit::Edits;
pub use fold::fold;
pub use number::Number;
pub use parse::{JsonError, JsonFault, Keys};
pub use pointer::{Pointer, Spell, Step, ways_to};
pub use write::{ArrayWriter, ObjectWriter, Writer, extended, object, write_string};

#[cfg(test)]
mod tests;
