//! What can be done: one word per kind of crossing.

use wire::mcp::{Direction, Method};

use crate::resource::Resource;

/// An action, as rules name it: `Action::"invoke"`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Action {
    /// Complete an argument of a prompt or resource template. Until models had an action of their own it was theirs
    /// as well; what became of rules of then says `docs/decisions/0014-models-have-an-action-of-their-own.md`.
    Complete,
    /// Keep a conversation going: handshake, ping, list requests, cancellation.
    Connect,
    /// Learn that a tool, prompt or resource exists.
    Discover,
    /// Ask the user for input (server to client).
    Elicit,
    /// Have a model answer.
    Generate,
    /// Get a prompt.
    Get,
    /// Call a tool.
    Invoke,
    /// Tell the client something: log messages, progress, changes (server to client).
    Notify,
    /// Read a resource.
    Read,
    /// Let an answer go back to whoever asked: judged with what was found in it.
    Release,
    /// Learn the client's roots (server to client).
    Roots,
    /// Ask the client's model (server to client).
    Sample,
    /// Be told of changes of a resource.
    Subscribe,
    /// Follow or end a task.
    Task,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 14] = [
        Self::Complete,
        Self::Connect,
        Self::Discover,
        Self::Elicit,
        Self::Generate,
        Self::Get,
        Self::Invoke,
        Self::Notify,
        Self::Read,
        Self::Release,
        Self::Roots,
        Self::Sample,
        Self::Subscribe,
        Self::Task,
    ];

    /// The word rules use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Connect => "connect",
            Self::Discover => "discover",
            Self::Elicit => "elicit",
            Self::Generate => "generate",
            Self::Get => "get",
            Self::Invoke => "invoke",
            Self::Notify => "notify",
            Self::Read => "read",
            Self::Release => "release",
            Self::Roots => "roots",
            Self::Sample => "sample",
            Self::Subscribe => "subscribe",
            Self::Task => "task",
        }
    }

    /// Reads the word rules use.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }

    /// What is done with a resource once it is discovered.
    #[must_use]
    pub fn upon(resource: &Resource) -> Self {
        match resource {
            Resource::Gateway | Resource::Server(_) => Self::Connect,
            Resource::Model(_) => Self::Generate,
            Resource::Prompt(_) => Self::Get,
            Resource::Resource { .. } => Self::Read,
            Resource::Tool(_) => Self::Invoke,
        }
    }

    /// What a message does. Lists are [`Action::Connect`] as requests; each entry of the answer is then
    /// judged as [`Action::Discover`].
    #[must_use]
    pub fn of(method: Method, direction: Direction) -> Self {
        match method {
            Method::CompletionComplete => Self::Complete,
            Method::ElicitationCreate => Self::Elicit,
            Method::ModelChat | Method::ModelMessages | Method::ModelResponses | Method::ModelTokens => {
                Self::Generate
            }
            Method::PromptsGet => Self::Get,
            Method::ToolsCall => Self::Invoke,
            Method::ResourcesRead => Self::Read,
            Method::RootsList => Self::Roots,
            Method::SamplingCreateMessage => Self::Sample,
            Method::ResourcesSubscribe | Method::ResourcesUnsubscribe => Self::Subscribe,
            Method::TasksCancel
            | Method::TasksGet
            | Method::TasksList
            | Method::TasksResult
            | Method::TasksUpdate => Self::Task,
            Method::NotificationsElicitationComplete
            | Method::NotificationsMessage
            | Method::NotificationsPromptsListChanged
            | Method::NotificationsResourcesListChanged
            | Method::NotificationsResourcesUpdated
            | Method::NotificationsSubscriptionsAcknowledged
            | Method::NotificationsTasks
            | Method::NotificationsToolsListChanged => Self::Notify,
            Method::NotificationsCancelled
            | Method::NotificationsProgress
            | Method::NotificationsTasksStatus
            | Method::Ping => match direction {
                Direction::ToClient => Self::Notify,
                Direction::ToServer => Self::Connect,
            },
            Method::Initialize
            | Method::LoggingSetLevel
            | Method::ModelList
            | Method::NotificationsInitialized
            | Method::NotificationsRootsListChanged
            | Method::PromptsList
            | Method::ResourcesList
            | Method::ResourcesTemplatesList
            | Method::ServerDiscover
            | Method::SubscriptionsListen
            | Method::ToolsList => Self::Connect,
        }
    }
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
