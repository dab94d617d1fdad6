//! Credentials to principals, and minting short-lived ones.
