//! Which eras a server speaks. It is asked once (`server/discover`), on a wire of its own that is closed after it:
//! servers behind pipes hold on to the era of the first message, and some end at a request before `initialize`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::Mutex as AsyncMutex;
use wire::mcp::{Era, Eras};

use crate::{
    Backchannel, LinkError, Reach, ServerSpec, dial::dial, handshake, http::Client, inbox::Inbox, link::Wire,
};

/// How long a server behind pipes may be silent until it counts as one of sessions.
const SILENCE: Duration = Duration::from_secs(20);

/// What is known of one server.
#[derive(Debug)]
pub(crate) struct Known {
    /// Whether it speaks the modern era. Held while it is asked: others wait for the same answer.
    modern: AsyncMutex<Option<bool>>,
    /// Whether it speaks no other.
    alone: AtomicBool,
}

/// How to ask.
#[derive(Clone, Copy)]
pub(crate) struct Asker<'a> {
    pub(crate) spec: &'a ServerSpec,
    pub(crate) client: &'a Client,
    pub(crate) backchannel: &'a Arc<dyn Backchannel>,
}

impl Known {
    /// What was found out before.
    pub(crate) fn new(eras: Option<Eras>) -> Self {
        Self {
            modern: AsyncMutex::new(eras.map(|eras| eras != Eras::Sessions)),
            alone: AtomicBool::new(eras == Some(Eras::Modern)),
        }
    }

    /// The server is another one now.
    pub(crate) fn forget(&self) {
        self.alone.store(false, Ordering::Relaxed);
        // Whoever is asking now will have the answer of the new one.
        if let Ok(mut modern) = self.modern.try_lock() {
            *modern = None;
        }
    }

    /// The era to speak: the client's where the server speaks it.
    pub(crate) async fn speak(&self, wanted: Era, ask: Asker<'_>) -> Era {
        if self.alone.load(Ordering::Relaxed) {
            return Era::Modern;
        }
        if wanted == Era::Modern && self.is_modern(ask).await {
            Era::Modern
        } else {
            Era::Legacy
        }
    }

    /// Whether a server that would not shake hands speaks the modern era, and it alone; it is remembered.
    pub(crate) async fn is_modern_alone(&self, error: &LinkError, ask: Asker<'_>) -> bool {
        let refused = match error {
            LinkError::Absent(_) | LinkError::Garbled(_) | LinkError::Unreachable(_) => true,
            // A process may end at what it does not know; an endpoint that is down has said nothing.
            LinkError::Closed(_) => !matches!(ask.spec.reach, Reach::Http(_)),
            LinkError::Timeout(_) | LinkError::Withdrawn => false,
        };
        let alone = refused && self.is_modern(ask).await;
        if alone {
            self.alone.store(true, Ordering::Relaxed);
            ask.backchannel.speaks(&ask.spec.name, Eras::Modern);
        }
        alone
    }

    async fn is_modern(&self, ask: Asker<'_>) -> bool {
        let known = self.modern.try_lock().ok().and_then(|modern| *modern);
        match known {
            Some(modern) => modern,
            // In a box: asking is rare, and would make every call's future as large as its own.
            None => Box::pin(self.find_out(ask)).await,
        }
    }

    async fn find_out(&self, ask: Asker<'_>) -> bool {
        let mut modern = self.modern.lock().await;
        if let Some(modern) = *modern {
            return modern;
        }
        *modern = ask.answer().await;
        if let Some(modern) = *modern {
            let eras = if modern { Eras::Both } else { Eras::Sessions };
            ask.backchannel.speaks(&ask.spec.name, eras);
        }
        *modern == Some(true)
    }
}

impl Asker<'_> {
    /// Whether it speaks the modern era; nothing if it could not be asked.
    async fn answer(self) -> Option<bool> {
        let is_http = match &self.spec.reach {
            Reach::Http(_) => true,
            Reach::Stdio(_) | Reach::Unix(_) | Reach::WebSocket(_) => false,
            // Of 2024-11-05, and no other revision.
            Reach::Sse(_) => return Some(false),
        };
        let name = self.spec.name.clone();
        let inbox = Arc::new(Inbox::new(name, None, Arc::clone(self.backchannel)));
        let wire = dial(self.spec, self.client, &inbox).await.ok()?;
        let start = self.spec.timeouts.start;
        let wait = if is_http { start } else { start.min(SILENCE) };
        let said = handshake::discover(&wire, &inbox, wait).await;
        if let Wire::Pipe(pipe) = &wire {
            pipe.close("it was asked which eras it speaks");
        }
        match said {
            Ok(_) => Some(true),
            // An endpoint that is down has said nothing about its era.
            Err(LinkError::Timeout(_) | LinkError::Closed(_)) if is_http => None,
            Err(LinkError::Unreachable(why)) if why.starts_with("no connection") => None,
            // Whatever else a server says, or that it says nothing, is not of the modern era.
            Err(
                LinkError::Absent(_)
                | LinkError::Closed(_)
                | LinkError::Garbled(_)
                | LinkError::Timeout(_)
                | LinkError::Unreachable(_),
            ) => Some(false),
            Err(LinkError::Withdrawn) => None,
        }
    }
}
