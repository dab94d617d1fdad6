use proptest::prelude::*;

use super::*;
use crate::bounds::{JsonBounds, REQUEST};

fn parse(text: &str) -> Result<Document, JsonFault> {
    Document::parse(text.as_bytes().to_vec(), Keys::Folded, &REQUEST).map_err(|e| e.fault)
}

fn rewritten(text: &str) -> String {
    let document = parse(text).expect(text);
    let mut writer = Writer::default();
    writer.node(document.root());
    String::from_utf8(writer.into_bytes()).expect("utf-8")
}

#[test]
fn what_two_parsers_could_read_differently_is_refused() {
    use JsonFault::*;
    for (text, fault) in [
        ("", EndsEarly),
        ("   ", EndsEarly),
        ("{", EndsEarly),
        ("[1", EndsEarly),
        ("[1,", EndsEarly),
        (r#"{"a""#, EndsEarly),
        (r#"{"a":"#, EndsEarly),
        ("\"abc", EndsEarly),
        ("tru", EndsEarly),
        ("[1,]", Unexpected),
        (r#"{"a":1,}"#, Unexpected),
        ("{a:1}", Unexpected),
        ("{'a':1}", Unexpected),
        ("[1 2]", Unexpected),
        ("[1}", Unexpected),
        (r#"{"a" 1}"#, Unexpected),
        ("// c\n1", Unexpected),
        ("NaN", Unexpected),
        ("Infinity", Unexpected),
        ("-Infinity", BadNumber),
        ("01", BadNumber),
        ("-", BadNumber),
        ("1.", BadNumber),
        ("1e", BadNumber),
        ("1e+", BadNumber),
        ("+1", Unexpected),
        (".5", Unexpected),
        ("0x10", Trailing),
        ("1e400", NotFinite),
        ("-1e999999999", NotFinite),
        ("1 1", Trailing),
        ("{}{}", Trailing),
        ("{}\u{0}", Trailing),
        ("\u{FEFF}{}", Unexpected),
        ("\"a\nb\"", ControlCharacter),
        ("\"a\u{1f}bcdefghijk\"", ControlCharacter),
        (r#""\x""#, BadEscape),
        (r#""\u12G4""#, BadEscape),
        (r#""\u12"#, EndsEarly),
        (r#""\ud800""#, LoneSurrogate),
        (r#""\ud800\u0041""#, LoneSurrogate),
        (r#""\udc00""#, LoneSurrogate),
        (r#"{"a":1,"a":2}"#, DuplicateKey),
        (r#"{"a":1,"\u0061":2}"#, DuplicateKey),
        (r#"{"x":{"y":[{"a":1,"a":1}]}}"#, DuplicateKey),
        (r#"{"name":1,"Name":2}"#, CaseVariantKey),
        (r#"{"arguments":1,"argument\u017f":2}"#, CaseVariantKey),
        ("{\"task\":1,\"tas\u{212a}\":2}", CaseVariantKey),
    ] {
        assert_eq!(parse(text).err(), Some(fault), "{text}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused() {
    for bytes in [
        &b"\"\xff\""[..],
        b"\"\xc0\xaf\"",
        b"\"\xed\xa0\x80\"",
        b"\xff\xfe{\0}\0",
    ] {
        let error = Document::parse(bytes.to_vec(), Keys::Exact, &REQUEST).expect_err("not utf-8");
        assert_eq!(error.fault, JsonFault::NotUtf8);
    }
}

#[test]
fn many_keys_are_compared_as_strictly_as_few() {
    let many = |last: &str| {
        let keys: Vec<String> = (0..100).map(|n| format!("\"k{n}\":{n}")).collect();
        format!("{{{},{last}}}", keys.join(","))
    };
    assert!(parse(&many("\"other\":1")).is_ok());
    assert_eq!(parse(&many("\"k7\":1")).err(), Some(JsonFault::DuplicateKey));
    assert_eq!(parse(&many("\"K7\":1")).err(), Some(JsonFault::CaseVariantKey));
    let exact = Document::parse(many("\"K7\":1").into_bytes(), Keys::Exact, &REQUEST);
    assert!(exact.is_ok(), "data that only passes through may use case");
}

#[test]
fn bounds_hold_and_their_edges_pass() {
    let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
    assert!(parse(&nested(REQUEST.depth_max)).is_ok());
    assert_eq!(
        parse(&nested(REQUEST.depth_max + 1)).err(),
        Some(JsonFault::TooDeep)
    );
    assert_eq!(parse(&nested(200_000)).err(), Some(JsonFault::TooDeep));

    let small = JsonBounds {
        text_bytes_max: 64,
        values_max: 4,
        number_bytes_max: 5,
        key_bytes_max: 2,
        ..REQUEST
    };
    let parse =
        |text: &str| Document::parse(text.as_bytes().to_vec(), Keys::Exact, &small).map_err(|e| e.fault);
    assert!(parse("[1,2,3]").is_ok());
    assert_eq!(parse("[1,2,3,4]").err(), Some(JsonFault::TooMany));
    assert!(parse("12345").is_ok());
    assert_eq!(parse("123456").err(), Some(JsonFault::LongNumber));
    assert_eq!(parse(r#"{"abc":1}"#).err(), Some(JsonFault::LongKey));
    assert_eq!(parse(&" ".repeat(65)).err(), Some(JsonFault::TooLong));
}

#[test]
fn values_are_found_where_they_stand() {
    let document = parse(r#"{ "a" : [ 1.50 , "x\ny", null ], "b" : {"c":true} }"#).expect("json");
    let root = document.root();
    assert_eq!(root.kind(), Kind::Object);
    let a = root.get("a").expect("a");
    let elements: Vec<_> = a.elements().collect();
    assert_eq!(elements[0].as_number().map(Number::as_text), Some("1.50"));
    assert_eq!(elements[1].as_str().as_deref(), Some("x\ny"));
    assert!(elements[2].is_null());
    assert_eq!(
        root.get("b").and_then(|b| b.get("c")).and_then(Node::as_bool),
        Some(true)
    );
    assert_eq!(root.get("c"), None);
    assert_eq!(a.members().count(), 0);
    assert_eq!(
        Pointer::to(root, elements[1]).map(|p| p.to_string()),
        Some("/a/1".into())
    );
    let pointer = Pointer::parse("/b/c").expect("pointer");
    assert_eq!(pointer.find(root).and_then(Node::as_bool), Some(true));
    assert_eq!(Pointer::to(root, pointer.find(root).expect("c")), Some(pointer));
}

#[test]
fn many_pointers_are_found_in_one_walk_as_each_by_itself() {
    let text = br#"[{"a/b":[1,{"":"x"},[]],"c":{"d":{"e":null}}},{},[[["f"]]],{"a/b":true}]"#;
    let document = Document::parse(text.to_vec(), Keys::Exact, &REQUEST).expect("JSON");
    let root = document.root();
    let keys = root.walk().filter(|node| node.kind() == Kind::Object);
    let keys = keys.flat_map(|node| node.members().map(|(key, _)| key));
    let all: Vec<Node<'_>> = root.walk().chain(keys).collect();
    assert!(all.len() > 15);
    for step in 1..5 {
        let places = all.iter().step_by(step).map(|node| node.place());
        let together = Pointer::to_each(root, places.chain([9_999]), usize::MAX);
        let each = all.iter().step_by(step);
        let each = each.map(|node| (node.place(), Pointer::to(root, *node).expect("below")));
        assert_eq!(together, each.collect());
    }
    // A value that is not the whole document.
    let below = root.elements().next().expect("an object");
    let element = below.get("c").and_then(|c| c.get("d")).expect("a value");
    let found = Pointer::to_each(below, [0, element.place(), 9_999], usize::MAX);
    assert_eq!(
        found,
        [(element.place(), Pointer::parse("/c/d").expect("pointer"))].into()
    );
}

#[test]
fn a_pointer_that_is_too_long_ends_at_what_holds_its_value() {
    let text = br#"{"ab":{"/":[0,{"":{"c":1}}],"cdefghijkl":{"m":[2]}},"e":3}"#;
    let document = Document::parse(text.to_vec(), Keys::Exact, &REQUEST).expect("JSON");
    let root = document.root();
    let keys = root.walk().filter(|node| node.kind() == Kind::Object);
    let keys = keys.flat_map(|node| node.members().map(|(key, _)| key));
    let all: Vec<Node<'_>> = root.walk().chain(keys).collect();
    for bytes_max in 0..20 {
        let together = Pointer::to_each(root, all.iter().map(|node| node.place()), bytes_max);
        for node in &all {
            let whole = Pointer::to(root, *node).expect("below");
            let cut = whole.clone().within(bytes_max);
            assert!(cut.as_str().len() <= bytes_max, "{cut} {bytes_max}");
            assert!(whole.as_str().starts_with(cut.as_str()), "{whole} {cut}");
            let rest = whole.as_str().get(cut.as_str().len()..).unwrap_or_default();
            let next = rest.get(1..).and_then(|rest| rest.find('/'));
            let longer = cut.as_str().len() + next.map_or(rest.len(), |next| next + 1);
            assert!(
                rest.is_empty() || longer > bytes_max,
                "{whole} {cut}: one more step fits"
            );
            assert_eq!(together.get(&node.place()), Some(&cut));
        }
    }
}

/// What was done by hand in four places: `~01` is `~1`, and no `/`.
#[test]
fn a_pointer_is_taken_apart_as_it_was_put_together() {
    for steps in [
        vec![],
        vec![""],
        vec!["a/b", "~1", "", "~", "0"],
        vec!["~01~10/~"],
    ] {
        let pointer = steps
            .iter()
            .fold(Pointer::default(), |here, step| here.child(step));
        assert_eq!(pointer.steps().collect::<Vec<_>>(), steps, "{pointer}");
        assert_eq!(Pointer::parse(pointer.as_str()), Some(pointer));
    }
    let written = Pointer::parse("/~01/~10").expect("pointer");
    assert_eq!(written.steps().collect::<Vec<_>>(), ["~1", "/0"]);
}

#[test]
fn a_value_is_written_again_without_loss() {
    for text in [
        r#"{"a":1.50,"b":1e2,"c":-0.0,"d":123456789012345678901234567890}"#,
        r#"[null,true,false,[],{},"",[[]],{"a":{}}]"#,
        r#""\"\\\b\f\n\r\t\u0001""#,
        "\"\u{7f}\u{2028}é😀\"",
    ] {
        assert_eq!(rewritten(text), text);
    }
    assert_eq!(
        rewritten(r#" { "\u0061" : "\/\u00e9\ud83d\ude00" } "#),
        r#"{"a":"/é😀"}"#
    );
}

#[test]
fn edits_change_only_what_they_name() {
    let document = parse(r#"{"keep":1,"drop":{"x":1},"list":["a","b","c"],"secret":"s"}"#).expect("json");
    let root = document.root();
    let mut edits = Edits::default();
    assert!(edits.is_empty());
    edits.remove(root.get("drop").expect("drop"));
    edits.remove(root.get("list").and_then(|l| l.elements().next()).expect("a"));
    edits.string(root.get("secret").expect("secret"), "\"***\"");
    let mut writer = Writer::default();
    writer.edited(root, &edits);
    assert_eq!(
        String::from_utf8(writer.into_bytes()).expect("utf-8"),
        r#"{"keep":1,"list":["b","c"],"secret":"\"***\""}"#
    );
}

#[test]
fn canonical_text_is_that_of_rfc_8785() {
    let of = |text: &str| {
        let document = Document::parse(text.as_bytes().to_vec(), Keys::Exact, &REQUEST).expect(text);
        String::from_utf8(canonical(document.root())).expect("utf-8")
    };
    // Section 3.2.2 and 3.2.3, the examples of the RFC.
    assert_eq!(
        of(
            r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
            "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#
        ),
        "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
         \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}"
    );
    assert_eq!(
        of(
            r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One",
            "\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#
        ),
        "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\
         \"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"😀\":\"Emoji: Grinning Face\",\
         \"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}"
    );
    // Appendix B.
    for (text, canonical) in [
        ("0", "0"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("5e-324", "5e-324"),
        ("-5e-324", "-5e-324"),
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ("9007199254740991", "9007199254740991"),
        ("9.999999999999997e22", "9.999999999999997e+22"),
        ("1e23", "1e+23"),
        ("1.0000000000000001e23", "1.0000000000000001e+23"),
        ("999999999999999700000.0", "999999999999999700000"),
        ("1e21", "1e+21"),
        ("9.999999999999997e-7", "9.999999999999997e-7"),
        ("0.000001", "0.000001"),
        ("333333333.33333325", "333333333.33333325"),
        ("-0.0000033333333333333333", "-0.0000033333333333333333"),
        ("1424953923781206.2", "1424953923781206.2"),
        ("1.0", "1"),
        ("100", "100"),
    ] {
        assert_eq!(of(text), canonical, "{text}");
    }
}

#[test]
fn integers_a_double_cannot_hold_keep_their_digits() {
    let of = |text: &str| {
        let document = parse(text).expect(text);
        String::from_utf8(canonical(document.root())).expect("utf-8")
    };
    assert_ne!(of("9007199254740992"), of("9007199254740993"));
    assert_eq!(of("-9007199254740993"), "-9007199254740993");
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>()
            .prop_filter("finite", |f| f.is_finite())
            .prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
            prop::collection::hash_map(any::<String>(), inner, 0..20)
                .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    /// An ordinary parser that accepts what we accept reads the same values out of what we write.
    #[test]
    fn writing_again_keeps_the_value(value in any_json()) {
        let text = value.to_string();
        let document = Document::parse(text.clone().into_bytes(), Keys::Exact, &REQUEST).expect("valid");
        let mut writer = Writer::default();
        writer.node(document.root());
        let again: serde_json::Value = serde_json::from_slice(&writer.into_bytes()).expect("valid");
        prop_assert_eq!(&again, &value);
        let canonical: serde_json::Value = serde_json::from_slice(&canonical(document.root())).expect("valid");
        let twice = Document::parse(canonical.to_string().into_bytes(), Keys::Exact, &REQUEST).expect("valid");
        prop_assert_eq!(super::canonical(twice.root()), super::canonical(document.root()));
    }

    /// Whatever we accept, an ordinary parser accepts too; nothing makes the reader panic or hang.
    #[test]
    fn we_are_never_laxer_than_an_ordinary_parser(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if Document::parse(bytes.clone(), Keys::Folded, &REQUEST).is_ok() {
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
        }
    }

    #[test]
    fn the_index_agrees_with_an_ordinary_parser(value in any_json()) {
        let document = Document::parse(value.to_string().into_bytes(), Keys::Exact, &REQUEST).expect("valid");
        fn same(node: Node<'_>, value: &serde_json::Value) -> bool {
            match value {
                serde_json::Value::Null => node.is_null(),
                serde_json::Value::Bool(b) => node.as_bool() == Some(*b),
                serde_json::Value::Number(n) => node.as_number().is_some_and(|m| Some(m.as_f64()) == n.as_f64()),
                serde_json::Value::String(s) => node.is_str(s),
                serde_json::Value::Array(a) => {
                    node.elements().count() == a.len() && node.elements().zip(a).all(|(n, v)| same(n, v))
                }
                serde_json::Value::Object(o) => {
                    node.members().count() == o.len()
                        && o.iter().all(|(k, v)| node.get(k).is_some_and(|n| same(n, v)))
                }
            }
        }
        prop_assert!(same(document.root(), &value));
    }
}

#[test]
fn numbers_are_written_as_they_are() {
    let widest = i128::from(u64::MAX);
    for number in [
        0,
        7,
        -7,
        10,
        -10,
        1_000_000,
        widest,
        widest + 1,
        -widest - 1,
        10 * widest,
        i128::MAX,
        i128::MIN,
    ] {
        let written = object(|out| out.integer("n", number));
        assert_eq!(written, format!("{{\"n\":{number}}}").into_bytes());
    }
}

#[test]
fn what_was_written_gets_more_members() {
    let more = |written: &[u8]| extended(written, |out| out.integer("b", 2));
    assert_eq!(more(b"{}"), br#"{"b":2}"#);
    assert_eq!(more(br#"{"a":1}"#), br#"{"a":1,"b":2}"#);
    assert_eq!(extended(br#"{"a":1}"#, |_| {}), br#"{"a":1}"#);
    assert_eq!(extended(b"{}", |_| {}), b"{}");
}
