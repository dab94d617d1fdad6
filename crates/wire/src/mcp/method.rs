//! Which method exists in which revision, in which direction: the table, as data.
//!
//! What is not in the table has no method, so it can have no action, no permit and no way across.

use super::revision::{Revision, Revisions};

/// Which way a message goes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Direction {
    /// From the upstream server to the client.
    ToClient,
    /// From the client to the upstream server.
    ToServer,
}

/// Whether a method wants an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shape {
    /// No answer.
    Notification,
    /// One answer.
    Request,
}

/// The extension that carries tasks in the modern era.
pub const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The method.
    pub method: Method,
    /// Its name on the wire.
    pub name: &'static str,
    /// Request or notification.
    pub shape: Shape,
    /// Revisions in which clients may send it.
    pub to_server: Revisions,
    /// Revisions in which servers may send it.
    pub to_client: Revisions,
}

macro_rules! methods {
    ($($(#[$doc:meta])* $variant:ident $name:literal $shape:ident $to_server:ident $to_client:ident;)*) => {
        /// A method of any revision. Closed: an unknown method is not a `Method`.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Method { $($(#[$doc])* $variant,)* }

        /// Every method there is.
        pub const METHODS: &[Row] = &[$(Row {
            method: Method::$variant,
            name: $name,
            shape: Shape::$shape,
            to_server: Revisions::$to_server,
            to_client: Revisions::$to_client,
        },)*];

        impl Method {
            /// The method's row in the table.
            #[must_use]
            pub const fn row(self) -> Row {
                match self { $(Self::$variant => Row {
                    method: Method::$variant,
                    name: $name,
                    shape: Shape::$shape,
                    to_server: Revisions::$to_server,
                    to_client: Revisions::$to_client,
                },)* }
            }

            /// The method of that exact name.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

methods! {
    // variant               name                                    shape        to server   to client
    /// Completes an argument of a prompt or a resource template.
    CompletionComplete       "completion/complete"                   Request      ALL         NONE;
    /// Asks the user for input.
    ElicitationCreate        "elicitation/create"                    Request      NONE        SINCE_2025_06_18_LEGACY;
    /// Opens a session.
    Initialize               "initialize"                            Request      LEGACY      NONE;
    /// Sets the level of log messages of a session.
    LoggingSetLevel          "logging/setLevel"                      Request      LEGACY      NONE;
    /// Has a model complete a chat, in OpenAI's words: of no revision, made of an HTTP request ([`crate::model`]).
    ModelChat                "v1/chat/completions"                   Request      NONE        NONE;
    /// Lists the models there are, for the same clients.
    ModelList                "v1/models"                             Request      NONE        NONE;
    /// Has a model answer, in Anthropic's words.
    ModelMessages            "v1/messages"                           Request      NONE        NONE;
    /// Has a model answer, in OpenAI's newer words.
    ModelResponses           "v1/responses"                          Request      NONE        NONE;
    /// Has a model's provider count what it would be told, in Anthropic's words.
    ModelTokens              "v1/messages/count_tokens"              Request      NONE        NONE;
    /// Withdraws a request.
    NotificationsCancelled   "notifications/cancelled"               Notification ALL         ALL;
    /// Says that an out-of-band elicitation is over.
    NotificationsElicitationComplete "notifications/elicitation/complete" Notification NONE   ONLY_2025_11_25;
    /// Ends the opening of a session.
    NotificationsInitialized "notifications/initialized"             Notification LEGACY      NONE;
    /// A log message.
    NotificationsMessage     "notifications/message"                 Notification NONE        ALL;
    /// How far a request has come.
    NotificationsProgress    "notifications/progress"                Notification LEGACY      ALL;
    /// The list of prompts changed.
    NotificationsPromptsListChanged "notifications/prompts/list_changed" Notification NONE    ALL;
    /// The list of resources changed.
    NotificationsResourcesListChanged "notifications/resources/list_changed" Notification NONE ALL;
    /// A resource changed.
    NotificationsResourcesUpdated "notifications/resources/updated"  Notification NONE        ALL;
    /// The client's roots changed.
    NotificationsRootsListChanged "notifications/roots/list_changed" Notification LEGACY      NONE;
    /// A subscription stands; always the first message of its stream.
    NotificationsSubscriptionsAcknowledged "notifications/subscriptions/acknowledged" Notification NONE MODERN;
    /// A task changed (extension of the modern era).
    NotificationsTasks       "notifications/tasks"                   Notification NONE        MODERN;
    /// A task changed (2025-11-25).
    NotificationsTasksStatus "notifications/tasks/status"            Notification ONLY_2025_11_25 ONLY_2025_11_25;
    /// The list of tools changed.
    NotificationsToolsListChanged "notifications/tools/list_changed" Notification NONE        ALL;
    /// Is the other side there?
    Ping                     "ping"                                  Request      LEGACY      LEGACY;
    /// Gets a prompt.
    PromptsGet               "prompts/get"                           Request      ALL         NONE;
    /// Lists prompts.
    PromptsList              "prompts/list"                          Request      ALL         NONE;
    /// Lists resources.
    ResourcesList            "resources/list"                        Request      ALL         NONE;
    /// Reads a resource.
    ResourcesRead            "resources/read"                        Request      ALL         NONE;
    /// Asks to be told of changes of a resource.
    ResourcesSubscribe       "resources/subscribe"                   Request      LEGACY      NONE;
    /// Lists resource templates.
    ResourcesTemplatesList   "resources/templates/list"              Request      ALL         NONE;
    /// Ends [`Self::ResourcesSubscribe`].
    ResourcesUnsubscribe     "resources/unsubscribe"                 Request      LEGACY      NONE;
    /// Lists the client's roots.
    RootsList                "roots/list"                            Request      NONE        LEGACY;
    /// Asks the client's model for a message.
    SamplingCreateMessage    "sampling/createMessage"                Request      NONE        LEGACY;
    /// What a server offers; the modern era's handshake.
    ServerDiscover           "server/discover"                       Request      MODERN      NONE;
    /// Opens a stream of change notifications.
    SubscriptionsListen      "subscriptions/listen"                  Request      MODERN      NONE;
    /// Ends a task.
    TasksCancel              "tasks/cancel"                          Request      SINCE_2025_11_25 ONLY_2025_11_25;
    /// The state of a task.
    TasksGet                 "tasks/get"                             Request      SINCE_2025_11_25 ONLY_2025_11_25;
    /// Lists tasks.
    TasksList                "tasks/list"                            Request      ONLY_2025_11_25 ONLY_2025_11_25;
    /// Waits for the result of a task.
    TasksResult              "tasks/result"                          Request      ONLY_2025_11_25 ONLY_2025_11_25;
    /// Gives a task the input it asked for.
    TasksUpdate              "tasks/update"                          Request      MODERN      NONE;
    /// Calls a tool.
    ToolsCall                "tools/call"                            Request      ALL         NONE;
    /// Lists tools.
    ToolsList                "tools/list"                            Request      ALL         NONE;
}

impl Method {
    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// Request or notification.
    #[must_use]
    pub const fn shape(self) -> Shape {
        self.row().shape
    }

    /// Whether the method exists in this revision and direction.
    #[must_use]
    pub const fn exists(self, revision: Revision, direction: Direction) -> bool {
        match direction {
            Direction::ToClient => self.row().to_client.has(revision),
            Direction::ToServer => self.row().to_server.has(revision),
        }
    }

    /// The extension both sides must have declared for this method, if it is not part of the core.
    #[must_use]
    pub fn extension(self, revision: Revision) -> Option<&'static str> {
        let task = matches!(
            self,
            Self::TasksGet | Self::TasksCancel | Self::TasksUpdate | Self::NotificationsTasks
        );
        (task && revision == Revision::V2026_07_28).then_some(TASKS_EXTENSION)
    }
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
