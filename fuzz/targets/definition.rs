//! Tool definitions: pinned whole, stored and brought back as they were.
#![no_main]

use libfuzzer_sys::fuzz_target;
use policy::registry::{Definition, ItemKind, Launch, Manifest, Offer, OnNew, Pin, Server};
use wire::mcp::ServerName;

fuzz_target!(|bytes: &[u8]| {
    let _ = Server::from_stored(bytes, Manifest::unknown());
    let Ok(definition) = Definition::parse(bytes.to_vec()) else { return };
    let name = ServerName::parse("s").expect("a name");
    let launch = Launch { pin: Pin::of_bytes(b"x"), shown: "x".to_owned() };
    let mut server = Server::proposed(name, launch, Manifest::unknown());
    server.approve().expect("proposed");
    server.observe(Offer { items: vec![(ItemKind::Tool, definition)], ..Offer::default() }, OnNew::Approve);
    let again = Server::from_stored(&server.to_stored(), Manifest::unknown());
    assert_eq!(again, Ok(server));
});
