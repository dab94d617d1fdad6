//! What a description becomes, and what a call of it sends.

use hyper::{HeaderMap, Request, header::HeaderValue};
use proptest::prelude::*;
use wire::{
    bounds::REQUEST,
    json::{Document, Keys, Node, Pointer, Writer, object},
};

use super::{Base, Description, DescriptionError, route};

/// A description of this version with these paths and components.
fn described(version: &str, paths: &str, components: &str) -> Result<Description, DescriptionError> {
    let text = format!(
        r#"{{"openapi":"{version}","info":{{"title":"t","version":"1"}},"paths":{paths},"components":{components}}}"#
    );
    Description::parse(text.into_bytes(), ["X-Own"])
}

fn one(operation: &str) -> Description {
    described("3.1.0", &format!(r#"{{"/a":{operation}}}"#), "{}").expect(operation)
}

/// The value at a place of a tool, written anew.
fn at(description: &Description, tool: &str, place: &str) -> String {
    let operation = description.operation(tool);
    let operation = operation.unwrap_or_else(|| panic!("{tool}: {:?}", description.left_out()));
    let document = Document::parse(operation.definition.clone(), Keys::Folded, &REQUEST).expect("a tool");
    let found = Pointer::parse(place).and_then(|pointer| pointer.find(document.root()));
    let mut writer = Writer::default();
    match found {
        Some(node) => writer.node(node),
        None => return "nothing".to_owned(),
    }
    String::from_utf8(writer.into_bytes()).expect("UTF-8")
}

fn request(description: &Description, tool: &str, arguments: &str) -> Result<Request<String>, String> {
    let base = Base::new(&"https://crm.example:8443/v1/".parse().expect("a URL")).expect("a base");
    let arguments = Document::parse(arguments.as_bytes().to_vec(), Keys::Exact, &REQUEST).expect(arguments);
    let mut own = HeaderMap::new();
    own.insert("x-own", HeaderValue::from_static("ours"));
    let request = description
        .operation(tool)
        .expect(tool)
        .request(&base, &own, Some(arguments.root()))?;
    Ok(request.map(|_| String::new()))
}

fn url(description: &Description, tool: &str, arguments: &str) -> String {
    match request(description, tool, arguments) {
        Ok(request) => request.uri().to_string(),
        Err(why) => why,
    }
}

#[test]
fn names_come_from_the_operation_and_lead_to_one_thing() {
    let paths = r#"{
        "/a": {"get": {"operationId": "pets.list all"}, "post": {"operationId": "twice"}},
        "/b/{id}": {"parameters": [{"name": "id", "in": "path"}], "get": {}, "put": {"operationId": "TWICE"}},
        "/c": {"get": {"operationId": "ünï"}, "delete": {"operationId": "£"}},
        "/d": {"get": {"operationId": "a-very-long-name-of-an-operation-that-goes-on-and-on-and-on-for-ever-1"}},
        "/e": {"get": {"operationId": "a-very-long-name-of-an-operation-that-goes-on-and-on-and-on-for-ever-2"}},
        "/f": {"head": {}, "trace": {}, "options": {}},
        "x-more": {"get": {}}
    }"#;
    let description = described("3.0.3", paths, "{}").expect("a description");
    let names: Vec<_> = description
        .operations()
        .map(|operation| operation.name.as_str())
        .collect();
    let long = "a-very-long-name-of-an-operation-that-goes-on-and-on-an";
    assert_eq!(names.len(), 5, "{names:?}");
    assert!(
        names[..2]
            .iter()
            .all(|name| name.starts_with(long) && name.len() == 64),
        "{names:?}"
    );
    assert_eq!(names[2..], ["get_b_id", "n", "pets_list_all"]);
    let left_out: Vec<_> = description.left_out().iter().map(ToString::to_string).collect();
    for part in [
        "POST /a: another operation is called `TWICE`",
        "PUT /b/{id}: another operation is called `twice`",
        "DELETE /c: its `operationId` has no letter",
        "HEAD /f:",
        "TRACE /f:",
        "OPTIONS /f:",
    ] {
        assert!(
            left_out.iter().any(|why| why.starts_with(part)),
            "{part} in {left_out:?}"
        );
    }
    assert_eq!(left_out.len(), 6, "{left_out:?}");
}

#[test]
fn annotations_follow_the_method_and_the_route_is_pinned() {
    let operations = r#"{"get": {}, "put": {}, "post": {}, "delete": {}, "patch": {}}"#;
    let description = one(operations);
    for (tool, hints) in [
        ("get_a", r#"{"readOnlyHint":true,"openWorldHint":true}"#),
        (
            "put_a",
            r#"{"readOnlyHint":false,"idempotentHint":true,"openWorldHint":true}"#,
        ),
        ("post_a", r#"{"readOnlyHint":false,"openWorldHint":true}"#),
        ("patch_a", r#"{"readOnlyHint":false,"openWorldHint":true}"#),
        (
            "delete_a",
            r#"{"readOnlyHint":false,"destructiveHint":true,"idempotentHint":true,"openWorldHint":true}"#,
        ),
    ] {
        assert_eq!(at(&description, tool, "/annotations"), hints);
    }
    assert_eq!(at(&description, "get_a", "/description"), r#""GET /a""#);
    let route = at(&description, "get_a", "/_meta/io.sallyport~1rest");
    assert_eq!(route, r#"{"method":"GET","path":"/a","arguments":{}}"#);
}

#[test]
fn schemas_stand_alone_in_the_words_of_mcp() {
    let components = r##"{"schemas": {
        "Node": {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Node"}}},
        "Plain": {"type": "string", "nullable": true, "enum": ["a"], "example": "a", "x-mcp-header": "Evil"},
        "Made": {"type": "object", "required": ["id", "n"], "properties": {
            "id": {"type": "string", "readOnly": true},
            "n": {"type": "integer", "minimum": 1, "exclusiveMinimum": true}
        }}
    }}"##;
    let body = |name: &str| {
        format!(
            r##"{{"content": {{"application/json": {{"schema": {{"$ref": "#/components/schemas/{name}", "title": "T"}}}}}}}}"##
        )
    };
    let paths = |name: &str| format!(r#"{{"/a": {{"post": {{"requestBody": {}}}}}}}"#, body(name));
    for (version, name, schema) in [
        (
            "3.0.0",
            "Plain",
            r#"{"type":["string","null"],"enum":["a",null]}"#,
        ),
        (
            "3.1.0",
            "Plain",
            r#"{"title":"T","allOf":[{"type":"string","enum":["a"]}]}"#,
        ),
        (
            "3.0.0",
            "Made",
            r#"{"type":"object","required":["n"],"properties":{"n":{"type":"integer","exclusiveMinimum":1}},"propertyNames":{"not":{"enum":["id"]}}}"#,
        ),
        ("3.0.0", "Node", r##"{"$ref":"#/$defs/Node"}"##),
    ] {
        let description = described(version, &paths(name), components).expect(name);
        let found = at(&description, "post_a", "/inputSchema/properties/body");
        assert_eq!(found, schema, "{name} in {version}");
    }
    let recursive = described("3.0.0", &paths("Node"), components).expect("a description");
    assert_eq!(
        at(&recursive, "post_a", "/inputSchema/$defs"),
        r##"{"Node":{"type":"object","properties":{"next":{"$ref":"#/$defs/Node"}}}}"##
    );
}

#[test]
fn schemas_that_explode_or_lead_away_leave_their_operation_out() {
    // Each level has the one below twice: 2^30 in the end.
    let level = |n: u32| {
        format!(
            r##""L{n}": {{"type": "object", "properties": {{"a": {{"$ref": "#/components/schemas/L{0}"}},
                "b": {{"$ref": "#/components/schemas/L{0}"}}}}}}"##,
            n - 1
        )
    };
    let levels: Vec<_> = (1..30).map(level).collect();
    let components = format!(
        r##"{{"schemas": {{"L0": {{"anyOf": [{{"type": "string"}}, {{"$dynamicRef": "#x"}}]}}, {}}}}}"##,
        levels.join(",")
    );
    for (schema, why) in [
        (r##"{"$ref": "#/components/schemas/L29"}"##, "too large"),
        (r##"{"$ref": "#/components/schemas/L0"}"##, "$dynamicRef"),
        (
            r#"{"$ref": "https://evil.example/s.json"}"#,
            "leads out of the description",
        ),
        (r#"{"$ref": "other.json#/A"}"#, "leads out of the description"),
        (r#"{"properties": {"a": {}, "A": {}}}"#, "strict JSON"),
        (r#"{"items": [{}]}"#, "older JSON Schema"),
    ] {
        let paths = format!(
            r#"{{"/a": {{"get": {{}}, "post": {{"requestBody": {{"content": {{"application/json": {{"schema": {schema}}}}}}}}}}}}}"#
        );
        let description = described("3.1.0", &paths, &components).expect(schema);
        let left_out = description.left_out();
        assert!(
            left_out.len() == 1 && left_out[0].why.contains(why),
            "{schema}: {left_out:?}"
        );
    }
}

#[test]
fn what_proves_or_frames_is_never_an_argument() {
    let names = [
        "Authorization",
        "authorization",
        "Cookie",
        "Host",
        "Content-Length",
        "content-type",
        "Transfer-Encoding",
        "Connection",
        "TE",
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "Mcp-Session-Id",
        "MCP-Protocol-Version",
        "Proxy-Authorization",
        "DPoP",
        "X-HTTP-Method-Override",
        "X-Original-URL",
        "X-Remote-User",
        "Remote-User",
        "X-User",
        "X-Tenant-Id",
        "X-Auth-Token",
        "X-Amzn-Oidc-Identity-Token",
        "X-MS-Client-Principal",
        "Impersonate-User",
        "X-On-Behalf-Of",
        "User-Agent",
        "x-own",
        "X-Api-Key",
        "a b",
        "a:b",
    ];
    let parameters: Vec<_> = names
        .iter()
        .map(|name| format!(r#"{{"name": "{name}", "in": "header"}}"#))
        .collect();
    let components = r#"{"securitySchemes": {
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "query": {"type": "apiKey", "in": "query", "name": "api_key"}
    }}"#;
    let paths = format!(
        r#"{{"/a": {{"get": {{"parameters": [{}, {{"name": "api_key", "in": "query"}}, {{"name": "X-Fine", "in": "header"}},
            {{"name": "Idempotency-Key", "in": "header"}}, {{"name": "X-Author", "in": "header"}},
            {{"name": "X-Next-Token", "in": "header"}}]}}}}}}"#,
        parameters.join(",")
    );
    let description = described("3.1.0", &paths, components).expect("a description");
    assert_eq!(
        at(&description, "get_a", "/inputSchema/properties"),
        r#"{"X-Fine":{},"Idempotency-Key":{},"X-Author":{},"X-Next-Token":{}}"#
    );
    assert_eq!(description.left_out().len(), names.len() + 1);
    assert!(description.is_proof("x-api-key"));
    // Demanded, it takes the operation with it.
    let paths = r#"{"/a": {"get": {}}, "/b": {"get": {"parameters": [
        {"name": "Authorization", "in": "header", "required": true}]}}}"#;
    let description = described("3.1.0", paths, "{}").expect("a description");
    assert_eq!(description.offered(), 1);
}

