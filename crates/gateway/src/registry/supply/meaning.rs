//! What a command means: the program itself, or something a runner would fetch and start.
//!
//! Only forms whose whole meaning is known are followed. A runner told something else is refused and not guessed at:
//! what it would start could not be pinned.

use std::path::{Path, PathBuf};

use upstream::Command;

/// See the module.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Meaning {
    /// A package of a registry.
    Package(Request),
    /// A bundle in the format MCPB.
    Bundle(PathBuf),
    /// A module of Python: `python -m name`.
    Module(String),
    /// A script that an interpreter is given: which of the arguments it is.
    Script(usize),
    /// A container image by its digest.
    Image(String),
    /// A program or a script by itself.
    Program,
    /// Something a runner would fetch that cannot be pinned as it is written: why, and what to write.
    Floating(String),
}

/// A package to be started.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Request {
    pub(super) ecosystem: Ecosystem,
    /// Its name.
    pub(super) name: String,
    /// What the installer is asked for: the package, then what else is wanted beside it.
    pub(super) wanted: Vec<String>,
    /// The program of it, where one is named.
    pub(super) program: Option<String>,
    /// How many of the arguments are the runner's.
    pub(super) consumed: usize,
}

/// Where packages come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ecosystem {
    /// Files of this machine.
    File,
    /// A bundle of Anthropic's format.
    Mcpb,
    /// registry.npmjs.org, or what npm is configured with.
    Npm,
    /// A container registry.
    Oci,
    /// pypi.org, or what pip is configured with.
    Pypi,
}

impl Ecosystem {
    /// As package URLs (purl) and OSV have it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Mcpb => "mcpb",
            Self::Npm => "npm",
            Self::Oci => "oci",
            Self::Pypi => "pypi",
        }
    }
}

/// What a command means.
pub(super) fn of(command: &Command) -> Meaning {
    let args: Vec<&str> = command.args.iter().map(String::as_str).collect();
    let program = Path::new(&command.program);
    let name = program
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    if name.ends_with(".mcpb") || name.ends_with(".dxt") {
        return Meaning::Bundle(program.to_path_buf());
    }
    let python = name
        .strip_prefix("python")
        .is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'));
    match (name, args.as_slice()) {
        ("npx", _) => npx(&args, 0),
        ("npm", ["exec" | "x", rest @ ..]) => npm_exec(rest),
        ("uvx", _) => uvx(&args, 0),
        ("uv", ["tool", "run", rest @ ..]) => uvx(rest, 2),
        ("pipx", ["run", rest @ ..]) => pipx(rest),
        ("bunx" | "bun" | "pnpx" | "pnpm" | "yarn" | "deno", _) => other_runner(name, &args),
        ("docker" | "podman" | "nerdctl", ["run", rest @ ..]) => container(name, rest),
        ("node" | "nodejs", _) => script(&args),
        ("bash" | "sh" | "dash" | "zsh" | "perl" | "ruby", _) => script(&args),
        _ if python => match args.iter().position(|arg| *arg == "-m") {
            Some(at) if args.iter().take(at).all(|arg| arg.starts_with('-')) => match args.get(at + 1) {
                Some(module) => Meaning::Module((*module).to_owned()),
                None => Meaning::Program,
            },
            _ => script(&args),
        },
        _ => Meaning::Program,
    }
}

/// The first argument that is no option. Options that have a value of their own are none here: what they name is
/// code given in arguments, or loaded besides the script.
fn script(args: &[&str]) -> Meaning {
    match args.iter().position(|arg| !arg.starts_with('-')) {
        Some(0) => Meaning::Script(0),
        Some(at) if args.iter().take(at).all(|arg| plain_option(arg)) => Meaning::Script(at),
        Some(_) | None => Meaning::Program,
    }
}

/// Options of interpreters that stand alone.
fn plain_option(arg: &str) -> bool {
    matches!(
        arg,
        "-u" | "-B" | "-I" | "-E" | "-s" | "-S" | "-O" | "-OO" | "--enable-source-maps" | "--no-warnings"
    )
}

