//! What is said of servers, and of groups of them: checked, resolved, ready to reach.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use pipeline::Group;
use policy::{
    Confidentiality, Labels, Sink, Trust,
    registry::{Glob, Launch, Manifest, Pin, ToolManifest},
    rules::{ArgumentType, Dialect},
};
use upstream::{
    Command, HttpTarget, Isolation, PostQuantum, Proof, Protection, Reach, RestTarget, Sandbox, ServerSpec,
    Timeouts,
};
use wire::{
    json::{ObjectWriter, Pointer},
    mcp::ServerName,
};

use super::{
    Problem,
    auth::{self, MeantAuth},
    door::server_tls,
    meant::is_here,
    openapi,
    reference::Lookup,
    said::{SaidArgument, SaidIsolation, SaidLabels, SaidServer, SaidTrust, ToolsSaid},
    sandbox,
};
use crate::outside::{egress::Host, secrets};

/// What to do about a name that cannot be one here.
const RENAME: &str = "rename the server: clients, rules and `/mcp/NAME` have to name it";

/// A server.
#[derive(Clone, Debug)]
pub(crate) struct MeantServer {
    pub(crate) spec: ServerSpec,
    pub(crate) launch: Launch,
    pub(crate) manifest: Manifest,
    /// How tokens for it are got, where it wants some.
    pub(crate) auth: Option<Arc<MeantAuth>>,
    /// What its broker lets it reach.
    pub(crate) egress: Vec<Host>,
}

/// The servers in use, and the groups of them.
pub(super) fn mean(
    servers: &BTreeMap<String, SaidServer>,
    groups: &BTreeMap<String, Vec<String>>,
    lookup: &Lookup<'_>,
    note: &mut impl FnMut(Result<(), Problem>),
) -> (Vec<MeantServer>, Vec<Arc<Group>>) {
    let mut meant = Vec::new();
    let mut names = BTreeSet::new();
    let in_use = servers
        .iter()
        .filter(|(_, server)| !server.disabled && server.enabled != Some(false));
    for (label, server) in in_use {
        match meant_server(label, server, lookup) {
            Ok(server) if !names.insert(server.spec.name.as_str().to_ascii_lowercase()) => {
                let at = format!("mcpServers.{label}");
                let what = format!("another server is called `{}`, too", server.spec.name);
                note(Err(Problem::new(at, what, "rename one of them")));
            }
            Ok(server) => meant.push(server),
            Err(problem) => note(Err(problem)),
        }
    }
    let mut gathered = Vec::new();
    for (name, members) in groups {
        match meant_group(name, members, servers, &mut names) {
            Ok(group) => gathered.push(Arc::new(group)),
            Err(problem) => note(Err(problem)),
        }
    }
    (meant, gathered)
}

/// What is well with servers in use, and yet worth a word: names that are others here, and what goes over a network that
/// others may listen to.
pub(super) fn notes(said: &BTreeMap<String, SaidServer>, meant: &[MeantServer]) -> Vec<String> {
    let renamed = said.keys().filter_map(|label| {
        let name = ServerName::from_label(label).ok()?;
        let used = meant.iter().any(|server| server.spec.name == name);
        (used && name.as_str() != label).then(|| {
            let label = label.escape_debug();
            format!("the server `{label}` is called `{name}` here: in rules, in `{name}__TOOL` and at `/mcp/{name}`")
        })
    });
    let open = meant.iter().filter_map(|server| {
        let target = server.spec.reach.http()?;
        let in_clear = matches!(target.url.scheme_str(), Some("http" | "ws"));
        let host = target.url.authority().map_or("", |authority| authority.as_str());
        (in_clear && !is_here(host)).then(|| {
            format!(
                "the server `{}` is reached without TLS at `{host}`: whoever is in between reads and changes what is \
                 said, its credentials among it; use https:// or wss://",
                server.spec.name
            )
        })
    });
    let left_out = meant.iter().flat_map(|server| match &server.spec.reach {
        Reach::Rest(target) => openapi::notes(server.spec.name.as_str(), target.description.left_out()),
        Reach::Http(_) | Reach::Sse(_) | Reach::Stdio(_) | Reach::Unix(_) | Reach::WebSocket(_) => Vec::new(),
    });
    renamed.chain(open).chain(left_out).collect()
}

