//! A server that was told what pseudonyms stand for says it again later: whoever knows the pseudonyms reads them.

use std::{fs, path::Path};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use e2e::{
    gateway::{Gateway, Scratch, program},
    mcp::{Answer, Client, own_meta},
};
use serde_json::{Value, json};

const MAIL: &str = "ann.lee@clinic.org";

/// `charts` is read in pseudonyms; `letters` may have the originals. `doctor` reads the charts as they are.
fn house(folder: &Path) -> Gateway {
    let opening = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": {"tools": {}, "resources": {}, "prompts": {}, "completions": {}},
        "serverInfo": {"name": "letters", "version": "1"},
    });
    let send = json!({"type": "object", "properties": {"to": {"type": "string"}}});
    for (name, result) in [
        ("initialize", opening),
        (
            "tools_list",
            json!({"tools": [{"name": "send", "inputSchema": send}]}),
        ),
        (
            "tools_call",
            json!({"content": [{"type": "text", "text": "sent"}]}),
        ),
        ("prompts_list", json!({"prompts": [{"name": "ask"}]})),
        (
            "resources_list",
            json!({"resources": [{"uri": "letters://out", "name": "out", "title": MAIL}]}),
        ),
        ("resources_templates_list", json!({"resourceTemplates": []})),
    ] {
        fs::write(folder.join(name), result.to_string()).expect("a file");
    }
    let stub = program("e2e-stub");
    let rules = json!([
        r#"@pseudonymise("personal") permit(principal == Agent::"tester", action == Action::"invoke", resource in Server::"charts");"#,
        r#"permit(principal == Agent::"doctor", action == Action::"invoke", resource in Server::"charts");"#,
        r#"@reveal("personal") permit(principal, action == Action::"invoke", resource in Server::"letters");"#,
        r#"permit(principal, action in [Action::"read", Action::"get", Action::"complete", Action::"discover"], resource);"#,
    ]);
    let mut gateway = Gateway::configured(&format!(
        "mcpServers:\n\
         \x20 charts: {{ command: {stub:?}, args: [stdio], trust: trusted, tools: {{ \"*\": {{ sink: read }} }} }}\n\
         \x20 letters: {{ command: {stub:?}, args: [raw, {folder:?}], trust: trusted, tools: {{ \"*\": {{ sink: write }} }} }}\n\
         approve: all\n\
         agents:\n\
         \x20 - {{ name: tester, secret: \"env:TESTER_SECRET\" }}\n\
         \x20 - {{ name: doctor, secret: \"env:TESTER_SECRET\" }}\n\
         policy: {{ packs: [baseline], rules: {rules} }}\n"
    ));
    gateway.run();
    gateway
}

fn client(gateway: &Gateway, agent: &str) -> Client {
    Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token_of(agent)))
}

fn send(client: &Client, to: &str) -> Answer {
    let answer = client.call("letters__send", &json!({"to": to}));
    answer.expect("an answer")
}

/// Everything `letters` can say, each with this text in it.
fn all_it_says(client: &Client, folder: &Path, text: &str) -> Vec<Answer> {
    let asked = [
        (
            "tools/call",
            Some("letters__send"),
            json!({"name": "letters__send", "arguments": {}}),
            json!({"content": [{"type": "text", "text": text}], "structuredContent": {text: text}}),
        ),
        (
            "resources/read",
            Some("letters://out"),
            json!({"uri": "letters://out"}),
            json!({"contents": [{"uri": "letters://out", "text": text}]}),
        ),
        (
            "prompts/get",
            Some("letters__ask"),
            json!({"name": "letters__ask"}),
            json!({"messages": [{"role": "user", "content": {"type": "text", "text": text}}]}),
        ),
        (
            "completion/complete",
            None,
            json!({"ref": {"type": "ref/prompt", "name": "letters__ask"}, "argument": {"name": "q", "value": "a"}}),
            json!({"completion": {"values": [text]}}),
        ),
    ];
    let each = asked
        .into_iter()
        .map(|(method, name, mut params, result): (_, _, Value, _)| {
            fs::write(folder.join(method.replace('/', "_")), result.to_string()).expect("a file");
            params["_meta"] = own_meta();
            client.request(method, name, params).expect("an answer")
        });
    each.collect()
}

