//! `connect --serve`: a host that speaks stdio gets a gateway, shares it with others, and leaves none behind.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::house::{GREETER, House};

const CONNECT: [&str; 4] = ["connect", "--serve", "--config", "sallyport.yaml"];

/// A host.
struct Host {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Host {
    fn start(house: &House, args: &[&str]) -> Self {
        let mut command = house.command(args);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self {
            child,
            input,
            output: BufReader::new(output),
        }
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.input, "{message}").unwrap();
    }

    fn ask(&mut self, id: u32, method: &str, params: Value) -> Value {
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        loop {
            let mut line = String::new();
            assert!(
                self.output.read_line(&mut line).unwrap() > 0,
                "the bridge ended before it answered {method}"
            );
            let answer: Value = serde_json::from_str(&line).unwrap();
            if answer["id"] == id {
                return answer["result"].clone();
            }
        }
    }

    fn shake_hands(&mut self) {
        let client = json!({ "name": "test", "version": "1" });
        let params = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client });
        assert_eq!(
            self.ask(1, "initialize", params)["serverInfo"]["name"],
            "sallyport"
        );
        self.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    }

    fn greet(&mut self, id: u32) -> String {
        let params = json!({ "name": "greeter__greet", "arguments": { "name": "Ada" } });
        let result = self.ask(id, "tools/call", params);
        result["content"][0]["text"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    fn end(mut self) {
        drop(self.input);
        assert!(self.child.wait().unwrap().success());
    }
}

fn imported() -> House {
    let house = House::new();
    house.put("shop/greeter.py", GREETER);
    let greeter =
        json!({ "command": "python3", "args": ["greeter.py"], "env": { "GREETER_API_KEY": "sk-12345678" } });
    house.put(
        "shop/mcp.json",
        &json!({ "mcpServers": { "greeter": greeter } }).to_string(),
    );
    house.says(&["import", "mcp.json", "--config", "sallyport.yaml"]);
    house
}

/// The processes that have this path in their command line or run in it.
fn processes(house: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let there = std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(house));
        if there && (line.contains("serve --while-used") || line.contains("greeter.py")) {
            found.push(line);
        }
    }
    found
}

fn gateways(house: &House) -> usize {
    processes(&house.home)
        .iter()
        .filter(|line| line.contains("--while-used"))
        .count()
}

fn all_gone(house: &House) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !processes(&house.home).is_empty() {
        assert!(
            Instant::now() < deadline,
            "left behind: {:?}",
            processes(&house.home)
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn what_was_imported_is_listed_and_called_and_nothing_is_left_behind() {
    let house = imported();
    let mut host = Host::start(&house, &CONNECT);
    host.shake_hands();
    let tools = host.ask(2, "tools/list", json!({}));
    let names: Vec<_> = tools["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].clone())
        .collect();
    assert_eq!(names, ["greeter__greet", "greeter__where"]);
    assert_eq!(host.greet(3), "Hello, Ada!");
    let told = host.ask(
        4,
        "tools/call",
        json!({ "name": "greeter__where", "arguments": {} }),
    );
    let told = told["content"][0]["text"].as_str().unwrap().to_owned();
    assert_eq!(
        told,
        format!("{} key 11", house.project().display()),
        "it runs where it belongs and has its secret"
    );
    host.end();
    all_gone(&house);
    house.says(&["ledger", "verify", "--config", "sallyport.yaml"]);
}

#[test]
fn hosts_that_start_at_once_share_one_gateway() {
    let house = imported();
    let mut hosts: Vec<_> = (0..4).map(|_| Host::start(&house, &CONNECT)).collect();
    for host in &mut hosts {
        host.shake_hands();
        assert_eq!(host.greet(2), "Hello, Ada!");
    }
    assert_eq!(gateways(&house), 1);
    let last = hosts.pop().unwrap();
    for mut host in hosts {
        // However a host ends.
        host.child.kill().unwrap();
        host.child.wait().unwrap();
    }
    std::thread::sleep(Duration::from_secs(4));
    let mut last = last;
    assert_eq!(last.greet(3), "Hello, Ada!");
    last.child.kill().unwrap();
    last.child.wait().unwrap();
    all_gone(&house);
}

#[test]
fn a_host_that_comes_as_the_gateway_ends_gets_another() {
    let house = imported();
    for _ in 0..3 {
        let mut host = Host::start(&house, &CONNECT);
        host.shake_hands();
        assert_eq!(host.greet(2), "Hello, Ada!");
        host.end();
        // About as long as a gateway lingers.
        std::thread::sleep(Duration::from_millis(3000));
    }
    all_gone(&house);
}

#[test]
fn a_server_imported_while_the_gateway_runs_is_there_at_once() {
    let house = imported();
    let mut host = Host::start(&house, &CONNECT);
    host.shake_hands();
    let again = json!({ "mcpServers": { "second": { "command": "python3", "args": ["-u", "greeter.py"] } } });
    house.put("shop/more.json", &again.to_string());
    let said = house.says(&["import", "more.json", "--config", "sallyport.yaml"]);
    assert!(said.contains("second: approved with 2 tools"), "{said}");
    let result = host.ask(
        2,
        "tools/call",
        json!({ "name": "second__greet", "arguments": { "name": "Bo" } }),
    );
    assert_eq!(result["content"][0]["text"], "Hello, Bo!");
    host.end();
    all_gone(&house);
}

#[test]
fn what_is_missing_is_said_before_anything_starts() {
    let house = House::new();
    assert!(
        house
            .fails(&["connect", "--serve"])
            .1
            .contains("there is no configuration")
    );
    assert_eq!(house.fails(&["connect"]).0, 2);
    house.put("shop/sallyport.yaml", "mcpServers: { a: {} }");
    let (code, complaint) = house.fails(&CONNECT);
    assert!(
        code == 2 && complaint.contains("neither `command` nor `url`"),
        "{complaint}"
    );
    house.put(
        "shop/sallyport.yaml",
        "agents: [ { name: a }, { name: b } ]\ndata: ./d\nlisten: 127.0.0.1:0\n",
    );
    assert!(house.fails(&CONNECT).1.contains("there are a, b"));
    let (code, complaint) = house.fails(&[
        "connect",
        "--serve",
        "--agent",
        "nobody",
        "--config",
        "sallyport.yaml",
    ]);
    assert!(
        code == 2 && complaint.contains("there is no agent `nobody`"),
        "{complaint}"
    );
    all_gone(&house);
}
