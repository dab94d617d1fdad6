//! What of a configuration stands until a restart, and what is followed while the gateway runs. A key that is followed in
//! part stands with the part that is not.

use std::{collections::BTreeMap, fmt::Debug};

use records::digest::sha256;
use upstream::Reach;

use super::{said::Said, servers::MeantServer};

/// What is read at the start alone, by its keys: `limits.default`, `mode`. Digests, since there may be secrets in it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Standing(BTreeMap<String, [u8; 32]>);

impl Standing {
    /// What a file says of it.
    pub(super) fn of(said: &Said) -> Self {
        let Said {
            listen,
            url,
            tls,
            socket,
            mode,
            data,
            state,
            servers,
            groups,
            approve,
            anonymous,
            hosts,
            origins,
            enrolment,
            dpop,
            approvals,
            review,
            incidents,
            interceptors,
            judge,
            models,
            limits,
            issuers,
            registry,
            root_key,
            records,
            archive,
            events,
            witness,
            console,
            metrics,
            // Followed; or nothing the gateway reads.
            users: _,
            agents: _,
            clients: _,
            authorization: _,
            purposes: _,
            policy: _,
            inspection: _,
            _schema: _,
            is_blank: _,
            notes: _,
        } = said;
        let mut standing = Self::default();
        standing.all("mcpServers", servers);
        standing.all("groups", groups);
        standing.all("interceptors", interceptors);
        standing.all("limits", limits);
        standing.all("models", models);
        let whole: [(&str, &dyn Debug); 26] = [
            ("listen", listen),
            ("url", url),
            ("tls", tls),
            ("socket", socket),
            ("mode", mode),
            ("data", data),
            ("state", state),
            ("approve", approve),
            ("anonymous", anonymous),
            ("hosts", hosts),
            ("origins", origins),
            ("enrolment", enrolment),
            ("dpop", dpop),
            ("approvals", approvals),
            ("review", review),
            ("incidents", incidents),
            ("judge", judge),
            ("issuers", issuers),
            ("registry", registry),
            ("root_key", root_key),
            ("records", records),
            ("archive", archive),
            ("events", events),
            ("witness", witness),
            ("console", console),
            ("metrics", metrics),
        ];
        for (key, value) in whole {
            standing.put(key.to_owned(), value);
        }
        standing
    }

    /// And what the files say that describe servers.
    pub(super) fn descriptions(&mut self, servers: &[MeantServer]) {
        for server in servers {
            if let Reach::Rest(target) = &server.spec.reach {
                let key = format!("mcpServers.{}.openapi", server.spec.name);
                self.put(key, &target.description);
            }
        }
    }

    fn all<T: Debug>(&mut self, key: &str, named: &BTreeMap<String, T>) {
        for (name, value) in named {
            self.put(format!("{key}.{name}"), value);
        }
    }

    fn put(&mut self, key: String, value: &dyn Debug) {
        let digest = sha256(&[format!("{value:?}").as_bytes()]);
        self.0.insert(key, digest);
    }

    /// What another file says of it that is not what this one says.
    pub(crate) fn otherwise(&self, other: &Self) -> Self {
        // All zeros stand for what is not there any more.
        let gone = self.0.keys().filter(|key| !other.0.contains_key(*key));
        let gone = gone.map(|key| (key.clone(), [0; 32]));
        let differs = other
            .0
            .iter()
            .filter(|(key, digest)| self.0.get(*key) != Some(*digest));
        let differs = differs.map(|(key, digest)| (key.clone(), *digest));
        Self(gone.chain(differs).collect())
    }

    /// The keys.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::find::parse;

    const RUNS: &str = "mode: enforce\nlimits: { default: { rate: 600/min }, loop: { rate: 5/min } }\n\
                        mcpServers: { a: { command: one, env: { KEY: secret } }, b: { command: two } }\n";

    /// The bug: what waited for a restart was ignored without a word.
    #[test]
    fn what_waits_for_a_restart_is_named_and_what_is_followed_is_not() {
        let standing = |text: &str| Standing::of(&parse(text).expect(text));
        let waits = |text: &str| -> Vec<String> {
            let other = standing(RUNS).otherwise(&standing(text));
            other.keys().map(str::to_owned).collect()
        };
        let cases: [(&str, &str, &[&str]); 7] = [
            ("enforce", "observe", &["mode"]),
            ("600/min", "1/min", &["limits.default"]),
            ("command: one", "command: other", &["mcpServers.a"]),
            ("b: { command", "c: { command", &["mcpServers.b", "mcpServers.c"]),
            ("KEY: secret", "KEY: another", &["mcpServers.a"]),
            ("mode: enforce\n", "listen: 127.0.0.1:1\n", &["listen", "mode"]),
            ("mode: enforce\n", "# nothing\nmode: enforce\n", &[]),
        ];
        for (from, to, expected) in cases {
            assert_eq!(waits(&RUNS.replace(from, to)), expected, "{from} -> {to}");
        }
        let followed = "users: [ { name: u } ]\nagents: [ { name: a } ]\nclients: [ { id: c } ]\n\
                        authorization: { mfa: required }\npurposes: [ { name: p } ]\n\
                        policy: { packs: [] }\ninspection: { }\n";
        assert!(waits(&format!("{RUNS}{followed}")).is_empty());
        // What is told once is told again where it is another change.
        let one = standing(RUNS).otherwise(&standing(&RUNS.replace("600/min", "1/min")));
        let other = standing(RUNS).otherwise(&standing(&RUNS.replace("600/min", "2/min")));
        assert_ne!(one, other);
    }
}
