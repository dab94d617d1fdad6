//! Which eras a server speaks. It is asked once (`server/discover`), on a wire of its own that is closed after it:
//! servers behind pipes hold on to the era of the first message, and some end at a request before `initialize`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Mutex as AsyncMutex, time::Instant};
use wire::mcp::{Era, Eras};

use crate::{
    Backchannel, LinkError, Reach, ServerSpec, dial::dial, handshake, http::Door, inbox::Inbox, link::Wire,
    sandbox::Room,
};

/// How long a server behind pipes may be silent until it counts as one of sessions.
const SILENCE: Duration = Duration::from_secs(20);

/// For how long a server that could not be asked is not asked again.
const PAUSE: Duration = Duration::from_secs(5);

/// What is known of one server.
#[derive(Debug)]
pub(crate) struct Known {
    /// Held while it is asked: others wait for the same answer.
    asked: AsyncMutex<Asked>,
    /// Whether it speaks no era but the modern one.
    alone: AtomicBool,
    /// Whether that is so whatever happens: the gateway speaks for it.
    fixed: bool,
}

#[derive(Debug, Default)]
struct Asked {
    /// Whether it speaks the modern era.
    modern: Option<bool>,
    /// When it could not be asked.
    in_vain: Option<Instant>,
}

/// Why a server could not be asked.
enum Mute {
    /// It does not answer now.
    Down,
    /// Whoever asked is not let in; the next may be, at once.
    Locked,
}

/// How to ask.
#[derive(Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) spec: &'a ServerSpec,
    pub(crate) door: &'a Door,
    pub(crate) room: &'a Room,
    pub(crate) backchannel: &'a Arc<dyn Backchannel>,
}

impl Known {
    /// What was found out before.
    pub(crate) fn new(eras: Option<Eras>) -> Self {
        Self {
            asked: AsyncMutex::new(Asked {
                modern: eras.map(|eras| eras != Eras::Sessions),
                in_vain: None,
            }),
            alone: AtomicBool::new(eras == Some(Eras::Modern)),
            fixed: false,
        }
    }

    /// Of what the gateway itself speaks for, in the revision without sessions.
    pub(crate) fn fixed() -> Self {
        Self {
            fixed: true,
            ..Self::new(Some(Eras::Modern))
        }
    }

    /// The server is another one now.
    pub(crate) fn forget(&self) {
        if self.fixed {
            return;
        }
        self.alone.store(false, Ordering::Relaxed);
        // Whoever is asking now will have the answer of the new one.
        if let Ok(mut asked) = self.asked.try_lock() {
            *asked = Asked::default();
        }
    }

    /// The era to speak: the client's where the server speaks it, as far as that is known or may be asked.
    pub(crate) async fn speak(&self, wanted: Era, ask: Option<Asker<'_>>) -> Era {
        if self.alone.load(Ordering::Relaxed) {
            return Era::Modern;
        }
        let modern = match (wanted, self.known(), ask) {
            (Era::Legacy, _, _) | (Era::Modern, None, None) => None,
            (Era::Modern, Some(modern), _) => Some(modern),
            (Era::Modern, None, Some(ask)) => self.is_modern(ask).await,
        };
        if modern == Some(true) {
            Era::Modern
        } else {
            Era::Legacy
        }
    }

    /// The same, where nobody need be asked for it.
    pub(crate) fn settled(&self, wanted: Era) -> Option<Era> {
        if self.alone.load(Ordering::Relaxed) {
            return Some(Era::Modern);
        }
        match wanted {
            Era::Legacy => Some(Era::Legacy),
            Era::Modern => Some(if self.known()? { Era::Modern } else { Era::Legacy }),
        }
    }

    fn known(&self) -> Option<bool> {
        self.asked.try_lock().ok().and_then(|asked| asked.modern)
    }

