//! People.

use pipeline::{Objection, Passed, decide::Limited, ports::Approvals, refusal};

use super::Engines;

impl Approvals for Engines {
    async fn approve(&self, call: &Passed<Limited>) -> Result<(), Objection> {
        let wanted: Vec<String> = call
            .permit()
            .obligations()
            .iter()
            .map(|wanted| format!("{wanted:?}"))
            .collect();
        let why = format!(
            "the permit demands {} and this build cannot ask anybody",
            wanted.join(", ")
        );
        Err(Objection::new(&refusal::NOT_APPROVED, why))
    }
}