#[test]
fn styles_that_cannot_be_written_are_left_out() {
    for (parameter, why) in [
        (r#"{"name": "p", "in": "query", "style": "deepObject"}"#, "style"),
        (
            r#"{"name": "p", "in": "query", "style": "pipeDelimited"}"#,
            "style",
        ),
        (
            r#"{"name": "p", "in": "query", "schema": {"type": "object"}}"#,
            "parts",
        ),
        (
            r#"{"name": "p", "in": "query", "schema": {"type": "array", "items": {"type": "array"}}}"#,
            "parts",
        ),
        (
            r#"{"name": "p", "in": "query", "content": {"application/json": {}}}"#,
            "document",
        ),
        (
            r#"{"name": "p", "in": "header", "schema": {"type": ["array"], "items": {}}}"#,
            "list",
        ),
        (r#"{"name": "p", "in": "cookie"}"#, "cookies"),
    ] {
        let description = one(&format!(r#"{{"get": {{"parameters": [{parameter}]}}}}"#));
        assert_eq!(
            at(&description, "get_a", "/inputSchema/properties"),
            "{}",
            "{parameter}"
        );
        assert!(
            description.left_out()[0].why.contains(why),
            "{:?}",
            description.left_out()
        );
    }
}

#[test]
fn a_broken_description_says_where_and_what_to_do() {
    for (text, at) in [
        ("", ""),
        ("[]", ""),
        (
            r#"{"openapi": "3.1.0", "openapi": "3.1.0", "paths": {"/a": {"get": {}}}}"#,
            "",
        ),
        (r#"{"swagger": "2.0"}"#, "/swagger"),
        (r#"{"openapi": "4.0.0"}"#, "/openapi"),
        (r#"{"openapi": "3.1.0"}"#, ""),
        (r#"{"openapi": "3.1.0", "paths": []}"#, "/paths"),
        (r#"{"openapi": "3.1.0", "paths": {}}"#, "/paths"),
        (r#"{"openapi": "3.1.0", "paths": {"a": {}}}"#, "/paths/a"),
        (
            r#"{"openapi": "3.1.0", "paths": {"/a": {"get": []}}}"#,
            "/paths/~1a/get",
        ),
        (
            r#"{"openapi": "3.1.0", "paths": {"/{a}": {"get": {}}}}"#,
            "/paths/~1{a}/get",
        ),
        (
            r#"{"openapi": "3.1.0", "paths": {"/{a": {"get": {}}}}"#,
            "/paths/~1{a/get",
        ),
        (
            r#"{"openapi": "3.1.0", "paths": {"/a": {"get": {"parameters": [{"in": "query"}]}}}}"#,
            "/paths/~1a/get/parameters/0",
        ),
        (
            r##"{"openapi": "3.1.0", "paths": {"/a": {"get": {"parameters": [{"$ref": "#/none"}]}}}}"##,
            "/paths/~1a/get/parameters/0/$ref",
        ),
    ] {
        let error = Description::parse(text.as_bytes().to_vec(), []).expect_err(text);
        assert_eq!(error.at, at, "{text}: {error}");
        assert!(!error.remedy.is_empty() && !error.what.is_empty());
    }
}

#[test]
fn paths_of_a_description_that_could_be_read_in_two_ways_are_left_out() {
    for path in [
        "/a/../b",
        "/./a",
        "/a//b",
        "/%2e%2e/a",
        "/a%2fb",
        "/a\\b",
        "/a?b=1",
        "/a#b",
        "/ü",
        "/..;/a",
        "/%zz",
    ] {
        assert!(route::parts(path).is_err(), "{path}");
    }
    for path in [
        "/",
        "/a/",
        "/a.b/c-d_e~f",
        "/a:b",
        "/a;v=1/b",
        "/a%20b",
        "/{a}/{b}.json",
    ] {
        assert!(route::parts(path).is_ok(), "{path}");
    }
    for base in [
        "https://h/a/../b",
        "https://h/a?b",
        "https://h//a",
        "https://h/a%2fb",
    ] {
        assert_eq!(Base::new(&base.parse().expect(base)), None, "{base}");
    }
}

/// Values in every place, with a name of its own for each.
const EVERYWHERE: &str = r#"{"/in/{first}/b-{second}.json": {"get": {"operationId": "all", "parameters": [
    {"name": "first", "in": "path", "required": true}, {"name": "second", "in": "path", "required": true},
    {"name": "q", "in": "query"}, {"name": "X-H", "in": "header"},
    {"name": "each[]", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
    {"name": "joined", "in": "query", "explode": false, "schema": {"type": "array", "items": {"type": "string"}}}
]}}, "/parts/{a}{b}": {"get": {"operationId": "parts", "parameters": [
    {"name": "a", "in": "path", "required": true}, {"name": "b", "in": "path", "required": true}]}}}"#;

#[test]
fn arguments_are_written_by_the_grammar_of_their_place() {
    let description = described("3.1.0", EVERYWHERE, "{}").expect("a description");
    let written = |arguments: &str| url(&description, "all", arguments);
    assert_eq!(
        written(
            r#"{"first": 1e3, "second": true, "q": "a b&c=d", "each": ["x,y", 2], "joined": ["m", "n"]}"#
        ),
        "https://crm.example:8443/v1/in/1e3/b-true.json?q=a%20b%26c%3Dd&each%5B%5D=x%2Cy&each%5B%5D=2&joined=m,n"
    );
    assert_eq!(
        written(r#"{"first": "ä", "second": "%", "q": null}"#),
        "https://crm.example:8443/v1/in/%C3%A4/b-%25.json"
    );
    for (arguments, why) in [
        (r#"{"second": "b"}"#, "`first` is missing"),
        (r#"{"first": null, "second": "b"}"#, "`first` is missing"),
        (r#"{"first": {}, "second": "b"}"#, "must be a string"),
        (
            r#"{"first": "a", "second": "b", "third": 1}"#,
            "no argument `third`",
        ),
        (r#"{"first": "a", "second": "b", "joined": ["a,b"]}"#, "comma"),
        (
            r#"{"first": "a", "second": "b", "each": [["a"]]}"#,
            "must be a string",
        ),
        (r#"[]"#, "no object"),
    ] {
        assert!(
            written(arguments).contains(why),
            "{arguments}: {}",
            written(arguments)
        );
    }
    // Harmless alone, and not together.
    for arguments in [r#"{"a": "%2", "b": "f"}"#, r#"{"a": "%", "b": "2e"}"#] {
        assert!(
            url(&description, "parts", arguments).contains("would not be below"),
            "{arguments}"
        );
    }
    let headers = request(
        &description,
        "all",
        r#"{"first": "a", "second": "b", "X-H": "c"}"#,
    )
    .expect("a request");
    assert_eq!(headers.headers()["x-own"], "ours");
    assert_eq!(headers.headers()["x-h"], "c");
}

/// Letters, and what has a meaning somewhere in a request.
fn texts() -> impl Strategy<Value = String> {
    let hostile = "[a-c0-9./\\\\%?#&=+;:@,\\r\\n\\x00 {}~\"'\u{e4}\u{ff0f}2eEfF-]{0,12}";
    prop_oneof![
        hostile,
        any::<String>(),
        "(\\.|%2e|%2F|/|;){1,6}",
        "[a-z0-9]{1,8}"
    ]
}

fn split_query(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let decoded = |text: &str| route::decoded(text).expect("it is percent-encoded");
    pairs
        .map(|pair| pair.split_once('=').expect("a name and a value"))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

proptest! {
    /// Whatever the arguments are: nothing is sent, or the URL is the base's, its path has the description's segments,
    /// and each argument arrives in its place as it was given.
    #[test]
    fn no_argument_leaves_its_place(
        first in texts(),
        second in texts(),
        query in texts(),
        each in prop::collection::vec(texts(), 0..3),
        header in texts(),
    ) {
        let description = described("3.1.0", EVERYWHERE, "{}").expect("a description");
        let arguments = object(|out| {
            out.string("first", &first);
            out.string("second", &second);
            out.string("q", &query);
            out.array("each", |list| each.iter().for_each(|text| list.string(text)));
            out.string("X-H", &header);
        });
        let arguments = String::from_utf8(arguments).expect("UTF-8");
        let is_plain = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric());
        match request(&description, "all", &arguments) {
            Err(why) => prop_assert!(!(is_plain(&first) && is_plain(&second) && is_plain(&header)), "{}", why),
            Ok(request) => {
                let url = request.uri().to_string();
                prop_assert!(url.starts_with("https://crm.example:8443/v1/in/"), "{}", url);
                prop_assert_eq!(request.uri().authority().map(|a| a.as_str()), Some("crm.example:8443"));
                prop_assert!(url.is_ascii() && !url.contains(['#', '\\', ' ']));
                let segments: Vec<_> = request.uri().path().split('/').collect();
                prop_assert_eq!(segments.len(), 5, "{}", url);
                prop_assert_eq!(route::decoded(segments[3]).expect("encoded"), first.clone());
                prop_assert_eq!(route::decoded(segments[4]).expect("encoded"), format!("b-{second}.json"));
                prop_assert!(!first.is_empty() && first != "." && first != ".." && !first.contains(['/', '\\']));
                let mut expected = vec![("q".to_owned(), query)];
                expected.extend(each.into_iter().map(|text| ("each[]".to_owned(), text)));
                prop_assert_eq!(split_query(request.uri().query().unwrap_or_default()), expected);
                let sent: Vec<_> = request.headers().get_all("x-h").iter().collect();
                prop_assert_eq!(sent, vec![header.as_str()]);
                prop_assert_eq!(request.headers().len(), 4, "{:?}", request.headers());
            }
        }
    }

    /// A text that is no description, or a broken one, is an error and nothing worse.
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}", place in 0_usize..400, byte in any::<u8>()) {
        let _ = Description::parse(text.into_bytes(), []);
        let mut whole = format!(r#"{{"openapi":"3.0.0","paths":{EVERYWHERE}}}"#).into_bytes();
        let place = place % whole.len();
        whole[place] = byte;
        let _ = Description::parse(whole, []);
    }
}

#[test]
fn a_node_of_arguments_is_needed_where_one_is_demanded() {
    let description = one(
        r#"{"post": {"requestBody": {"required": true, "content": {"application/merge-patch+json": {}}}}}"#,
    );
    assert_eq!(url(&description, "post_a", "{}"), "`body` is missing");
    let made = request(&description, "post_a", r#"{"body": [1]}"#).expect("a request");
    assert_eq!(made.headers()["content-type"], "application/merge-patch+json");
    let base = Base::new(&"http://h".parse().expect("a URL")).expect("a base");
    let operation = description.operation("post_a").expect("an operation");
    assert!(
        operation
            .request(&base, &HeaderMap::new(), None::<Node<'_>>)
            .is_err()
    );
}
