//! What auditors and other systems are given: reports whose signature and proofs hold, events in their forms, counts.

use std::{
    fs,
    io::Read,
    net::{TcpListener, UdpSocket},
    process::Command,
    time::{Duration, Instant},
};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use e2e::{
    gateway::{Gateway, program},
    mcp::Client,
};
use serde_json::{Value, json};

const MAIL: &str = "ann.lee@clinic.org";

fn configured(more: &str) -> Gateway {
    let stub = program("e2e-stub");
    Gateway::configured(&format!(
        "mcpServers:\n\
         \x20 charts: {{ command: {stub:?}, args: [stdio], trust: trusted, tools: {{ \"*\": {{ sink: read }} }} }}\n\
         \x20 mail: {{ command: {stub:?}, args: [stdio], trust: trusted, tools: {{ \"*\": {{ sink: egress }} }} }}\n\
         approve: all\n{more}\n\
         agents: [ {{ name: tester, secret: \"env:TESTER_SECRET\" }} ]\n\
         policy: {{ packs: [baseline], rules: {} }}\n",
        json!([
            r#"@redact("personal") permit(principal, action, resource in Server::"charts");"#,
            r#"permit(principal, action, resource == Tool::"mail__echo");"#
        ])
    ))
}

/// A gateway through which something went: a read that was redacted, a mail, a refusal.
fn house(more: &str) -> Gateway {
    let mut gateway = configured(more);
    gateway.run();
    gateway.wait_for_servers();
    traffic(&gateway);
    gateway
}

fn traffic(gateway: &Gateway) {
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let read = client.call("charts__echo", &json!({"text": format!("of {MAIL}")}));
    assert!(read.expect("an answer").is_good());
    let sent = client.call("mail__echo", &json!({"text": format!("to {MAIL}")}));
    assert!(sent.expect("an answer").is_good());
    let refused = client.call("mail__journal", &json!({"text": "no"}));
    assert!(!refused.expect("an answer").is_good());
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The statement in an envelope, after its Ed25519 signature was checked by nothing of ours.
fn statement(gateway: &Gateway, envelope: &Value) -> Value {
    let payload = BASE64
        .decode(envelope["payload"].as_str().expect("a payload"))
        .expect("base64");
    let kind = envelope["payloadType"].as_str().expect("a type");
    assert_eq!(kind, "application/vnd.in-toto+json");
    let mut signed = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    signed.extend_from_slice(&payload);
    let keys = gateway.json(&["keys", "public"]);
    let key = keys[0]["keys"][0].as_str().expect("a key");
    let key = BASE64
        .decode(key.splitn(3, '+').nth(2).expect("a key"))
        .expect("base64");
    let signature = envelope["signatures"][0]["sig"].as_str().expect("a signature");
    let signature = BASE64.decode(signature).expect("base64");
    // The first byte says that it is Ed25519.
    let holds = UnparsedPublicKey::new(&ED25519, &key[1..]).verify(&signed, &signature);
    assert!(holds.is_ok());
    serde_json::from_slice(&payload).expect("JSON")
}

fn control<'s>(statement: &'s Value, tag: &str) -> &'s Value {
    let controls = statement["predicate"]["controls"].as_array().expect("controls");
    let found = controls.iter().find(|control| control["tag"] == json!(tag));
    found.unwrap_or_else(|| panic!("no control {tag}"))
}

fn counted(control: &Value, what: &str) -> u64 {
    let measures = control["measures"].as_array().expect("measures");
    let found = measures.iter().find(|measure| measure["what"] == json!(what));
    found
        .and_then(|measure| measure["count"].as_u64())
        .unwrap_or_else(|| panic!("no {what}: {control}"))
}

