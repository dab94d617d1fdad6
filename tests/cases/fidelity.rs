//! What no policy touches arrives as it was sent, byte for byte, in both directions: numbers as they were written,
//! order, and of what servers say members nobody knows (what a client says beside the protocol is refused: `beside.rs`). What is judged is written anew (docs/decisions/0002), so three things are settled: escapes
//! are the usual ones, an item's `name` comes first, and `_meta` comes last.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use e2e::{
    gateway::{Gateway, OPEN_TO_TESTER, program},
    peers::Served,
    raw::Raw,
    wires::{Http, initialize},
};

const INITIALIZE: &str = r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{},"prompts":{},"resources":{}},"serverInfo":{"name":"raw","version":"1"}}"#;

const DISCOVER: &str = r#"{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{},"prompts":{},"resources":{}},"serverInfo":{"name":"raw","version":"1"},"ttlMs":0,"cacheScope":"private"}"#;

/// A tool as a server of tomorrow may describe it.
const TOOL: &str = r#"{"name":"probe","vendor":{"z":1.0,"a":[1e2,50.0]},"title":"A pr\u006fbe","description":"Takes anything\/all.","inputSchema":{"type":"object","x-vendor":12345678901234567890,"$defs":{"n":{"$anchor":"n","type":"number"}}},"annotations":{"readOnlyHint":true,"robotHint":null},"icons":[{"src":"data:image/png;base64,AAAA","sizes":["any"],"theme":"dark","x":0.10}],"execution":{"taskSupport":"forbidden","later":[]},"_meta":{"com.example/x":-0.0}}"#;

const PROMPT: &str = r#"{"name":"ask","later":1.0,"arguments":[{"required":false,"name":"who","kind":"person"}],"title":"\u0041sk"}"#;
const RESOURCE: &str = r#"{"later":[1e2],"uri":"test:\/\/one","name":"one","annotations":{"audience":["user","robot"],"priority":0.50},"size":50.0}"#;

/// Arguments of calls.
const ARGUMENTS: &[&str] = &[
    r"{}",
    r#"{"n":1e2,"f":50.0,"exp":1E+5,"big":12345678901234567890,"small":-0.0,"long":0.1000000000000000055511151231257827}"#,
    r#"{"safe":9007199254740993,"most":18446744073709551616,"least":-9223372036854775809}"#,
    r#"{"text":"\u0041A\/\/\"\\\b\f\n\r\té\u00e9\ud83d\ude00😀","\u006bey":"k"}"#,
    r#"{"z":1,"a":{"y":[null,true,false,{},[]],"b":""},"":0,"_":"_"}"#,
    r#"{"__proto__":{"x":1},"constructor":"c","toString":null}"#,
];

/// Results of calls.
const RESULTS: &[&str] = &[
    r#"{"content":[]}"#,
    r#"{"structuredContent":{"z":2.50,"a":1e2,"big":12345678901234567890},"zeta":0,"content":[{"text":"one","type":"text"}],"isError":false}"#,
    r#"{"content":[{"type":"text","text":"\u0041A\/\"\\é\u00e9\ud83d\ude00😀\tend","annotations":{"priority":0.10,"audience":["user","robot"],"lastModified":"2025","x":null},"vendor":{"n":-0.0}}]}"#,
    r#"{"content":[{"type":"image","data":"AAAA","mimeType":"image\/png","width":50.0},{"type":"audio","data":"AAAA","mimeType":"audio/wav","later":[]}]}"#,
    r#"{"content":[{"type":"resource_link","uri":"test://one","name":"one","size":1e2,"icons":[],"later":{}},{"type":"resource","resource":{"uri":"test://one","text":"x","annotations":{"x":1},"later":1.0}}]}"#,
    r#"{"content":[{"type":"hologram","depth":3.0}],"_meta":{"com.example/x":{"n":1.0},"vendor":[]}}"#,
    r#"{"content":[{"type":"text","text":"no"}],"isError":true,"later":{"code":1e0}}"#,
];

