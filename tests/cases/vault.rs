//! A root key that never leaves a Vault: OpenBao, a real one, with the transit engine that HashiCorp Vault and it have in
//! common. While it lets us all works; while it is sealed or forbids nothing starts, and the words say why.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use e2e::{
    gateway::Scratch,
    papers::{Authority, For},
    peers,
};
use serde_json::Value;

use super::root_keys::{call, done, has, house, lasting, name_root_key, refuses, ring, verifies};

/// What the gateway's token may do; what it asks of keys and engines that are not there is let through to them.
const POLICY: &str = r#"
path "transit/encrypt/*" { capabilities = ["update"] }
path "transit/decrypt/*" { capabilities = ["update"] }
path "kv/decrypt/*" { capabilities = ["update"] }
"#;

/// It may wrap, and not unwrap.
const NARROW: &str = r#"path "transit/encrypt/*" { capabilities = ["update"] }"#;

/// Where the engine is.
const NAMESPACE: &str = "-namespace=team/one";

/// An OpenBao that keeps everything in memory.
struct OpenBao {
    process: Child,
    program: PathBuf,
    address: String,
    authority: PathBuf,
    root: String,
    unseal: String,
}

impl OpenBao {
    fn start(scratch: &Scratch, authority: &Authority) -> Option<Self> {
        let program = peers::directory()?.join("bao/bin/bao");
        if !has(&program.display().to_string()) {
            return None;
        }
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let place = free.expect("a port");
        let config = scratch.path().join("bao.hcl");
        let (certificate, key) = (authority.path("vault.pem"), authority.path("vault.key"));
        let said = format!(
            "storage \"inmem\" {{}}\napi_addr = \"https://{place}\"\n\
             listener \"tcp\" {{\n address = \"{place}\"\n tls_cert_file = {certificate:?}\n \
             tls_key_file = {key:?}\n tls_min_version = \"tls13\"\n}}\n"
        );
        fs::write(&config, said).expect("a file");
        let process = Command::new(&program)
            .arg("server")
            .arg("-config")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut bao = Self {
            process,
            program,
            address: format!("https://{place}"),
            authority: authority.certificate(),
            root: String::new(),
            unseal: String::new(),
        };
        bao.begin();
        Some(bao)
    }

    /// Makes its keys, opens it, and sets up the engine as the documentation says.
    fn begin(&mut self) {
        let init = [
            "operator",
            "init",
            "-key-shares=1",
            "-key-threshold=1",
            "-format=json",
        ];
        let mut said = self.asked(&init);
        for _ in 0..200 {
            if said.status.success() {
                break;
            }
            thread::sleep(Duration::from_millis(100));
            said = self.asked(&init);
        }
        let said: Value = serde_json::from_slice(&said.stdout).expect("OpenBao begins");
        self.root = said["root_token"].as_str().expect("a token").to_owned();
        self.unseal = said["unseal_keys_b64"][0].as_str().expect("a key").to_owned();
        self.open();
        self.tell(&["namespace", "create", "team"]);
        self.tell(&["namespace", "create", "-namespace=team", "one"]);
        self.tell(&["secrets", "enable", NAMESPACE, "transit"]);
        self.tell(&["write", NAMESPACE, "-f", "transit/keys/root"]);
        self.allow(POLICY);
    }

    fn asked(&self, args: &[&str]) -> Output {
        Command::new(&self.program)
            .args(args)
            .env("BAO_ADDR", &self.address)
            .env("BAO_CACERT", &self.authority)
            .env("BAO_TOKEN", &self.root)
            .output()
            .expect("it starts")
    }

    fn tell(&self, args: &[&str]) -> String {
        let output = self.asked(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn open(&self) {
        self.tell(&["operator", "unseal", &self.unseal]);
    }

    fn allow(&self, policy: &str) {
        let file = self.authority.with_file_name("policy.hcl");
        fs::write(&file, policy).expect("a file");
        let file = file.display().to_string();
        self.tell(&["policy", "write", NAMESPACE, "sallyport", &file]);
    }

    /// A token that may do what the policy says.
    fn token(&self) -> String {
        self.tell(&["token", "create", NAMESPACE, "-policy=sallyport", "-field=token"])
    }
}

impl Drop for OpenBao {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_vault_wraps_the_key_and_while_it_is_sealed_nothing_starts() {
    let scratch = Scratch::new();
    let authority = Authority::new(scratch.path().join("ca"));
    authority.issue("vault", For::Server);
    let Some(bao) = OpenBao::start(&scratch, &authority) else {
        return;
    };
    let root_key = format!(
        "root_key: {{ vault: {{ address: \"{}\", token: \"env:VAULT_TOKEN\", key: root, namespace: team/one, \
         authority: {:?} }} }}",
        bao.address,
        authority.certificate()
    );
    let mut gateway = house("", &[("VAULT_TOKEN", lasting(bao.token()))]);
    gateway.run();
    call(&gateway);
    name_root_key(&gateway, &root_key);
    done(&gateway, &["keys", "rotate", "--use", "root"]);
    assert!(ring(&gateway).contains("\"by\":\"vault:https"));
    // The Vault's own key is rotated, the ring's is wrapped anew, and the old version opens nothing any more.
    bao.tell(&["write", NAMESPACE, "-f", "transit/keys/root/rotate"]);
    done(&gateway, &["keys", "rotate", "--use", "root"]);
    bao.tell(&[
        "write",
        NAMESPACE,
        "transit/keys/root/config",
        "min_decryption_version=2",
    ]);
    bao.tell(&["operator", "seal"]);
    // What runs goes on, with what it holds.
    call(&gateway);
    done(&gateway, &["keys", "rotate", "--use", "wrap"]);
    gateway.stop();
    refuses(
        &gateway,
        &["it is sealed or in maintenance", "vault operator unseal"],
    );
    bao.open();
    bao.allow(NARROW);
    refuses(
        &gateway,
        &["does not let this token use `transit/decrypt/root`", "`update`"],
    );
    bao.allow(POLICY);
    gateway.run();
    call(&gateway);
    verifies(&gateway);
    gateway.stop();
    for (from, to, words) in [
        (
            "key: root",
            "key: other",
            ["cannot decrypt with the key `other`", "vault write -f"],
        ),
        (
            "key: root",
            "mount: kv, key: root",
            ["no transit engine at `kv`", "vault secrets enable"],
        ),
        (
            "env:VAULT_TOKEN",
            "env:NONE",
            ["`NONE` is not set", "export NONE"],
        ),
        (
            "ca.pem",
            "vault.pem",
            ["no connection to", "root_key.vault.address"],
        ),
    ] {
        name_root_key(&gateway, &root_key.replace(from, to));
        refuses(&gateway, &words);
    }
    // Gone altogether.
    name_root_key(&gateway, &root_key);
    drop(bao);
    refuses(&gateway, &["no connection to", "start it"]);
}
