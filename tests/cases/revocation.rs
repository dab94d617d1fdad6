//! What is revoked ends on every wire that is open, within seconds, and nothing else does.

use e2e::wires::{Heard, Http, Modern};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::connections::{Socket, start, websocket};

/// All that an agent can hold open.
struct Open {
    session: Heard,
    sse: Heard,
    subscriptions: Heard,
    socket: Socket,
}

impl Open {
    fn by(gateway: &e2e::gateway::Gateway, agent: &str) -> Self {
        let token = gateway.token_of(agent);
        let endpoint = format!("{}/mcp", gateway.base());
        let mut session = Http::new(&endpoint, &token);
        session.open("2025-11-25");
        let subscriptions =
            Modern::new(&endpoint, &token).listen(&json!(1), &json!({"toolsListChanged": true}));
        let _acknowledged = subscriptions.next();
        let bearer = format!("Bearer {token}");
        Self {
            session: session.listen(),
            sse: Http::new(&format!("{}/sse", gateway.base()), &token).listen(),
            subscriptions,
            socket: websocket(gateway, &[("Authorization", &bearer)], Some("mcp")).expect("a connection"),
        }
    }
}

#[test]
fn an_agent_that_is_revoked_loses_what_is_open_on_every_wire() {
    let gateway = start("");
    let (mut gone, mut kept) = (Open::by(&gateway, "other"), Open::by(&gateway, "tester"));
    for heard in [&gone.session, &gone.sse, &gone.subscriptions] {
        assert!(heard.is_open());
    }
    assert!(gateway.output(&["agent", "revoke", "other"]).status.success());
    for (wire, heard) in [
        ("session", &gone.session),
        ("HTTP+SSE", &gone.sse),
        ("subscriptions", &gone.subscriptions),
    ] {
        assert!(heard.ends(), "{wire} stays open");
    }
    let frame = loop {
        if let Message::Close(frame) = gone.socket.read().expect("the end is said") {
            break frame.expect("a reason");
        }
    };
    assert_eq!(u16::from(frame.code), 1008, "{frame:?}");
    // Of somebody else, all stand.
    for heard in [&kept.session, &kept.sse, &kept.subscriptions] {
        assert!(heard.is_open());
    }
    let hello = e2e::wires::initialize("2025-06-18").to_string();
    kept.socket.send(Message::text(hello)).expect("it is sent");
    let answered = std::iter::from_fn(|| kept.socket.read().ok()).any(|message| message.is_text());
    assert!(answered, "the other connection ended, too");
}