    /// The other era, if a server that would not shake hands in one speaks that; it is remembered.
    pub(crate) async fn other(&self, refused: Era, error: &LinkError, ask: Asker<'_>) -> Option<Era> {
        let is_refusal = match error {
            LinkError::Absent(_) | LinkError::Garbled(_) | LinkError::Lost(_) | LinkError::Unreachable(_) => {
                true
            }
            // A process may end at what it does not know; an endpoint that is down has said nothing.
            LinkError::Closed(_) => !matches!(ask.spec.reach, Reach::Http(_)),
            LinkError::Consent(_)
            | LinkError::Crashing(_)
            | LinkError::Doubtful(_)
            | LinkError::Timeout(_)
            | LinkError::Unauthorized(_)
            | LinkError::Withdrawn => false,
        };
        if !is_refusal || self.fixed {
            return None;
        }
        match refused {
            Era::Legacy => {
                let alone = self.is_modern(ask).await == Some(true);
                if alone {
                    self.alone.store(true, Ordering::Relaxed);
                    ask.backchannel.speaks(&ask.spec.name, Eras::Modern);
                }
                alone.then_some(Era::Modern)
            }
            // What was true once need not be: it may have been put back to an older version.
            Era::Modern => {
                self.forget();
                (self.is_modern(ask).await == Some(false)).then_some(Era::Legacy)
            }
        }
    }

    /// Whether it speaks the modern era; nothing if it could not be asked.
    async fn is_modern(&self, ask: Asker<'_>) -> Option<bool> {
        match self.known() {
            Some(modern) => Some(modern),
            // In a box: asking is rare, and would make every call's future as large as its own.
            None => Box::pin(self.find_out(ask)).await,
        }
    }

    async fn find_out(&self, ask: Asker<'_>) -> Option<bool> {
        let mut asked = self.asked.lock().await;
        // Whoever waited while it was asked in vain does not wait again.
        if asked.modern.is_some() || asked.in_vain.is_some_and(|at| at.elapsed() < PAUSE) {
            return asked.modern;
        }
        match ask.answer().await {
            Err(Mute::Down) => asked.in_vain = Some(Instant::now()),
            Err(Mute::Locked) => {}
            Ok(modern) => {
                asked.modern = Some(modern);
                let eras = if modern { Eras::Both } else { Eras::Sessions };
                ask.backchannel.speaks(&ask.spec.name, eras);
            }
        }
        asked.modern
    }
}

impl Asker<'_> {
    /// Whether it speaks the modern era, if it could be asked.
    async fn answer(self) -> Result<bool, Mute> {
        let is_http = match &self.spec.reach {
            Reach::Http(_) => true,
            Reach::Stdio(_) | Reach::Unix(_) | Reach::WebSocket(_) => false,
            // Of 2024-11-05, and no other revision.
            Reach::Sse(_) => return Ok(false),
            // We speak for it.
            Reach::Rest(_) => return Ok(true),
        };
        let name = self.spec.name.clone();
        let inbox = Arc::new(Inbox::new(name, (None, None), Arc::clone(self.backchannel)));
        let wire = dial(self.spec, self.door, self.room, &inbox)
            .await
            .map_err(|_| Mute::Down)?;
        let start = self.spec.timeouts.start;
        let wait = if is_http { start } else { start.min(SILENCE) };
        let said = handshake::discover(&wire, &inbox, wait).await;
        if let Wire::Pipe(pipe) = &wire {
            pipe.close("it was asked which eras it speaks");
        }
        if let Err(LinkError::Consent(_) | LinkError::Unauthorized(_)) = &said {
            return Err(Mute::Locked);
        }
        if let Wire::Http(endpoint) = &wire
            && said.is_err()
            && endpoint.says_nothing()
        {
            return Err(Mute::Down);
        }
        match said {
            Ok(_) => Ok(true),
            // An endpoint that is down has said nothing about its era.
            Err(LinkError::Timeout(_) | LinkError::Closed(_)) if is_http => Err(Mute::Down),
            // Whatever else a server says, or that it says nothing, is not of the modern era.
            Err(
                LinkError::Absent(_)
                | LinkError::Closed(_)
                | LinkError::Crashing(_)
                | LinkError::Doubtful(_)
                | LinkError::Garbled(_)
                | LinkError::Lost(_)
                | LinkError::Timeout(_)
                | LinkError::Unreachable(_),
            ) => Ok(false),
            Err(LinkError::Consent(_) | LinkError::Unauthorized(_) | LinkError::Withdrawn) => {
                Err(Mute::Locked)
            }
        }
    }
}
