//! Writing a judged message for the far side: always our own bytes, from the message that was judged.

use std::collections::BTreeSet;

use pipeline::{Arrival, Capabilities, Passed, Resolution, forward::Recorded};
use wire::{
    json::{Document, Keys, Kind, Node, ObjectWriter, extended, object},
    jsonrpc,
    mcp::{self, Era, LogLevel, Method, MirroredParam, Revision, TASKS_EXTENSION, Target, meta, target},
};

use crate::tasks::Making;

/// What we call ourselves towards servers.
pub(crate) fn write_identity(out: &mut ObjectWriter<'_>) {
    out.string("name", "sallyport");
    out.string("version", env!("CARGO_PKG_VERSION"));
}

/// A recorded message as it goes out, but for the id, which it gets anew each time it is sent.
#[derive(Debug)]
pub(crate) struct Encoded {
    method: Method,
    params: Vec<u8>,
    meta: Vec<u8>,
    progress: bool,
}

/// What the client answered to a server's questions, and what the server wants back with it (modern era).
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// The answers, as an object by the questions' names.
    pub(crate) responses: Option<Vec<u8>>,
    /// The server's state.
    pub(crate) state: Option<String>,
}

impl Encoded {
    /// A recorded message, for a link of this revision.
    pub(crate) fn of(
        call: &Passed<Recorded>,
        (method, making): (Method, Making),
        (revision, extensions): (Revision, &BTreeSet<String>),
        log_level: Option<LogLevel>,
    ) -> Self {
        let arrival = call.arrival();
        let given = arrival.message.params().and_then(meta::of);
        Self {
            method,
            params: object(|out| {
                write_params(call, making, out);
                let asks_for_task = matches!(making, Making::Awaited | Making::Told);
                if asks_for_task && revision.era() == Era::Legacy {
                    out.object("task", |_| {});
                }
            }),
            meta: object(|out| {
                write_meta(call, given, (revision, extensions), making, out);
                // What a session said once is said with each request in the modern era; a session has another way to say it.
                let level = match arrival.revision.era() {
                    Era::Legacy => log_level,
                    Era::Modern => given.and_then(|given| given.get(meta::LOG_LEVEL)).and_then(level),
                };
                if let Some(level) = level.filter(|_| revision.era() == Era::Modern) {
                    out.string(meta::LOG_LEVEL, level.as_str());
                }
            }),
            progress: given.is_some_and(|given| given.get(meta::PROGRESS_TOKEN).is_some()),
        }
    }

    /// As a request.
    pub(crate) fn request(&self, id: i64, given: &Given) -> Vec<u8> {
        // Ids are renumbered, and so are the tokens that name their progress.
        let meta = extended(&self.meta, |out| {
            if self.progress {
                out.integer(meta::PROGRESS_TOKEN, id);
            }
        });
        let params = extended(&self.params, |out| {
            if let Some(responses) = &given.responses {
                out.json("inputResponses", responses);
            }
            if let Some(state) = &given.state {
                out.string("requestState", state);
            }
            if meta != b"{}" {
                out.json("_meta", &meta);
            }
        });
        object(|out| {
            out.string("jsonrpc", "2.0");
            out.integer("id", id);
            out.string("method", self.method.name());
            out.json("params", &params);
        })
    }

    /// Another request about a task, with the same `_meta`.
    pub(crate) fn about_task(&self, method: Method, id: &str, responses: Option<&[u8]>) -> Self {
        Self {
            method,
            params: object(|out| {
                out.string("taskId", id);
                if let Some(responses) = responses {
                    out.json("inputResponses", responses);
                }
            }),
            meta: self.meta.clone(),
            progress: false,
        }
    }

    /// As a notification.
    pub(crate) fn notification(&self) -> Vec<u8> {
        object(|out| {
            out.string("jsonrpc", "2.0");
            out.string("method", self.method.name());
            let params = extended(&self.params, |out| {
                if self.meta != b"{}" {
                    out.json("_meta", &self.meta);
                }
            });
            out.json("params", &params);
        })
    }
}

