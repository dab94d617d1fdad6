//! What tasks ask of modern clients: a task's questions are shown by `tasks/get`, and answered by `tasks/update`.
//!
//! A desk holds the questions of one task, each of which has taken the road, until its client answers, and what was
//! answered until the server is told. It is for the task's owner alone. A restart forgets all.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use pipeline::{
    Arrival, Objection,
    ports::{Exchange, Nobody},
    refusal,
};
use tokio::{sync::watch, task::JoinHandle};
use upstream::TaskQuestion;
use wire::{json::Node, mcp::ServerName};

use crate::conversations::{
    parked::Relay,
    room::{Held, Room, Share},
};

/// How long a desk waits for its client.
const PATIENCE_MS: i64 = 10 * 60 * 1000;
/// Most desks of one owner, and of all.
const OF_ONE_MAX: usize = 32;
const OF_ALL_MAX: usize = 4_096;
/// Most questions of one task over its life.
const QUESTIONS_MAX: usize = 256;
/// How long questions may take to come, and answers to be judged.
const SOON: Duration = Duration::from_secs(2);

/// A task: its server, its owner and its id.
pub(crate) type Task = (ServerName, String, String);

/// All desks.
#[derive(Debug, Default)]
pub(crate) struct TaskDesks {
    desks: Mutex<HashMap<Task, Arc<TaskDesk>>>,
    room: Room,
}

/// What each question came to, by its name, with the room that takes.
type Given = BTreeMap<String, Result<(Vec<u8>, Held), Objection>>;

/// What one task asks.
#[derive(Debug)]
pub(crate) struct TaskDesk {
    /// The client's side.
    pub(crate) relay: Arc<Relay>,
    room: Share,
    state: Mutex<State>,
    given: watch::Sender<Given>,
}

#[derive(Debug, Default)]
struct State {
    /// Questions that were put: none is put twice (ext-tasks: a name is used once in a task's life). With the room that
    /// each name takes.
    put: BTreeMap<String, Held>,
    /// What runs on behalf of the task.
    running: Vec<JoinHandle<()>>,
    used_ms: i64,
}

impl TaskDesks {
    /// The desk of a task, or a new one, which is not kept yet: the room is the holder's, whichever model it names.
    pub(crate) fn of(&self, task: &Task, holder: &str, arrival: &Arrival) -> Arc<TaskDesk> {
        let found = self.at(task);
        if let Some(desk) = &found {
            let caller = arrival.exchange.caller();
            desk.relay.came_back(caller, arrival.capabilities.clone());
        }
        let desk = found.unwrap_or_else(|| {
            let exchange = Arc::clone(&arrival.exchange);
            let room = self.room.of(holder);
            let relay = Relay::new(exchange, arrival.capabilities.clone(), None, room.clone());
            // A task outlives the request that asks for it.
            relay.attach(Arc::new(Nobody));
            Arc::new(TaskDesk {
                relay,
                room,
                state: Mutex::default(),
                given: watch::channel(Given::new()).0,
            })
        });
        lock(&desk.state).used_ms = arrival.received_ms;
        desk
    }

    /// The desk of a task that asks.
    pub(crate) fn at(&self, task: &Task) -> Option<Arc<TaskDesk>> {
        lock(&self.desks).get(task).cloned()
    }

    /// Keeps a desk: its task asks. Gives the one that is kept, which is another's where that was first.
    pub(crate) fn keep(&self, task: Task, desk: &Arc<TaskDesk>) -> Result<Arc<TaskDesk>, Objection> {
        let mut desks = lock(&self.desks);
        if let Some(held) = desks.get(&task) {
            return Ok(Arc::clone(held));
        }
        let own = desks
            .values()
            .filter(|held| held.room.is_of_the_owner_of(&desk.room));
        if own.count() >= OF_ONE_MAX || desks.len() >= OF_ALL_MAX {
            let why = "too many tasks wait for an answer of the client";
            return Err(Objection::new(&refusal::OVER_LIMIT, why));
        }
        desks.insert(task, Arc::clone(desk));
        Ok(Arc::clone(desk))
    }

    /// The task is over.
    pub(crate) fn close(&self, task: &Task) {
        if let Some(desk) = lock(&self.desks).remove(task) {
            desk.give_up();
        }
    }

    /// Gives up what nobody came back for.
    pub(crate) fn sweep(&self, now_ms: i64) {
        lock(&self.desks).retain(|_, desk| {
            let stays = now_ms <= lock(&desk.state).used_ms.saturating_add(PATIENCE_MS);
            if !stays {
                desk.give_up();
            }
            stays
        });
    }
}

impl TaskDesk {
    /// Whether a question was put.
    pub(crate) fn has_put(&self, key: &str) -> bool {
        lock(&self.state).put.contains_key(key)
    }

