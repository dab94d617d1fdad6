//! What goes on between two messages: sessions, streams that are resumed, calls that wait for their client, tasks,
//! contexts, and who hears that a list has changed. What a message means is the road's business.

pub(crate) mod behind;
pub(crate) mod contexts;
pub(crate) mod cursor;
pub(crate) mod exchange;
pub(crate) mod lists;
pub(crate) mod onward;
pub(crate) mod parked;
pub(crate) mod present;
pub(crate) mod replay;
pub(crate) mod room;
pub(crate) mod sealed;
pub(crate) mod sessions;
pub(crate) mod task_desks;
pub(crate) mod task_owners;
