//! `sallyport import` and `sallyport connect --serve`, with the real binary and a home directory of their own.

mod connect;
mod house;
mod import;
