//! What must survive: ledger, sealed tables, keys.
