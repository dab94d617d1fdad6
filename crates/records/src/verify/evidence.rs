//! Verifying a report: that the log's own keys signed it, and that each entry it shows stands in the log.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use thiserror::Error;
use wire::json::{Document, Keys as JsonKeys, Node};

use super::{Witnesses, verify_proof};
use crate::{
    dsse::{self, EnvelopeError, IN_TOTO},
    ledger::{note::VerifierKey, proof::ProofError},
};

/// The type of what a report's statement says.
pub const REPORT_TYPE: &str = "urn:sallyport:report:1";

/// A report that holds.
#[derive(Clone, Debug)]
pub struct CheckedReport {
    /// Which report it is.
    pub name: String,
    /// How many entries it shows with their proofs.
    pub proofs: usize,
    /// The keys that signed it.
    pub signers: Vec<VerifierKey>,
}

/// Why a report does not hold.
#[derive(Debug, Error)]
pub enum ReportError {
    /// Its envelope proves nothing.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// It is signed, and no report.
    #[error("what is signed is no report: {0}")]
    Form(&'static str),
    /// An entry it shows is not in the log.
    #[error("the proof of sample {0} in `{1}` does not hold: {2}")]
    Proof(usize, String, ProofError),
}

/// Verifies a signed report and every proof in it with known keys alone.
///
/// # Errors
/// When it is malformed, altered, signed by nobody known, shows an entry that is not in the log, or one whose proof too few of
/// these witnesses signed.
pub fn verify_report(
    envelope: &[u8],
    known: &[VerifierKey],
    witnesses: Witnesses<'_>,
) -> Result<CheckedReport, ReportError> {
    let opened = dsse::open(envelope, known)?;
    if opened.kind != IN_TOTO {
        return Err(ReportError::Form("it is no in-toto statement"));
    }
    let document = Document::parse(opened.statement, JsonKeys::Exact, &wire::bounds::ANSWER)
        .map_err(|_| ReportError::Form("it is no JSON"))?;
    let root = document.root();
    if !root
        .get("predicateType")
        .is_some_and(|kind| kind.is_str(REPORT_TYPE))
    {
        return Err(ReportError::Form("it is a statement of another type"));
    }
    let predicate = root
        .get("predicate")
        .ok_or(ReportError::Form("`predicate` is missing"))?;
    let text = |node: Node<'_>, name: &str| Some(node.get(name)?.as_str()?.into_owned());
    let name = text(predicate, "report").ok_or(ReportError::Form("`report` is missing"))?;
    let mut proofs = 0;
    for control in predicate.get("controls").into_iter().flat_map(Node::elements) {
        let id = text(control, "id").ok_or(ReportError::Form("a control has no `id`"))?;
        let samples = control.get("samples").into_iter().flat_map(Node::elements);
        for (n, sample) in samples.enumerate() {
            let entry = text(sample, "entry").and_then(|entry| BASE64.decode(entry).ok());
            let (Some(entry), Some(proof)) = (entry, text(sample, "proof")) else {
                return Err(ReportError::Form("a sample has no `entry` or no `proof`"));
            };
            verify_proof(&proof, &entry, known, witnesses)
                .map_err(|why| ReportError::Proof(n, id.clone(), why))?;
            proofs += 1;
        }
    }
    Ok(CheckedReport {
        name,
        proofs,
        signers: opened.signers,
    })
}
