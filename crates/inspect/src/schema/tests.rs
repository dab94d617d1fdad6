//! What satisfies a schema, what does not, and which schemas are refused.

use proptest::prelude::*;
use wire::{
    bounds::REQUEST,
    json::{Document, Keys},
};

use super::{CompiledSchema, Format, SchemaError, SchemaOptions, ShapeFault};
use crate::Part;

fn document(text: &str) -> Document {
    // Keys that differ only in case are refused by the reader, too; here the schema must see them.
    Document::parse(text.as_bytes().to_vec(), Keys::Exact, &REQUEST).unwrap()
}

fn compile(schema: &str) -> Result<CompiledSchema, SchemaError> {
    CompiledSchema::compile(document(schema).root(), &SchemaOptions::default())
}

/// The places and detectors of what is wrong, in reading order.
fn wrong(schema: &str, value: &str) -> Vec<(String, String)> {
    let value = document(value);
    compile(schema)
        .unwrap()
        .check(value.root())
        .iter()
        .map(|f| (f.location.pointer.as_str().to_owned(), f.detector.to_string()))
        .collect()
}

fn check(schema: &str, value: &str, places: &[&str]) {
    let found: Vec<_> = wrong(schema, value).into_iter().map(|(place, _)| place).collect();
    assert_eq!(found, places, "{schema} {value}");
}

