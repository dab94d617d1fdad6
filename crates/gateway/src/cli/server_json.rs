//! `server.json` of the MCP registry: what to run, or where to connect, of what a publisher says of a server.
//!
//! Somebody else wrote it. It says which package in which version, and what the package itself is told; it never says
//! how the package is run: arguments of the runner, other registries, variables that change what is loaded are refused
//! and not left out, for a person to see. Nothing is started here, and what comes out is proposed, not approved.

use std::collections::BTreeMap;

use wire::{
    bounds,
    json::{Document, Keys, Node},
};

use crate::registry::supply;

/// What to add.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Offered {
    /// A program and its arguments, and variables it is given.
    Command(Vec<String>, BTreeMap<String, String>),
    /// An address.
    Url(String),
}

/// How a kind of package is run.
struct Runner {
    kind: &'static str,
    /// The one registry it may come from; the default of the runner.
    registry: &'static str,
    command: &'static [&'static str],
    /// What stands between a package's name and its version.
    joint: &'static str,
}

const RUNNERS: [Runner; 2] = [
    Runner {
        kind: "npm",
        registry: "https://registry.npmjs.org",
        command: &["npx", "-y"],
        joint: "@",
    },
    Runner {
        kind: "pypi",
        registry: "https://pypi.org",
        command: &["uvx"],
        joint: "@",
    },
];

/// Reads a file. `given` are variables the operator gives, `further` arguments.
pub(super) fn read(
    text: Vec<u8>,
    given: &BTreeMap<String, String>,
    further: &[String],
) -> Result<Offered, String> {
    let document = Document::parse(text, Keys::Exact, &bounds::REQUEST).map_err(|error| error.to_string())?;
    let root = document.root();
    // Registries put the file into an envelope.
    let root = root.get("server").unwrap_or(root);
    let mut refused = Vec::new();
    for package in root.get("packages").into_iter().flat_map(Node::elements) {
        match command(package, given, further) {
            Ok((command, env)) => return Ok(Offered::Command(command, env)),
            Err(why) => refused.push(why),
        }
    }
    for remote in root.get("remotes").into_iter().flat_map(Node::elements) {
        match address(remote) {
            Ok(url) => return Ok(Offered::Url(url)),
            Err(why) => refused.push(why),
        }
    }
    if refused.is_empty() {
        return Err("it has neither packages nor remotes".to_owned());
    }
    Err(refused.join("; "))
}

fn command(
    package: Node<'_>,
    given: &BTreeMap<String, String>,
    further: &[String],
) -> Result<(Vec<String>, BTreeMap<String, String>), String> {
    let named = |what: String| {
        let identifier = text(package, "identifier");
        format!("package `{}`: {what}", identifier.escape_debug())
    };
    let mut command = runner(package).map_err(|what| named(what.to_owned()))?;
    for argument in package
        .get("packageArguments")
        .into_iter()
        .flat_map(Node::elements)
    {
        match words(argument) {
            Some(words) => command.extend(words),
            None if needed(argument) && further.is_empty() => {
                let what = "it needs arguments that only you can give: write them after `--`";
                return Err(named(what.to_owned()));
            }
            None => {}
        }
    }
    command.extend(further.iter().cloned());
    Ok((command, variables(package, given).map_err(named)?))
}

