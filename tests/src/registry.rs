//! A registry of npm packages on loopback, and wheels for pip: what package installers need, without the internet.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::digest::{SHA512, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// A server in the package: says its name and version, and the arguments it was started with.
pub const SERVER: &str = r#"#!/usr/bin/env node
import { createInterface } from 'node:readline';
const version = 'VERSION';
for await (const line of createInterface({ input: process.stdin })) {
  const { id, method, params } = JSON.parse(line);
  const say = (result) => console.log(JSON.stringify({ jsonrpc: '2.0', id, result }));
  if (method === 'initialize') say({ protocolVersion: params.protocolVersion, capabilities: { tools: {} },
    serverInfo: { name: 'fixture', version } });
  else if (method === 'tools/list') say({ tools: [{ name: 'about', inputSchema: { type: 'object' } }] });
  else if (method === 'tools/call') say({ content: [{ type: 'text',
    text: [version, ...process.argv.slice(2)].join(' ') }] });
  else if (id !== undefined) console.log(JSON.stringify({ jsonrpc: '2.0', id, error: { code: -32601, message: 'no' } }));
}
"#;

/// The same in Python.
pub const PYTHON_SERVER: &str = r#"
import json, sys
version = 'VERSION'
def main():
    for line in sys.stdin:
        asked = json.loads(line)
        method, n = asked.get('method'), asked.get('id')
        if method == 'initialize':
            result = {'protocolVersion': asked['params']['protocolVersion'], 'capabilities': {'tools': {}},
                      'serverInfo': {'name': 'fixture', 'version': version}}
        elif method == 'tools/list':
            result = {'tools': [{'name': 'about', 'inputSchema': {'type': 'object'}}]}
        elif method == 'tools/call':
            result = {'content': [{'type': 'text', 'text': ' '.join([version] + sys.argv[1:])}]}
        elif n is None:
            continue
        else:
            print(json.dumps({'jsonrpc': '2.0', 'id': n, 'error': {'code': -32601, 'message': 'no'}}), flush=True)
            continue
        print(json.dumps({'jsonrpc': '2.0', 'id': n, 'result': result}), flush=True)
if __name__ == '__main__':
    main()
"#;

type Answers = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// A registry of npm packages.
#[derive(Debug)]
pub struct Npm {
    address: SocketAddr,
    answers: Answers,
    work: PathBuf,
}

impl Npm {
    /// An empty one, that builds its packages in `work`.
    ///
    /// # Panics
    /// When it cannot listen.
    #[must_use]
    pub fn start(work: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let answers = Answers::default();
        let own = Arc::clone(&answers);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let own = Arc::clone(&own);
                std::thread::spawn(move || answer(stream, &own));
            }
        });
        Self {
            address,
            answers,
            work,
        }
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Publishes a version of a package; `more` are further members of its manifest.
    ///
    /// # Panics
    /// When it cannot be packed.
    pub fn publish(&self, name: &str, version: &str, more: &Value) {
        let package = self
            .work
            .join("npm")
            .join(format!("{name}-{version}"))
            .join("package");
        fs::create_dir_all(&package).expect("a directory");
        let mut manifest = json!({"name": name, "version": version, "type": "module", "bin": "server.js"});
        for (key, value) in more.as_object().expect("an object") {
            manifest[key] = value.clone();
        }
        fs::write(package.join("package.json"), manifest.to_string()).expect("a manifest");
        fs::write(package.join("server.js"), SERVER.replace("VERSION", version)).expect("a server");
        let tar = Command::new("tar")
            .args(["-czf", "-", "package"])
            .current_dir(package.parent().expect("a folder"))
            .output()
            .expect("tar");
        let short = name.rsplit('/').next().unwrap_or(name);
        let path = format!("/{name}/-/{short}-{version}.tgz");
        let integrity = format!(
            "sha512-{}",
            STANDARD.encode(digest(&SHA512, &tar.stdout).as_ref())
        );
        manifest["dist"] =
            json!({"tarball": format!("http://{}{path}", self.address), "integrity": integrity});
        if let Some(scripts) = more.get("scripts") {
            manifest["hasInstallScript"] = json!(scripts.get("postinstall").is_some());
        }
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(path, tar.stdout);
        let at = format!("/{name}");
        let mut all: Value = answers
            .get(&at)
            .and_then(|text| serde_json::from_slice(text).ok())
            .unwrap_or_else(|| json!({"name": name, "versions": {}, "dist-tags": {}}));
        all["versions"][version] = manifest;
        all["dist-tags"]["latest"] = json!(version);
        answers.insert(at, all.to_string().into_bytes());
    }

    /// The digest of a version's archive, in hexadecimal.
    #[must_use]
    pub fn sha512(&self, name: &str, version: &str) -> String {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let tar = answers
            .get(&format!("/{name}/-/{name}-{version}.tgz"))
            .cloned()
            .unwrap_or_default();
        let digest = digest(&SHA512, &tar);
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Gives out other bytes under a version's name, as a registry would that was broken into.
    pub fn swap(&self, name: &str, version: &str, bytes: &[u8]) {
        let short = name.rsplit('/').next().unwrap_or(name);
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(format!("/{name}/-/{short}-{version}.tgz"), bytes.to_vec());
    }

    /// It gives out nothing any more.
    pub fn close(&self) {
        self.answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

fn answer(stream: TcpStream, answers: &Answers) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or_default() == 0 {
            return;
        }
        let mut line = String::new();
        while reader.read_line(&mut line).unwrap_or_default() > 2 {
            line.clear();
        }
        let path = first
            .split(' ')
            .nth(1)
            .unwrap_or_default()
            .replace("%2f", "/")
            .replace("%2F", "/");
        let found = answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&path)
            .cloned();
        let (status, body) = match found {
            Some(body) => ("200 OK", body),
            None => ("404 Not Found", b"{}".to_vec()),
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        let stream = reader.get_mut();
        if stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(&body))
            .is_err()
        {
            return;
        }
    }
}

/// Builds a wheel with the server in it, for pip to find in `folder`.
///
/// # Panics
/// When it cannot be built.
pub fn wheel(folder: &Path, name: &str, version: &str, requires: &[&str]) {
    const BUILD: &str = r"
import sys, zipfile
folder, name, version, source = sys.argv[1:5]
requires = sys.argv[5:]
info = f'{name}-{version}.dist-info'
with zipfile.ZipFile(f'{folder}/{name}-{version}-py3-none-any.whl', 'w') as wheel:
    files = {
        f'{name}.py': source,
        f'{info}/METADATA': f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense: MIT\n'
            + ''.join(f'Requires-Dist: {one}\n' for one in requires),
        f'{info}/WHEEL': 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
        f'{info}/entry_points.txt': f'[console_scripts]\n{name} = {name}:main\n',
    }
    for path, text in files.items():
        wheel.writestr(path, text)
    wheel.writestr(f'{info}/RECORD', ''.join(f'{path},,\n' for path in [*files, f'{info}/RECORD']))
";
    fs::create_dir_all(folder).expect("a folder");
    let built = Command::new("python3")
        .args(["-c", BUILD])
        .arg(folder)
        .args([name, version, &PYTHON_SERVER.replace("VERSION", version)])
        .args(requires)
        .status();
    assert!(built.expect("python3").success());
}
