//! OAuth 2.1, both ends of it, as pure functions: the gateway gives bytes and gets bytes.

mod assertion;
mod authorize;
mod bearer;
mod challenge;
mod client;
mod details;
mod error;
mod exchange;
mod form;
mod grant;
mod metadata;
mod pkce;
mod presented;
mod redirect;
mod registration;
mod wanted;

pub use assertion::Assertions;
pub(crate) use assertion::single as assertion_use;
pub use authorize::{AuthorizationRequest, KnownBy, Leave, RegisteredClient, Way};
pub use bearer::brought;
pub use challenge::Challenge;
pub use client::{Client, ClientLookup, authenticate, may_act_for};
pub use details::{DETAILS_TYPE, DetailsError, read_context, read_details, write_details};
pub use error::{OauthError, OauthFault};
pub use form::Form;
pub use grant::{Besides, Granted, TokenEndpoint, TokenRequest, Vouchers, token_response};
pub use metadata::{
    DEVICE_GRANT, Endpoints, ForPeople, authorization_server_metadata, protected_resource_metadata,
};
pub use pkce::pkce_challenge;
pub use presented::Presented;
pub use redirect::{RedirectError, RedirectUri, Registrar};
pub use registration::{document_url, read_document, read_registration, registered, write_metadata};
pub use wanted::{Anew, Wanted};

#[cfg(test)]
mod tests;