fn npx(args: &[&str], before: usize) -> Meaning {
    let mut wanted = Vec::new();
    let mut at = 0;
    while let Some(arg) = args.get(at) {
        at += 1;
        match *arg {
            "-y" | "--yes" | "-q" | "--quiet" | "--no-install" | "--prefer-offline" | "--prefer-online"
            | "--offline" => {}
            "-p" | "--package" => {
                let Some(package) = args.get(at) else { break };
                wanted.push((*package).to_owned());
                at += 1;
            }
            "--" => {
                let rest = args.get(at).copied();
                return npm_package(rest, wanted, before + at + 1);
            }
            other if other.starts_with("--package=") => {
                wanted.push(other.trim_start_matches("--package=").to_owned());
            }
            other if other.starts_with('-') => {
                return Meaning::Floating(format!(
                    "`npx {other}` is not followed; write `npx -y PACKAGE@VERSION`"
                ));
            }
            other => return npm_package(Some(other), wanted, before + at),
        }
    }
    Meaning::Floating("`npx` names no package; write `npx -y PACKAGE@VERSION`".to_owned())
}

/// npm reads options behind the package, too, unless `--` stands before them.
fn npm_exec(args: &[&str]) -> Meaning {
    let meaning = npx(args, 1);
    let Meaning::Package(mut request) = meaning else {
        return meaning;
    };
    let rest = args.get(request.consumed - 1..).unwrap_or_default();
    if rest.first() == Some(&"--") {
        request.consumed += 1;
    } else if rest.iter().any(|arg| arg.starts_with('-')) && !args.contains(&"--") {
        let what = "npm would read the options behind the package as its own; write `--` before them";
        return Meaning::Floating(what.to_owned());
    }
    Meaning::Package(request)
}

fn npm_package(first: Option<&str>, wanted: Vec<String>, consumed: usize) -> Meaning {
    let Some(first) = first else {
        return Meaning::Floating("it names no package".to_owned());
    };
    let (main, program, wanted) = match wanted.first() {
        None => (first.to_owned(), None, vec![first.to_owned()]),
        Some(main) => (main.clone(), Some(first.to_owned()), wanted.clone()),
    };
    for package in &wanted {
        if npm_name(package).is_none() {
            return Meaning::Floating(format!(
                "`{package}` is no package of the registry, so there is no version to pin; write PACKAGE@VERSION"
            ));
        }
    }
    Meaning::Package(Request {
        ecosystem: Ecosystem::Npm,
        name: npm_name(&main).unwrap_or_default().to_owned(),
        wanted,
        program,
        consumed,
    })
}

/// The name in `name@range`, if it is a package of the registry: no path, no URL, no repository, no alias.
pub(super) fn npm_name(spec: &str) -> Option<&str> {
    let scoped = spec.starts_with('@');
    let at = spec
        .char_indices()
        .skip(1)
        .find(|(_, c)| *c == '@')
        .map(|(at, _)| at);
    let (name, range) = match at {
        Some(at) => (spec.get(..at)?, spec.get(at + 1..)?),
        None => (spec, ""),
    };
    let part = |part: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-~".contains(c);
        !part.is_empty() && part.chars().all(fits) && !part.starts_with(['.', '-'])
    };
    let named = match (scoped, name.split_once('/')) {
        (true, Some((scope, own))) => part(scope.get(1..)?) && part(own),
        (false, None) => part(name),
        (true, None) | (false, Some(_)) => false,
    };
    let ranged = range
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || ".+-^~><=|* ".contains(c));
    (named && ranged).then_some(name)
}

fn uvx(args: &[&str], before: usize) -> Meaning {
    let (mut from, mut with) = (None, Vec::new());
    let mut at = 0;
    while let Some(arg) = args.get(at) {
        at += 1;
        let value = || args.get(at).map(|value| (*value).to_owned());
        match *arg {
            "-q" | "--quiet" | "--isolated" | "--offline" | "--no-progress" => {}
            "--from" => {
                from = value();
                at += 1;
            }
            "--with" => {
                with.extend(value());
                at += 1;
            }
            other if other.starts_with("--from=") => {
                from = Some(other.trim_start_matches("--from=").to_owned())
            }
            other if other.starts_with("--with=") => {
                with.push(other.trim_start_matches("--with=").to_owned())
            }
            other if other.starts_with('-') => {
                return Meaning::Floating(format!(
                    "`uvx {other}` is not followed; write `uvx PACKAGE==VERSION`"
                ));
            }
            other => {
                return match from {
                    Some(from) => pypi(&from, with, Some(other.to_owned()), before + at),
                    None => pypi(other, with, None, before + at),
                };
            }
        }
    }
    Meaning::Floating("`uvx` names no package; write `uvx PACKAGE==VERSION`".to_owned())
}

