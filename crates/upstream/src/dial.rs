//! Opens the wire to a server: a process, a socket, a stream, or the client of an endpoint. Nothing is said yet.

use std::{sync::Arc, time::Duration};

use crate::{
    LinkError, Reach, ServerSpec,
    http::{Door, Endpoint, sse, websocket},
    inbox::Inbox,
    link::{Head, Wire},
    rest::Service,
    sandbox::Room,
    stdio::{self, Given, Pipe},
};

/// Opens it; what arrives over it goes to the inbox.
pub(crate) async fn dial(
    spec: &ServerSpec,
    door: &Door,
    room: &Room,
    inbox: &Arc<Inbox>,
) -> Result<Wire, LinkError> {
    let start = spec.timeouts.start;
    if let Reach::Stdio(_) = &spec.reach {
        if let Some(why) = inbox.crashing() {
            return Err(LinkError::Crashing(why));
        }
        let checking = Arc::clone(inbox);
        let checked = tokio::task::spawn_blocking(move || checking.before_start()).await;
        let broken = |_| LinkError::Unreachable("what would be started could not be looked at".to_owned());
        checked.map_err(broken)?.map_err(LinkError::Unreachable)?;
    }
    Ok(match &spec.reach {
        Reach::Stdio(command) => {
            let secrets = inbox.secrets(door.caller(), &command.vault);
            // A secret that one caller has not is nothing against the server, which others use.
            let missing = |why| match door.caller() {
                Some(_) => LinkError::Unauthorized(why),
                None => LinkError::Unreachable(why),
            };
            let given = Given::new(command, secrets.map_err(missing)?);
            Wire::Pipe(Pipe::spawn(&spec.name, &given, room, Arc::clone(inbox))?)
        }
        Reach::Unix(path) => Wire::Pipe(within(start, stdio::open(path, Arc::clone(inbox))).await?),
        Reach::Sse(target) => {
            let opening = sse::open(door.clone(), target.clone(), Arc::clone(inbox));
            Wire::Pipe(within(start, opening).await?)
        }
        Reach::WebSocket(target) => {
            let opening = websocket::open(door.clone(), target.clone(), Arc::clone(inbox));
            Wire::Pipe(within(start, opening).await?)
        }
        Reach::Http(target) => {
            let endpoint = Endpoint::new(door.clone(), target.clone());
            answer_by_post(&endpoint, inbox);
            Wire::Http(endpoint)
        }
        Reach::Rest(target) => Wire::Rest(Service::new(door.clone(), target)?),
    })
}

/// Waits for a connection, so long and no longer.
async fn within(
    wait: Duration,
    opening: impl Future<Output = Result<Pipe, LinkError>>,
) -> Result<Pipe, LinkError> {
    let opened = tokio::time::timeout(wait, opening).await;
    opened.unwrap_or(Err(LinkError::Timeout(wait)))
}

/// Answers to a server's own requests are posted like any other message.
fn answer_by_post(endpoint: &Arc<Endpoint>, inbox: &Arc<Inbox>) {
    let (endpoint, weak) = (Arc::clone(endpoint), Arc::downgrade(inbox));
    inbox.answer_with(Arc::new(move |bytes| {
        let (endpoint, weak) = (Arc::clone(&endpoint), weak.clone());
        tokio::spawn(async move {
            let Some(inbox) = weak.upgrade() else { return };
            if let Err(error) = endpoint.post(&inbox, Head::default(), bytes, None).await {
                inbox.noise(format!("it does not take an answer to its own question: {error}"));
            }
        });
    }));
}
