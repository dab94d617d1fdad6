//! Who is known, and how they come to be: people, agents that ask to be enrolled, logins here and elsewhere,
//! and the reviews of what they may do. Knows no message and no server.

pub(crate) mod authorization;
pub(crate) mod concerned;
pub(crate) mod enrolments;
pub(crate) mod issuers;
pub(crate) mod people;
pub(crate) mod reviews;
