//! The same profile for other sandboxes, as text: a command line, a pod, a profile of macOS.
//!
//! What another sandbox cannot say is said in a comment. The broker's socket is given where it can be; nothing here is
//! started by the gateway.

use std::fmt::Write;

use super::{profile::Profile, words::reach};

/// Another sandbox.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target {
    /// `bwrap`.
    Bubblewrap,
    /// `docker run`.
    Docker,
    /// A pod.
    Kubernetes,
    /// `podman run`.
    Podman,
    /// `docker run` on gVisor.
    Runsc,
    /// macOS's `sandbox-exec`.
    SandboxExec,
}

impl Target {
    const ALL: [(&'static str, Self); 6] = [
        ("bubblewrap", Self::Bubblewrap),
        ("docker", Self::Docker),
        ("kubernetes", Self::Kubernetes),
        ("podman", Self::Podman),
        ("runsc", Self::Runsc),
        ("sandbox-exec", Self::SandboxExec),
    ];

    /// The target of a word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(name, _)| *name == word)
            .map(|(_, target)| *target)
    }

    /// All words, for whoever asks.
    #[must_use]
    pub fn words() -> String {
        Self::ALL.map(|(name, _)| name).join(", ")
    }
}

/// The profile as another sandbox wants it. Values of variables are left out: they may be secrets.
#[must_use]
pub fn compile(profile: &Profile, target: Target) -> String {
    match target {
        Target::Bubblewrap => bubblewrap(profile),
        Target::Docker => container(profile, "docker", &[]),
        // Whoever runs it without root would be another user inside, who may not read what is granted.
        Target::Podman => container(profile, "podman", &["--userns keep-id"]),
        Target::Runsc => container(profile, "docker", &["--runtime runsc"]),
        Target::Kubernetes => kubernetes(profile),
        Target::SandboxExec => sandbox_exec(profile),
    }
}

/// A word of a shell's.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn lines(lines: &[String]) -> String {
    lines.join(" \\\n  ")
}

fn command(profile: &Profile) -> String {
    let words = std::iter::once(&profile.program).chain(&profile.args);
    words.map(|text| word(text)).collect::<Vec<_>>().join(" ")
}

fn names(profile: &Profile) -> impl Iterator<Item = &str> {
    const INSIDE: [&str; 7] = ["HOME", "LOGNAME", "PATH", "TEMP", "TMP", "TMPDIR", "USER"];
    let names = profile.env.iter().map(|(name, _)| name.as_str());
    names.filter(|name| {
        // A shell reads it: what it would not take as a name is none here.
        let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && name.starts_with(|c: char| !c.is_ascii_digit());
        is_name && !INSIDE.contains(name) && !name.to_ascii_lowercase().ends_with("_proxy")
    })
}

fn network_note(profile: &Profile) -> String {
    if profile.network.is_empty() {
        return String::new();
    }
    format!(
        "# It may reach {}: through the broker of `sallyport serve` alone, so none is given here.\n",
        reach(&profile.network)
    )
}