/// What runs the package, and the package in its version.
fn runner(package: Node<'_>) -> Result<Vec<String>, &'static str> {
    let (kind, identifier, version) = (
        text(package, "registryType"),
        text(package, "identifier"),
        text(package, "version"),
    );
    let Some(runner) = RUNNERS.iter().find(|runner| runner.kind == kind) else {
        return Err("only npm and pypi packages are run; add it by its command, after `--`");
    };
    if package
        .get("transport")
        .is_some_and(|transport| text(transport, "type") != "stdio")
    {
        return Err("it does not speak over standard input and output");
    }
    let registry = text(package, "registryBaseUrl");
    if !registry.is_empty() && registry.trim_end_matches('/') != runner.registry {
        return Err("it comes from another registry than the runner's own");
    }
    let named = |c: char| c.is_ascii_alphanumeric() || "@/._-".contains(c);
    let begins = |c: char| c.is_ascii_alphanumeric() || c == '@';
    if !identifier.starts_with(begins) || !identifier.chars().all(named) || identifier.contains("..") {
        return Err("that is no package's name");
    }
    let exact = |c: char| c.is_ascii_alphanumeric() || ".+_-!".contains(c);
    if !version.starts_with(|c: char| c.is_ascii_digit()) || !version.chars().all(exact) {
        return Err("its version is not one exact version");
    }
    let steers = package.get("runtimeArguments");
    if steers.is_some_and(|list| list.elements().next().is_some()) {
        return Err("it tells the runner what to do (`runtimeArguments`), which is yours to say");
    }
    let words = runner.command.iter().map(|word| (*word).to_owned());
    let package = format!("{identifier}{}{version}", runner.joint);
    Ok(words.chain([package]).collect())
}

/// The variables the operator gives, and those the package has values for.
fn variables(
    package: Node<'_>,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, String> {
    let mut env = given.clone();
    for variable in package
        .get("environmentVariables")
        .into_iter()
        .flat_map(Node::elements)
    {
        let name = text(variable, "name");
        if supply::steers(&name) {
            let name = name.escape_debug();
            return Err(format!("it wants to set `{name}`, which changes what is run"));
        }
        match fixed(variable) {
            _ if env.contains_key(&name) => {}
            Some(value) => {
                env.insert(name, value);
            }
            None if needed(variable) => return Err(format!("it needs `--env {}=...`", name.escape_debug())),
            None => {}
        }
    }
    Ok(env)
}

fn address(remote: Node<'_>) -> Result<String, String> {
    let url = text(remote, "url");
    let bad = |what: &str| Err(format!("remote `{}`: {what}", url.escape_debug()));
    if text(remote, "type") != "streamable-http" {
        return bad("only Streamable HTTP is spoken");
    }
    if !url.starts_with("https://") || url.contains('{') {
        return bad("it is no https address as it stands");
    }
    let headers = remote.get("headers").into_iter().flat_map(Node::elements);
    if headers.filter(|header| needed(*header)).count() > 0 {
        return bad("it needs headers; write them into the configuration");
    }
    Ok(url)
}

/// The words of an argument; none where only a person can say them.
fn words(argument: Node<'_>) -> Option<Vec<String>> {
    if text(argument, "type") != "named" {
        return Some(vec![fixed(argument)?]);
    }
    let name = text(argument, "name");
    // A flag without a value is one that says nothing of a value at all.
    let flag = ["value", "default", "valueHint", "isRequired"];
    if flag.iter().all(|member| argument.get(member).is_none()) {
        return Some(vec![name]);
    }
    Some(vec![name, fixed(argument)?])
}

/// The value that is written down, if it is whole.
fn fixed(input: Node<'_>) -> Option<String> {
    let written = |name: &str| Some(input.get(name)?.as_str()?.into_owned());
    let secret = input.get("isSecret").and_then(Node::as_bool);
    let value = written("value").or_else(|| written("default"))?;
    (secret != Some(true) && !value.contains('{')).then_some(value)
}

fn needed(input: Node<'_>) -> bool {
    input.get("isRequired").and_then(Node::as_bool) == Some(true)
        || input.get("value").is_some() && fixed(input).is_none()
}

fn text(node: Node<'_>, name: &str) -> String {
    let found = node.get(name).and_then(Node::as_str);
    found.unwrap_or_default().into_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::{Offered, read};

    fn offered(server: &Value, further: &[&str]) -> Result<Offered, String> {
        let given = BTreeMap::from([("TOKEN".to_owned(), "env:TOKEN".to_owned())]);
        let further: Vec<String> = further.iter().map(|word| (*word).to_owned()).collect();
        read(server.to_string().into_bytes(), &given, &further)
    }

    fn package(more: &Value) -> Value {
        let mut package = json!({
            "registryType": "npm", "identifier": "@acme/files", "version": "1.2.3",
            "transport": {"type": "stdio"},
        });
        for (name, value) in more.as_object().unwrap() {
            package[name] = value.clone();
        }
        json!({"name": "com.acme/files", "version": "1.2.3", "packages": [package]})
    }

    fn command(offered: Result<Offered, String>) -> String {
        match offered.unwrap() {
            Offered::Command(command, _) => command.join(" "),
            Offered::Url(url) => url,
        }
    }

    #[test]
    fn a_package_is_run_in_its_exact_version_with_its_own_arguments() {
        assert_eq!(
            command(offered(&package(&json!({})), &[])),
            "npx -y @acme/files@1.2.3"
        );
        let python = json!({"registryType": "pypi", "identifier": "mcp-files", "version": "0.6.2"});
        assert_eq!(command(offered(&package(&python), &[])), "uvx mcp-files@0.6.2");
        let arguments = json!({"packageArguments": [
            {"type": "positional", "value": "serve"},
            {"type": "named", "name": "--port", "default": "80"},
            {"type": "named", "name": "--quiet"},
            {"type": "positional", "valueHint": "folder", "isRequired": true},
        ]});
        assert_eq!(
            command(offered(&package(&arguments), &["/data"])),
            "npx -y @acme/files@1.2.3 serve --port 80 --quiet /data"
        );
        assert!(
            offered(&package(&arguments), &[])
                .unwrap_err()
                .contains("after `--`")
        );
        let remote = json!({"remotes": [{"type": "streamable-http", "url": "https://mcp.acme.example/mcp"}]});
        assert_eq!(command(offered(&remote, &[])), "https://mcp.acme.example/mcp");
        // As registries give it out.
        let envelope = json!({"server": package(&json!({})), "_meta": {}});
        assert_eq!(command(offered(&envelope, &[])), "npx -y @acme/files@1.2.3");
    }

    #[test]
    fn what_only_the_operator_knows_is_asked_for() {
        let token =
            json!({"environmentVariables": [{"name": "TOKEN", "isRequired": true, "isSecret": true}]});
        let Offered::Command(_, env) = offered(&package(&token), &[]).unwrap() else {
            panic!("a command");
        };
        assert_eq!(env["TOKEN"], "env:TOKEN");
        let other = json!({"environmentVariables": [{"name": "OTHER", "isRequired": true}]});
        assert!(
            offered(&package(&other), &[])
                .unwrap_err()
                .contains("--env OTHER=")
        );
    }

    #[test]
    fn metadata_never_widens_a_launch() {
        for (what, why) in [
            (
                json!({"runtimeArguments": [{"type": "named", "name": "--privileged"}]}),
                "runner",
            ),
            (
                json!({"registryBaseUrl": "https://registry.evil.example"}),
                "another registry",
            ),
            (json!({"version": "latest"}), "exact version"),
            (json!({"version": "^1.2.3"}), "exact version"),
            (json!({"version": "1.2.3 --eval x"}), "exact version"),
            (json!({"identifier": "--yes"}), "no package's name"),
            (
                json!({"identifier": "git+https://evil.example/x"}),
                "no package's name",
            ),
            (json!({"identifier": "@acme/../../x"}), "no package's name"),
            (json!({"registryType": "mcpb"}), "only npm and pypi"),
            (json!({"transport": {"type": "sse"}}), "standard input"),
            (
                json!({"environmentVariables": [{"name": "NODE_OPTIONS", "value": "-r ./x"}]}),
                "changes what",
            ),
            (
                json!({"environmentVariables": [{"name": "ld_preload", "value": "./x.so"}]}),
                "changes what",
            ),
        ] {
            let refused = offered(&package(&what), &[]).unwrap_err();
            assert!(refused.contains(why), "{what}: {refused}");
        }
        for remote in [
            json!({"type": "sse", "url": "https://mcp.acme.example/sse"}),
            json!({"type": "streamable-http", "url": "http://mcp.acme.example/mcp"}),
            json!({"type": "streamable-http", "url": "https://{tenant}.acme.example/mcp"}),
        ] {
            assert!(offered(&json!({"remotes": [remote]}), &[]).is_err());
        }
        assert!(offered(&json!({}), &[]).is_err());
    }
}
