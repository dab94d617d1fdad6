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
/// Most of one owner.
const OF_ONE_MAX: usize = 4_096;
/// The longest id, in bytes.
const ID_BYTES_MAX: usize = 1_024;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct TaskOwners {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By owner and id, with the tools that were called: servers do not know of each other's ids, and one that runs
    /// once for each caller may give the same id to several.
    tasks: HashMap<(String, String), Vec<Tool>>,
    order: VecDeque<(String, String)>,
    /// How many each owner has.
    of_each: HashMap<String, usize>,
}

/// The tool that was called, with its server.
type Tool = (ServerName, Arc<Resource>);

impl TaskOwners {
    /// A call of this owner, of this tool, made this task.
    pub(crate) fn note(&self, server: &ServerName, owner: &str, id: &str, tool: &Arc<Resource>) {
        if id.len() > ID_BYTES_MAX {
            return;
        }
        let task = (owner.to_owned(), id.to_owned());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Known {
            tasks,
            order,
            of_each,
        } = &mut *known;
        let tools = tasks.entry(task.clone()).or_insert_with(|| {
            *of_each.entry(owner.to_owned()).or_default() += 1;
            order.push_back(task);
            Vec::new()
        });
        tools.retain(|(of, _)| of != server);
        tools.push((server.clone(), Arc::clone(tool)));
        let oldest = if of_each.get(owner).is_some_and(|count| *count > OF_ONE_MAX) {
            let at = order.iter().position(|(of, _)| of == owner);
            at.and_then(|at| order.remove(at))
        } else if tasks.len() > TASKS_MAX {
            order.pop_front()
        } else {
            None
        };
        let Some(oldest) = oldest else { return };
        tasks.remove(&oldest);
        if let Some(count) = of_each.get_mut(&oldest.0) {
            *count -= 1;
            if *count == 0 {
                of_each.remove(&oldest.0);
            }
        }
    }

    /// The server, behind a door, and the tool whose call by this owner made this task, if one did. Where two servers
    /// behind the door have given the same id, it names nothing there.
    pub(crate) fn tool(
        &self,
        owner: &str,
        id: &str,
        is_behind: impl Fn(&ServerName) -> bool,
    ) -> Option<Tool> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let tools = known.tasks.get(&(owner.to_owned(), id.to_owned()))?;
        let mut behind = tools.iter().filter(|(server, _)| is_behind(server));
        let found = behind.next()?;
        behind.next().is_none().then(|| found.clone())
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
        let found = |owner: &str, id: &str, servers: &[&ServerName]| {
            let found = owners.tool(owner, id, |server| servers.contains(&server));
            found.map(|(server, _)| server)
        };
        assert_eq!(found("alice", "t", &[&one, &two]).as_ref(), Some(&one));
        assert_eq!(found("bob", "t", &[&one]), None);
        assert_eq!(found("alice", "t", &[&two]), None);
        assert_eq!(found("alice", "u", &[&one]), None);
        owners.note(&two, "alice", "t", &Arc::new(Resource::Gateway));
        assert_eq!(found("alice", "t", &[&one, &two]), None, "two servers, one id");
        assert_eq!(found("alice", "t", &[&two]).as_ref(), Some(&two));
    }
}