/// A group, if its name is free and every member is configured. Members that are disabled are no error: who
/// switches a server off need not look for it in groups.
fn meant_group(
    label: &str,
    members: &[String],
    servers: &BTreeMap<String, SaidServer>,
    names: &mut BTreeSet<String>,
) -> Result<Group, Problem> {
    let at = format!("groups.{label}");
    let name =
        ServerName::parse(label).map_err(|error| Problem::new(&at, error.to_string(), "rename the group"))?;
    if !names.insert(label.to_ascii_lowercase()) {
        let what = format!("a server or another group has this name, and both would be `/mcp/{name}`");
        return Err(Problem::new(&at, what, "rename one of them"));
    }
    if members.is_empty() {
        return Err(Problem::new(
            &at,
            "it has no servers",
            "name some, or remove the group",
        ));
    }
    let known = |member: &String| {
        servers
            .contains_key(member)
            .then(|| ServerName::from_label(member).ok())
            .flatten()
            .ok_or_else(|| {
                let what = format!("there is no server `{member}`");
                Problem::new(&at, what, "add it under `mcpServers`, or correct the name")
            })
    };
    let servers = members.iter().map(known).collect::<Result<_, _>>()?;
    Ok(Group { name, servers })
}

fn meant_server(label: &str, said: &SaidServer, lookup: &Lookup<'_>) -> Result<MeantServer, Problem> {
    let at = format!("mcpServers.{label}");
    let name = ServerName::from_label(label).map_err(|error| Problem::new(&at, error.to_string(), RENAME))?;
    let mut egress = Vec::new();
    let (reach, launch, auth) = match (&said.command, &said.url) {
        (Some(command), None) => {
            is_program(&at, said)?;
            let (reach, launch, hosts) = stdio(&at, command, said, lookup)?;
            egress = hosts;
            (reach, launch, None)
        }
        (None, Some(_)) if said.sandbox.is_some() => {
            let why = "a server at a URL is no process of ours, and cannot be boxed";
            return Err(Problem::new(format!("{at}.sandbox"), why, "leave `sandbox` out"));
        }
        (None, Some(url)) => at_url(&at, url, said, lookup)?,
        (Some(_), Some(_)) => {
            return Err(Problem::new(
                &at,
                "it has both `command` and `url`",
                "keep one of them",
            ));
        }
        (None, None) => {
            return Err(Problem::new(
                &at,
                "it has neither `command` nor `url`",
                "add one of them",
            ));
        }
    };
    let mut timeouts = Timeouts::default();
    if let Some(seconds) = said.timeout {
        timeouts.call = Duration::from_secs(seconds.clamp(1, 3600));
    }
    if let Some(seconds) = said.start_timeout {
        timeouts.start = Duration::from_secs(seconds.clamp(1, 3600));
    }
    let isolation = match said.isolation {
        Some(SaidIsolation::Shared) => Isolation::Shared,
        Some(SaidIsolation::Principal) | None => Isolation::Principal,
    };
    if isolation == Isolation::Shared && auth.as_ref().is_some_and(|auth| auth.is_of_callers()) {
        let what = "its callers have tokens of their own, and would share a session";
        let remedy = "leave `isolation` out, or use `kind: client_credentials`";
        return Err(Problem::new(format!("{at}.isolation"), what, remedy));
    }
    let manifest = manifest(&at, said)?;
    Ok(MeantServer {
        auth,
        spec: ServerSpec {
            name,
            reach,
            timeouts,
            isolation,
            extensions: said.extensions.clone(),
        },
        launch,
        manifest,
        egress,
    })
}