/// The client's progress token as JSON, if it asked for progress.
pub(crate) fn progress_token(arrival: &Arrival) -> Option<Vec<u8>> {
    let meta = arrival.message.params().and_then(meta::of)?;
    let token = meta.get(meta::PROGRESS_TOKEN)?;
    let mut writer = wire::json::Writer::default();
    writer.node(token);
    Some(writer.into_bytes())
}

fn write_params(call: &Passed<Recorded>, making: Making, out: &mut ObjectWriter<'_>) {
    let arrival = call.arrival();
    let edits = call.outgoing();
    let params = arrival.message.params();
    // The name the server knows, which is the name that was pinned and judged.
    let renamed = match call.resolution() {
        Resolution::Item { item, .. } => Some(item.name()),
        Resolution::Client { .. }
        | Resolution::Gateway
        | Resolution::Model { .. }
        | Resolution::Server { .. } => None,
    };
    if let Some(name) = renamed {
        out.string("name", name);
    }
    let reference = call
        .resolution()
        .item()
        .filter(|_| renamed.is_none())
        .map(|item| item.name());
    if let Some(params) = params {
        for (key, value) in params.members() {
            let name = key.as_str().unwrap_or_default();
            match name.as_ref() {
                "_meta" => {}
                // The client's answers are the gateway's to give, in the name of the question they answer.
                "inputResponses" | "requestState" => {}
                // The other era does not ask for tasks in this way.
                "task" if making != Making::AsSaid => {}
                "name" if renamed.is_some() => {}
                "ref" if reference.is_some() => out.object("ref", |out| {
                    out.string("name", reference.unwrap_or_default());
                    out.members_except(value, &["name"], edits);
                }),
                other => out.edited(other, value, edits),
            }
        }
    }
}

/// The level a request names, if it is one.
fn level(written: Node<'_>) -> Option<LogLevel> {
    LogLevel::parse(&written.as_str()?)
}

/// `_meta`: vendors' keys pass, ours never do, and those of an era stay in it.
fn write_meta(
    call: &Passed<Recorded>,
    given: Option<Node<'_>>,
    (revision, extensions): (Revision, &BTreeSet<String>),
    making: Making,
    out: &mut ObjectWriter<'_>,
) {
    let (arrival, edits) = (call.arrival(), call.outgoing());
    let modern = revision.era() == Era::Modern;
    for (key, value) in given.into_iter().flat_map(Node::members) {
        let name = key.as_str().unwrap_or_default();
        if meta::passes(&name) {
            out.edited(&name, value, edits);
        }
    }
    if modern {
        out.string(meta::PROTOCOL_VERSION, revision.as_str());
        out.object(meta::CLIENT_INFO, write_identity);
        out.object(meta::CLIENT_CAPABILITIES, |out| {
            let of_session = arrival.revision.era() == Era::Legacy;
            let about_task = matches!(target(&arrival.message), Ok(Target::Task { .. }));
            let tasks = match (of_session, making == Making::Told || about_task) {
                (false, _) => Tasks::AsDeclared,
                (true, true) => Tasks::Carried,
                (true, false) => Tasks::Unknown,
            };
            write_capabilities(&arrival.capabilities, tasks, extensions, out);
        });
    }
}

/// What of a client's capabilities a server may hear of, with what the specification has in each: what the gateway can
/// carry to the client. Names alone, and yes or no: in words of its own a client could say anything.
const RELAYED: [(&str, &[&str]); 3] = [
    ("elicitation", &["form", "url"]),
    ("roots", &["listChanged"]),
    ("sampling", &["context", "tools"]),
];

/// Whether a server of the modern era may make a task of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Tasks {
    /// If the client says so, in the same words.
    AsDeclared,
    /// The client asked for one, in its own era's words.
    Carried,
    /// No.
    Unknown,
}

