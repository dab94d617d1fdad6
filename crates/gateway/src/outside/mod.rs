//! Everything the gateway itself asks of others: tokens for servers, second opinions, what a box lets out; and the
//! addresses and secrets that takes. No caller's message leaves here: those go by the crate `upstream`.

pub(crate) mod addresses;
pub(crate) mod egress;
pub(crate) mod fetch;
pub(crate) mod interceptors;
pub(crate) mod judge;
pub(crate) mod oauth;
pub(crate) mod outbound;
pub(crate) mod proxy;
pub(crate) mod secrets;