/// Nothing is said of a program that only a server at a URL can have.
fn is_program(at: &str, said: &SaidServer) -> Result<(), Problem> {
    if said.auth.is_some() {
        let remedy = "leave it out, and give the program what it needs in `env`";
        let what = "a program asks for no token";
        return Err(Problem::new(format!("{at}.auth"), what, remedy));
    }
    if said.openapi.is_some() {
        let remedy = "write the service's address as `url`, in the place of `command`";
        let what = "a program is no REST service";
        return Err(Problem::new(format!("{at}.openapi"), what, remedy));
    }
    Ok(())
}

fn stdio(
    at: &str,
    command: &str,
    said: &SaidServer,
    lookup: &Lookup<'_>,
) -> Result<(Reach, Launch, Vec<Host>), Problem> {
    // What is pinned is not made up where secrets are withheld.
    let revealing = lookup.revealing();
    let expand = |place: &str, text: &str| revealing.value(&format!("{at}.{place}"), text);
    let mut program = expand("command", command)?;
    // A path is relative to the file it stands in; a bare name is looked up in PATH.
    if program.contains('/') {
        program = lookup.path(&program).display().to_string();
    }
    let args: Vec<String> = said
        .args
        .iter()
        .map(|arg| lookup.argument(&format!("{at}.args"), arg))
        .collect::<Result<_, _>>()?;
    let vault = vault(at, said)?;
    let env: Vec<(String, String)> = said
        .env
        .iter()
        .filter(|(_, value)| !value.starts_with(secrets::SCHEME))
        .map(|(name, value)| Ok((name.clone(), lookup.value(&format!("{at}.env.{name}"), value)?)))
        .collect::<Result<_, Problem>>()?;
    let directory = match &said.cwd {
        Some(cwd) => lookup.path(&cwd.display().to_string()),
        None => lookup.base.to_path_buf(),
    };
    // Shown and pinned as written: what `${...}` and `env:` stand for are secrets, and secrets rotate.
    let shown = std::iter::once(command)
        .chain(said.args.iter().map(String::as_str))
        .collect::<Vec<_>>()
        .join(" ");
    let pin = wire::json::object(|out| {
        out.string("command", &program);
        out.array("args", |list| said.args.iter().for_each(|arg| list.string(arg)));
        out.array("env", |list| env.iter().for_each(|(name, _)| list.string(name)));
        if !vault.is_empty() {
            // Whose secret it is must not change unseen.
            out.object("vault", |out| {
                vault.iter().for_each(|(name, of)| out.string(name, of))
            });
        }
        if said.cwd.is_some() {
            out.string("cwd", &directory.display().to_string());
        }
        sandbox::pin(said.sandbox.as_ref(), out);
    });
    let mut command = Command {
        program,
        args,
        env,
        vault,
        directory: Some(directory),
        sandbox: Sandbox::default(),
    };
    let (sandbox, hosts) = sandbox::mean(at, said.sandbox.as_ref(), &command, lookup)?;
    command.sandbox = sandbox;
    let launch = Launch {
        pin: Pin::of_bytes(&pin),
        shown,
    };
    Ok((Reach::Stdio(command), launch, hosts))
}

/// Variables whose values are secrets of the vault: references to be filled in when a process starts.
fn vault(at: &str, said: &SaidServer) -> Result<Vec<(String, String)>, Problem> {
    let mut vault = Vec::new();
    for (name, value) in said
        .env
        .iter()
        .filter(|(_, value)| value.starts_with(secrets::SCHEME))
    {
        let at = format!("{at}.env.{name}");
        let remedy = "write `vault:NAME`, with `{user}` or `{agent}` where it is each caller's own";
        let template = secrets::template(value).map_err(|why| Problem::new(&at, why.to_string(), remedy))?;
        if secrets::is_of_callers(&template) && matches!(said.isolation, Some(SaidIsolation::Shared)) {
            let why = "all callers share one process, and this secret is each caller's own";
            return Err(Problem::new(&at, why, "leave `isolation` out"));
        }
        if crate::registry::supply::steers(name) {
            let why = "this variable changes what is loaded, so its value is pinned and cannot be a secret";
            return Err(Problem::new(&at, why, "write its value"));
        }
        vault.push((name.clone(), template));
    }
    Ok(vault)
}