// CONTROL: register
#[test]
fn a_report_says_what_there_is_and_is_not_and_anybody_can_check_it() {
    let gateway = house("");
    let envelope = gateway.json(&["report", "gdpr"]).remove(0);
    let said = statement(&gateway, &envelope);
    assert_eq!(said["_type"], json!("https://in-toto.io/Statement/v1"));
    let minimisation = control(&said, "minimisation");
    assert_eq!(minimisation["result"], json!("evidence"));
    assert_eq!(counted(minimisation, "calls in which personal data was found"), 2);
    // Nobody was erased, and so nothing is said for it.
    let erasure = control(&said, "erasure");
    assert_eq!(
        (&erasure["result"], &erasure["samples"]),
        (&json!("no evidence"), &json!([]))
    );
    assert!(!said.to_string().to_lowercase().contains("compliant"));
    let register = &said["predicate"]["register"][0];
    assert_eq!(
        (&register["calls"], &register["disclosures"]),
        (&json!(2), &json!(1)),
        "{register}"
    );
    assert_eq!(register["recipients"], json!(["charts", "mail"]));
    assert!(!said.to_string().contains(MAIL));
    // The verifier holds it against public keys alone; any change is seen.
    let keys = gateway.output(&["keys", "public"]);
    fs::write(gateway.path("keys.txt"), &keys.stdout).expect("a file");
    let check = |envelope: &Value| {
        fs::write(gateway.path("report.json"), envelope.to_string()).expect("a file");
        let mut verifier = Command::new(program("sallyport-verify"));
        verifier.arg("--json").arg("--keys").arg(gateway.path("keys.txt"));
        verifier.arg("report").arg(gateway.path("report.json"));
        let output = verifier.output().expect("the verifier starts");
        let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(output.status.success(), said["holds"] == json!(true), "{said}");
        said
    };
    let held = check(&envelope);
    assert_eq!(held["holds"], json!(true), "{held}");
    assert!(held["proofs"].as_u64() > Some(4), "{held}");
    let mut altered = envelope.clone();
    let better = said.to_string().replace("no evidence", "evidence");
    altered["payload"] = json!(BASE64.encode(better));
    let seen = check(&altered);
    assert_eq!(seen["holds"], json!(false), "{seen}");
    let mut unsigned = envelope;
    unsigned["signatures"] = json!([]);
    assert_eq!(check(&unsigned)["holds"], json!(false));
}

#[test]
fn every_report_is_made_and_its_page_needs_nothing_else() {
    let gateway = house("");
    for name in ["gdpr", "hipaa", "soc2", "iso27001", "eu-ai-act"] {
        let file = gateway.path(&format!("{name}.html"));
        let envelope = gateway
            .json(&["report", name, "--html", file.to_str().expect("a path")])
            .remove(0);
        let said = statement(&gateway, &envelope);
        for control in said["predicate"]["controls"].as_array().expect("controls") {
            let result = control["result"].as_str().expect("a result");
            assert!(["evidence", "no evidence"].contains(&result), "{control}");
            assert!(
                control["measures"].as_array().is_some_and(|all| !all.is_empty()),
                "{control}"
            );
        }
        let page = fs::read_to_string(&file).expect("a page");
        assert!(page.contains("<svg") && page.contains("@media print"), "{name}");
        for foreign in ["<script", "http://", "https://", " src=", "url("] {
            assert!(!page.contains(foreign), "{name}: {foreign}");
        }
    }
    // Nothing happened before there was anything.
    let before = gateway
        .json(&["report", "gdpr", "--until", "2020-01-01"])
        .remove(0);
    let said = statement(&gateway, &before);
    for control in said["predicate"]["controls"].as_array().expect("controls") {
        assert_eq!(control["result"], json!("no evidence"));
    }
    let unknown = gateway.output(&["report", "pci"]);
    assert_eq!(unknown.status.code(), Some(2));
    let malformed = gateway.output(&["report", "gdpr", "--since", "yesterday"]);
    assert_eq!(malformed.status.code(), Some(2));
}

#[test]
fn events_go_out_in_every_form_and_wait_for_who_is_away() {
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    udp.set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a time");
    let to = udp.local_addr().expect("an address");
    // A receiver that is away: its port is known, and nobody is there yet.
    let away = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = away.local_addr().expect("an address");
    drop(away);
    let mut gateway = house(&format!(
        "events:\n\
         \x20 - {{ to: \"file:events.jsonl\", format: ocsf }}\n\
         \x20 - {{ to: \"syslog://{to}\", format: cef }}\n\
         \x20 - {{ to: \"syslog+tcp://{address}\", format: cef }}\n\
         \x20 - {{ to: \"http://{address}/v1/logs\", format: otlp }}"
    ));
    let mut datagram = [0; 65_536];
    until("a message of syslog", || {
        let length = udp.recv(&mut datagram).expect("a datagram");
        let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
        assert!(
            text.starts_with("<109>1 ") && text.contains("CEF:0|Sallyport|"),
            "{text}"
        );
        text.contains("cs2=journal") && text.contains("act=refuse")
    });
    let file = gateway.path("events.jsonl");
    let events = || -> Vec<Value> {
        let text = fs::read_to_string(&file).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    };
    until("the refusal in the file", || {
        events()
            .iter()
            .any(|event| event["status_id"] == json!(2) && event["class_uid"] == json!(6003))
    });
    assert!(
        events()
            .iter()
            .any(|event| event["class_uid"] == json!(6003) && event["activity_name"] == json!("Read"))
    );
    assert!(!fs::read_to_string(&file).expect("a file").contains(MAIL));
    // Who was away gets everything once it is there, and the calls never noticed.
    gateway.stop();
    let here = TcpListener::bind(address).expect("the port");
    gateway.run();
    gateway.wait_for_servers();
    let (send, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in here.incoming().take(2).flatten() {
            let send = send.clone();
            std::thread::spawn(move || listen(stream, &send));
        }
    });
    let mut all = String::new();
    until("both receivers", || {
        all += &heard.recv_timeout(Duration::from_secs(30)).unwrap_or_default();
        all.contains("cs2=journal") && all.contains("\"resourceLogs\"") && all.contains("\"journal\"")
    });
    // What was told once is not told again from its beginning.
    let before = events().len();
    traffic(&gateway);
    until("more in the file", || events().len() > before);
    // Read once: more come meanwhile.
    let told = events();
    let classes: std::collections::BTreeSet<String> = told
        .iter()
        .map(|event| format!("{} {}", event["class_uid"], event["metadata"]["uid"]))
        .collect();
    assert_eq!(told.len(), classes.len(), "no event came twice");
}

