//! A gateway that starts with many servers at once.

use std::{
    fmt::Write,
    fs,
    io::{BufRead, BufReader},
};

use rmcp::{ServiceExt, transport::StreamableHttpClientTransport};
use serde_json::Value;

use crate::place::{Place, kill, sallyport};

const SERVERS: usize = 24;

/// Regression: two servers seen at the same moment could hide each other's tools for good.
#[test]
fn every_server_is_seen_however_many_start_at_once() {
    let place = Place::new();
    let mut config = "listen: 127.0.0.1:0\ndata: ./state\napprove: all\nanonymous: owner\n\
                      users: [{ name: owner, roles: [owner] }]\npolicy: { packs: [developer-workstation] }\n\
                      mcpServers:\n"
        .to_owned();
    for number in 0..SERVERS {
        let hospital = env!("CARGO_BIN_EXE_sallyport-hospital");
        writeln!(
            config,
            "  pages{number}: {{ command: '{hospital}', args: [pages] }}"
        )
        .unwrap();
    }
    let file = place.folder().join("sallyport.yaml");
    fs::write(&file, config).unwrap();
    let mut gateway = place.start(
        &sallyport(),
        &["--config", file.to_str().unwrap(), "serve", "--ready-json"],
    );
    let mut line = String::new();
    BufReader::new(gateway.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    let mcp = ready["endpoints"]["mcp"].as_str().unwrap().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut seen: Vec<String> = runtime.block_on(async {
        let session = ().serve(StreamableHttpClientTransport::from_uri(mcp)).await.unwrap();
        let tools = session.list_all_tools().await.unwrap();
        session.cancel().await.unwrap();
        tools.iter().map(|tool| tool.name.to_string()).collect()
    });
    kill("-TERM", &gateway);
    assert_eq!(gateway.wait().unwrap().code(), Some(0));
    let mut expected: Vec<String> = (0..SERVERS)
        .map(|number| format!("pages{number}__fetch"))
        .collect();
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
}