/// A server that is reached by a URL: `http`, `https`, `ws`, `wss` or `unix`.
fn at_url(
    at: &str,
    url: &str,
    said: &SaidServer,
    lookup: &Lookup<'_>,
) -> Result<(Reach, Launch, Option<Arc<MeantAuth>>), Problem> {
    let written = url;
    let url = lookup.revealing().value(&format!("{at}.url"), url)?;
    let bad = |what: &str, remedy: &str| Problem::new(format!("{at}.url"), what, remedy);
    let mut headers: Vec<(String, String)> = said
        .headers
        .iter()
        .map(|(name, value)| {
            let value = lookup.value(&format!("{at}.headers.{name}"), value)?;
            Ok((name.clone(), value))
        })
        .collect::<Result<_, Problem>>()?;
    let kind = said.kind.as_deref().unwrap_or_default();
    let is_sse = kind.eq_ignore_ascii_case("sse");
    let not_one = || bad("it is not a URL", "write it as `https://host/path`");
    let socket = url.strip_prefix("unix:");
    let uri: Option<hyper::Uri> = match socket {
        Some(_) => None,
        None => Some(url.parse().map_err(|_| not_one())?),
    };
    let scheme = uri.as_ref().and_then(|uri| uri.scheme_str()).unwrap_or_default();
    let protection = server_tls(at, said.tls.as_ref(), scheme, lookup)?;
    let auth = authentication(at, said, uri.as_ref(), &mut headers, lookup)?;
    let pin = wire::json::object(|out| {
        out.string("url", written);
        out.array("headers", |list| {
            headers.iter().for_each(|(name, _)| list.string(name))
        });
        if is_sse {
            out.string("type", "sse");
        }
        // The file, not what stands in it: that is pinned tool by tool.
        if let Some(file) = &said.openapi {
            out.string("openapi", &file.display().to_string());
        }
        if protection != Protection::default() {
            out.object("tls", |tls| pin_protection(&protection, tls));
        }
        if let Some(auth) = &auth {
            out.object("auth", |out| auth.pin(out));
        }
    });
    let launch = Launch {
        pin: Pin::of_bytes(&pin),
        shown: written.to_owned(),
    };
    if let Some(path) = socket {
        return Ok((at_socket(at, path, said, lookup)?, launch, None));
    }
    let scheme = scheme.to_owned();
    let uri = uri.ok_or_else(not_one)?;
    let target = HttpTarget {
        protection,
        url: uri,
        headers,
        proof: if auth.is_some() { Proof::Asked } else { Proof::None },
    };
    let reach = by_scheme(&scheme, is_sse, target).map_err(|(what, remedy)| bad(what, remedy))?;
    let reach = match &said.openapi {
        None => reach,
        Some(file) => rest(at, file, (reach, kept_elsewhere(said)), lookup)?,
    };
    Ok((reach, launch, auth))
}

/// A server at a Unix socket.
fn at_socket(at: &str, path: &str, said: &SaidServer, lookup: &Lookup<'_>) -> Result<Reach, Problem> {
    if said.openapi.is_some() {
        return Err(not_rest(at));
    }
    if path.is_empty() {
        let (what, remedy) = ("it names no socket", "write it as `unix:/path/to/socket`");
        return Err(Problem::new(format!("{at}.url"), what, remedy));
    }
    Ok(Reach::Unix(lookup.path(path)))
}

fn not_rest(at: &str) -> Problem {
    let remedy = "write its address as `https://host/path`, without `type`";
    let what = "a REST service is reached over HTTP alone";
    Problem::new(format!("{at}.url"), what, remedy)
}

