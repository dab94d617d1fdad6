//! The JSON Schema of the configuration, for editors: `docs/reference/sallyport.schema.json`, made from the types that read it,
//! so it says what their comments say. It is no judge: what a configuration means is said by `meant`.

use std::path::{Path, PathBuf};

use inspect::schema::{CompiledSchema, SchemaOptions};
use serde_json::{Value, json};
use wire::{
    bounds::ANSWER,
    json::{Document, Keys},
};

use super::said::Said;

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn made() -> Value {
    let mut made = schemars::schema_for!(Said).to_value();
    made["title"] = json!("sallyport.yaml");
    made["description"] = json!("The configuration of Sallyport. A client's `mcp.json` is one, too.");
    made
}

#[test]
fn the_generated_schema_is_what_the_configuration_is_read_by() {
    let path = at("docs/reference/sallyport.schema.json");
    let text = format!("{:#}\n", made());
    if std::env::var_os("SALLYPORT_GENERATE").is_some() {
        std::fs::write(&path, &text).expect("the schema can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    // Another crate may ask serde_json to keep the order of keys: what is compared is what is said.
    let found: Value = serde_json::from_str(&found).unwrap_or_default();
    assert!(
        found == made(),
        "{} is another; run `cargo xtask gen`",
        path.display()
    );
}

#[test]
fn the_schema_takes_what_is_taken_and_finds_what_is_misspelt() {
    let parse =
        |value: &Value| Document::parse(value.to_string().into_bytes(), Keys::Exact, &ANSWER).expect("JSON");
    let schema = parse(&made());
    let schema = CompiledSchema::compile(schema.root(), &SchemaOptions::default()).expect("a schema");
    let example = std::fs::read_to_string(at("examples/hospital/sallyport.yaml")).expect("the example");
    let mut example: Value = serde_saphyr::from_str(&example).expect("YAML");
    let wrong = schema.check(parse(&example).root());
    assert!(wrong.is_empty(), "{wrong:?}");
    example["mcpServer"] = json!({});
    assert!(!schema.check(parse(&example).root()).is_empty());
    let sandboxed = json!({"mcpServers": {"a": {"command": "a", "sandbox": {"reed": []}}}});
    assert!(!schema.check(parse(&sandboxed).root()).is_empty());
    let sandboxed = json!({"mcpServers": {"a": {"command": "a", "sandbox": "off"}}});
    assert!(schema.check(parse(&sandboxed).root()).is_empty());
}
