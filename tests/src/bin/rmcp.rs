//! The Rust SDK's client (`rmcp`) against every endpoint in `ENDPOINTS`, as `clients/matrix.py` is for Python's.
//! The argument says how it opens: with `initialize`, as it does by default, or `auto`.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program of the tests; what is not as expected ends it"
)]

use rmcp::{
    model::{CallToolRequestParams, ProtocolVersion},
    service::{ClientLifecycleMode, ClientServiceExt},
    transport::{StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig},
};
use serde_json::{Value, json};

#[tokio::main]
async fn main() {
    let endpoints = std::env::var("ENDPOINTS").expect("a variable");
    let endpoints: Value = serde_json::from_str(&endpoints).expect("JSON");
    for endpoint in endpoints.as_array().expect("endpoints") {
        let said = match used(endpoint).await {
            Ok((tools, text)) => json!({"server": endpoint["server"], "tools": tools, "text": text}),
            Err(error) => json!({"server": endpoint["server"], "error": error.to_string()}),
        };
        println!("{said}");
    }
}

async fn used(endpoint: &Value) -> Result<(Vec<String>, String), Box<dyn std::error::Error>> {
    let text = |name: &str| endpoint[name].as_str().expect("a text").to_owned();
    let config = StreamableHttpClientTransportConfig::with_uri(text("url")).auth_header(text("token"));
    let http = reqwest::Client::builder().no_proxy().build()?;
    let transport = StreamableHttpClientTransport::with_client(http, config);
    let lifecycle = match std::env::args().nth(1).as_deref() {
        Some("auto") => ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            legacy_version: None,
        },
        _ => ClientLifecycleMode::Initialize,
    };
    let client = ().serve_with_lifecycle(transport, lifecycle).await?;
    let tools = client.list_all_tools().await?;
    let arguments = endpoint["arguments"].as_object().cloned().expect("arguments");
    let params = CallToolRequestParams::new(text("tool")).with_arguments(arguments);
    let result = client.call_tool(params).await?;
    client.cancel().await?;
    let names = tools.into_iter().map(|tool| tool.name.into_owned()).collect();
    let blocks = result.content.iter().filter_map(|block| block.as_text());
    Ok((names, blocks.map(|block| block.text.as_str()).collect()))
}
