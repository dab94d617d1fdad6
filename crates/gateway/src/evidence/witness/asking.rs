//! Having checkpoints signed by others: whenever the ledger grew, its newest checkpoint goes to every witness at once,
//! and is kept with their signatures when enough of them signed. The road never waits for that, but where it is
//! required.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode, header::CONTENT_TYPE};
use records::ledger::{
    Kind, Ledger, ReadError, Reader,
    checkpoint::Checkpoint,
    note::{Note, NoteSignature, VerifierKey},
    witness::Submission,
};
use tokio::sync::watch;

use super::{One, Standing};
use crate::{
    config::witness::{MeantWitness, MeantWitnessing},
    evidence::{events::Backlog, journal::Journal},
    failure::Failure,
    listen::{House, stopped},
    outside::fetch::Fetch,
};

/// How often it is looked whether the ledger grew.
const LOOK: Duration = Duration::from_secs(1);
/// How long a witness may take.
const WAIT: Duration = Duration::from_secs(5);
/// How long the others are waited for once enough signed.
const REST: Duration = Duration::from_secs(1);
/// How long it is waited after a round that brought too few signatures, at most.
const AGAIN_MAX: Duration = Duration::from_secs(30);
/// Entries that may be written before they are witnessed, where that is required.
const BEHIND_MAX: u64 = 10_000;

/// What a witness is asked.
#[derive(Clone)]
struct Asked {
    meant: MeantWitnessing,
    fetch: Fetch,
    /// What it saw last, as far as is known.
    old: u64,
}

/// Why a witness did not sign.
enum Unsigned {
    /// It is away, or answers nothing that can be used.
    Trouble(String),
    /// It saw something that this ledger does not go on from: the ledger was put back, or exchanged.
    Contradicts(String),
}

impl From<Failure> for Unsigned {
    fn from(failure: Failure) -> Self {
        Self::Trouble(failure.to_string())
    }
}

