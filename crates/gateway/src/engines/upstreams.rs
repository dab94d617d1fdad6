//! The far side.

use pipeline::{Answer, Objection, Passed, decide::Approved, forward::Recorded, ports::Upstream};

use super::Engines;

impl Upstream for Engines {
    async fn confirm(&self, call: &Passed<Approved>) -> Result<(), Objection> {
        self.upstreams.confirm(call).await
    }

    async fn send(&self, call: &Passed<Recorded>) -> Result<Answer, Objection> {
        self.upstreams.send(call).await
    }
}
