//! The far side.

use pipeline::{Answer, Objection, Passed, decide::Approved, forward::Recorded, ports::Upstream, refusal};
use wire::mcp::{Era, Mismatch, Target, mirrored_params, target};

use super::Engines;

impl Upstream for Engines {
    async fn confirm(&self, call: &Passed<Approved>) -> Result<(), Objection> {
        mirrored(call).map_err(|mismatch| {
            let why = mismatch.to_string();
            Objection::new(&refusal::HEADER_MISMATCH, why.clone()).showing(why)
        })?;
        self.upstreams.confirm(call).await
    }

    async fn send(&self, call: &Passed<Recorded>) -> Result<Answer, Objection> {
        // Before it is sent: a write that fails half-way may have been done.
        self.wrote(call);
        self.upstreams.send(call).await
    }
}

/// Arguments that the tool's schema has mirrored in headers must say there what they say in the body
/// (2026-07-28 over HTTP). Only now is it known that the caller may know the schema.
fn mirrored(call: &Passed<Approved>) -> Result<(), Mismatch> {
    let arrival = call.arrival();
    let Some(item) = call.resolution().item() else {
        return Ok(());
    };
    if arrival.via.transport != "http" || arrival.revision.era() == Era::Legacy {
        return Ok(());
    }
    let Ok(Target::Tool { arguments, .. }) = target(&arrival.message) else {
        return Ok(());
    };
    let schema = item.definition().document().root().get("inputSchema");
    // What cannot be mirrored is not offered over HTTP; behind pipes it may be, and binds nobody.
    let params = schema
        .map(mirrored_params)
        .and_then(Result::ok)
        .unwrap_or_default();
    for param in params {
        let mut sent = arrival
            .via
            .mirrored
            .iter()
            .filter(|(name, _)| name == param.header());
        let header = sent.next().map(|(_, value)| value.as_str());
        if sent.next().is_some() {
            return Err(Mismatch::Malformed("Mcp-Param-*"));
        }
        param.agree(header, arguments)?;
    }
    Ok(())
}
