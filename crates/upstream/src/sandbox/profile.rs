//! A profile: everything a box is made of. It travels as JSON from the gateway to its helper.

use wire::{
    bounds::REQUEST,
    json::{Document, Keys, Node, object},
};
use zeroize::{Zeroize, Zeroizing};

use super::wishes::{Caps, Wall};

/// What a box is made of. Made by [`super::plan`], and by nothing else.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    pub(super) program: String,
    pub(super) args: Vec<String>,
    /// The server's whole environment; values may be secrets.
    pub(super) env: Vec<(String, String)>,
    /// Where it runs.
    pub(super) directory: String,
    /// Its home directory: private, and empty unless it is kept.
    pub(super) home: String,
    /// Parents before what is in them.
    pub(super) grants: Vec<Grant>,
    /// What is covered again inside of what is granted.
    pub(super) hidden: Vec<String>,
    /// The broker's socket outside; none where it has no network.
    pub(super) egress: Option<String>,
    /// Where is written down what it asks for.
    pub(super) asked: Option<String>,
    pub(super) network: Vec<String>,
    pub(super) caps: Caps,
    pub(super) without: Vec<Wall>,
}

/// One place that a box has from outside.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Grant {
    /// Where it really is.
    pub(super) source: String,
    /// Where it is inside.
    pub(super) target: String,
    pub(super) access: Access,
}

/// What may be done there besides reading.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Access {
    pub(super) write: bool,
    pub(super) execute: bool,
}

impl Access {
    pub(super) const READ: Self = Self {
        write: false,
        execute: false,
    };
    pub(super) const CODE: Self = Self {
        write: false,
        execute: true,
    };
    pub(super) const WRITE: Self = Self {
        write: true,
        execute: false,
    };
    pub(super) const OWN: Self = Self {
        write: true,
        execute: true,
    };

    pub(super) const fn and(self, other: Self) -> Self {
        Self {
            write: self.write || other.write,
            execute: self.execute || other.execute,
        }
    }

    const fn as_str(self) -> &'static str {
        match (self.write, self.execute) {
            (false, false) => "read",
            (false, true) => "code",
            (true, false) => "write",
            (true, true) => "own",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::READ, Self::CODE, Self::WRITE, Self::OWN]
            .into_iter()
            .find(|access| access.as_str() == word)
    }
}

impl Profile {
    /// What the helper reads from its standard input before the server's own input begins.
    #[must_use]
    pub fn introduction(&self) -> Zeroizing<Vec<u8>> {
        let text = Zeroizing::new(self.encode());
        let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
        let gateway = std::process::id();
        Zeroizing::new([length.to_be_bytes().as_slice(), &gateway.to_be_bytes(), &text].concat())
    }

    /// The server has its variables; nobody else needs them any more.
    pub(super) fn wipe(&mut self) {
        self.env.iter_mut().for_each(|(_, value)| value.zeroize());
        self.env.clear();
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        object(|out| {
            out.string("program", &self.program);
            out.array("args", |list| self.args.iter().for_each(|arg| list.string(arg)));
            out.array("env", |list| {
                for (name, value) in &self.env {
                    list.string(name);
                    list.string(value);
                }
            });
            out.string("directory", &self.directory);
            out.string("home", &self.home);
            out.array("grants", |list| {
                for grant in &self.grants {
                    list.string(grant.access.as_str());
                    list.string(&grant.source);
                    list.string(&grant.target);
                }
            });
            out.array("hidden", |list| {
                self.hidden.iter().for_each(|path| list.string(path))
            });
            if let Some(egress) = &self.egress {
                out.string("egress", egress);
            }
            if let Some(asked) = &self.asked {
                out.string("asked", asked);
            }
            out.array("network", |list| {
                self.network.iter().for_each(|host| list.string(host))
            });
            out.integer("memory_bytes", self.caps.memory_bytes);
            out.integer("cpu_percent", self.caps.cpu_percent);
            out.integer("pids", self.caps.pids);
            out.integer("open_files", self.caps.open_files);
            out.integer("file_bytes", self.caps.file_bytes);
            out.integer("tmp_bytes", self.caps.tmp_bytes);
            out.array("without", |list| {
                self.without.iter().for_each(|wall| list.string(wall.as_str()));
            });
        })
    }

    /// Reads what [`Self::encode`] wrote.
    pub(super) fn decode(text: Vec<u8>) -> Option<Self> {
        let document = Document::parse(text, Keys::Exact, &REQUEST).ok()?;
        let root = document.root();
        let text = |name: &str| Some(root.get(name)?.as_str()?.into_owned());
        let number = |name: &str| root.get(name)?.as_number()?.as_u64();
        let small = |name: &str| u32::try_from(number(name)?).ok();
        let env = texts(root.get("env")?)?;
        let grants = texts(root.get("grants")?)?;
        let pair = |pair: &[String]| match pair {
            [name, value] => Some((name.clone(), value.clone())),
            _ => None,
        };
        let grant = |grant: &[String]| match grant {
            [access, source, target] => Some(Grant {
                source: source.clone(),
                target: target.clone(),
                access: Access::parse(access)?,
            }),
            _ => None,
        };
        Some(Self {
            program: text("program")?,
            args: texts(root.get("args")?)?,
            env: env.chunks(2).map(pair).collect::<Option<_>>()?,
            directory: text("directory")?,
            home: text("home")?,
            grants: grants.chunks(3).map(grant).collect::<Option<_>>()?,
            hidden: texts(root.get("hidden")?)?,
            egress: text("egress"),
            asked: text("asked"),
            network: texts(root.get("network")?)?,
            caps: Caps {
                memory_bytes: number("memory_bytes")?,
                cpu_percent: small("cpu_percent")?,
                pids: small("pids")?,
                open_files: small("open_files")?,
                file_bytes: number("file_bytes")?,
                tmp_bytes: number("tmp_bytes")?,
            },
            without: texts(root.get("without")?)?
                .iter()
                .map(|word| Wall::parse(word))
                .collect::<Option<_>>()?,
        })
    }

    /// Whether it may reach anything.
    #[must_use]
    pub(crate) const fn has_network(&self) -> bool {
        self.egress.is_some()
    }

    pub(super) fn does_without(&self, wall: Wall) -> bool {
        self.without.contains(&wall)
    }
}

/// Values of variables may be secrets.
impl Drop for Profile {
    fn drop(&mut self) {
        self.wipe();
    }
}

fn texts(list: Node<'_>) -> Option<Vec<String>> {
    list.elements()
        .map(|text| Some(text.as_str()?.into_owned()))
        .collect()
}
