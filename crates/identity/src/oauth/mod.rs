//! OAuth 2.1, both ends of it, as pure functions: the gateway gives bytes and gets bytes.

mod authorize;
mod challenge;
mod client;
mod details;
mod error;
mod form;
mod grant;
mod metadata;
mod presented;
mod redirect;
mod registration;

pub use authorize::{AuthorizationRequest, KnownBy, RegisteredClient};
pub use challenge::Challenge;
pub use client::{Client, ClientLookup};
pub use details::{DETAILS_TYPE, DetailsError, read_context, read_details, write_details};
pub use error::{OauthError, OauthFault};
pub use form::Form;
pub use grant::{Granted, TokenEndpoint, TokenRequest, token_response};
pub use metadata::{Endpoints, ForPeople, authorization_server_metadata, protected_resource_metadata};
pub use presented::Presented;
pub use redirect::{RedirectError, RedirectUri, Registrar};
pub use registration::{document_url, read_document, read_registration, registered, write_metadata};

#[cfg(test)]
mod tests;
