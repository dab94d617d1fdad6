//! Programs that ask to become agents, by their key: nobody lets himself in, and keys change by the key before.

use std::{
    fs::Permissions,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use e2e::{
    cluster::Cluster,
    gateway::{Gateway, program},
    peers,
};
use serde_json::{Value, json};

use crate::signatures::client;

struct World<'p> {
    peers: &'p Path,
    gateway: Gateway,
}

impl World<'_> {
    fn path(&self, name: &str) -> String {
        self.gateway.path(name).to_str().expect("a path").to_owned()
    }

    /// A request to be let in, by this key.
    fn wish(&self, kind: &str, name: &str) -> Value {
        json!({
            "url": format!("{}/agents/enroll", self.gateway.base()),
            "typ": "sallyport-enroll+jwt",
            "key": self.path(&format!("{kind}-key.pem")),
            "shows": self.path(&format!("{kind}-keys.json")),
            "claims": {"aud": self.gateway.base(), "name": name, "model": "vendor/large", "version": "1"},
        })
    }

    /// An agent's request for another key, signed by this one.
    fn rotation(&self, kind: &str, name: &str, next: &Value) -> Value {
        json!({
            "url": format!("{}/agents/rotate", self.gateway.base()),
            "typ": "sallyport-rotate+jwt",
            "key": self.path(&format!("{kind}-key.pem")),
            "header": {"kid": self.thumbprint(kind)},
            "claims": {"aud": self.gateway.base(), "sub": name},
            "next": next,
        })
    }

    fn post(&self, cases: &[Value]) -> Vec<Value> {
        let said = client(self.peers, &["post", &json!(cases).to_string()], &[]);
        said.as_array().expect("a list").clone()
    }

    /// The status of a request that is signed by this key.
    fn signed(&self, kind: &str) -> Value {
        let case = json!([{"fault": "none", "endpoint": format!("{}/mcp", self.gateway.base())}]);
        let (key, id) = (self.path(&format!("{kind}-key.pem")), self.thumbprint(kind));
        let parts = [("KIND", kind), ("KEY", key.as_str()), ("KEY_ID", id.as_str())];
        client(self.peers, &["send", &case.to_string()], &parts)[0].clone()
    }

    /// What the gateway calls the key: it says so when it is asked to take it in.
    fn thumbprint(&self, kind: &str) -> String {
        let path = self.path(&format!("{kind}-thumbprint"));
        std::fs::read_to_string(path).expect("a thumbprint")
    }

    fn does(&self, args: &[&str]) -> bool {
        self.gateway.output(args).status.success()
    }
}

fn world(peers: &Path) -> World<'_> {
    let mut gateway = Gateway::configured(&yaml(""));
    let here = gateway.path("");
    for kind in ["ed25519", "es256"] {
        client(peers, &["keys", here.to_str().expect("a path"), kind], &[]);
    }
    gateway.run();
    World { peers, gateway }
}

fn yaml(more: &str) -> String {
    let stub = program("e2e-stub");
    format!(
        "{more}mcpServers: {{ stub: {{ command: {stub:?}, args: [stdio] }} }}\napprove: all\nenrolment: on\n\
         agents: [ {{ name: billing, secret: \"env:TESTER_SECRET\" }} ]\n\
         policy: {{ packs: [baseline], rules: [ \"permit(principal in Role::\\\"bots\\\", action, resource);\" ] }}\n"
    )
}

