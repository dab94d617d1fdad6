//! Tests of the ledger, by subject.

mod formats;
