//! What must survive: the case of each message.

use pipeline::{
    Objection, Passed, Received, Refusal, Reply,
    decide::Approved,
    ports::{Case, Ledger, Stranger},
    refusal,
};

use super::Engines;
use crate::evidence::journal::OpenCase;

impl Case for OpenCase {
    async fn close(mut self, outcome: Result<Reply, Refusal>) -> Result<Reply, Refusal> {
        // What has an intent may have been sent, whatever came of it. Asked first: recording it takes what is known.
        let code = if self.has_intent() {
            &refusal::OUTCOME_UNRECORDED
        } else {
            &refusal::LEDGER_UNAVAILABLE
        };
        match self.outcome(&outcome).await {
            Ok(()) => outcome,
            Err(unavailable) => {
                let objection = Objection::new(code, unavailable.to_string());
                Err(Refusal::at_the_end(objection))
            }
        }
    }
}

impl Ledger for Engines {
    type Case = OpenCase;

    fn open_case(&self, call: &Received) -> OpenCase {
        self.journal.open_case(call)
    }

    async fn intent(&self, call: &Passed<Approved>) -> Result<u64, Objection> {
        let written = self.journal.intent(call).await;
        written.map_err(|unavailable| Objection::new(&refusal::LEDGER_UNAVAILABLE, unavailable.to_string()))
    }

    async fn turn_away(&self, who: Stranger, refusal: Refusal) -> Refusal {
        self.journal.turned_away(&who, &refusal).await;
        refusal
    }
}
