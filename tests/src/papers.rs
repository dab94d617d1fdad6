//! A certificate authority for tests, run by `openssl`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// An authority in a directory of its own.
#[derive(Debug)]
pub struct Authority {
    directory: PathBuf,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug)]
pub enum For {
    /// A client.
    Client,
    /// A server at 127.0.0.1.
    Server,
    /// A client, and it has ended.
    ClientLongAgo,
}

const CONFIGURATION: &str = "
[ca]
default_ca = own
[own]
database = index.txt
new_certs_dir = .
serial = serial
crlnumber = serial
default_md = sha256
default_crl_days = 1
policy = named
unique_subject = no
[named]
commonName = supplied
[Client]
extendedKeyUsage = clientAuth
[Server]
extendedKeyUsage = serverAuth
subjectAltName = IP:127.0.0.1,DNS:localhost
";

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        fs::create_dir_all(&directory).expect("a directory");
        fs::write(directory.join("ca.cnf"), CONFIGURATION).expect("a file");
        fs::write(directory.join("index.txt"), "").expect("a file");
        fs::write(directory.join("serial"), "1000\n").expect("a file");
        let authority = Self { directory };
        authority.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem \
             -days 2 -subj /CN=authority -addext keyUsage=critical,keyCertSign,cRLSign",
        );
        authority
    }

    /// A file of its directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The authority's own certificate.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// Issues `NAME.pem` and `NAME.key`.
    pub fn issue(&self, name: &str, purpose: For) {
        let (kind, from, to) = match purpose {
            For::Client => ("Client", "20250101000000Z", "20490101000000Z"),
            For::Server => ("Server", "20250101000000Z", "20490101000000Z"),
            For::ClientLongAgo => ("Client", "20250101000000Z", "20250102000000Z"),
        };
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.csr \
             -subj /CN={name}"
        ));
        self.openssl(&format!(
            "ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key -extensions {kind} \
             -startdate {from} -enddate {to} -in {name}.csr -out {name}.pem"
        ));
    }

    /// The digest of a certificate, as in `x5t#S256`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn digest(&self, name: &str) -> String {
        let line = format!(
            "openssl x509 -outform der -in {name}.pem | openssl dgst -sha256 -binary | openssl base64 | \
             tr '+/' '-_' | tr -d '=\\n'"
        );
        let output = Command::new("sh")
            .args(["-c", &line])
            .current_dir(&self.directory)
            .output()
            .expect("a shell");
        let digest = String::from_utf8(output.stdout).expect("text");
        assert_eq!(digest.len(), 43, "openssl: {digest}");
        digest
    }

    /// Revokes a certificate.
    pub fn revoke(&self, name: &str) {
        self.openssl(&format!(
            "ca -config ca.cnf -cert ca.pem -keyfile ca.key -revoke {name}.pem"
        ));
    }

    /// Publishes `NAME`: what was revoked so far.
    pub fn publish(&self, name: &str) {
        self.openssl(&format!(
            "ca -config ca.cnf -cert ca.pem -keyfile ca.key -gencrl -out {name}"
        ));
    }

    fn openssl(&self, args: &str) {
        run(&self.directory, args);
    }
}

fn run(directory: &Path, args: &str) {
    let output = Command::new("openssl")
        .args(args.split_whitespace())
        .current_dir(directory)
        .output()
        .expect("openssl is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {args}: {said}");
}