fn pipx(args: &[&str]) -> Meaning {
    match args {
        ["--spec", spec, program, ..] => pypi(spec, Vec::new(), Some((*program).to_owned()), 4),
        [package, ..] if !package.starts_with('-') => pypi(package, Vec::new(), None, 2),
        _ => {
            Meaning::Floating("this `pipx run` is not followed; write `pipx run PACKAGE==VERSION`".to_owned())
        }
    }
}

fn pypi(main: &str, with: Vec<String>, program: Option<String>, consumed: usize) -> Meaning {
    let mut wanted = Vec::new();
    for spec in std::iter::once(main).chain(with.iter().map(String::as_str)) {
        match requirement(spec) {
            Some((_, written)) => wanted.push(written),
            None => {
                return Meaning::Floating(format!(
                    "`{spec}` is no package of the index, so there is no version to pin; write PACKAGE==VERSION"
                ));
            }
        }
    }
    Meaning::Package(Request {
        ecosystem: Ecosystem::Pypi,
        name: requirement(main).map(|(name, _)| name).unwrap_or_default(),
        wanted,
        program,
        consumed,
    })
}

/// The name in `name[extra]==version`, and the whole as pip reads it; uv also writes `name@version`.
fn requirement(spec: &str) -> Option<(String, String)> {
    let end = spec.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)));
    let (name, rest) = spec.split_at(end.unwrap_or(spec.len()));
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let extras_end = if rest.starts_with('[') {
        rest.find(']')? + 1
    } else {
        0
    };
    let (extras, rest) = rest.split_at(extras_end);
    let fits = |text: &str, more: &str| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    if !fits(extras, "[],._-") {
        return None;
    }
    let range = match rest.strip_prefix('@') {
        Some("latest") => String::new(),
        Some(version) if fits(version, ".+!-") && !version.is_empty() => format!("=={version}"),
        Some(_) => return None,
        None if rest.is_empty() || rest.starts_with(['=', '<', '>', '~', '!']) => rest.to_owned(),
        None => return None,
    };
    fits(&range, ".+!-=<>~,*").then(|| (name.to_owned(), format!("{name}{extras}{range}")))
}

/// Runners that are not followed say what would be.
fn other_runner(name: &str, args: &[&str]) -> Meaning {
    let runs = match (name, args.first().copied()) {
        ("bunx" | "pnpx", _) => args.iter().find(|arg| !arg.starts_with('-')),
        ("bun", Some("x")) | ("pnpm" | "yarn", Some("dlx" | "exec")) => {
            args.iter().skip(1).find(|arg| !arg.starts_with('-'))
        }
        ("deno", Some("run")) => args.iter().skip(1).find(|arg| arg.contains(':')),
        _ => return script(args),
    };
    let package = runs.map_or("PACKAGE", |arg| arg.trim_start_matches("npm:"));
    Meaning::Floating(format!(
        "what `{name}` fetches is not followed; write `npx -y {package}` for the same package, pinned"
    ))
}

/// Options of `docker run` that have no value of their own.
const FLAGS: [&str; 12] = [
    "-i",
    "-t",
    "-it",
    "-ti",
    "--interactive",
    "--tty",
    "--rm",
    "--init",
    "--read-only",
    "-d",
    "--detach",
    "--no-healthcheck",
];

fn container(runtime: &str, args: &[&str]) -> Meaning {
    let mut at = 0;
    while let Some(arg) = args.get(at) {
        if !arg.starts_with('-') {
            let pinned = arg
                .rsplit_once("@sha256:")
                .is_some_and(|(_, hex)| hex.len() == 64 && hex.chars().all(|c| c.is_ascii_hexdigit()));
            let bare = arg.split('@').next().unwrap_or(arg);
            return if pinned {
                Meaning::Image((*arg).to_owned())
            } else {
                Meaning::Floating(format!(
                    "`{arg}` may be another image tomorrow; write `{bare}@sha256:...`: `{runtime} image inspect \
                     --format '{{{{index .RepoDigests 0}}}}' {arg}` prints it"
                ))
            };
        }
        at += if FLAGS.contains(arg) || arg.contains('=') {
            1
        } else {
            2
        };
    }
    Meaning::Floating(format!("`{runtime} run` names no image"))
}

#[cfg(test)]
mod tests {
    use super::{Command, Ecosystem, Meaning, of};

