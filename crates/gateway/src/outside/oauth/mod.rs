//! An OAuth client of other people's authorization servers: what a challenge says, who gives tokens, how a person is sent
//! there, and the token endpoint. The gateway (`outbound`, `issuers`) and the command line (`connect`, `oauth doctor`) go
//! the same way, with this code. It keeps nothing, and knows neither servers of the gateway nor its callers.

mod authorize;
mod challenge;
pub(crate) mod device;
pub(crate) mod discovery;
mod form;
pub(crate) mod registration;
pub(crate) mod tokens;

pub(crate) use authorize::{Sending, fit, leads_people_well, speaks_for};
pub(crate) use challenge::Challenge;
pub(crate) use form::{escaped, form, with_query};
