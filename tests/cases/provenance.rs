//! Who made a package is proven before it is kept: attestations of npm and PyPI, signed bundles of MCPB, and bundles that
//! would do more than be unpacked.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use e2e::{
    gateway::Gateway,
    peers,
    registry::{Npm, SERVER, wheel},
};
use serde_json::{Value, json};

use crate::supply::{about, approve, asking, given};

const IDENTITY: &str = "https://github.com/acme/hello/.github/workflows/release.yml@refs/heads/main";
const OURS: &str = "https://github.com/acme/hello/*";
const ISSUER: &str = "https://issuer.example";

/// An authority of our own, and somebody it vouches for.
struct Authority(PathBuf);

impl Authority {
    /// With a key as `openssl req -newkey` takes it.
    fn new(folder: PathBuf, key: &str, usage: &str) -> Self {
        fs::create_dir_all(&folder).expect("a folder");
        let own = Self(folder);
        let extensions = format!(
            "extendedKeyUsage={usage}\nsubjectAltName=URI:{IDENTITY}\n\
             1.3.6.1.4.1.57264.1.8=ASN1:UTF8String:{ISSUER}\n"
        );
        fs::write(own.0.join("ext"), extensions).expect("a file");
        let key = format!("-newkey {key} -nodes");
        own.openssl(&format!(
            "req -x509 {key} -keyout ca.key -out ca.pem -days 30 -subj /CN=Own"
        ));
        own.openssl(&format!(
            "req {key} -keyout leaf.key -out leaf.csr -subj /CN=Acme"
        ));
        own.openssl("x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -extfile ext -out leaf.pem");
        own.openssl("x509 -in leaf.pem -outform DER -out leaf.der");
        own
    }

    fn usual(folder: PathBuf) -> Self {
        Self::new(folder, "ec -pkeyopt ec_paramgen_curve:P-256", "codeSigning")
    }

    fn openssl(&self, args: &str) {
        let output = Command::new("openssl")
            .args(args.split(' '))
            .current_dir(&self.0)
            .output();
        let output = output.expect("openssl");
        assert!(
            output.status.success(),
            "{args}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.join(name)).expect("a file")
    }

    /// A statement, and its signature as DSSE has it.
    fn state(&self, predicate: &str, algorithm: &str, hex: &str) -> (String, String) {
        let subject = json!([{"name": "hello", "digest": {algorithm: hex}}]);
        let statement = json!({"_type": "https://in-toto.io/Statement/v1", "predicateType": predicate,
            "subject": subject, "predicate": {}})
        .to_string();
        let kind = "application/vnd.in-toto+json";
        let signed = format!("DSSEv1 {} {kind} {} {statement}", kind.len(), statement.len());
        fs::write(self.0.join("pae"), signed).expect("a file");
        self.openssl("dgst -sha256 -sign leaf.key -out sig pae");
        (STANDARD.encode(statement), STANDARD.encode(self.read("sig")))
    }

    /// A Sigstore bundle that says who built what has this digest.
    fn attest(&self, sha512: &str) -> Value {
        let (payload, signature) = self.state("https://slsa.dev/provenance/v1", "sha512", sha512);
        json!({"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"certificate": {"rawBytes": STANDARD.encode(self.read("leaf.der"))}},
            "dsseEnvelope": {"payload": payload, "payloadType": "application/vnd.in-toto+json",
                "signatures": [{"sig": signature}]}})
    }

    /// The bundle with a signature behind it.
    fn sign(&self, bundle: &[u8]) -> Vec<u8> {
        fs::write(self.0.join("bundle"), bundle).expect("a file");
        self.openssl(
            "cms -sign -binary -outform DER -md sha256 -signer leaf.pem -inkey leaf.key -in bundle -out cms",
        );
        signed(bundle, &self.read("cms"))
    }
}

fn signed(bundle: &[u8], signature: &[u8]) -> Vec<u8> {
    let length = u32::try_from(signature.len()).expect("short").to_le_bytes();
    [bundle, b"MCPB_SIG_V1", &length, signature, b"MCPB_SIG_END"].concat()
}

/// The configuration with one publisher.
fn publish(gateway: &Gateway, packages: &str, identity: &str, issuer: &str) {
    let file = gateway.path("sallyport.yaml");
    let config = fs::read_to_string(&file).expect("a configuration");
    let config = config.split("registry:").next().expect("a configuration");
    let publisher =
        json!({"packages": [packages], "ca": "authority/ca.pem", "identity": identity, "issuer": issuer});
    let more = format!("registry: {{ attestations: attestations, publishers: [ {publisher} ] }}\n");
    fs::write(&file, format!("{config}{more}")).expect("a configuration");
}

/// The folder of attestations with one in it, or none.
fn attestations(gateway: &Gateway, one: Option<&Value>) {
    let folder = gateway.path("attestations");
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("a folder");
    }
    fs::create_dir_all(&folder).expect("a folder");
    if let Some(one) = one {
        fs::write(folder.join("hello.json"), one.to_string()).expect("a file");
    }
}