/// A REST service: what it can do stands in a file.
fn rest(
    at: &str,
    file: &Path,
    (reach, secrets): (Reach, Vec<String>),
    lookup: &Lookup<'_>,
) -> Result<Reach, Problem> {
    let Reach::Http(http) = reach else {
        return Err(not_rest(at));
    };
    if !upstream::RestTarget::is_base(&http.url) {
        let remedy = "write where all of its paths begin, such as `https://host/v1`";
        let what = "it has a query, or a path that readers take differently";
        return Err(Problem::new(format!("{at}.url"), what, remedy));
    }
    let description = openapi::read(at, file, &http.headers, lookup)?;
    Ok(Reach::Rest(RestTarget {
        http,
        secrets,
        description,
    }))
}

/// The headers whose values stand elsewhere, as secrets do.
fn kept_elsewhere(said: &SaidServer) -> Vec<String> {
    let is_reference =
        |value: &str| value.contains("env:") || value.contains("file:") || value.contains("${");
    let kept = said.headers.iter().filter(|(_, value)| is_reference(value));
    kept.map(|(name, _)| name.clone()).collect()
}

/// What `auth` says. A fixed token is a header like others.
fn authentication(
    at: &str,
    said: &SaidServer,
    url: Option<&hyper::Uri>,
    headers: &mut Vec<(String, String)>,
    lookup: &Lookup<'_>,
) -> Result<Option<Arc<MeantAuth>>, Problem> {
    let Some(said) = &said.auth else { return Ok(None) };
    let problem = |what: &str, remedy: &str| Problem::new(format!("{at}.auth"), what, remedy);
    let Some(url) = url else {
        return Err(problem("a socket asks for no token", "leave `auth` out"));
    };
    if headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("authorization"))
    {
        let what = "`headers` has `Authorization`, too";
        return Err(problem(what, "keep one of them"));
    }
    match auth::mean(at, said, url, lookup)? {
        auth::Meant::Bearer(token) => {
            headers.push(("Authorization".to_owned(), format!("Bearer {token}")));
            Ok(None)
        }
        auth::Meant::Oauth(auth) => Ok(Some(auth)),
    }
}

/// How it is spoken to. Otherwise what is wrong, and what to do.
fn by_scheme(scheme: &str, is_sse: bool, target: HttpTarget) -> Result<Reach, (&'static str, &'static str)> {
    let has_user = |authority: &hyper::http::uri::Authority| authority.as_str().contains('@');
    match target.url.authority().map(has_user) {
        Some(false) => {}
        Some(true) => return Err(("it has a password in it", "use `headers` with `env:` or `file:`")),
        None => return Err(("it is not a URL", "write it as `https://host/path`")),
    }
    Ok(match scheme {
        "http" | "https" if is_sse => Reach::Sse(target),
        "http" | "https" => Reach::Http(target),
        "ws" | "wss" => Reach::WebSocket(target),
        _ => {
            let remedy = "write it as `https://host/path`, `wss://host/path` or `unix:/path`";
            return Err(("it is not the URL of a server", remedy));
        }
    })
}

/// Whom the server's name is believed from, and what is shown to it, are approved with it: whoever changes the files
/// may make another of it.
fn pin_protection(protection: &Protection, out: &mut ObjectWriter<'_>) {
    let digest = |der: &[u8]| Pin::of_bytes(der).to_string();
    out.array("ca", |list| {
        let authorities = protection.authorities.iter();
        authorities.for_each(|authority| list.string(&digest(authority)));
    });
    out.boolean("post_quantum", protection.post_quantum == PostQuantum::Required);
    let own = protection.own.as_ref().and_then(|own| own.chain.first());
    if let Some(own) = own {
        out.string("certificate", &digest(own));
    }
}

