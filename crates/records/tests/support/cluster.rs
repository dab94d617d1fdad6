//! A PostgreSQL server of a test's own: in a directory of its own, as an ordinary user, ended by its process id.
//! The tests of this crate and the end-to-end tests read this same file.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A server that runs while this is there.
#[derive(Debug)]
pub struct Cluster {
    dir: PathBuf,
    bin: PathBuf,
    port: u16,
    child: Option<Child>,
    durable: bool,
}

impl Cluster {
    /// A new one, without a table; None where PostgreSQL is not installed and nobody insists.
    ///
    /// # Panics
    /// When it is missing and `SALLYPORT_REQUIRE_PEERS` is set, or does not start.
    #[must_use]
    pub fn start() -> Option<Self> {
        let Some(bin) = installed() else {
            assert!(
                std::env::var_os("SALLYPORT_REQUIRE_PEERS").is_none(),
                "PostgreSQL is missing; run `cargo xtask peers`"
            );
            return None;
        };
        let dir = std::env::temp_dir().join(format!("sallyport-pg-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).expect("a directory");
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&dir, Some(NOBODY), Some(NOBODY)).expect("root");
        }
        let free = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = free.local_addr().expect("a port").port();
        drop(free);
        let mut cluster = Self {
            dir,
            bin,
            port,
            child: None,
            durable: false,
        };
        let data = cluster.dir.join("data");
        let mut initdb = cluster.as_user("initdb");
        initdb.args([
            "--no-sync",
            "--auth=trust",
            "--username=owner",
            "--encoding=UTF8",
            "--locale=C",
            "-D",
        ]);
        run(initdb.arg(&data));
        cluster.run();
        Some(cluster)
    }

    /// Starts it, again after [`Self::stop`].
    ///
    /// # Panics
    /// When it does not start.
    pub fn run(&mut self) {
        let mut postgres = self.as_user("postgres");
        postgres.arg("-D").arg(self.dir.join("data"));
        postgres.args(["-p", &self.port.to_string(), "-h", "127.0.0.1", "-k", ""]);
        // Tests lose nothing by a loss of power, and are quicker without syncs.
        postgres.args(if self.durable {
            ["-N", "150"]
        } else {
            ["-c", "fsync=off"]
        });
        // Its certificate is the test's, if there is one.
        if self.dir.join("data/server.key").exists() {
            postgres.args(["-c", "ssl=on"]);
        }
        let log = std::fs::File::create(self.dir.join("log")).expect("a log");
        postgres.stdout(Stdio::null()).stderr(log);
        self.child = Some(postgres.spawn().expect("PostgreSQL starts"));
        let until = Instant::now() + Duration::from_secs(60);
        let is_ready = || {
            let mut ready = Command::new(self.bin.join("pg_isready"));
            ready.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
            ready.status().is_ok_and(|status| status.success())
        };
        while !is_ready() {
            let log = || std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            assert!(Instant::now() < until, "PostgreSQL is not ready: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Starts it again as it is run in earnest, with room for connections: for who measures it.
    pub fn in_earnest(&mut self) {
        self.stop();
        self.durable = true;
        self.run();
    }

    /// Ends it at once, with all its connections.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let pid = i32::try_from(child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // Its quickest orderly end: children first.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        }
        let _ = child.wait();
    }

    /// A new database, and its address.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn database(&self, name: &str) -> String {
        run(self.tool("createdb").arg(name));
        self.address(name)
    }

    /// The address of a database.
    #[must_use]
    pub fn address(&self, name: &str) -> String {
        format!("postgresql://owner@127.0.0.1:{}/{name}", self.port)
    }

    /// What a statement prints, as somebody with an editor of databases sees it.
    ///
    /// # Panics
    /// When it fails.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let mut psql = self.tool("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database]);
        let output = psql.args(["-c", sql]).output().expect("psql starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{sql}: {errors}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Starts it again, with TLS and a certificate of its own that nobody else vouches for. Gives that, in DER.
    ///
    /// # Panics
    /// When none can be made.
    pub fn certify(&mut self) -> Vec<u8> {
        self.stop();
        let config = "[req]\ndistinguished_name = name\nx509_extensions = usage\nprompt = no\n[name]\nCN = db\n\
                      [usage]\nbasicConstraints = critical, CA:FALSE\nsubjectAltName = IP:127.0.0.1\n";
        let (settings, key) = (self.dir.join("openssl.cnf"), self.dir.join("data/server.key"));
        std::fs::write(&settings, config).expect("a file");
        let certificate = self.dir.join("data/server.crt");
        let mut openssl = Command::new("openssl");
        openssl.args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ]);
        run(openssl
            .arg("-config")
            .arg(&settings)
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate));
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&key, Some(NOBODY), Some(NOBODY)).expect("root");
            std::os::unix::fs::chown(&certificate, Some(NOBODY), Some(NOBODY)).expect("root");
        }
        self.run();
        let mut der = Command::new("openssl");
        let output = der
            .args(["x509", "-outform", "DER", "-in"])
            .arg(&certificate)
            .output();
        output.expect("openssl starts").stdout
    }

    /// Where its files are.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn tool(&self, name: &str) -> Command {
        let mut tool = Command::new(self.bin.join(name));
        tool.env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", "owner");
        tool
    }

    /// PostgreSQL refuses to run as root.
    fn as_user(&self, program: &str) -> Command {
        let program = self.bin.join(program);
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args([
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "--pdeathsig=QUIT",
                "--",
            ]);
            command.arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(&self.dir);
        command
    }
}

/// The user nobody, and their group.
const NOBODY: u32 = 65534;

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// The newest there is.
fn installed() -> Option<PathBuf> {
    let versions = std::fs::read_dir(Path::new("/usr/lib/postgresql")).ok()?;
    let bins = versions.flatten().map(|version| version.path().join("bin"));
    bins.filter(|bin| bin.join("initdb").is_file()).max()
}

fn run(command: &mut Command) {
    let output = command.output().expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
}