/// Reads what comes, and answers as a server over HTTP does; whoever speaks syslog does not mind.
fn listen(mut stream: std::net::TcpStream, send: &std::sync::mpsc::Sender<String>) {
    use std::io::Write;
    let mut buffer = [0; 65_536];
    let mut pending = String::new();
    while let Ok(length) = stream.read(&mut buffer) {
        if length == 0 {
            return;
        }
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        pending += &text;
        let _ = send.send(text);
        if let Some((head, rest)) = pending.split_once("\r\n\r\n") {
            let length = head.to_lowercase();
            let length = length
                .split("content-length: ")
                .nth(1)
                .and_then(|rest| rest.lines().next()?.parse().ok());
            if length.is_some_and(|length: usize| rest.len() >= length) {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
                pending.clear();
            }
        }
    }
}

#[test]
fn calls_wait_for_a_strict_receiver_that_fell_behind() {
    let away = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = away.local_addr().expect("an address");
    drop(away);
    let gateway = house(&format!(
        "events: [ {{ to: \"syslog+tcp://{address}\", format: cef, strict: true }} ]"
    ));
    let client = Client::new(format!("{}/mcp", gateway.base()), Some(gateway.token()));
    let call = || {
        client
            .call("charts__echo", &json!({"text": "x"}))
            .expect("an answer")
    };
    // Refusals are entries, too, and cost less than calls.
    for _ in 0..1_050 {
        let refused = client.call("mail__journal", &json!({"text": "no"}));
        assert!(!refused.expect("an answer").is_good());
    }
    until("calls are refused", || !call().is_good());
    // Once everything was told, they go on.
    let here = TcpListener::bind(address).expect("the port");
    std::thread::spawn(move || {
        for mut stream in here.incoming().flatten() {
            std::thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink()));
        }
    });
    until("calls go on", || call().is_good());
}

#[test]
fn a_strict_receiver_that_cannot_be_told_does_not_stop_the_start_and_wrong_places_do() {
    for (to, more) in [
        ("http://logs.example/x", ""),
        ("ftp://x/y", ""),
        ("syslog://nowhere", ""),
        ("file:", ""),
        ("https://name:word@logs.example/x", ""),
        ("file:x", ", format: xml"),
        ("file:x", ", format: otlp"),
    ] {
        let gateway = configured(&format!("events: [ {{ to: \"{to}\"{more} }} ]"));
        let refused = gateway.output(&["serve"]);
        assert_eq!(refused.status.code(), Some(2), "{to}{more}");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains("events[0]."), "{said}");
    }
}

#[test]
fn what_is_counted_is_for_this_machine_and_holds_no_names_from_outside() {
    let gateway = house("");
    let read = |gateway: &Gateway| -> (u16, String) {
        let mut answer = ureq::get(format!("{}/metrics", gateway.base()))
            .config()
            .http_status_as_error(false)
            .build()
            .call()
            .expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.body_mut().read_to_string().expect("a text"))
    };
    let (status, text) = read(&gateway);
    assert_eq!(status, 200);
    assert!(text.ends_with("# EOF\n"), "{text}");
    let line = "sallyport_calls_total{method=\"tools/call\",decision=\"refuse\",stage=\"authorize\",server=\"mail\"} 1";
    assert!(text.contains(line), "{text}");
    for name in [
        "sallyport_ledger_written ",
        "sallyport_ledger_durable_seconds_count ",
        "sallyport_sessions ",
    ] {
        assert!(text.contains(name), "{name}: {text}");
    }
    for outside in [MAIL, "tester", "journal"] {
        assert!(!text.contains(outside), "{outside}");
    }
    let mut closed = configured("metrics: off");
    closed.run();
    assert_eq!(read(&closed).0, 404);
}