/// Issue 4: asked, turned away or approved once, rotated by the key before, suspended, revoked; all of it on record.
#[test]
fn an_agent_comes_in_by_its_key_and_a_persons_word() {
    let Some(peers) = peers::directory() else { return };
    let mut world = world(&peers);
    let wishes = [world.wish("ed25519", "bot"), world.wish("es256", "other")];
    let asked = world.post(&wishes);
    for (kind, asked) in ["ed25519", "es256"].into_iter().zip(&asked) {
        assert_eq!(
            (&asked[0], &asked[1]["status"]),
            (&json!(202), &json!("waiting")),
            "{asked}"
        );
        let key = asked[1]["key"].as_str().expect("a thumbprint");
        std::fs::write(world.path(&format!("{kind}-thumbprint")), key).expect("written");
    }
    assert_eq!(world.signed("ed25519"), 401, "nobody lets himself in");
    let waiting = world.gateway.json(&["agent", "requests"]);
    assert_eq!(waiting.len(), 2, "{waiting:?}");
    let (own, other) = (world.thumbprint("ed25519"), world.thumbprint("es256"));
    let begins: String = own.chars().take(12).collect();
    let begins = begins.as_str();
    assert!(!world.does(&["agent", "approve", "bot"]), "names name nobody");
    assert!(world.does(&["agent", "deny", &other]));
    assert!(!world.does(&["agent", "approve", &other]), "it was turned away");
    assert!(world.does(&[
        "agent",
        "approve",
        begins,
        "--role",
        "bots",
        "--proof",
        "signature"
    ]));
    assert!(!world.does(&["agent", "approve", &own]), "once");
    let stands = world.post(&wishes);
    assert_eq!(
        stands[0],
        json!([200, {"status": "approved", "key": own, "agent": "bot"}])
    );
    assert_eq!(stands[1][0], 403, "{stands:?}");
    world.gateway.stop();
    world.gateway.run();
    assert_eq!(world.signed("ed25519"), 200, "it is kept");
    // By the key before, and with the key after.
    let next = world.wish("es256", "bot");
    let turned = world.post(&[
        world.rotation("es256", "bot", &next),
        world.rotation("ed25519", "bot", &world.wish("es256", "somebody")),
        world.rotation(
            "ed25519",
            "bot",
            &json!({"typ": "sallyport-enroll+jwt", "key": world.path("ed25519-key.pem"),
            "shows": world.path("es256-keys.json"), "claims": next["claims"]}),
        ),
        world.rotation("ed25519", "bot", &next),
        world.rotation("ed25519", "bot", &next),
    ]);
    let statuses: Vec<&Value> = turned.iter().map(|answer| &answer[0]).collect();
    assert_eq!(statuses, [400, 400, 400, 200, 400], "{turned:?}");
    assert_eq!(
        (world.signed("ed25519"), world.signed("es256")),
        (json!(401), json!(200))
    );
    assert!(world.does(&["agent", "suspend", "bot", "--why", "a test"]));
    assert_ne!(world.signed("es256"), 200);
    // Nor does it get another key meanwhile: whoever has this one may be why it was stopped.
    let turned = world.post(&[world.rotation("es256", "bot", &world.wish("ed25519", "bot"))]);
    assert_eq!(turned[0][1]["error"], "temporarily_unavailable", "{turned:?}");
    assert!(world.does(&["agent", "resume", "bot"]));
    assert_eq!(world.signed("ed25519"), 401);
    assert_eq!(world.signed("es256"), 200);
    assert!(world.does(&["agent", "revoke", "bot"]));
    assert_eq!(world.signed("es256"), 401);
    let entries = world.gateway.ledger();
    let told = |what: &str| entries.iter().filter(|entry| entry["action"] == what).count();
    let found = [
        "agent-asked",
        "agent-denied",
        "agent-enrolled",
        "agent-rotated",
        "agent-revoked",
    ]
    .map(told);
    assert_eq!(found, [2, 1, 1, 1, 1], "{entries:?}");
}

/// A request for the name of an agent that was revoked gets it only if a person says so, never that of one in the
/// configuration, and no key is that of two agents.
#[test]
fn a_request_takes_over_no_name_and_no_agents_key() {
    let Some(peers) = peers::directory() else { return };
    let world = world(&peers);
    for (kind, name) in [("ed25519", "gone"), ("es256", "billing")] {
        let asked = world.post(&[world.wish(kind, name)]);
        let key = asked[0][1]["key"].as_str().expect("a thumbprint");
        std::fs::write(world.path(&format!("{kind}-thumbprint")), key).expect("written");
    }
    let (gone, billing) = (world.thumbprint("ed25519"), world.thumbprint("es256"));
    let keys = world.path("ed25519-keys.json");
    assert!(world.does(&["agent", "add", "gone", "--keys", &keys]));
    assert!(
        !world.does(&["agent", "approve", &gone, "--name", "twin"]),
        "it has the key already"
    );
    assert!(world.does(&["agent", "revoke", "gone"]));
    assert!(!world.does(&["agent", "approve", &gone]), "nobody said the name");
    assert!(world.does(&["agent", "approve", &gone, "--name", "gone"]));
    assert!(!world.does(&["agent", "approve", &billing]), "there is one");
    assert!(world.does(&["agent", "revoke", "billing"]));
    for args in [
        &["agent", "approve", &billing, "--name", "billing"] as &[&str],
        &["agent", "add", "billing"],
    ] {
        assert!(
            !world.does(args),
            "with the next start its old secret would be good again"
        );
    }
    assert!(world.does(&["agent", "approve", &billing, "--name", "accounts"]));
}

