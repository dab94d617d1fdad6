//! Schemas and values: a hostile schema is refused or bounded, a hostile value is checked.
#![no_main]

use inspect::schema::{CompiledSchema, SchemaOptions};
use libfuzzer_sys::fuzz_target;
use wire::{bounds::REQUEST, json::{Document, Keys}};

fuzz_target!(|input: (&[u8], &[u8])| {
    let parse = |bytes: &[u8]| Document::parse(bytes.to_vec(), Keys::Exact, &REQUEST);
    let (Ok(schema), Ok(value)) = (parse(input.0), parse(input.1)) else { return };
    if let Ok(compiled) = CompiledSchema::compile(schema.root(), &SchemaOptions::default()) {
        let _ = compiled.check(value.root());
    }
});