/// Nothing of what was refused is kept.
fn assert_nothing_kept(gateway: &Gateway) {
    let left = fs::read_dir(gateway.path("state-packages")).map_or(0, Iterator::count);
    assert_eq!(left, 0);
}

#[test]
fn a_package_whose_publisher_is_known_must_be_of_them() {
    let mut gateway = asking("npx", &["-y", "hello@1.0.0"]);
    let authority = Authority::usual(gateway.path("authority"));
    let other = Authority::usual(gateway.path("other"));
    let npm = Npm::start(gateway.path("registry"));
    gateway = given(gateway, &[("npm_config_registry", npm.url())]);
    npm.publish("hello", "1.0.0", &json!({}));
    let good = authority.attest(&npm.sha512("hello", "1.0.0"));
    let theirs = other.attest(&npm.sha512("hello", "1.0.0"));
    let about_else = authority.attest(&"0".repeat(128));
    // Their signature, behind a statement about these bytes.
    let mut moved = good.clone();
    moved["dsseEnvelope"]["signatures"] = about_else["dsseEnvelope"]["signatures"].clone();
    publish(&gateway, "hell*", OURS, ISSUER);
    for (attestation, why) in [
        (&about_else, "no attestation in"),
        (&moved, "not by the publisher"),
        (&theirs, "not by the publisher"),
    ] {
        attestations(&gateway, Some(attestation));
        let said = approve(&gateway, &[]).expect_err(why);
        assert!(said.contains(why), "{why}: {said}");
        assert_nothing_kept(&gateway);
    }
    let said = approve(&gateway, &["--as-found"]).expect_err("it proves nothing");
    assert!(said.contains("without `--as-found` proves it"), "{said}");
    // As npm gives them out.
    let all = json!({"attestations": [{"predicateType": "https://slsa.dev/provenance/v1", "bundle": good}]});
    attestations(&gateway, Some(&all));
    let said = approve(&gateway, &[]).expect("it is theirs");
    assert!(said.contains(&format!("made by   {IDENTITY}")), "{said}");
}

#[test]
fn a_wheel_is_proven_by_what_pypi_gives_out() {
    let mut gateway = asking("uvx", &["hello_fixture"]);
    let authority = Authority::usual(gateway.path("authority"));
    let wheels = gateway.path("wheels");
    wheel(&wheels, "hello_fixture", "1.0", &[]);
    let links = wheels.display().to_string();
    gateway = given(
        gateway,
        &[("PIP_FIND_LINKS", links), ("PIP_NO_INDEX", "1".to_owned())],
    );
    let bytes = fs::read(wheels.join("hello_fixture-1.0-py3-none-any.whl")).expect("a wheel");
    let hex: String = digest(&SHA256, &bytes)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let (statement, signature) =
        authority.state("https://docs.pypi.org/attestations/publish/v1", "sha256", &hex);
    let certificate = STANDARD.encode(authority.read("leaf.der"));
    let one = json!({"version": 1, "envelope": {"statement": statement, "signature": signature},
        "verification_material": {"certificate": certificate, "transparency_entries": []}});
    let all = json!({"version": 1, "attestation_bundles": [{"publisher": {"kind": "GitHub"}, "attestations": [one]}]});
    // However a name is written, it is the same package.
    publish(&gateway, "Hello.Fixture", OURS, ISSUER);
    attestations(&gateway, None);
    approve(&gateway, &[]).expect_err("it is not attested");
    attestations(&gateway, Some(&all));
    let said = approve(&gateway, &[]).expect("it is theirs");
    assert!(said.contains(&format!("made by   {IDENTITY}")), "{said}");
}