/// What one replica is asked, another one decides; and suspends whom the first let in.
#[test]
fn a_request_at_one_replica_is_decided_at_another() {
    let (Some(peers), Some(cluster)) = (peers::directory(), Cluster::start()) else {
        return;
    };
    let state = format!("state: {:?}\n", cluster.database("enrol"));
    let root = [(
        "SALLYPORT_ROOT_KEY",
        "7f2ac91b5d08e4636ba1f0c2975e3d84a6b90e71c4f852d3196ca8e7b035fd42",
    )];
    let replica = || Gateway::configured(&yaml(&state)).with_variables(&root);
    let (mut one, mut two) = (replica(), replica());
    let here = one.path("");
    for kind in ["ed25519", "es256"] {
        client(&peers, &["keys", here.to_str().expect("a path"), kind], &[]);
    }
    one.run();
    two.run();
    let world = World {
        peers: &peers,
        gateway: one,
    };
    let until = |what: &str, is: &dyn Fn() -> bool| {
        for _ in 0..100 {
            if is() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("it never came: {what}");
    };
    let asked = world.post(&[world.wish("ed25519", "bot"), world.wish("es256", "other")]);
    for (kind, asked) in ["ed25519", "es256"].into_iter().zip(&asked) {
        let key = asked[1]["key"].as_str().expect("a thumbprint");
        std::fs::write(world.path(&format!("{kind}-thumbprint")), key).expect("written");
    }
    let (own, other) = (world.thumbprint("ed25519"), world.thumbprint("es256"));
    let at_two = |args: &[&str]| two.output(args).status.success();
    // At once: whoever decides looks at what there is.
    assert!(at_two(&["agent", "deny", &other]));
    assert!(at_two(&[
        "agent",
        "approve",
        &own,
        "--role",
        "bots",
        "--proof",
        "signature"
    ]));
    assert!(!world.does(&["agent", "approve", &own]), "once, wherever");
    assert!(!world.does(&["agent", "approve", &other]), "it was turned away");
    until("the agent is let in", &|| world.signed("ed25519") == 200);
    let waiting = |gateway: &Gateway| {
        let said = gateway.json(&["agent", "requests"]);
        let states = said.iter().map(|one| one["state"].clone());
        states.filter(|state| *state == json!("waiting")).count()
    };
    until("nobody waits", &|| {
        waiting(&world.gateway) == 0 && waiting(&two) == 0
    });
    assert!(at_two(&["agent", "suspend", "bot", "--why", "a test"]));
    until("it is suspended", &|| world.signed("ed25519") != 200);
}

/// Every fault of a request to be let in is refused, and nobody can ask for ever.
#[test]
fn what_is_wrong_with_a_request_is_refused() {
    let Some(peers) = peers::directory() else { return };
    let world = world(&peers);
    let good = || world.wish("ed25519", "bot");
    let with = |at: &str, value: Value| {
        let mut wish = good();
        *wish.pointer_mut(at).expect("a place") = value;
        wish
    };
    let claims = |name: &str, value: Value| {
        let mut wish = good();
        wish["claims"][name] = value;
        wish
    };
    let mut cases = vec![
        claims("aud", json!("https://other.example")),
        claims("name", json!("a name")),
        claims("exp", json!(1_700_000_000)),
        claims("jti", json!(7)),
        claims("model", json!("")),
        with("/typ", json!("JWT")),
        with("/shows", json!(world.path("es256-keys.json"))),
        with("/shows", Value::Null),
        json!({"url": good()["url"], "typ": good()["typ"], "key": good()["key"], "shows": good()["shows"],
            "claims": good()["claims"], "type": "application/json"}),
    ];
    let found = world.post(&cases);
    for (case, found) in cases.iter().zip(&found) {
        assert_eq!(found[0], 400, "{case}: {found}");
    }
    // The tenth of an address in a minute is the last.
    cases.truncate(2);
    let late = world.post(&cases);
    assert_eq!((&late[0][0], &late[1][0]), (&json!(400), &json!(503)), "{late:?}");
    let waiting = world.gateway.json(&["agent", "requests"]);
    assert!(waiting.is_empty(), "{waiting:?}");
    // Agents that change their keys have a pace of their own: strangers who ask are not in their way.
    std::fs::write(world.path("ed25519-thumbprint"), "x").expect("written");
    let turned = world.post(&[world.rotation("ed25519", "bot", &good())]);
    assert_eq!(turned[0][0], 401, "{turned:?}");
}

/// The agent's side of the binary: it makes the key, asks, waits, and changes the key by the one before.
#[test]
fn the_binary_enrols_an_agent_and_changes_its_key() {
    let Some(peers) = peers::directory() else { return };
    let world = world(&peers);
    let (base, key) = (world.gateway.base(), world.path("bot.pem"));
    let own = [base.as_str(), "--name", "bot", "--key", key.as_str()];
    let agent = |verb: &str, more: &[&str]| {
        let mut command = Command::new(program("sallyport"));
        command.args(["--json", "agent", verb]).args(own).args(more);
        command
    };
    let mut waiting = agent("enroll", &["--model", "vendor/large", "--wait", "60"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut said = BufReader::new(waiting.stdout.take().expect("an output")).lines();
    let mut next = || -> Value {
        let line = said.next().expect("a line").expect("text");
        serde_json::from_str(&line).expect("JSON")
    };
    let asked = next();
    assert_eq!(asked["status"], "waiting", "{asked}");
    let thumbprint = asked["key"].as_str().expect("a thumbprint").to_owned();
    let mode = std::fs::metadata(&key).expect("a key").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let once = agent("enroll", &["--wait", "0"]).output().expect("it runs");
    assert!(once.status.success(), "asked, and not decided: {once:?}");
    let approved = world
        .gateway
        .output(&["agent", "approve", &thumbprint, "--role", "bots"]);
    assert!(approved.status.success(), "{approved:?}");
    assert_eq!(
        next(),
        json!({"status": "approved", "key": thumbprint, "agent": "bot"})
    );
    assert!(waiting.wait().expect("it ends").success());
    // Another key, and then once more as after a run that did not hear the answer.
    let before = std::fs::read(&key).expect("a key");
    let rekeyed = agent("rekey", &[]).output().expect("it runs");
    assert!(rekeyed.status.success(), "{rekeyed:?}");
    let after = std::fs::read(&key).expect("a key");
    assert_ne!(before, after);
    let beside = format!("{key}.next");
    std::fs::rename(&key, &beside).expect("renamed");
    std::fs::write(&key, &before).expect("written");
    for file in [&key, &beside] {
        std::fs::set_permissions(file, Permissions::from_mode(0o600)).expect("a mode");
    }
    let resumed = agent("rekey", &[]).output().expect("it runs");
    assert!(resumed.status.success(), "{resumed:?}");
    assert_eq!(std::fs::read(&key).expect("a key"), after);
    let rotated = world.gateway.ledger();
    let rotated = rotated.iter().filter(|entry| entry["action"] == "agent-rotated");
    assert_eq!(rotated.count(), 1);
    // The key before is of no use any more; a file that others can read is not used; nothing goes out unprotected.
    std::fs::write(&key, &before).expect("written");
    let stale = agent("rekey", &[]).output().expect("it runs");
    assert_eq!(stale.status.code(), Some(3), "{stale:?}");
    std::fs::set_permissions(&key, Permissions::from_mode(0o644)).expect("a mode");
    let open = agent("rekey", &[]).output().expect("it runs");
    assert_eq!(open.status.code(), Some(2), "{open:?}");
    let far = Command::new(program("sallyport"))
        .args([
            "agent",
            "enroll",
            "http://gateway.example",
            "--name",
            "bot",
            "--key",
        ])
        .arg(world.path("far.pem"))
        .output()
        .expect("it runs");
    assert_eq!(far.status.code(), Some(2), "{far:?}");
}