const CONTENTS: &str = r#"{"later":1.0,"contents":[{"annotations":{"priority":0.10},"uri":"test:\/\/one","mimeType":"text\/plain","text":"\u0041 text","etag":"\u0041","size":5e0}]}"#;
const MESSAGES: &str = r#"{"messages":[{"role":"user","content":{"type":"text","text":"\u0041sked","later":1.0},"later":[]}],"description":"\u0041","x":50.0}"#;

/// A server that answers what lies in a folder, behind a gateway, and a client of the same era.
struct House {
    _gateway: Gateway,
    _server: Option<Served>,
    raw: Raw,
    client: Http,
    era: Era,
}

#[derive(Clone, Copy, PartialEq)]
enum Era {
    Legacy,
    Modern,
}

/// What the modern era wants in `_meta`.
const META: &str = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}"#;

impl House {
    fn new(era: Era, open: &str) -> Self {
        let raw = Raw::default();
        let complete = |result: &str| match era {
            Era::Legacy => result.to_owned(),
            Era::Modern => result.replacen('{', r#"{"resultType":"complete","#, 1),
        };
        for (name, text) in [
            ("tools/list", format!(r#"{{"tools":[{TOOL}]}}"#)),
            ("prompts/list", format!(r#"{{"prompts":[{PROMPT}]}}"#)),
            ("resources/list", format!(r#"{{"resources":[{RESOURCE}]}}"#)),
            ("resources/read", CONTENTS.to_owned()),
            ("prompts/get", MESSAGES.to_owned()),
            ("tools/call", RESULTS[0].to_owned()),
        ] {
            raw.answers_in_bytes(name, &complete(&text));
        }
        let (server, reach) = match era {
            Era::Legacy => {
                raw.answers_in_bytes("initialize", INITIALIZE);
                (None, raw.command())
            }
            Era::Modern => {
                raw.answers_in_bytes("server/discover", &complete(DISCOVER));
                let (server, reach) = raw.served();
                (Some(server), reach)
            }
        };
        let gateway = Gateway::start(&format!("mcpServers: {{ raw: {{ {reach} }} }}\n{open}"));
        let url = format!("{}/mcp/raw", gateway.base());
        let mut client = Http::new(&url, &gateway.token_at("tester", "/mcp/raw"));
        if era == Era::Legacy {
            client.open("2025-11-25");
        }
        Self {
            _gateway: gateway,
            _server: server,
            raw,
            client,
            era,
        }
    }

    /// The body of the answer to a request; `named` is what the modern era mirrors in a header.
    fn ask(&self, method: &str, named: &str, params: &str) -> String {
        let mut client = self.client.clone();
        let mut params = params.to_owned();
        if self.era == Era::Modern {
            let own = format!(r#""_meta":{{{META}"#);
            params = match params.split_once(r#""_meta":{"#) {
                Some((start, rest)) => format!("{start}{own},{rest}"),
                None if params == "{}" => format!("{{{own}}}}}"),
                None => params.replacen('{', &format!("{{{own}}},"), 1),
            };
            for (name, value) in [
                ("MCP-Protocol-Version", "2026-07-28"),
                ("Mcp-Method", method),
                ("Mcp-Name", named),
            ] {
                if !value.is_empty() {
                    client.headers.push((name.to_owned(), value.to_owned()));
                }
            }
        }
        let text = format!(r#"{{"jsonrpc":"2.0","id":"\u0061sk","method":"{method}","params":{params}}}"#);
        let answer = client.post_bytes(text.as_bytes());
        assert_eq!(answer.status, 200, "{text}: {answer:?}");
        answer.text
    }

    /// Calls the tool, which answers this; checks that both arrive.
    fn call(&self, members: &str, result: &str) {
        let result = match self.era {
            Era::Legacy => result.to_owned(),
            Era::Modern => result
                .replacen('{', r#"{"resultType":"complete","#, 1)
                .replace(",}", "}"),
        };
        self.raw.answers_in_bytes("tools/call", &result);
        let params =
            format!(r#"{{{members},"name":"probe","_meta":{{"com.example/x":{{"n":1.0}},"y":"\u0041"}}}}"#);
        let answer = self.ask("tools/call", "probe", &params);
        let part = format!("\"result\":{}}}", usual(&result));
        assert!(answer.contains(&part), "{part}\nis not in\n{answer}");
        let heard = self.heard("tools/call");
        let sent = usual(&format!(
            r#""params":{{"name":"probe",{members},"_meta":{{"com.example/x":{{"n":1.0}},"y":"A""#
        ));
        assert!(heard.contains(&sent), "{sent}\nis not in\n{heard}");
    }

    /// The last line the server heard of a method.
    fn heard(&self, method: &str) -> String {
        let heard = self.raw.heard();
        let method = format!("\"method\":\"{method}\"");
        let line = heard.lines().rfind(|line| line.contains(&method));
        line.expect("it was asked").to_owned()
    }
}

/// The same JSON with the escapes of its texts as nearly everybody writes them, and without blanks between them.
fn usual(text: &str) -> String {
    let mut rest = text;
    let mut out = String::new();
    while let Some(start) = rest.find('"') {
        let (before, string) = rest.split_at(start);
        let mut escaped = false;
        let end = string.char_indices().skip(1).find(|(_, letter)| {
            let ends = *letter == '"' && !escaped;
            escaped = *letter == '\\' && !escaped;
            ends
        });
        let end = end.expect("its end").0 + 1;
        let (string, after) = string.split_at(end);
        let read: String = serde_json::from_str(string).expect("a text");
        out.push_str(&before.replace(char::is_whitespace, ""));
        out.push_str(&serde_json::to_string(&read).expect("JSON"));
        rest = after;
    }
    out + &rest.replace(char::is_whitespace, "")
}

#[test]
fn what_no_policy_touches_arrives_byte_for_byte() {
    for era in [Era::Legacy, Era::Modern] {
        let house = House::new(era, OPEN_TO_TESTER);
        for arguments in ARGUMENTS {
            house.call(&format!("\"arguments\":{arguments}"), RESULTS[0]);
        }
        for result in RESULTS {
            house.call(r#""arguments":{}"#, result);
        }
        // None said to be none.
        house.call(r#""arguments":null"#, RESULTS[0]);
        let reading = r#"{"uri":"test://one"}"#;
        let asking = r#"{"name":"ask","arguments":{"who":"\u0041da"}}"#;
        for (method, named, params, result) in [
            ("resources/read", "test://one", reading, CONTENTS),
            ("prompts/get", "ask", asking, MESSAGES),
        ] {
            let answer = house.ask(method, named, params);
            let part = usual(result);
            let part = part.trim_matches(['{', '}']);
            assert!(answer.contains(part), "{part}\nis not in\n{answer}");
        }
        assert!(house.heard("prompts/get").contains(r#""who":"Ada""#));
    }
}

#[test]
fn what_servers_offer_is_listed_byte_for_byte() {
    for era in [Era::Legacy, Era::Modern] {
        let house = House::new(era, OPEN_TO_TESTER);
        for (method, part) in [
            ("tools/list", TOOL),
            ("prompts/list", PROMPT),
            ("resources/list", RESOURCE),
        ] {
            let answer = house.ask(method, "", "{}");
            let part = usual(part);
            assert!(answer.contains(&part), "{part}\nis not in\n{answer}");
        }
    }
}

/// What a server asks of a client and says to it, and what the client answers.
#[test]
fn questions_notices_and_answers_arrive_byte_for_byte() {
    const PARAMS: &str = r#"{"message":"\u0041 name\/please","mode":"form","requestedSchema":{"type":"object","properties":{"n":{"type":"number","default":1e2,"x-later":50.0}},"later":{}},"later":[12345678901234567890]}"#;
    const ANSWER: &str = r#"{"action":"accept","content":{"n":1e2,"text":"\u0041\/é"},"later":-0.0}"#;
    const NOTICE: &str = r#"{"level":"info","data":{"z":1.0,"a":"\u0041"},"logger":"raw","later":1e2}"#;
    let raw = Raw::default();
    let opening = INITIALIZE.replace(r#""prompts":{},"resources":{}"#, r#""logging":{}"#);
    raw.answers_in_bytes("initialize", &opening);
    raw.answers_in_bytes("tools/list", &format!(r#"{{"tools":[{TOOL}]}}"#));
    raw.answers_in_bytes("tools/call", RESULTS[0]);
    let notice = format!(r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{NOTICE}}}"#);
    let question = format!(r#"{{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{PARAMS}}}"#);
    raw.asks(&format!("{notice}\n{question}"));
    let mut child = Command::new("timeout")
        .arg("60")
        .arg(program("sallyport"))
        .args(["wrap", "--name", "raw", "--data"])
        .arg(raw.path().join("wrapped"))
        .arg("--")
        .arg(program("e2e-stub"))
        .arg("raw")
        .arg(raw.path())
        .env("HOME", "/nonexistent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = child.stdin.take().expect("an input");
    let mut lines = BufReader::new(child.stdout.take().expect("an output")).lines();
    let mut say = |text: &str| writeln!(input, "{text}").expect("it is sent");
    let mut hear = |part: &str| {
        let line = lines.find_map(|line| line.ok().filter(|line| line.contains(part)));
        line.unwrap_or_else(|| panic!("{part} does not come"))
    };
    let opening = initialize("2025-11-25").to_string();
    say(&opening.replace("\"capabilities\":{}", "\"capabilities\":{\"elicitation\":{}}"));
    hear("protocolVersion");
    say(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    say(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"probe","arguments":{}}}"#);
    let heard = hear("notifications/message");
    assert!(heard.contains(&usual(NOTICE)), "{heard}");
    let heard = hear("elicitation/create");
    assert!(
        heard.contains(&usual(PARAMS)),
        "{}\nis not in\n{heard}",
        usual(PARAMS)
    );
    let asked: serde_json::Value = serde_json::from_str(&heard).expect("JSON");
    say(&format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":{ANSWER}}}"#,
        asked["id"]
    ));
    hear("\"content\":[]");
    let heard = raw.heard();
    assert!(
        heard.contains(&format!("\"result\":{}", usual(ANSWER))),
        "{heard}"
    );
    let _ = child.kill();
    let _ = child.wait();
}

/// `SPEC_EXAMPLES` names `schema/2026-07-28/examples` of a checkout of the specification; its files are not ours to
/// keep. Each is sent and answered as it lies there, whatever it is an example of.
#[test]
#[ignore = "needs SPEC_EXAMPLES"]
fn the_examples_of_the_specification_arrive_byte_for_byte() {
    let folder = std::env::var("SPEC_EXAMPLES").expect("SPEC_EXAMPLES");
    let kinds = std::fs::read_dir(folder).expect("a folder").flatten();
    let files = kinds.flat_map(|kind| std::fs::read_dir(kind.path()).expect("a folder").flatten());
    let examples: Vec<_> = files
        .map(|file| std::fs::read_to_string(file.path()).expect("an example"))
        .collect();
    assert!(examples.len() > 100, "{} examples", examples.len());
    // Some of them talk of payments and credentials, which policy does touch.
    let open = OPEN_TO_TESTER.replace("[baseline]", "[]");
    for era in [Era::Legacy, Era::Modern] {
        let house = House::new(era, &open);
        for example in &examples {
            let members = format!("\"arguments\":{{\"example\":{example}}}");
            house.call(
                &members,
                &format!("{{\"content\":[],\"structuredContent\":{example}}}"),
            );
        }
    }
}
