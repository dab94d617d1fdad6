//! OAuth 2.1, both ends of it, as pure functions: the gateway gives bytes and gets bytes.

mod assertion;
mod bearer;
mod challenge;
mod client;
mod details;
mod error;
mod exchange;
mod form;
mod grant;
mod metadata;

pub use assertion::Assertions;
pub(crate) use assertion::single as assertion_use;
pub use bearer::brought;
pub use challenge::Challenge;
pub use client::{Client, ClientLookup};
pub use details::{DETAILS_TYPE, DetailsError, read_context, read_details, write_details};
pub use error::{OauthError, OauthFault};
pub use form::Form;
pub use grant::{Granted, TokenEndpoint, TokenRequest, Vouchers};
pub use metadata::{Endpoints, authorization_server_metadata, protected_resource_metadata};

#[cfg(test)]
mod tests;
