//! Calls that wait for an answer, by the id we gave them. An id we did not give answers nothing.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use pipeline::ports::Exchange;
use tokio::sync::{Notify, oneshot};
use wire::jsonrpc::{Id, Response};

use crate::LinkError;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    next: AtomicI64,
    waiting: Mutex<HashMap<i64, Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    answer: oneshot::Sender<Result<Response, LinkError>>,
    progress: Arc<Notify>,
    /// The client's own progress token, as JSON, if it asked for progress.
    token: Option<Arc<[u8]>>,
    exchange: Option<Arc<dyn Exchange>>,
    /// The task whose result it waits for.
    task: Option<String>,
}

/// One call that waits.
#[derive(Debug)]
pub(crate) struct Wait {
    /// The id it went out under.
    pub(crate) id: i64,
    /// Its answer.
    pub(crate) answer: oneshot::Receiver<Result<Response, LinkError>>,
    /// A sign that the server is at work on it.
    pub(crate) progress: Arc<Notify>,
}

/// Whom progress of one call is for.
#[derive(Debug)]
pub(crate) struct Progress {
    /// The client's own token, as JSON.
    pub(crate) token: Arc<[u8]>,
    /// The client's side of the call.
    pub(crate) exchange: Arc<dyn Exchange>,
}

impl Pending {
    /// An id for a request whose answer nobody waits for.
    pub(crate) fn reserve(&self) -> i64 {
        self.next.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A new call.
    pub(crate) fn open(&self, token: Option<Arc<[u8]>>, exchange: Option<Arc<dyn Exchange>>) -> Wait {
        let id = self.reserve();
        let (answer, answered) = oneshot::channel();
        let progress = Arc::new(Notify::new());
        self.lock().insert(
            id,
            Waiting {
                answer,
                progress: Arc::clone(&progress),
                token,
                exchange,
                task: None,
            },
        );
        Wait {
            id,
            answer: answered,
            progress,
        }
    }

    /// A call waits for the result of this task.
    pub(crate) fn is_for(&self, id: i64, task: &str) {
        if let Some(waiting) = self.lock().get_mut(&id) {
            waiting.task = Some(task.to_owned());
        }
    }

    /// The client's side of whoever waits for the result of this task.
    pub(crate) fn of_task(&self, task: &str) -> Option<Arc<dyn Exchange>> {
        let waiting = self.lock();
        let found = waiting
            .values()
            .find(|waiting| waiting.task.as_deref() == Some(task))?;
        found.exchange.clone()
    }

    /// Whether a call waits still.
    pub(crate) fn waits(&self, id: i64) -> bool {
        self.lock().contains_key(&id)
    }

    /// Gives a call up.
    pub(crate) fn forget(&self, id: i64) {
        self.lock().remove(&id);
    }

    /// Hands an answer to the call it answers.
    ///
    /// # Errors
    /// The response, when it answers nothing: an id we never gave, one that is answered already, or one of
    /// another type.
    pub(crate) fn settle(&self, response: Response) -> Result<(), Response> {
        let Some(Id::Integer(id)) = response.id() else {
            return Err(response);
        };
        let Some(waiting) = self.lock().remove(id) else {
            return Err(response);
        };
        // Nobody waits any more: the call was withdrawn a moment ago.
        let _ = waiting.answer.send(Ok(response));
        Ok(())
    }

    /// Ends one call: what came back under its id is no answer.
    pub(crate) fn abort(&self, id: i64, error: LinkError) {
        if let Some(waiting) = self.lock().remove(&id) {
            let _ = waiting.answer.send(Err(error));
        }
    }

    /// The client's side of the call a progress token of ours stands for, and the client's own token.
    pub(crate) fn progress(&self, token: i64) -> Option<Progress> {
        let waiting = self.lock();
        let waiting = waiting.get(&token)?;
        waiting.progress.notify_one();
        Some(Progress {
            token: waiting.token.clone()?,
            exchange: waiting.exchange.clone()?,
        })
    }

    /// The server waits for the client: whoever waits for the server waits on.
    pub(crate) fn hold_on(&self) {
        for waiting in self.lock().values() {
            waiting.progress.notify_one();
        }
    }

    /// The client's side of the one call that waits. With several, nobody can say whose a message is.
    pub(crate) fn only(&self) -> Option<Arc<dyn Exchange>> {
        let waiting = self.lock();
        let mut exchanges = waiting.values().filter_map(|waiting| waiting.exchange.as_ref());
        let only = exchanges.next()?;
        exchanges.next().is_none().then(|| Arc::clone(only))
    }

    /// Ends every call: the link is gone.
    pub(crate) fn fail(&self, error: &LinkError) {
        for (_, waiting) in self.lock().drain() {
            let _ = waiting.answer.send(Err(error.clone()));
        }
    }

    /// How many calls wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i64, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
