//! Content to findings; rewriting: redact, pseudonymise, filter.
