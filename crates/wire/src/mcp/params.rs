//! Typed views of the parameters we decide on. Everything else stays as it was written.

use std::borrow::Cow;

use thiserror::Error;

use super::Method;
use crate::{
    bounds::{NAME_BYTES_MAX, URI_BYTES_MAX},
    json::{Kind, Node},
    jsonrpc::Message,
};

/// What a message is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Target<'m> {
    /// A prompt or a resource template whose argument is to be completed.
    Completion {
        /// Which one.
        reference: Reference<'m>,
        /// The argument and what was typed of it.
        argument: Node<'m>,
    },
    /// A model.
    Model {
        /// Its name here.
        name: Cow<'m, str>,
    },
    /// Nothing in particular: the server as a whole.
    None,
    /// A prompt.
    Prompt {
        /// Its name, perhaps federated.
        name: Cow<'m, str>,
        /// Its arguments.
        arguments: Option<Node<'m>>,
    },
    /// A resource.
    Resource {
        /// Its URI.
        uri: Cow<'m, str>,
    },
    /// A task.
    Task {
        /// Its id: a name, never a credential.
        id: Cow<'m, str>,
    },
    /// A tool.
    Tool {
        /// Its name, perhaps federated.
        name: Cow<'m, str>,
        /// Its arguments; `null` counts as none.
        arguments: Option<Node<'m>>,
    },
}

/// What a completion refers to.
#[derive(Clone, Debug, PartialEq)]
pub enum Reference<'m> {
    /// `ref/prompt`
    Prompt(Cow<'m, str>),
    /// `ref/resource`
    Template(Cow<'m, str>),
}

/// Why parameters do not fit their method.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ParamsError {
    /// A member is missing.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A member has another type than the specification gives it.
    #[error("`{0}` has the wrong type")]
    Type(&'static str),
    /// A member is longer than the limit, empty where it may not be, or has control characters.
    #[error("`{0}` is empty, too long, or has control characters")]
    Value(&'static str),
}

/// Reads what a message is about.
///
/// # Errors
/// When a member its method requires is missing or malformed.
pub fn target(message: &Message) -> Result<Target<'_>, ParamsError> {
    let Some(method) = message.method() else {
        return Ok(Target::None);
    };
    let params = message.params();
    Ok(match method {
        Method::ToolsCall => Target::Tool {
            name: text(params, "name", NAME_BYTES_MAX)?,
            arguments: object(params, "arguments")?,
        },
        Method::PromptsGet => Target::Prompt {
            name: text(params, "name", NAME_BYTES_MAX)?,
            arguments: object(params, "arguments")?,
        },
        Method::ResourcesRead
        | Method::ResourcesSubscribe
        | Method::ResourcesUnsubscribe
        | Method::NotificationsResourcesUpdated => Target::Resource {
            uri: text(params, "uri", URI_BYTES_MAX)?,
        },
        Method::CompletionComplete => completion(params)?,
        Method::TasksCancel | Method::TasksGet | Method::TasksResult | Method::TasksUpdate => Target::Task {
            id: text(params, "taskId", NAME_BYTES_MAX * 8)?,
        },
        Method::ModelChat | Method::ModelMessages | Method::ModelResponses | Method::ModelTokens => {
            Target::Model {
                name: text(params, "model", NAME_BYTES_MAX)?,
            }
        }
        Method::ElicitationCreate
        | Method::Initialize
        | Method::LoggingSetLevel
        | Method::ModelList
        | Method::NotificationsCancelled
        | Method::NotificationsElicitationComplete
        | Method::NotificationsInitialized
        | Method::NotificationsMessage
        | Method::NotificationsProgress
        | Method::NotificationsPromptsListChanged
        | Method::NotificationsResourcesListChanged
        | Method::NotificationsRootsListChanged
        | Method::NotificationsSubscriptionsAcknowledged
        | Method::NotificationsTasks
        | Method::NotificationsTasksStatus
        | Method::NotificationsToolsListChanged
        | Method::Ping
        | Method::PromptsList
        | Method::ResourcesList
        | Method::ResourcesTemplatesList
        | Method::RootsList
        | Method::SamplingCreateMessage
        | Method::ServerDiscover
        | Method::SubscriptionsListen
        | Method::TasksList
        | Method::ToolsList => Target::None,
    })
}

fn completion(params: Option<Node<'_>>) -> Result<Target<'_>, ParamsError> {
    let reference = object(params, "ref")?.ok_or(ParamsError::Missing("ref"))?;
    let argument = object(params, "argument")?.ok_or(ParamsError::Missing("argument"))?;
    let kind = reference.get("type").ok_or(ParamsError::Missing("ref.type"))?;
    let reference = if kind.is_str("ref/prompt") {
        Reference::Prompt(text(Some(reference), "name", NAME_BYTES_MAX)?)
    } else if kind.is_str("ref/resource") {
        Reference::Template(text(Some(reference), "uri", URI_BYTES_MAX)?)
    } else {
        return Err(ParamsError::Value("ref.type"));
    };
    Ok(Target::Completion { reference, argument })
}

/// A string member without control characters.
fn text<'m>(
    params: Option<Node<'m>>,
    name: &'static str,
    bytes_max: usize,
) -> Result<Cow<'m, str>, ParamsError> {
    let node = params
        .and_then(|params| params.get(name))
        .ok_or(ParamsError::Missing(name))?;
    let text = node.as_str().ok_or(ParamsError::Type(name))?;
    let fits = !text.is_empty() && text.len() <= bytes_max && !text.chars().any(char::is_control);
    if fits {
        Ok(text)
    } else {
        Err(ParamsError::Value(name))
    }
}

/// An object member; `null` counts as absent.
fn object<'m>(params: Option<Node<'m>>, name: &'static str) -> Result<Option<Node<'m>>, ParamsError> {
    match params.and_then(|params| params.get(name)) {
        None => Ok(None),
        Some(node) if node.is_null() => Ok(None),
        Some(node) if node.kind() == Kind::Object => Ok(Some(node)),
        Some(_) => Err(ParamsError::Type(name)),
    }
}