/// What the list of resources says.
fn listed(client: &Client) -> String {
    let answer = client.request("resources/list", None, json!({"_meta": own_meta()}));
    answer.expect("an answer").body["result"]["resources"].to_string()
}

/// Regression: only the answer of the call that was told an original was searched for it. The next one of the same server
/// showed it to whoever knew the pseudonym, and so did its resources, prompts and completions.
// CONTROL: minimisation leaks
#[test]
fn what_a_server_was_told_comes_back_as_its_pseudonym_for_good() {
    let folder = Scratch::new();
    let mut gateway = house(folder.path());
    let tester = client(&gateway, "tester");
    let chart = tester.call("charts__echo", &json!({"text": format!("Mail: {MAIL}")}));
    let chart = chart.expect("an answer");
    let name = chart.text().strip_prefix("Mail: ").expect("a name").to_owned();
    assert!(name.contains("@pseudonym."), "{name}");

    // Before it was told, what it says is its own.
    for answer in all_it_says(&tester, folder.path(), &format!("queue: {MAIL}")) {
        assert!(answer.body.to_string().contains(MAIL), "{}", answer.body);
    }
    assert!(listed(&tester).contains(MAIL), "{}", listed(&tester));
    assert!(send(&tester, &name).is_good());
    let heard = fs::read_to_string(folder.path().join("heard")).expect("it was asked");
    assert!(heard.contains(MAIL), "the server is told: {heard}");

    for restarted in [false, true] {
        if restarted {
            gateway.stop();
            gateway.run();
        }
        let tester = client(&gateway, "tester");
        gateway.wait_for_servers();
        let list = listed(&tester);
        assert!(
            list.contains(&name) && !list.contains(MAIL),
            "{restarted}: {list}"
        );
        // Letters of other scripts, and characters that nobody sees, are the value to whoever reads it.
        for said in [
            MAIL,
            "Ann.Lee@Clinic.ORG",
            "ann.lee%40clinic.org",
            "\u{430}nn.l\u{435}e@clinic.org",
            "a\u{200b}\u{200b}nn.lee@cl\u{ad}inic.org",
            "\u{ff41}\u{ff4e}\u{ff4e}.lee\u{ff20}clinic.org",
        ] {
            for answer in all_it_says(&tester, folder.path(), &format!("queue: {said}, and more")) {
                let body = answer.body.to_string();
                assert!(body.contains(&name), "{restarted}: {body}");
                let readable = body.to_lowercase().contains(MAIL) || body.contains(said);
                assert!(!readable, "{restarted}: {body}");
            }
        }
        // As the gateway itself writes it into an address, and where the protocol says base64.
        let address = format!("no such page: /people/{}", MAIL.replace('@', "%40"));
        for answer in all_it_says(&tester, folder.path(), &address) {
            let body = answer.body.to_string();
            assert!(
                body.contains(&name) && !body.contains("clinic"),
                "{restarted}: {body}"
            );
        }
        let blob = STANDARD.encode(format!("queue: {MAIL}"));
        for (block, at) in [
            (
                json!({"type": "resource", "resource": {"uri": "letters://out", "blob": blob}}),
                "/result/content/0/resource/blob",
            ),
            (
                json!({"type": "image", "mimeType": "image/png", "data": blob}),
                "/result/content/0/data",
            ),
        ] {
            let result = json!({"content": [block]});
            fs::write(folder.path().join("tools_call"), result.to_string()).expect("a file");
            let answer = send(&tester, "nobody");
            let said = answer
                .body
                .pointer(at)
                .and_then(Value::as_str)
                .unwrap_or_default();
            let said = String::from_utf8(STANDARD.decode(said).expect("base64")).expect("a text");
            assert_eq!(said, format!("queue: {name}"), "{restarted}: {}", answer.body);
        }
        // Whoever was given no pseudonym reads what there is.
        let doctor = client(&gateway, "doctor");
        assert!(listed(&doctor).contains(MAIL), "{}", listed(&doctor));
        for answer in all_it_says(&doctor, folder.path(), &format!("queue: {MAIL}")) {
            assert!(answer.body.to_string().contains(MAIL), "{}", answer.body);
        }
    }

    // With the pseudonym ends what it hides.
    let erased = gateway.output(&["subject", "erase", MAIL, "--yes"]);
    assert!(erased.status.success(), "{erased:?}");
    for answer in all_it_says(
        &client(&gateway, "tester"),
        folder.path(),
        &format!("queue: {MAIL}"),
    ) {
        assert!(!answer.body.to_string().contains(&name), "{}", answer.body);
    }
}