// CONTROL: schema
#[test]
fn findings_point_at_the_offending_value() {
    let schema = r#"{"type":"object","required":["id"],"additionalProperties":false,
        "properties":{"id":{"type":"string","pattern":"^[a-z]{2}-\\d+$"},"n":{"type":"integer","maximum":10},
        "tags":{"type":"array","items":{"enum":["a","b"]},"uniqueItems":true}}}"#;
    check(schema, r#"{"id":"ab-1","n":10,"tags":["a","b"]}"#, &[]);
    check(schema, r#"{"id":"AB-1"}"#, &["/id"]);
    check(schema, r#"{"id":"ab-1","n":11}"#, &["/n"]);
    check(schema, r#"{"id":"ab-1","n":1.5}"#, &["/n"]);
    check(schema, r#"{"id":"ab-1","n":1e1}"#, &[]);
    check(schema, r#"{"id":"ab-1","tags":["a","c"]}"#, &["/tags/1"]);
    check(schema, r#"{"id":"ab-1","tags":["a","a"]}"#, &["/tags"]);
    check(schema, r#"{"id":"ab-1","x":1}"#, &[""]);
    check(schema, r#"{"n":1}"#, &[""]);
    check(schema, r"[]", &[""]);
    check(schema, r#"{"id":"caf\u00e9"}"#, &["/id"]);
}

#[test]
fn a_declared_name_in_other_letters_is_refused_where_it_is_declared() {
    let schema = r##"{"properties":{"path":{"$ref":"#/$defs/p"},"list":{"items":{"properties":{"key":{}}}}},
        "allOf":[{"properties":{"mode":{}}}],"$defs":{"p":{"properties":{"user":{}}}}}"##;
    let variant = |place: &str| vec![(place.to_owned(), "schema/case-variant".to_owned())];
    assert_eq!(wrong(schema, r#"{"PATH":1}"#), variant("/PATH"));
    assert_eq!(wrong(schema, r#"{"path":{"uſer":1}}"#), variant("/path/uſer"));
    assert_eq!(
        wrong(schema, r#"{"list":[{},{"\u212aey":1}]}"#),
        variant("/list/1/\u{212a}ey")
    );
    assert_eq!(wrong(schema, r#"{"Mode":1}"#), variant("/Mode"));
    assert_eq!(
        wrong(
            schema,
            r#"{"path":{"user":1},"list":[{"key":1}],"mode":2,"other":{"USER":1}}"#
        ),
        []
    );
    let value = document(r#"{"Mode":1}"#);
    let found = compile(schema).unwrap().check(value.root());
    let location = &found.iter().next().unwrap().location;
    assert_eq!((location.part, location.span.clone()), (Part::Key, 0..4));
}

#[test]
fn the_dialect_is_the_newest_unless_the_schema_names_another() {
    // `prefixItems` is 2020-12; in draft-07 the same is said with a list of `items`.
    check(r#"{"prefixItems":[{"type":"string"}]}"#, "[1]", &["/0"]);
    let draft_07 = r#"{"$schema":"http://json-schema.org/draft-07/schema#","prefixItems":[{"type":"string"}],
        "items":[{"type":"integer"}]}"#;
    check(draft_07, "[1]", &[]);
    check(draft_07, r#"["a"]"#, &["/0"]);
    check(
        r#"{"$schema":"http://json-schema.org/draft-04/schema#","maximum":3,"exclusiveMaximum":true}"#,
        "3",
        &[""],
    );
    assert!(matches!(
        compile(r#"{"$schema":"https://example.org/my-own-dialect"}"#),
        Err(SchemaError::Refused { .. })
    ));
}

#[test]
fn numbers_keep_their_value() {
    check(r#"{"const":9007199254740993}"#, "9007199254740992", &[""]);
    check(r#"{"const":9007199254740993}"#, "9007199254740993", &[]);
    check(
        r#"{"maximum":18446744073709551614}"#,
        "18446744073709551615",
        &[""],
    );
    check(r#"{"type":"integer"}"#, "123456789012345678901234567890", &[]);
    check(r#"{"multipleOf":0.01}"#, "19.99", &[]);
}

#[test]
fn format_is_a_note_unless_asked_to_be_more() {
    for (format, value) in [
        ("email", "nobody"),
        ("date-time", "yesterday"),
        ("uuid", "1"),
        ("ipv4", "300.1.1.1"),
        ("uri", "::"),
    ] {
        let schema = document(&format!(r#"{{"format":"{format}"}}"#));
        let value = document(&format!("{value:?}"));
        let check = |format| {
            let options = SchemaOptions {
                format,
                ..SchemaOptions::default()
            };
            CompiledSchema::compile(schema.root(), &options)
                .unwrap()
                .check(value.root())
        };
        assert!(check(Format::Annotation).is_empty(), "{format}");
        assert_eq!(check(Format::Assertion).len(), 1, "{format}");
    }
}

#[test]
fn references_that_lead_outside_are_refused_and_never_fetched() {
    for schema in [
        r#"{"$ref":"http://169.254.169.254/latest"}"#,
        r#"{"properties":{"a":{"items":{"$ref":"file:///etc/passwd"}}}}"#,
        r#"{"$ref":"other.json#/a"}"#,
        r#"{"$dynamicRef":"https://example.org/x#a"}"#,
    ] {
        assert!(
            matches!(compile(schema), Err(SchemaError::Shape(ShapeFault::Outside(_)))),
            "{schema}"
        );
    }
    check(
        r##"{"$ref":"#/$defs/a~1b","$defs":{"a/b":{"type":"string"}}}"##,
        "1",
        &[""],
    );
    check(
        r##"{"$ref":"#here","$defs":{"x":{"$anchor":"here","type":"string"}}}"##,
        "1",
        &[""],
    );
    assert!(compile(r##"{"$ref":"#/$defs/nowhere"}"##).is_err());
}

#[test]
fn patterns_that_need_backtracking_do_not_compile() {
    for pattern in [r"(?=a)b", r"(a)\\1", r"a{1000}{1000}{1000}"] {
        let schema = format!(r#"{{"properties":{{"a":{{"pattern":"{pattern}"}}}}}}"#);
        let error = compile(&schema).unwrap_err();
        assert!(matches!(error, SchemaError::Refused { .. }), "{pattern}: {error}");
        let found = error.finding(wire::json::Pointer::default());
        assert_eq!(found.detector, "uninspectable/schema");
    }
    // The classic bomb is harmless to an engine that runs in linear time.
    let value = format!(r#""{}!""#, "a".repeat(100_000));
    check(r#"{"pattern":"^(a+)+$"}"#, &value, &[""]);
}

#[test]
fn schemas_that_explode_are_refused() {
    let doubling = |levels: usize| {
        let defs: Vec<String> = (0..levels)
            .map(|n| {
                format!(
                    r##""d{n}":{{"anyOf":[{{"$ref":"#/$defs/d{m}"}},{{"$ref":"#/$defs/d{m}"}}]}}"##,
                    m = n + 1
                )
            })
            .collect();
        format!(
            r##"{{"$ref":"#/$defs/d0","$defs":{{{},"d{levels}":{{"type":"string"}}}}}}"##,
            defs.join(",")
        )
    };
    assert!(compile(&doubling(4)).is_ok());
    assert!(matches!(
        compile(&doubling(40)),
        Err(SchemaError::Shape(ShapeFault::Branching(_)))
    ));
    assert!(matches!(
        compile(r##"{"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"}"##),
        Err(SchemaError::Shape(ShapeFault::Endless))
    ));
    let deep = format!("{}{{}}{}", r#"{"items":"#.repeat(80), "}".repeat(80));
    assert!(matches!(
        compile(&deep),
        Err(SchemaError::Shape(ShapeFault::Depth(_)))
    ));
    let many = format!(r#"{{"allOf":[{}]}}"#, vec!["{}"; 20_000].join(","));
    assert!(matches!(
        compile(&many),
        Err(SchemaError::Shape(ShapeFault::Subschemas(_)))
    ));
    let long = format!(r#"{{"description":"{}"}}"#, "x".repeat(600 * 1024));
    assert!(matches!(
        compile(&long),
        Err(SchemaError::Shape(ShapeFault::Bytes(_)))
    ));
}

#[test]
fn recursive_schemas_work_and_stay_cheap() {
    let tree = r##"{"$ref":"#/$defs/n","$defs":{"n":{"type":"object","required":["v"],
        "properties":{"v":{"type":"integer"},
        "l":{"allOf":[{"$ref":"#/$defs/n"},{"$ref":"#/$defs/n"}]}}}}}"##;
    check(tree, r#"{"v":1,"l":{"v":2,"l":{"v":3}}}"#, &[]);
    check(tree, r#"{"v":1,"l":{"v":2,"l":{"v":"x"}}}"#, &["/l/l/v"]);
    // Two branches at each of 90 levels: only remembering makes this end.
    let deep = format!("{}{{}}{}", r#"{"v":1,"l":"#.repeat(90), "}".repeat(90));
    check(tree, &deep, &[""]);
}

#[test]
fn property_names_are_checked_as_strings() {
    check(
        r#"{"propertyNames":{"pattern":"^[a-z]+$"}}"#,
        r#"{"a":1,"B":2}"#,
        &[""],
    );
    check(r#"{"propertyNames":{"maxLength":2}}"#, r#"{"a\u00e9":1}"#, &[]);
}

fn json(depth: u32) -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-100_i64..100).prop_map(Value::from),
        (-50.0_f64..50.0).prop_map(Value::from),
        "[a-c]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(depth, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-c]{1,2}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn our_values_are_judged_as_the_librarys_own(value in json(3), other in json(2)) {
        let schema = serde_json::json!({
            "anyOf": [
                {"type": "object", "properties": {"a": {"const": other}, "b": {"type": "integer"}},
                 "additionalProperties": {"type": ["string", "number", "null"]}},
                {"type": "array", "uniqueItems": true, "items": {"not": {"type": "boolean"}}, "maxItems": 3},
                {"enum": [other, 1, "a"]},
                {"type": "number", "minimum": -3.5, "exclusiveMaximum": 20},
            ]
        });
        let theirs = jsonschema::validator_for(&schema).unwrap().is_valid(&value);
        let document = document(&value.to_string());
        let ours = compile(&schema.to_string()).unwrap().check(document.root());
        prop_assert_eq!(ours.is_empty(), theirs);
    }

    #[test]
    fn no_schema_makes_the_compiler_panic(schema in json(5), value in json(3)) {
        let schema = document(&schema.to_string());
        if let Ok(compiled) = CompiledSchema::compile(schema.root(), &SchemaOptions::default()) {
            let _ = compiled.check(document(&value.to_string()).root());
        }
    }
}
