//! Running installers: with nothing of the gateway's own environment but what they need, and only so long.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::io::AsyncWriteExt;

use super::Refused;

/// How long an installer may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// What an installer may need to know; a star stands for whatever follows.
const PASSED: [&str; 18] = [
    "ALL_PROXY",
    "CURL_CA_BUNDLE",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LANG",
    "LC_ALL",
    "NODE_EXTRA_CA_CERTS",
    "NO_PROXY",
    "NPM_CONFIG_*",
    "PATH",
    "PIP_*",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "USER",
    "XDG_*",
];

/// Runs a program to its end and returns what it said.
pub(super) async fn run(
    program: &Path,
    args: &[&str],
    within: &Path,
    input: Option<String>,
) -> Result<Vec<u8>, Refused> {
    let shown = format!("{} {}", program.display(), args.first().unwrap_or(&""));
    let broken = |error: std::io::Error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            Refused::missing(&program.display().to_string())
        } else {
            Refused::other(format!("`{shown}` could not be started: {error}"))
        }
    };
    let passed = |name: &str| {
        let upper = name.to_ascii_uppercase();
        PASSED.iter().any(|passed| match passed.strip_suffix('*') {
            Some(begins) => upper.starts_with(begins),
            None => upper == *passed,
        })
    };
    let mut child = tokio::process::Command::new(program)
        .args(args)
        .env_clear()
        .envs(std::env::vars().filter(|(name, _)| passed(name)))
        .current_dir(within)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(broken)?;
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        // One that ends without reading says why on its error stream.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let ended = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    let output = ended
        .map_err(|_| Refused::other(format!("`{shown}` did not end within {PATIENCE:?}")))?
        .map_err(broken)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let said: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = said.get(said.len().saturating_sub(6)..).unwrap_or_default();
    Err(Refused::other(format!(
        "`{shown}` failed ({}): {}",
        output.status,
        last.join(" / ")
    )))
}

/// Makes a directory of the gateway's own, with those it is in.
pub(super) fn make(path: &Path) -> Result<(), Refused> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path);
    made.map_err(|error| Refused::other(format!("`{}` cannot be made: {error}", path.display())))
}

/// Removes a directory, if it is there.
pub(super) fn remove(path: &Path) -> Result<(), Refused> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Refused::other(format!(
            "`{}` cannot be removed: {error}",
            path.display()
        ))),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A directory nobody uses yet.
pub(super) fn fresh(packages: &Path, what: &str) -> Result<PathBuf, Refused> {
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| Refused::other("there is no randomness"))?;
    let path = packages.join(format!("{what}-{}", records::digest::hex(&random)));
    make(&path)?;
    Ok(path)
}
