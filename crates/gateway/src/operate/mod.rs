//! What operators do to a running gateway: the admin API behind every command, the console's access, the kill switch.

pub(crate) mod admin;
pub(crate) mod console;
pub(crate) mod halts;