/// A field of `--mount`, which is read as a line of CSV.
fn field(key: &str, value: &str) -> String {
    let text = format!("{key}={value}");
    if text.contains([',', '"', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

fn bound(source: &str, target: &str, only: &str) -> String {
    let mount = format!(
        "type=bind,{},{}{only}",
        field("source", source),
        field("target", target)
    );
    format!("--mount {}", word(&mount))
}

fn container(profile: &Profile, program: &str, more: &[&str]) -> String {
    let caps = &profile.caps;
    let mut all = vec![
        format!("{program} run --rm --interactive --read-only --network none"),
        "--cap-drop ALL --security-opt no-new-privileges --ipc private --init".to_owned(),
        "--user \"$(id -u):$(id -g)\"".to_owned(),
        format!(
            "--memory {} --memory-swap {0} --cpus {}.{:02} --pids-limit {}",
            caps.memory_bytes,
            caps.cpu_percent / 100,
            caps.cpu_percent % 100,
            caps.pids
        ),
        format!(
            "--ulimit nofile={} --ulimit fsize={} --ulimit core=0",
            caps.open_files, caps.file_bytes
        ),
        format!("--tmpfs /tmp:rw,nosuid,nodev,noexec,size={}", caps.tmp_bytes),
        format!(
            "--tmpfs {}",
            word(&format!(
                "{}:rw,nosuid,nodev,noexec,size={},mode=1777",
                profile.home, caps.tmp_bytes
            ))
        ),
    ];
    all.extend(more.iter().map(|option| (*option).to_owned()));
    for grant in &profile.grants {
        let only = if grant.access.write { "" } else { ",readonly" };
        all.push(bound(&grant.source, &grant.target, only));
    }
    for hidden in hidden(profile) {
        // An empty directory covers no file.
        all.push(if std::path::Path::new(hidden).is_file() {
            bound("/dev/null", hidden, ",readonly")
        } else {
            format!("--tmpfs {}", word(&format!("{hidden}:ro,size=4k")))
        });
    }
    all.push(format!("--env {}", word(&format!("HOME={}", profile.home))));
    all.extend(names(profile).map(|name| format!("--env {}", word(name))));
    all.push(format!("--workdir {}", word(&profile.directory)));
    all.push(format!("\"$IMAGE\" {}", command(profile)));
    let users = match program {
        "podman" => "# As root, leave `--userns keep-id` out: it is for whoever is not.\n",
        _ => "",
    };
    format!("{users}{}{}\n", network_note(profile), lines(&all))
}

/// Of what is hidden, what would be seen.
fn hidden(profile: &Profile) -> impl Iterator<Item = &String> {
    let is_seen = |path: &&String| {
        profile
            .grants
            .iter()
            .any(|grant| std::path::Path::new(path).starts_with(&grant.target))
    };
    profile.hidden.iter().filter(is_seen)
}

fn bubblewrap(profile: &Profile) -> String {
    let mut all = vec![
        "bwrap --unshare-all --die-with-parent --new-session --as-pid-1 --cap-drop ALL --hostname box".to_owned(),
        "--ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/sbin /sbin --symlink usr/lib /lib".to_owned(),
        "--ro-bind-try /lib64 /lib64 --ro-bind-try /etc/ssl /etc/ssl --ro-bind-try /etc/alternatives /etc/alternatives"
            .to_owned(),
        "--ro-bind-try /etc/ld.so.cache /etc/ld.so.cache --ro-bind-try /etc/localtime /etc/localtime".to_owned(),
        format!("--proc /proc --dev /dev --tmpfs /tmp --tmpfs {}", word(&profile.home)),
    ];
    for grant in &profile.grants {
        let how = if grant.access.write { "--bind" } else { "--ro-bind" };
        all.push(format!("{how} {} {}", word(&grant.source), word(&grant.target)));
    }
    all.extend(hidden(profile).map(|path| {
        if std::path::Path::new(path).is_file() {
            format!("--ro-bind /dev/null {}", word(path))
        } else {
            format!("--tmpfs {}", word(path))
        }
    }));
    all.push(format!(
        "--clearenv --setenv HOME {} --setenv PATH \"$PATH\"",
        word(&profile.home)
    ));
    let names: Vec<_> = names(profile).collect();
    if !names.is_empty() {
        all.push("--args 3".to_owned());
    }
    all.push(format!("--chdir {}", word(&profile.directory)));
    all.push(format!("-- {}", command(profile)));
    let mut whole = lines(&all);
    if !names.is_empty() {
        // Everybody on the machine can read arguments; the shell prints them itself, into a pipe.
        let values: String = names
            .iter()
            .map(|name| format!(" --setenv {name} \"${name}\""))
            .collect();
        whole = format!("{{ printf '%s\\0'{values} | \\\n  {whole} 3<&0 <&4 4<&-; }} 4<&0");
    }
    format!(
        "# bubblewrap has no limits of memory and processes of its own, and no list of system calls without a file.\n{}{whole}\n",
        network_note(profile),
    )
}

/// A text of YAML, which JSON's are.
fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    wire::json::write_string(&mut out, text);
    String::from_utf8_lossy(&out).into_owned()
}

fn kubernetes(profile: &Profile) -> String {
    let caps = &profile.caps;
    let mut out = network_note(profile);
    out.push_str("# A NetworkPolicy that selects this pod and allows no egress belongs to it; the limit on processes\n");
    let _ = writeln!(out, "# (here {}) is the kubelet's: podPidsLimit.", caps.pids);
    // Kubernetes replaces `$(NAME)`, and `$$` is the way to write `$`.
    let plain = |text: &str| quoted(&text.replace('$', "$$"));
    let args: Vec<_> = profile.args.iter().map(|arg| plain(arg)).collect();
    let secret = |name: &str| {
        let key = format!("{{ secretKeyRef: {{ name: mcp-server, key: {name} }} }}");
        format!("        - {{ name: {name}, valueFrom: {key} }}\n")
    };
    let variables: String = names(profile).map(secret).collect();
    let _ = write!(
        out,
        "\
apiVersion: v1
kind: Pod
metadata:
  name: mcp-server
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  hostNetwork: false
  hostPID: false
  hostIPC: false
  hostUsers: false
  hostname: box
  securityContext:
    runAsNonRoot: true
    runAsUser: 1000
    runAsGroup: 1000
    seccompProfile: {{ type: RuntimeDefault }}
  containers:
    - name: server
      image: IMAGE
      stdin: true
      command: [{}]
      args: [{}]
      workingDir: {}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        privileged: false
        capabilities: {{ drop: [ALL] }}
      resources:
        limits: {{ memory: \"{}\", cpu: \"{}m\", ephemeral-storage: \"{}\" }}
      env:
        - {{ name: HOME, value: {} }}
{}      volumeMounts:
        - {{ name: tmp, mountPath: /tmp }}
        - {{ name: home, mountPath: {} }}
",
        plain(&profile.program),
        args.join(", "),
        quoted(&profile.directory),
        caps.memory_bytes,
        caps.cpu_percent * 10,
        caps.file_bytes,
        plain(&profile.home),
        variables,
        quoted(&profile.home),
    );
    mounted(profile, &mut out);
    out
}

/// The pod's mounts, and the volumes they are of.
fn mounted(profile: &Profile, out: &mut String) {
    for (n, grant) in profile.grants.iter().enumerate() {
        let only = !grant.access.write;
        let path = quoted(&grant.target);
        let _ = writeln!(
            out,
            "        - {{ name: grant-{n}, mountPath: {path}, readOnly: {only} }}"
        );
    }
    for (n, path) in hidden(profile).enumerate() {
        let path = quoted(path);
        let _ = writeln!(
            out,
            "        - {{ name: hidden-{n}, mountPath: {path}, readOnly: true }}"
        );
    }
    let size = profile.caps.tmp_bytes;
    let _ = writeln!(
        out,
        "  volumes:\n    - {{ name: tmp, emptyDir: {{ medium: Memory, sizeLimit: \"{size}\" }} }}\n    - {{ name: home, \
         emptyDir: {{ medium: Memory, sizeLimit: \"{size}\" }} }}"
    );
    for (n, grant) in profile.grants.iter().enumerate() {
        let path = quoted(&grant.source);
        let _ = writeln!(out, "    - {{ name: grant-{n}, hostPath: {{ path: {path} }} }}");
    }
    for (n, path) in hidden(profile).enumerate() {
        let nothing = if std::path::Path::new(path).is_file() {
            "hostPath: { path: /dev/null }"
        } else {
            "emptyDir: {}"
        };
        let _ = writeln!(out, "    - {{ name: hidden-{n}, {nothing} }}");
    }
}

/// Written from Apple's own profiles (`/System/Library/Sandbox/Profiles`) and never run: untested.
fn sandbox_exec(profile: &Profile) -> String {
    let mut out = String::from(
        "\
;; UNTESTED: nobody has run this on macOS. Use: sandbox-exec -f THIS-FILE COMMAND
(version 1)
(deny default)
(allow process-fork)
(allow sysctl-read)
(allow signal (target self))
(allow file-read-metadata)
(allow file-read* process-exec (subpath \"/usr\") (subpath \"/bin\") (subpath \"/System\") (subpath \"/Library\"))
(allow file-read* file-write-data (literal \"/dev/null\") (literal \"/dev/urandom\") (literal \"/dev/random\"))
",
    );
    for grant in &profile.grants {
        let mut rights = String::from("file-read*");
        if grant.access.write {
            rights.push_str(" file-write*");
        }
        if grant.access.execute {
            rights.push_str(" process-exec file-map-executable");
        }
        let _ = writeln!(out, "(allow {rights} (subpath {}))", quoted(&grant.source));
    }
    for path in &profile.hidden {
        let _ = writeln!(out, "(deny file-read* file-write* (subpath {}))", quoted(path));
    }
    out.push_str("(deny network*)\n");
    if !profile.network.is_empty() {
        let _ = writeln!(
            out,
            ";; It may reach {}: a broker has to be between.",
            reach(&profile.network)
        );
    }
    out
}

#[cfg(test)]
mod tests;
