//! The far side: transports, supervision, sandbox.