/// What the client declared and the gateway can carry: never more than either. Extensions the gateway cannot read
/// are carried where the operator said so.
pub(crate) fn write_capabilities(
    client: &Capabilities,
    tasks: Tasks,
    extensions: &BTreeSet<String>,
    out: &mut ObjectWriter<'_>,
) {
    for (name, parts) in RELAYED {
        if client.at(&[name]).is_none() {
            continue;
        }
        out.object(name, |out| {
            for part in parts {
                let declared = client.at(&[name, part]);
                match declared.map(|declared| (declared.kind(), declared.as_bool())) {
                    Some((_, Some(said))) => out.boolean(part, said),
                    Some((Kind::Object, None)) => out.object(part, |_| {}),
                    Some(_) | None => {}
                }
            }
        });
    }
    let declared = client.at(&["extensions"]).into_iter().flat_map(Node::members);
    let carried: Vec<_> = declared
        .filter_map(|(name, settings)| Some((name.as_str()?, settings)))
        .filter(|(name, _)| match name.as_ref() {
            TASKS_EXTENSION => tasks == Tasks::AsDeclared,
            other => extensions.contains(other),
        })
        .collect();
    if !carried.is_empty() || tasks == Tasks::Carried {
        out.object("extensions", |out| {
            if tasks == Tasks::Carried {
                out.object(TASKS_EXTENSION, |_| {});
            }
            carried.iter().for_each(|(name, settings)| match name.as_ref() {
                TASKS_EXTENSION => out.object(name, |_| {}),
                other => out.node(other, *settings),
            });
        });
    }
}

/// What the modern era mirrors in `Mcp-Name`.
pub(crate) fn mirrored_name(call: &Passed<Recorded>) -> Option<String> {
    if let Resolution::Item { item, .. } = call.resolution() {
        return Some(item.name().to_owned());
    }
    match target(&call.arrival().message).ok()? {
        Target::Resource { uri } => Some(uri.into_owned()),
        Target::Task { id } => Some(id.into_owned()),
        Target::Completion { .. }
        | Target::Model { .. }
        | Target::None
        | Target::Prompt { .. }
        | Target::Tool { .. } => None,
    }
}

/// Arguments that the pinned tool has mirrored in headers, as they are sent: after redaction, like the body.
pub(crate) fn mirrored_params(call: &Passed<Recorded>) -> Vec<(String, String)> {
    let (Some(item), Ok(Target::Tool { arguments, .. })) =
        (call.resolution().item(), target(&call.arrival().message))
    else {
        return Vec::new();
    };
    let schema = item.definition().document().root().get("inputSchema");
    let params = schema.map(mcp::mirrored_params).and_then(Result::ok);
    let sent = |argument| {
        let text = object(|out| out.edited("sent", argument, call.outgoing()));
        let text = Document::parse(text, Keys::Exact, &wire::bounds::REQUEST).ok()?;
        MirroredParam::value(text.root().get("sent")?)
    };
    let header = |param: MirroredParam| {
        let value = sent(param.argument(arguments)?)?;
        Some((param.header().to_owned(), value))
    };
    params
        .unwrap_or_default()
        .into_iter()
        .filter_map(header)
        .collect()
}

/// `notifications/cancelled` for a request of ours.
pub(crate) fn cancelled(id: i64) -> Vec<u8> {
    jsonrpc::notification(Method::NotificationsCancelled, |params| {
        params.integer("requestId", id);
        params.string("reason", "the caller withdrew the call");
    })
}

/// `_meta` of a request of the gateway's own, where the era needs one. It declares nothing the gateway
/// could be asked to do.
pub(crate) fn own_meta(revision: Revision, params: &mut ObjectWriter<'_>) {
    if revision.era() == Era::Modern {
        params.object("_meta", |out| {
            out.string(meta::PROTOCOL_VERSION, revision.as_str());
            out.object(meta::CLIENT_INFO, write_identity);
            out.object(meta::CLIENT_CAPABILITIES, |_| {});
        });
    }
}
