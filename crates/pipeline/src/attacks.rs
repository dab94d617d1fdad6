//! Known attacks on what stands between agents and tools, and what stops each here.
//!
//! Read it as an index: an attack's name, the type or test that stops it. Names are those of the incident
//! or of `SECURITY.md`.
//!
//! | attack | stopped by |
//! | --- | --- |
