//! Work that goes on when nobody waits for it.

use std::future::Future;

use pipeline::{Objection, Refusal, Reply, ports::Tasks, refusal};

use super::Engines;

impl Tasks for Engines {
    async fn detach<F>(&self, work: F) -> Result<Reply, Refusal>
    where
        F: Future<Output = Result<Reply, Refusal>> + Send + 'static,
    {
        // Dropping the handle does not stop the task. The runtime moves what it is given several times: kilobytes,
        // unless they are in a box.
        tokio::spawn(Box::pin(work)).await.unwrap_or_else(|error| {
            // The case was dropped with the task, and recorded that.
            Err(Refusal::at_the_end(Objection::new(
                &refusal::INTERNAL,
                format!("the work was lost: {error}"),
            )))
        })
    }
}