fn manifest(at: &str, said: &SaidServer) -> Result<Manifest, Problem> {
    let labels = labels(at, said.labels.as_ref())?;
    let trust = match said.trust {
        Some(SaidTrust::Trusted) => Trust::Trusted,
        Some(SaidTrust::Untrusted) | None => Trust::Untrusted,
    };
    let mut tools = Vec::new();
    if let ToolsSaid::Patterns(patterns) = &said.tools {
        for (pattern, tool) in patterns {
            let at = format!("{at}.tools.{pattern}");
            let sink = tool.sink.as_deref().map(|word| {
                Sink::parse(word).ok_or_else(|| {
                    let remedy = "use one of: read, write, egress, destructive";
                    Problem::new(format!("{at}.sink"), format!("`{word}` is not a sink"), remedy)
                })
            });
            let own = tool
                .labels
                .as_ref()
                .map(|own| self::labels(&at, Some(own)))
                .transpose()?;
            let subject = tool
                .subject
                .as_deref()
                .filter(|text| Pointer::parse(text).is_none());
            if let Some(text) = subject {
                let remedy = "write a JSON pointer into the arguments, such as `/patient`";
                let why = format!("`{text}` is not a JSON pointer");
                return Err(Problem::new(format!("{at}.subject"), why, remedy));
            }
            tools.push((
                Glob::new(pattern),
                ToolManifest {
                    sink: sink.transpose()?,
                    labels: own,
                    subject: tool.subject.clone(),
                    cost: tool.cost.map(u64::from),
                    arguments: arguments(&at, &tool.args)?,
                },
            ));
        }
    }
    let extensions = said.extensions.clone();
    if let Some(bad) = extensions.iter().find(|name| !name.contains('/')) {
        let why = format!("`{}` is not the name of an extension", bad.escape_debug());
        let remedy = "write it as the server offers it, such as `io.modelcontextprotocol/ui`";
        return Err(Problem::new(format!("{at}.extensions"), why, remedy));
    }
    Ok(Manifest {
        trust,
        labels,
        tenant: said.tenant.clone(),
        tools,
        extensions,
    })
}

/// What is said of arguments, each with its names from the outside in.
fn arguments(
    at: &str,
    said: &BTreeMap<String, SaidArgument>,
) -> Result<Vec<(Vec<String>, ArgumentType)>, Problem> {
    let one = |(name, said): (&String, &SaidArgument)| {
        let at = format!("{at}.args.{name}");
        let dialect = match said.dialect.as_deref() {
            None => Some(Dialect::default()),
            Some(_) if said.kind != "sql" => {
                let what = format!("`{}` has no dialect", said.kind);
                return Err(Problem::new(format!("{at}.dialect"), what, "leave `dialect` out"));
            }
            Some(word) => Dialect::parse(word),
        };
        let dialect = dialect.ok_or_else(|| {
            let known = Dialect::WORDS.map(|(word, _)| word).join(", ");
            Problem::new(
                format!("{at}.dialect"),
                "nobody's SQL is called so",
                format!("use one of: {known}"),
            )
        })?;
        let holds = match said.kind.as_str() {
            "path" => ArgumentType::Path,
            "sql" => ArgumentType::Sql(dialect),
            "url" => ArgumentType::Url,
            other => {
                let what = format!("`{other}` is no type of an argument");
                return Err(Problem::new(
                    format!("{at}.type"),
                    what,
                    "use one of: path, sql, url",
                ));
            }
        };
        let names = match Pointer::parse(name).filter(|_| !name.is_empty()) {
            Some(pointer) => pointer.steps().map(Cow::into_owned).collect(),
            None => vec![name.clone()],
        };
        Ok((names, holds))
    };
    said.iter().map(one).collect()
}

pub(super) fn labels(at: &str, said: Option<&SaidLabels>) -> Result<Labels, Problem> {
    let mut labels = Labels::none();
    let Some(said) = said else { return Ok(labels) };
    if let Some(word) = &said.confidentiality {
        labels.confidentiality = Confidentiality::parse(word).ok_or_else(|| {
            let remedy = "use one of: public, internal, confidential, restricted";
            Problem::new(
                format!("{at}.labels.confidentiality"),
                format!("`{word}` is not a level"),
                remedy,
            )
        })?;
    }
    labels.categories = said.categories.iter().cloned().collect();
    Ok(labels)
}