    /// Has questions take the road to the client. A task that asks is polled again and again: only what is new takes room.
    pub(crate) fn put(self: &Arc<Self>, questions: Vec<TaskQuestion>) -> Result<(), Objection> {
        let mut state = lock(&self.state);
        // Another request may have put one meanwhile.
        let mut questions = questions;
        questions.retain(|(key, _)| !state.put.contains_key(key));
        if state.put.len() + questions.len() > QUESTIONS_MAX {
            return Err(Objection::new(&refusal::UPSTREAM_GARBLED, "a task asks too much"));
        }
        let names = questions
            .iter()
            .map(|(key, _)| Ok((key.clone(), self.room.take(key.len())?)));
        let names: BTreeMap<String, Held> = names.collect::<Result<_, Objection>>()?;
        let ids: Vec<_> = names.keys().cloned().map(wire::jsonrpc::Id::String).collect();
        state.put.extend(names);
        if let Some(asks) = self.relay.asks() {
            asks.expect(&ids);
        }
        state.running.retain(|running| !running.is_finished());
        for (key, answer) in questions {
            let (given, room) = (self.given.clone(), self.room.clone());
            state.running.push(tokio::spawn(async move {
                // What there is no room for is asked again.
                let answer = answer.await.and_then(|answer| {
                    let held = room.take(answer.len())?;
                    Ok((answer, held))
                });
                given.send_modify(|given| drop(given.insert(key, answer)));
            }));
        }
        Ok(())
    }

    /// Waits at a server of sessions, which asks meanwhile; once at a time.
    pub(crate) fn await_once(&self, waiting: impl Future<Output = ()> + Send + 'static) {
        let mut state = lock(&self.state);
        state.running.retain(|running| !running.is_finished());
        if state.running.is_empty() {
            state.running.push(tokio::spawn(waiting));
        }
    }

    /// Waits until what was put is asked, or was refused.
    pub(crate) async fn asked(&self) {
        // What takes longer is shown the next time.
        let _ = tokio::time::timeout(SOON, self.relay.is_asked()).await;
    }

    /// Takes the client's answers; gives what the server is to be told of it, once that is judged.
    pub(crate) async fn answer(&self, responses: Option<Node<'_>>) -> Result<Option<Vec<u8>>, Objection> {
        let count = self.relay.answer(responses);
        // A server of sessions is answered by the relay.
        if count == 0 || lock(&self.state).put.is_empty() {
            return self.take_given();
        }
        let mut given = self.given.subscribe();
        let judged = given.wait_for(|given| given.len() >= count);
        // What takes longer is told the next time.
        let _ = tokio::time::timeout(SOON, judged).await;
        self.take_given()
    }

    /// What the server is to be told now: an object by the questions' names.
    pub(crate) fn take_given(&self) -> Result<Option<Vec<u8>>, Objection> {
        let given = self.given.send_replace(Given::new());
        let (mut answers, mut failed) = (Vec::new(), None);
        for (key, answer) in given {
            match answer {
                Ok((answer, _)) => answers.push((key, answer)),
                Err(objection) => {
                    // It may be asked again.
                    lock(&self.state).put.remove(&key);
                    failed = Some(objection);
                }
            }
        }
        if let (true, Some(objection)) = (answers.is_empty(), failed) {
            return Err(objection);
        }
        let responses = wire::json::object(|out| {
            for (key, answer) in &answers {
                out.json(key, answer);
            }
        });
        Ok((!answers.is_empty()).then_some(responses))
    }

    fn give_up(&self) {
        self.relay.give_up();
        for running in lock(&self.state).running.drain(..) {
            running.abort();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use pipeline::Capabilities;

    use super::*;

    fn desk(room: &Room) -> Arc<TaskDesk> {
        let share = room.of("ann");
        Arc::new(TaskDesk {
            relay: Relay::new(Arc::new(Nobody), Capabilities::default(), None, share.clone()),
            room: share,
            state: Mutex::default(),
            given: watch::channel(Given::new()).0,
        })
    }

    /// What a server asks, as a poll puts it: what was put already is left out.
    fn poll(desk: &Arc<TaskDesk>, is_refused: bool) {
        let question = |n: usize| -> TaskQuestion {
            let refused = Objection::new(&refusal::CAPABILITY_MISSING, "refused on the road");
            let answer = async move {
                if !is_refused {
                    std::future::pending::<()>().await;
                }
                Err(refused)
            };
            (format!("{n}{}", "x".repeat(4096)), Box::pin(answer))
        };
        let questions = (0..8).map(question).filter(|(key, _)| !desk.has_put(key));
        desk.put(questions.collect()).unwrap();
    }

    /// Regression: each poll of a task that asks kept something, and names that were refused took their room once more.
    #[tokio::test]
    async fn polling_a_task_that_asks_takes_no_more_room_each_time() {
        let room = Room::default();
        let asking = desk(&room);
        poll(&asking, false);
        let taken = room.taken();
        assert!(taken > 8 * 4096);
        for _ in 0..1000 {
            poll(&asking, false);
        }
        let state = |desk: &TaskDesk| {
            let state = lock(&desk.state);
            (state.put.len(), state.running.len())
        };
        assert_eq!((room.taken(), state(&asking)), (taken, (8, 8)));
        drop(asking);

        let refused = desk(&room);
        let before = room.taken();
        for _ in 0..1000 {
            poll(&refused, true);
            let mut given = refused.given.subscribe();
            let _ = given.wait_for(|given| given.len() == 8).await;
            assert!(refused.take_given().is_err());
        }
        assert_eq!((room.taken(), state(&refused).0), (before, 0));
        assert!(state(&refused).1 <= 16, "what has run is not kept");
    }
}
