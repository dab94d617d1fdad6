//! Several messages in one (2025-03-26), here in one POST: each is decided on its own, as if it had come alone.
//!
//! What one element may do says nothing about the next: every one is a call of its own on the road, with
//! its own entry in the ledger. A batch must not know what any of them is about.

use std::sync::Arc;

use hyper::{HeaderMap, Response};
use pipeline::{Credential, Objection, refusal};
use tokio::{sync::mpsc, task::JoinSet};
use wire::{
    bounds::REQUEST,
    json::Keys,
    jsonrpc::{self, Message, Refused},
    mcp::Method,
};

use super::{
    body::Body,
    conversation::Conversation,
    head::credential,
    mcp::{QUIET, STREAM_MESSAGES_MAX, Visit, unread},
    stream::{Told, events},
};
use crate::conversations::{exchange::Withdrawal, present::Said};

/// What is said to an element, by its place in the batch.
type Place = (usize, bool, Said);

/// Answers a batch: as one array when all answers are soon there, else as a stream of single answers.
pub(super) async fn answer(mut visit: Visit, headers: HeaderMap, bytes: Vec<u8>) -> Response<Body> {
    let elements = match jsonrpc::batch(bytes, Keys::Folded, &REQUEST) {
        Ok(elements) => elements,
        Err(refused) => {
            let (asked, objection) = unread(&headers, &refused);
            return visit.respond(visit.refuse(&asked, objection).await);
        }
    };
    // A proof is good for one request, which the batch is: shown once, it stands for each element.
    let shown = credential(&headers, &visit);
    if let Credential::Possessed(_) | Credential::Signed(_) = shown {
        let (queue, _) = mpsc::channel(1);
        let client = Conversation::new(Arc::clone(&visit.house), visit.connection("http-batch"), queue);
        match client.greet(shown.clone()).await {
            Ok(caller) => visit.proven = Some(shown.standing(&caller.principal)),
            Err(refusal) => return visit.refused(refusal),
        }
    }
    let (sender, mut messages) = mpsc::channel(STREAM_MESSAGES_MAX);
    let headers = Arc::new(headers);
    let mut running = JoinSet::new();
    for (place, element) in elements.into_iter().enumerate() {
        let (headers, sender) = (Arc::clone(&headers), sender.clone());
        let visit = Visit {
            call: visit.house.engines.ambient.call(),
            ..visit.clone()
        };
        running.spawn(async move {
            let (answered, said) = one(&visit, &headers, element, sender).await;
            (place, answered, said)
        });
    }
    let mut done: Vec<Place> = Vec::new();
    let quiet = tokio::time::sleep(QUIET);
    tokio::pin!(quiet);
    let first = loop {
        tokio::select! {
            biased;
            Some(message) = messages.recv() => break Some(message),
            ended = running.join_next() => match ended {
                Some(Ok(place)) => done.push(place),
                // An element that broke has been recorded as abandoned; the others go on.
                Some(Err(_)) => {}
                None => return array(&visit, done),
            },
            () = &mut quiet => break None,
        }
    };
    let last = Box::pin(async move {
        for said in done {
            send(&sender, said).await;
        }
        while let Some(ended) = running.join_next().await {
            if let Ok(said) = ended {
                send(&sender, said).await;
            }
        }
        None
    });
    let told = Told {
        first,
        messages,
        last,
    };
    events(told, None)
}

/// Carries one element; says whether it is one that is answered.
async fn one(
    visit: &Visit,
    headers: &HeaderMap,
    element: Result<Message, Refused>,
    stream: mpsc::Sender<Vec<u8>>,
) -> (bool, Said) {
    let message = match element {
        Ok(message) => message,
        Err(refused) => {
            let (asked, objection) = unread(headers, &refused);
            return (true, visit.refuse(&asked, objection).await);
        }
    };
    let answered = matches!(message, Message::Request(_));
    let parcel = match visit.unpack(headers, message) {
        Ok(parcel) => parcel,
        Err((asked, objection)) => return (answered, visit.refuse(&asked, *objection).await),
    };
    let asked = parcel.asked();
    if asked.method == Some(Method::Initialize) {
        return (answered, visit.refuse(&asked, initialize()).await);
    }
    match visit.set_out(headers, parcel, stream, Withdrawal::new(), &Arc::default()) {
        Ok(carrying) => (answered, carrying.await),
        Err(objection) => (answered, visit.refuse(&asked, objection).await),
    }
}

async fn send(stream: &mpsc::Sender<Vec<u8>>, (_, answered, said): Place) {
    if let Some(message) = said.message.filter(|_| answered) {
        // The client may have left; the calls were carried all the same.
        let _ = stream.send(message).await;
    }
}

/// Why a handshake is not carried.
pub(super) fn initialize() -> Objection {
    let why = "`initialize` is never part of a batch";
    let objection = Objection::new(&refusal::REQUEST_INVALID, why).showing(why);
    objection.remedied("send it alone, before any batch")
}

/// Answers as one message; none where there are none.
pub(super) fn joined(answers: &[Vec<u8>]) -> Option<Vec<u8>> {
    (!answers.is_empty()).then(|| [b"[".as_slice(), &answers.join(&b','), b"]"].concat())
}

/// All answers in one array, in the order of the questions; nothing where nothing was asked.
fn array(visit: &Visit, mut done: Vec<Place>) -> Response<Body> {
    done.sort_by_key(|(place, ..)| *place);
    // One credential came for all of them: where it was not taken, the request was not. Otherwise the status
    // says something only where all elements ended alike.
    let uncredentialed = done.iter().find(|(.., said)| said.status == 401);
    let statuses: Vec<u16> = done.iter().map(|(.., said)| said.status).collect();
    let alike = statuses.windows(2).all(|pair| pair.first() == pair.last());
    let of_all = statuses.first().copied().filter(|_| alike).unwrap_or(200);
    let status = uncredentialed.map_or(of_all, |(.., said)| said.status);
    let challenge = done
        .iter()
        .filter(|(.., said)| said.status == status)
        .find_map(|(.., said)| said.challenge.clone());
    let retry_after_ms = done.iter().filter_map(|(.., said)| said.retry_after_ms).max();
    let answers: Vec<Vec<u8>> = done
        .into_iter()
        .filter(|(_, answered, _)| *answered)
        .filter_map(|(.., said)| said.message)
        .collect();
    visit.respond(Said {
        status,
        message: joined(&answers),
        session: None,
        retry_after_ms,
        challenge,
    })
}