/// A bundle of MCPB with a server and what else is wanted, as `name text mode` each.
fn bundle(folder: &Path, program: &str, others: &[(&str, &str, &str)]) -> Vec<u8> {
    const BUILD: &str = "
import sys, warnings, zipfile
warnings.simplefilter('ignore')
with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as bundle:
    for n in range(2, len(sys.argv), 3):
        info = zipfile.ZipInfo(sys.argv[n])
        info.create_system, info.external_attr = 3, int(sys.argv[n + 2], 8) << 16
        text = sys.argv[n + 1]
        bundle.writestr(info, '0' * 300_000_000 if text == 'BOMB' else text, zipfile.ZIP_DEFLATED)
";
    let manifest = json!({"manifest_version": "0.3", "name": "hello", "version": "1.0.0",
        "description": "says hello", "author": {"name": "Acme"},
        "user_config": {"greeting": {"type": "string", "title": "Greeting", "description": "One", "required": true}},
        "server": {"type": "node", "entry_point": "server/index.mjs", "mcp_config": {"command": program,
            "args": ["${__dirname}/server/index.mjs", "--greeting", "${user_config.greeting}"], "env": {}}}})
    .to_string();
    let server = SERVER.replace("VERSION", "one");
    let mut files = vec![
        ("manifest.json", manifest.as_str(), "100644"),
        ("server/index.mjs", &server, "100644"),
    ];
    files.extend(others);
    let file = folder.join("made.zip");
    let mut build = Command::new("python3");
    build.args(["-c", BUILD]).arg(&file);
    for (name, text, mode) in files {
        build.args([name, text, mode]);
    }
    assert!(build.status().expect("python3").success());
    fs::read(file).expect("a file")
}

#[test]
fn a_bundle_is_unpacked_once_and_started_from_there() {
    let mut gateway = asking("./hello.mcpb", &["greeting=hi"]);
    publish(&gateway, "hello", "Acme", ISSUER);
    let authority = Authority::usual(gateway.path("authority"));
    let other = Authority::usual(gateway.path("other"));
    let server_only = Authority::new(
        gateway.path("tls"),
        "ec -pkeyopt ec_paramgen_curve:P-256",
        "serverAuth",
    );
    let plain = bundle(&gateway.path(""), "node", &[]);
    let file = gateway.path("hello.mcpb");
    // The bytes of a stored name: still an archive, but not what was signed.
    let mut changed = authority.sign(&plain);
    let at = changed.len() - authority.read("cms").len() - 40;
    changed[at] ^= 1;
    let longer = bundle(&gateway.path(""), "node", &[("more", "x", "100644")]);
    let over_other_bytes = signed(&longer, &authority.read("cms"));
    let mut cut = authority.sign(&plain);
    cut.truncate(cut.len() - 1);
    for (bytes, why) in [
        (plain.clone(), "must be signed"),
        (over_other_bytes, "not that of the publisher"),
        (other.sign(&plain), "not that of the publisher"),
        (server_only.sign(&plain), "not that of the publisher"),
        (signed(&plain, b"\x30\x80\x00\x00"), "not that of the publisher"),
        (changed, "the bundle"),
        (cut, "no ZIP archive"),
    ] {
        fs::write(&file, bytes).expect("a file");
        let said = approve(&gateway, &[]).expect_err("it is not theirs");
        assert!(said.contains(why), "{why}: {said}");
        assert_nothing_kept(&gateway);
    }
    fs::write(&file, authority.sign(&plain)).expect("a file");
    for (identity, issuer) in [
        ("Acm", ISSUER),
        ("*@refs/heads/other", ISSUER),
        ("Acme", "https://other.example"),
    ] {
        publish(&gateway, "hello", identity, issuer);
        let said = approve(&gateway, &[]).expect_err("it is another's");
        assert!(
            said.contains("not that of the publisher"),
            "{identity} {issuer}: {said}"
        );
    }
    publish(&gateway, "hello", "Acme", ISSUER);
    let said = approve(&gateway, &["--as-found"]).expect_err("a bundle is unpacked first");
    assert!(
        said.contains("a bundle is unpacked when a person approves"),
        "{said}"
    );
    let said = approve(&gateway, &[]).expect("it is approved");
    assert!(
        said.contains("pinned    mcpb hello 1.0.0") && said.contains("made by   Acme"),
        "{said}"
    );
    fs::remove_file(&file).expect("a file");
    gateway.run();
    gateway.wait_for_servers();
    assert_eq!(about(&gateway).expect("an answer"), "one --greeting hi");
}