/// Asks until told to stop.
pub(crate) async fn keep_asking(
    house: Arc<House>,
    meant: MeantWitness,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Failure> {
    if meant.by.is_empty() {
        return Ok(());
    }
    let journal = house.engines.journal.clone();
    let asked = meant.by.iter().map(|one| {
        Ok(Asked {
            meant: one.clone(),
            fetch: Fetch::new()?,
            old: 0,
        })
    });
    let mut rounds = Rounds {
        standing: house.witness.standing.clone(),
        asked: asked.collect::<Result<_, Failure>>()?,
        ledger: journal.ledger().clone(),
        quorum: meant.quorum,
        told: false,
        journal,
    };
    rounds.begin();
    let backlog = rounds.journal.backlog().clone();
    tokio::select! {
        () = stopped(&mut stop) => {}
        () = rounds.run(meant.required.then_some(&backlog)) => {}
    }
    Ok(())
}

struct Rounds {
    standing: Standing,
    asked: Vec<Asked>,
    ledger: Ledger,
    quorum: usize,
    /// Whether the ledger says already that witnesses contradict it.
    told: bool,
    journal: Journal,
}

impl Rounds {
    fn begin(&self) {
        let mut seen = self.standing.seen();
        seen.quorum = self.quorum;
        let named = |asked: &Asked| One {
            name: asked.meant.name.clone(),
            ..One::default()
        };
        seen.witnesses = self.asked.iter().map(named).collect();
    }

    async fn run(&mut self, required: Option<&Backlog>) {
        // Until enough of them signed, nobody knows whether this is the ledger they saw before.
        let mut witnessed: Option<u64> = None;
        let mut wait = LOOK;
        loop {
            if self.ledger.status().progress.published > witnessed.unwrap_or(0) {
                match self.round().await {
                    Ok(size) => {
                        witnessed = Some(size);
                        wait = LOOK;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "too few witnesses signed the ledger's checkpoint");
                        wait = (wait * 2).min(AGAIN_MAX);
                    }
                }
            }
            if let Some(backlog) = required {
                let written = self.ledger.status().written;
                let is_far = witnessed.is_none_or(|size| written.saturating_sub(size) > BEHIND_MAX);
                backlog.unwitnessed(is_far);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Has the newest checkpoint signed. Gives its size when enough signed.
    async fn round(&mut self) -> Result<u64, Failure> {
        let reader = self.ledger.reader();
        let unreadable = |error: ReadError| Failure::other(error.to_string());
        let text = reader.checkpoint().map_err(unreadable)?;
        let malformed = || Failure::other("the ledger's checkpoint cannot be read");
        let mut note = Note::from_bytes(text.as_bytes()).map_err(|_| malformed())?;
        let head = Checkpoint::from_text(&note.text).ok_or_else(malformed)?;
        let mut asking = tokio::task::JoinSet::new();
        for (n, asked) in self.asked.iter().enumerate() {
            let mut asked = asked.clone();
            let (reader, text, head) = (reader.clone(), text.clone(), head.clone());
            asking.spawn(async move {
                let answered = tokio::time::timeout(WAIT, asked.ask(&reader, &text, &head)).await;
                let late = |_| Err(Unsigned::Trouble("it did not answer in time".to_owned()));
                (n, answered.unwrap_or_else(late), asked)
            });
        }
        let (mut signed, mut silent): (_, BTreeSet<usize>) = (0, (0..self.asked.len()).collect());
        loop {
            // One that hangs does not hold up what enough have signed.
            let within = if signed < self.quorum { WAIT * 2 } else { REST };
            let Ok(Some(answered)) = tokio::time::timeout(within, asking.join_next()).await else {
                break;
            };
            let (n, answer, asked) = answered.map_err(|error| Failure::other(error.to_string()))?;
            silent.remove(&n);
            self.heard(n, head.size, &answer);
            if let Some(place) = self.asked.get_mut(n) {
                *place = asked;
            }
            if let Ok((signatures, _)) = answer {
                signed += 1;
                note.signatures.extend(signatures);
            }
        }
        for n in silent {
            let late = Unsigned::Trouble("it did not answer in time".to_owned());
            self.heard(n, head.size, &Err(late));
        }
        if signed < self.quorum {
            let (quorum, all) = (self.quorum, self.asked.len());
            let why = format!("{signed} of {all} witnesses signed, {quorum} are needed");
            return Err(Failure::unreachable(why));
        }
        let ledger = self.ledger.clone();
        let kept = tokio::task::spawn_blocking(move || ledger.keep_cosigned(&note)).await;
        kept.map_err(|error| Failure::other(error.to_string()))?
            .map_err(|error| Failure::other(error.to_string()))?;
        self.standing.seen().size = head.size;
        Ok(head.size)
    }

    fn heard(&mut self, n: usize, size: u64, answer: &Result<(Vec<NoteSignature>, u64), Unsigned>) {
        let mut seen = self.standing.seen();
        let Some(one) = seen.witnesses.get_mut(n) else {
            return;
        };
        one.trouble = None;
        match answer {
            Ok((_, time_s)) => one.signed = Some((size, *time_s)),
            Err(Unsigned::Trouble(why)) => {
                tracing::warn!(witness = one.name, why, "a witness did not sign");
                one.trouble = Some(why.clone());
            }
            Err(Unsigned::Contradicts(why)) => {
                tracing::error!(witness = one.name, why, "a witness contradicts this ledger");
                one.trouble = Some(why.clone());
                if !std::mem::replace(&mut self.told, true) {
                    let about = [("witness", one.name.clone()), ("why", why.clone())];
                    self.journal.note(Kind::Finding, "witness-contradicts", &about);
                }
            }
        }
    }
}

impl Asked {
    /// Has it sign a checkpoint. Gives its signatures and the time it says it is.
    async fn ask(
        &mut self,
        reader: &Reader,
        text: &str,
        head: &Checkpoint,
    ) -> Result<(Vec<NoteSignature>, u64), Unsigned> {
        // A witness that saw something else last says so, and is asked again from there.
        for _ in 0..3 {
            let old = self.old;
            let submission = submission(reader.clone(), old, text.to_owned(), head.size).await?;
            let request = Request::builder()
                .method(Method::POST)
                .uri(self.meant.uri.clone())
                .header(CONTENT_TYPE, "text/plain; charset=utf-8")
                .body(Full::new(Bytes::from(submission.to_string())))
                .map_err(|error| Unsigned::Trouble(error.to_string()))?;
            let response = self.fetch.send(request).await?;
            let status = response.status();
            let body = String::from_utf8_lossy(&Fetch::whole(response).await?).into_owned();
            match status {
                StatusCode::OK => {
                    let signed = self.signatures(text, head, &body)?;
                    self.old = head.size;
                    return Ok(signed);
                }
                StatusCode::CONFLICT => {
                    let nonsense = || Unsigned::Trouble("it said 409 and no size".to_owned());
                    self.old = body.trim_end().parse().map_err(|_| nonsense())?;
                    if self.old > head.size {
                        let why = format!("it saw {} entries and here are {}", self.old, head.size);
                        self.old = 0;
                        return Err(Unsigned::Contradicts(format!(
                            "the ledger was rolled back: {why}"
                        )));
                    }
                }
                StatusCode::UNPROCESSABLE_ENTITY => {
                    let why = format!("the first {old} entries are not those it saw");
                    return Err(Unsigned::Contradicts(why));
                }
                StatusCode::NOT_FOUND => {
                    return Err(Unsigned::Trouble("it does not witness this ledger".to_owned()));
                }
                other => return Err(Unsigned::Trouble(format!("it answered {other}"))),
            }
        }
        Err(Unsigned::Trouble(
            "it changes its mind about what it saw".to_owned(),
        ))
    }

    /// What it signed, checked with the keys it has.
    fn signatures(
        &self,
        text: &str,
        head: &Checkpoint,
        lines: &str,
    ) -> Result<(Vec<NoteSignature>, u64), Unsigned> {
        let bad =
            |why: &dyn std::fmt::Display| Unsigned::Trouble(format!("its signature is not good: {why}"));
        let note = Note::from_bytes(text.as_bytes()).map_err(|error| bad(&error))?;
        let cosigned = format!("{}\n{lines}", note.text);
        let verified = Checkpoint::verify(cosigned.as_bytes(), &head.origin, &self.meant.keys);
        let (_, vouched) = verified.map_err(|error| bad(&error))?;
        let times = vouched.iter().filter_map(|one| one.time_s);
        let time_s = times.max().ok_or_else(|| bad(&"it has no time"))?;
        let answer = Note::from_bytes(cosigned.as_bytes()).map_err(|error| bad(&error))?;
        // One of each key: a note has room for so many.
        let of = |key: &VerifierKey| answer.signatures.iter().find(|one| one.is_by(key)).cloned();
        Ok((self.meant.keys.iter().filter_map(of).collect(), time_s))
    }
}

/// What is sent. The proof is read from the tiles.
async fn submission(reader: Reader, old: u64, checkpoint: String, size: u64) -> Result<Submission, Unsigned> {
    let proof = move || match old {
        0 => Ok(Vec::new()),
        old if old == size => Ok(Vec::new()),
        old => reader.consistency(old, size),
    };
    let failed = |why: &dyn std::fmt::Display| Unsigned::Trouble(why.to_string());
    let proof = tokio::task::spawn_blocking(proof)
        .await
        .map_err(|error| failed(&error))?;
    let proof = proof.map_err(|error| failed(&error))?;
    Ok(Submission {
        old,
        proof,
        checkpoint,
    })
}
