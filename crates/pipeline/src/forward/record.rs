//! Record: the intent is durable, and the far side is still what was approved.

use std::{future::Future, pin::pin, task::Poll};

use wire::json::Edits;

use crate::{
    Destination, Objection, Passed, Ready, Refusal,
    ports::{Hold, Inspect, Ledger, Revealed, Upstream},
};

/// The call may leave.
#[derive(Debug)]
pub struct Recorded {
    index: Option<u64>,
    edits: Edits,
    held: Option<Hold>,
}

impl Recorded {
    pub(crate) const VERB: &'static str = "record";
}

impl Passed<Recorded> {
    /// Where in the ledger the intent is; none for what the gateway answers itself, which leaves nothing
    /// but an outcome.
    #[must_use]
    pub fn ledger_index(&self) -> Option<u64> {
        self.proof().index
    }

    /// What has to be changed in the message as it leaves: what inspection demands, and what is revealed.
    #[must_use]
    pub fn outgoing(&self) -> &Edits {
        &self.proof().edits
    }

    /// What lasts as long as the call, for work that may outlive this passage.
    #[must_use]
    pub fn held(&self) -> Option<Hold> {
        self.proof().held.clone()
    }
}

/// Appends the intent. A ledger that cannot write stops the traffic.
///
/// While the disk works, the server is asked whether the tool is still the pinned one: a change between
/// approval and call is found before the call, at no cost in time.
pub(crate) async fn record(
    engines: &(impl Inspect + Ledger + Upstream),
    call: Ready<Recorded>,
) -> Result<Passed<Recorded>, Refusal> {
    let mut revealed = Revealed::default();
    let index = match call.resolution().destination() {
        Destination::Gateway => None,
        Destination::Client => {
            // Only what asks something of the client is an act; what merely informs it has an outcome.
            let asks = call.arrival().message.id().is_some();
            let index = if asks {
                Some(engines.intent(&call).await.map_err(Refusal::at::<Recorded>)?)
            } else {
                None
            };
            revealed.edits = engines.veil(&call).map_err(Refusal::at::<Recorded>)?;
            index
        }
        Destination::Model => {
            let index = engines.intent(&call).await.map_err(Refusal::at::<Recorded>)?;
            call.dossier().note(|known| known.intent = Some(index));
            // Nothing is revealed to a model: what the permit demands is taken out of what it is told.
            revealed.edits = engines.veil(&call).map_err(Refusal::at::<Recorded>)?;
            Some(index)
        }
        Destination::Upstream => {
            let (intent, confirmed) = both(engines.intent(&call), engines.confirm(&call)).await;
            let index = intent.map_err(Refusal::at::<Recorded>)?;
            call.dossier().note(|known| known.intent = Some(index));
            confirmed.map_err(Refusal::at::<Recorded>)?;
            revealed = engines.reveal(&call).map_err(Refusal::at::<Recorded>)?;
            Some(index)
        }
    };
    call.dossier().note(|known| known.intent = index);
    let proof = Recorded {
        index,
        edits: call.edits().clone().and(revealed.edits),
        held: revealed.held,
    };
    Ok(Passed::pass(call, proof))
}

/// Runs two futures side by side to the end of both.
async fn both<A, B>(a: A, b: B) -> (Result<u64, Objection>, Result<(), Objection>)
where
    A: Future<Output = Result<u64, Objection>>,
    B: Future<Output = Result<(), Objection>>,
{
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut first, mut second) = (None, None);
    std::future::poll_fn(|cx| {
        if first.is_none()
            && let Poll::Ready(done) = a.as_mut().poll(cx)
        {
            first = Some(done);
        }
        if second.is_none()
            && let Poll::Ready(done) = b.as_mut().poll(cx)
        {
            second = Some(done);
        }
        match (first.take(), second.take()) {
            (Some(first), Some(second)) => Poll::Ready((first, second)),
            (unfinished_first, unfinished_second) => {
                (first, second) = (unfinished_first, unfinished_second);
                Poll::Pending
            }
        }
    })
    .await
}
