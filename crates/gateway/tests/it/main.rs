//! The real binary with a home directory of its own: `sallyport import` and `sallyport connect --serve`.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "tests: helpers outside `#[test]` functions may stop the test too"
)]

mod connect;
mod house;
mod import;
