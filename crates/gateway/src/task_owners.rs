//! Whose a server's tasks are: a task id is a name and no credential.
//!
//! A task belongs to the caller whose call made it, and what it comes to is judged as that call's answer is: by
//! its tool. For everybody else it does not exist, and neither does one nobody here has seen made, or whose making
//! was withheld. Nothing is kept on disk: a restart forgets, and what is forgotten is refused.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use policy::Resource;
use wire::{
    json::Node,
    mcp::{Era, ServerName},
};

/// Most tasks that are known at a time; the oldest is forgotten first.
const TASKS_MAX: usize = 65_536;
/// The longest id, in bytes.
const ID_BYTES_MAX: usize = 1_024;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct TaskOwners {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// With the tool that was called.
    tasks: HashMap<Task, Arc<Resource>>,
    order: VecDeque<Task>,
}

/// A task. Servers that run once for each caller may give the same id to several.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Task {
    server: ServerName,
    owner: String,
    id: String,
}

impl TaskOwners {
    /// A call of this owner, of this tool, made this task.
    pub(crate) fn note(&self, server: &ServerName, owner: &str, id: &str, tool: &Arc<Resource>) {
        if id.len() > ID_BYTES_MAX {
            return;
        }
        let task = task(server, owner, id);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.tasks.insert(task.clone(), Arc::clone(tool)).is_none() {
            known.order.push_back(task);
        }
        while known.tasks.len() > TASKS_MAX {
            let Some(oldest) = known.order.pop_front() else {
                return;
            };
            known.tasks.remove(&oldest);
        }
    }

    /// The tool whose call by this owner made this task, if one did.
    pub(crate) fn tool(&self, server: &ServerName, owner: &str, id: &str) -> Option<Arc<Resource>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.tasks.get(&task(server, owner, id)).cloned()
    }
}

fn task(server: &ServerName, owner: &str, id: &str) -> Task {
    Task {
        server: server.clone(),
        owner: owner.to_owned(),
        id: id.to_owned(),
    }
}

/// The id of the task that a result says was made instead of an answer.
pub(crate) fn made(result: Node<'_>, era: Era) -> Option<String> {
    let holder = match era {
        Era::Legacy => result.get("task")?,
        Era::Modern => {
            Some(result).filter(|r| r.get("resultType").is_some_and(|kind| kind.is_str("task")))?
        }
    };
    id_of(holder)
}

/// The id of a task, where it is described.
pub(crate) fn id_of(task: Node<'_>) -> Option<String> {
    let id = task.get("taskId").and_then(Node::as_str)?;
    Some(id.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_its_makers_alone() {
        let owners = TaskOwners::default();
        let (one, two) = (ServerName::parse("one"), ServerName::parse("two"));
        let (one, two) = (one.expect("a name"), two.expect("a name"));
        owners.note(&one, "alice", "t", &Arc::new(Resource::Gateway));
        assert!(owners.tool(&one, "alice", "t").is_some());
        assert!(owners.tool(&one, "bob", "t").is_none());
        assert!(owners.tool(&two, "alice", "t").is_none());
        assert!(owners.tool(&one, "alice", "u").is_none());
    }
}
