//! Work that goes on when nobody waits for it.

use pipeline::{
    Objection, Refusal, Reply,
    ports::{Boxed, Tasks},
    refusal,
};

use super::Engines;
use crate::conversations::onward::{Lost, Onward};

impl Tasks for Engines {
    async fn detach(&self, work: Boxed<'static, Result<Reply, Refusal>>) -> Result<Reply, Refusal> {
        Onward::new(work).await.unwrap_or_else(|Lost| {
            // The case was dropped with the work, and recorded that.
            let lost = Objection::new(&refusal::INTERNAL, "the work was lost");
            Err(Refusal::at_the_end(lost))
        })
    }
}