/// The tool that makes bundles signs one, with RSA as it can alone.
#[test]
fn a_bundle_that_mcpb_signed_is_theirs() {
    let Some(peers) = peers::directory() else { return };
    let gateway = asking("./hello.mcpb", &["greeting=hi"]);
    publish(&gateway, "hello", "Acme", ISSUER);
    let authority = Authority::new(gateway.path("authority"), "rsa:2048", "codeSigning");
    let file = gateway.path("hello.mcpb");
    fs::write(&file, bundle(&gateway.path(""), "node", &[])).expect("a file");
    let signed = Command::new(peers::node(&peers))
        .arg(peers::npm(&peers, "@anthropic-ai/mcpb/dist/cli/cli.js"))
        .arg("sign")
        .arg(&file)
        .arg("--cert")
        .arg(authority.0.join("leaf.pem"))
        .arg("--key")
        .arg(authority.0.join("leaf.key"))
        .output()
        .expect("node");
    assert!(signed.status.success(), "{signed:?}");
    let said = approve(&gateway, &[]).expect("it is theirs");
    assert!(said.contains("made by   Acme"), "{said}");
    let mut changed = fs::read(&file).expect("a bundle");
    changed[60] ^= 1;
    fs::write(&file, changed).expect("a file");
    approve(&gateway, &[]).expect_err("it was changed");
}

#[test]
fn a_bundle_that_would_do_more_than_be_unpacked_is_refused() {
    let gateway = asking("./hello.mcpb", &["greeting=hi"]);
    for (program, other, why) in [
        ("node", ("../evil", "x", "100644"), "outside of its folder"),
        ("node", ("/tmp/evil", "x", "100644"), "outside of its folder"),
        ("node", ("a/../../evil", "x", "100644"), "outside of its folder"),
        ("node", ("link", "/etc/passwd", "120777"), "is a link or a device"),
        ("node", ("pipe", "x", "010600"), "is a link or a device"),
        ("node", ("manifest.json", "{}", "100644"), "twice"),
        ("node", ("bomb", "BOMB", "100644"), "too large"),
        ("npx", ("x", "x", "100644"), "fetches what it runs"),
        ("${__dirname}/../../bin", ("x", "x", "100644"), "was not found"),
    ] {
        fs::write(
            gateway.path("hello.mcpb"),
            bundle(&gateway.path(""), program, &[other]),
        )
        .expect("a file");
        let said = approve(&gateway, &[]).expect_err("it reaches out");
        assert!(said.contains(why), "{program} {other:?}: {said}");
        assert_nothing_kept(&gateway);
        assert!(!gateway.path("evil").exists() && !gateway.path("state/evil").exists());
    }
}