/// Regression: what a server was told came back as it is in `blob` and `data`, which are base64 by the protocol.
// CONTROL: minimisation leaks
#[test]
fn what_a_server_was_told_is_no_secret_in_base64_either() {
    let folder = Scratch::new();
    let gateway = house(folder.path());
    let tester = client(&gateway, "tester");
    let chart = tester.call("charts__echo", &json!({"text": format!("Mail: {MAIL}")}));
    let chart = chart.expect("an answer");
    let name = chart.text().strip_prefix("Mail: ").expect("a name").to_owned();
    assert!(send(&tester, &name).is_good());

    let said = format!("queue: {MAIL}, >>>???");
    let padded = STANDARD.encode(&said);
    let bare = URL_SAFE_NO_PAD.encode(&said);
    assert!(padded != bare && !padded.contains(&bare), "two ways to write it");
    let (before, after) = padded.split_at(9);
    let broken = format!("{before}.\n{after}");
    let (before, after) = said.split_at(13);
    let pieces = STANDARD.encode(before) + &STANDARD.encode(after);
    for blob in [&padded, &bare, &broken, &pieces] {
        for answer in all_it_says_in(&tester, folder.path(), blob) {
            let found = blob_of(&answer.body["result"]).expect("a blob");
            let text = String::from_utf8(STANDARD.decode(found).expect("base64")).expect("a text");
            assert_eq!(text, said.replace(MAIL, &name), "{blob}");
        }
    }
    // What is no text goes as a whole: as a picture is what it is.
    let among = [b"\x89PNG\xff\x00 ".as_slice(), MAIL.as_bytes(), b" \xff"].concat();
    for (bytes, is_told) in [(among, true), (b"\x89PNG\xff\x00 x".to_vec(), false)] {
        let blob = STANDARD.encode(bytes);
        for answer in all_it_says_in(&tester, folder.path(), &blob) {
            let found = blob_of(&answer.body["result"]);
            assert_eq!(found, Some(if is_told { "" } else { &blob }), "{}", answer.body);
        }
    }
    // Of two bytes a letter, half of them are characters that show nothing.
    let wide: Vec<u8> = said.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for answer in all_it_says_in(&tester, folder.path(), &STANDARD.encode(wide)) {
        let found = blob_of(&answer.body["result"]).expect("a blob");
        let shown = String::from_utf8(STANDARD.decode(found).expect("base64")).expect("a text");
        assert!(!shown.replace('\0', "").contains("lee"), "{}", answer.body);
    }
}

/// What `letters` answers, with this in base64.
fn all_it_says_in(client: &Client, folder: &Path, blob: &str) -> Vec<Answer> {
    let image = json!({"content": [{"type": "image", "mimeType": "image/png", "data": blob}]});
    let file = json!({"content": [{"type": "resource", "resource": {"uri": "x://y", "blob": blob}}]});
    let mut answers = Vec::new();
    for result in [image, file] {
        fs::write(folder.join("tools_call"), result.to_string()).expect("a file");
        answers.push(send(client, "nobody"));
    }
    let read = json!({"contents": [{"uri": "letters://out", "blob": blob}]});
    fs::write(folder.join("resources_read"), read.to_string()).expect("a file");
    let params = json!({"uri": "letters://out", "_meta": own_meta()});
    answers.push(
        client
            .request("resources/read", Some("letters://out"), params)
            .expect("an answer"),
    );
    answers
}

/// What stands in base64, wherever that is.
fn blob_of(said: &Value) -> Option<&str> {
    let places = ["/content/0/data", "/content/0/resource/blob", "/contents/0/blob"];
    places.iter().find_map(|place| said.pointer(place)?.as_str())
}
