//! What servers say of their own accord: onto the road with it.

use std::sync::{Arc, OnceLock, Weak};

use inspect::{FindingKind, Scope, Surface};
use pipeline::{
    Arrival, Body, Capabilities, Credential, Endpoint, Refusal, Reply, Via,
    ports::{Boxed, Caller, Exchange, Nobody},
    refusal,
};
use upstream::{Backchannel, Catalogue, Incoming, Noise, Said};
use wire::{
    jsonrpc::{self, Message},
    mcp::{Direction, Eras, ServerName, code, shape},
};
use zeroize::Zeroizing;

use crate::{
    conversations::exchange::SessionExchange,
    listen::House,
    outside::{egress::Look, secrets},
};

/// See the module. Given to the upstreams before the house stands, and told of it afterwards.
#[derive(Clone, Debug, Default)]
pub(crate) struct Behind(Arc<OnceLock<Weak<House>>>);

impl Behind {
    /// The house stands.
    pub(crate) fn of(&self, house: &Arc<House>) {
        let _ = self.0.set(Arc::downgrade(house));
    }

    /// Has a message of the gateway's own take the road, in the name of a caller who asked for it. None where
    /// the house does not stand any more.
    pub(crate) fn carry(&self, arrival: Arrival) -> Boxed<'_, Option<Result<Reply, Refusal>>> {
        Box::pin(async move {
            let house = self.house()?;
            Some(house.pipeline.carry(arrival).await)
        })
    }

    fn house(&self) -> Option<Arc<House>> {
        self.0.get().and_then(Weak::upgrade)
    }
}

/// Looks for credentials in what a server sends unencrypted.
fn look(house: Weak<House>, server: ServerName) -> Look {
    Arc::new(move |text| {
        let Some(house) = house.upgrade() else {
            return Some("nobody looks any more".to_owned());
        };
        let scope = Scope {
            surface: Surface::Argument,
            server: Some(server.as_str()),
            tool: None,
            whose: None,
        };
        let findings = house.engines.inspector.inspect_text(text, scope);
        let secret = findings
            .iter()
            .find(|finding| finding.kind == FindingKind::Secret)?;
        Some(secret.detector.to_string())
    })
}

impl Backchannel for Behind {
    fn incoming(&self, incoming: Incoming) -> Boxed<'_, Option<Said>> {
        Box::pin(async move {
            let house = self.house()?;
            carry(&house, incoming).await
        })
    }

    fn noise(&self, noise: Noise) {
        tracing::debug!(server = %noise.server, what = noise.what, "noise from a server");
        if let Some(house) = self.house() {
            house.engines.journal.noise(&noise.server, &noise.what);
        }
    }

    fn changed(&self, server: &ServerName) {
        let Some(house) = self.house() else { return };
        house.engines.keeper.heed(server);
    }

    fn before_start(&self, server: &ServerName) -> Result<(), String> {
        // Where no house stands nothing was approved: `scan` looks at what is configured.
        let Some(house) = self.house() else { return Ok(()) };
        house.engines.keeper.before_start(server)
    }

    fn speaks(&self, server: &ServerName, eras: Eras) {
        let Some(house) = self.house() else { return };
        if let Err(error) = house.engines.keeper.speaks(server, eras) {
            tracing::warn!(%server, %error, "which eras a server speaks could not be kept");
        }
    }

    fn open_egress(&self, server: &ServerName) -> Result<(), String> {
        let house = self.house().ok_or("the gateway stops")?;
        let engines = &house.engines;
        let Some(meant) = engines.keeper.meant(server) else {
            return Err("nobody knows where it may connect to".to_owned());
        };
        let look = look(Arc::downgrade(&house), server.clone());
        let opened = engines.egress.open(server, &meant.egress, &engines.journal, look);
        opened.map_err(|error| format!("no way out can be opened for it: {error}"))
    }

    fn secrets(
        &self,
        server: &ServerName,
        caller: Option<&Caller>,
        wanted: &[(String, String)],
    ) -> Result<Vec<(String, Zeroizing<String>)>, String> {
        let house = self.house().ok_or("no vault is open")?;
        secrets::given(&house.store, server, caller, wanted)
    }

    fn crashed(&self, server: &ServerName, owner: Option<&str>, how: &str) {
        let Some(house) = self.house() else { return };
        house.engines.keeper.crashed(server, owner, how);
    }

    fn crashing(&self, server: &ServerName, owner: &str) -> Option<String> {
        self.house()?.engines.keeper.crashing(server, owner)
    }

    fn listed(&self, server: &ServerName, catalogue: Arc<Catalogue>) {
        let Some(house) = self.house() else { return };
        if let Err(error) = house.engines.keeper.take_in(server, catalogue, false) {
            tracing::warn!(%server, %error, "what a server offers now could not be taken in");
        }
    }
}

/// Carries a server's message; for a request, gives the answer to be sent back.
async fn carry(house: &Arc<House>, incoming: Incoming) -> Option<Said> {
    let engines = &house.engines;
    let call = engines.ambient.call();
    let (id, method) = match &incoming.message {
        Message::Request(request) => (Some(request.id().clone()), Some(request.method())),
        Message::Notification(notification) => (None, Some(notification.method())),
        Message::Response(_) => return None,
    };
    // The client's side of the call it belongs to, or else the stream of the owner's session.
    let of_session = || {
        let whose = (incoming.owner.as_deref()?, incoming.session.as_deref());
        let session = engines.sessions.listening(whose, &incoming.server)?;
        Some(Arc::new(SessionExchange(session)) as Arc<dyn Exchange>)
    };
    let exchange = incoming
        .exchange
        .clone()
        .or_else(of_session)
        .unwrap_or_else(|| Arc::new(Nobody));
    let revision = incoming.revision;
    let arrival = Arrival {
        call,
        direction: Direction::ToClient,
        revision,
        endpoint: Endpoint::Server(incoming.server.clone()),
        message: incoming.message,
        credential: Credential::Link(incoming.server),
        via: Via {
            transport: "upstream",
            ..Via::default()
        },
        session: exchange.session(),
        capabilities: Capabilities::default(),
        exchange,
        received_ms: engines.ambient.now_ms(),
    };
    let result = house.pipeline.carry(arrival).await;
    let id = id?;
    let refused = result
        .as_ref()
        .err()
        .map(|refusal| Box::new(refusal.objection().clone()));
    let text = match result {
        Ok(Reply {
            body: Body::Foreign(response, edits, era),
            ..
        }) => match response.answer() {
            jsonrpc::Answer::Result(result) => {
                let method = method?;
                jsonrpc::result(&id, &shape::result(result, &edits, era, revision, method))
            }
            jsonrpc::Answer::Error(error) => wire::json::object(|out| {
                out.string("jsonrpc", "2.0");
                id.write("id", out);
                out.edited("error", error, &edits);
            }),
        },
        Ok(_) => jsonrpc::error(Some(&id), code::INTERNAL_ERROR, "there is no answer", None),
        Err(refusal) => {
            let told = told(&refusal);
            jsonrpc::error(Some(&id), told.0, &told.1, None)
        }
    };
    Some(Said { text, refused })
}

/// What a server hears of why its question is refused.
///
/// THREAT: who waits for people's yes could be told where they give it, and who they are; a page there shows what was read.
fn told(refusal: &Refusal) -> (i64, String) {
    let code = refusal.code();
    match refusal.objection().approval.is_some() || *code == refusal::NOT_APPROVED {
        true => (
            refusal::NOT_PERMITTED.rpc,
            refusal::NOT_PERMITTED.outside.to_owned(),
        ),
        false => (code.rpc, refusal.outside()),
    }
}