    fn meaning(line: &str) -> Meaning {
        let mut words = line.split(' ').map(str::to_owned);
        of(&Command {
            program: words.next().unwrap(),
            args: words.collect(),
            env: Vec::new(),
            vault: Vec::new(),
            directory: None,
            sandbox: upstream::Sandbox::default(),
        })
    }

    #[test]
    fn packages_are_seen_through_their_runners() {
        for (line, ecosystem, wanted, program, consumed) in [
            ("npx -y @acme/files /home", Ecosystem::Npm, "@acme/files", None, 2),
            (
                "/usr/bin/npx @acme/files@^1.2 --x",
                Ecosystem::Npm,
                "@acme/files@^1.2",
                None,
                1,
            ),
            (
                "npx -y -p a@1.0.0 run-a x",
                Ecosystem::Npm,
                "a@1.0.0",
                Some("run-a"),
                4,
            ),
            ("npm exec -y a@1 -- --x", Ecosystem::Npm, "a@1", None, 4),
            ("npm exec -- a@1 --x", Ecosystem::Npm, "a@1", None, 3),
            (
                "uvx mcp-server-git --repository .",
                Ecosystem::Pypi,
                "mcp-server-git",
                None,
                1,
            ),
            ("uvx a[x]@1.2.3", Ecosystem::Pypi, "a[x]==1.2.3", None, 1),
            ("uvx a@latest", Ecosystem::Pypi, "a", None, 1),
            (
                "uvx --from a==1.2 run-a",
                Ecosystem::Pypi,
                "a==1.2",
                Some("run-a"),
                3,
            ),
            ("uv tool run a==1.2 x", Ecosystem::Pypi, "a==1.2", None, 3),
            ("pipx run a>=1.0", Ecosystem::Pypi, "a>=1.0", None, 2),
            ("pipx run --spec a==1 b", Ecosystem::Pypi, "a==1", Some("b"), 4),
        ] {
            let Meaning::Package(request) = meaning(line) else {
                panic!("{line}: {:?}", meaning(line));
            };
            assert_eq!(request.ecosystem, ecosystem, "{line}");
            assert_eq!(request.wanted, [wanted], "{line}");
            assert_eq!(request.program.as_deref(), program, "{line}");
            assert_eq!(request.consumed, consumed, "{line}");
        }
    }

    #[test]
    fn what_cannot_be_pinned_as_written_says_what_to_write() {
        for (line, what) in [
            ("npx -c whatever", "npx -y PACKAGE@VERSION"),
            ("npx github:acme/files", "no package of the registry"),
            ("npx ./files", "no package of the registry"),
            ("npx a@npm:b", "no package of the registry"),
            ("npx https://evil.example/a.tgz", "no package of the registry"),
            ("npm exec a --x", "`--` before them"),
            ("uvx git+https://evil.example/a", "no package of the index"),
            ("uvx --index-url=https://evil.example a", "not followed"),
            ("uvx a@git+https://evil.example", "no package of the index"),
            ("bunx a@1", "npx -y a@1"),
            ("pnpm dlx a", "npx -y a"),
            ("docker run -i --rm -e TOKEN mcp/git", "mcp/git@sha256:"),
            ("podman run mcp/git:1.0@sha256:abc", "mcp/git:1.0@sha256:"),
        ] {
            let Meaning::Floating(why) = meaning(line) else {
                panic!("{line}: {:?}", meaning(line));
            };
            assert!(why.contains(what), "{line}: {why}");
        }
    }

    #[test]
    fn scripts_programs_and_images_are_told_apart() {
        let digest = "b".repeat(64);
        let image = format!("mcp/git@sha256:{digest}");
        assert_eq!(
            meaning(&format!("docker run -i --rm -e TOKEN --network=none {image} x")),
            Meaning::Image(image)
        );
        assert_eq!(meaning("node server.js --x"), Meaning::Script(0));
        assert_eq!(meaning("python3 -u server.py"), Meaning::Script(1));
        assert_eq!(
            meaning("python3.11 -m mcp_server_git"),
            Meaning::Module("mcp_server_git".to_owned())
        );
        assert_eq!(meaning("node --import ./x.js server.js"), Meaning::Program);
        assert_eq!(meaning("/opt/server -x"), Meaning::Program);
        assert!(matches!(meaning("/opt/x.mcpb"), Meaning::Bundle(_)));
    }
}
