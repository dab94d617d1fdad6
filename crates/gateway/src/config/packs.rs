//! Packs: what the reference servers need besides what their command lines name, known before anybody said anything of
//! their boxes. They say what a server is for; whoever approves one reads it in the plain words of its box, and what
//! the configuration says of the box instead counts.

use upstream::Command;

use crate::registry::supply;

/// What is known of a server.
#[derive(Debug)]
pub(super) struct Pack {
    /// How commands name it: its package, its program.
    names: &'static [&'static str],
    /// The hosts it is for.
    pub(super) network: &'static [&'static str],
    /// Whether its home outlives it.
    pub(super) keeps: bool,
    /// Variables it gets where the command sets none; `~/` is its home.
    pub(super) variables: &'static [(&'static str, &'static str)],
}

/// Reference servers that are not here (filesystem, git, time, sqlite, everything) need what their command lines name.
const PACKS: [Pack; 2] = [
    // It fetches what it is asked for. Where it finds Node, it has npm fetch a script at its first use, which nobody
    // approved, and fails where that cannot be written; where Node ends with an error, it does without.
    Pack {
        names: &["mcp-server-fetch"],
        network: &["*"],
        keeps: false,
        variables: &[("NODE_OPTIONS", "--no-node-for-this-server")],
    },
    // It would write beside its own code.
    Pack {
        names: &["@modelcontextprotocol/server-memory", "mcp-server-memory"],
        network: &[],
        keeps: true,
        variables: &[("MEMORY_FILE_PATH", "~/memory.jsonl")],
    },
];

/// The pack of the server that a command starts.
pub(super) fn of(command: &Command) -> Option<&'static Pack> {
    let named = supply::named(command)?;
    PACKS.iter().find(|pack| pack.names.contains(&named.as_str()))
}

#[cfg(test)]
mod tests {
    use super::of;

    fn names(program: &str, args: &[&str]) -> Option<&'static str> {
        let command = upstream::Command {
            program: program.to_owned(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: Vec::new(),
            vault: Vec::new(),
            directory: None,
            sandbox: upstream::Sandbox::default(),
        };
        of(&command).and_then(|pack| pack.names.first().copied())
    }

    #[test]
    fn a_reference_server_is_known_however_it_is_started_and_nothing_that_looks_like_it() {
        let script = "/x/node_modules/@modelcontextprotocol/server-memory/dist/index.js";
        let memory = Some("@modelcontextprotocol/server-memory");
        let fetch = Some("mcp-server-fetch");
        for (program, args, known) in [
            ("/venv/bin/mcp-server-fetch", vec![], fetch),
            ("uvx", vec!["mcp-server-fetch"], fetch),
            ("uvx", vec!["mcp-server-fetch==2026.10.24", "--x"], fetch),
            ("pipx", vec!["run", "mcp-server-fetch"], fetch),
            ("/venv/bin/python", vec!["-m", "mcp_server_fetch"], fetch),
            ("python3", vec!["/venv/bin/mcp-server-fetch"], fetch),
            ("npx", vec!["-y", "@modelcontextprotocol/server-memory"], memory),
            ("npx", vec!["@modelcontextprotocol/server-memory@1.0.0"], memory),
            ("node", vec![script], memory),
            ("/x/node_modules/.bin/mcp-server-memory", vec![], memory),
            ("/venv/bin/mcp-server-fetch2", vec![], None),
            ("uvx", vec!["mcp-server-git", "mcp-server-fetch"], None),
            ("uvx", vec!["--from", "evil", "mcp-server-fetch"], None),
            ("npx", vec!["-y", "-p", "evil", "mcp-server-memory"], None),
            (
                "node",
                vec!["/x/node_modules/evil/mcp-server-fetch/index.js"],
                None,
            ),
            ("sh", vec!["-c", "mcp-server-fetch"], None),
        ] {
            assert_eq!(names(program, &args), known, "{program} {args:?}");
        }
    }
}
