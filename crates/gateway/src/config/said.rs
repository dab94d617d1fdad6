//! What a configuration file says, key by key. A superset of a client's `mcp.json`.
//!
//! Every key is optional. A key nobody knows is an error: a misspelt guard is no guard.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde::Deserialize;

use super::{
    agents::SaidAgent,
    archive::SaidArchive,
    auth::SaidAuth,
    authorization::Switch,
    events::{SaidEvents, SaidMetrics},
    incidents::SaidIncidents,
    inspection::SaidInspection,
    interceptors::SaidInterceptors,
    judge::SaidJudge,
    limits::SaidLimit,
    login::SaidLogin,
    models::SaidModel,
    operators::SaidConsole,
    records::SaidRecords,
    root::{self, SaidRoot},
    rules::{SaidPolicy, SaidPurpose},
    witness::SaidWitness,
};

/// A configuration file.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct Said {
    /// Address to listen on. `127.0.0.1:8420` unless said; port 0 lets the system choose.
    pub(crate) listen: Option<String>,
    /// The URL clients call the gateway by, the address unless said. Tokens are issued in its name and are for it.
    pub(crate) url: Option<String>,
    /// TLS of the listener. An address beyond loopback needs it.
    pub(crate) tls: Option<SaidTls>,
    /// A Unix socket to listen on, too: a message a line, for programs of the gateway's own user.
    pub(crate) socket: Option<PathBuf>,
    /// `enforce` (the default) or `observe`: decide and record, never block.
    pub(crate) mode: Option<Mode>,
    /// Where state is kept: ledger, keys, registry.
    pub(crate) data: Option<PathBuf>,
    /// The PostgreSQL database that several replicas share for what is not the ledger: `postgresql://...`, or
    /// `env:NAME` or `file:PATH` of that with its password. Tables are in the data directory unless said.
    pub(crate) state: Option<String>,
    /// The servers, as in any `mcp.json`.
    #[serde(default, rename = "mcpServers", alias = "servers", alias = "context_servers")]
    pub(crate) servers: BTreeMap<String, SaidServer>,
    /// Servers shown together at an endpoint of their own, `/mcp/{group}`, by the names they have above.
    #[serde(default)]
    pub(crate) groups: BTreeMap<String, Vec<String>>,
    /// Of servers nobody has approved yet: `ask` (the default), or `all`: approve what is there at first start.
    pub(crate) approve: Option<Approve>,
    /// The user that callers on this machine without a credential count as. None unless said.
    pub(crate) anonymous: Option<String>,
    /// Host names clients may use besides the address itself.
    #[serde(default)]
    pub(crate) hosts: Vec<String>,
    /// Origins browsers may call from. None unless said.
    #[serde(default)]
    pub(crate) origins: Vec<String>,
    /// People.
    #[serde(default)]
    pub(crate) users: Vec<SaidUser>,
    /// AI applications.
    #[serde(default)]
    pub(crate) agents: Vec<SaidAgent>,
    /// `on`: programs may ask to become agents, and wait until a person approves. `off` unless said.
    #[serde(default)]
    pub(crate) enrolment: Switch,
    /// Programs that people may let in by a browser.
    #[serde(default)]
    pub(crate) clients: Vec<SaidClient>,
    /// How people let programs in.
    #[serde(default)]
    pub(crate) authorization: SaidAuthorization,
    /// Proofs of possession (DPoP, RFC 9449).
    #[serde(default)]
    pub(crate) dpop: SaidDpop,
    /// Purposes that may be declared.
    #[serde(default)]
    pub(crate) purposes: Vec<SaidPurpose>,
    /// Rules.
    pub(crate) policy: Option<SaidPolicy>,
    /// How people are asked.
    #[serde(default)]
    pub(crate) approvals: SaidApprovals,
    /// When what agents may do is looked at again.
    #[serde(default)]
    pub(crate) review: SaidReview,
    /// What is worth a look.
    #[serde(default)]
    pub(crate) incidents: SaidIncidents,
    /// What detectors know besides. Followed without a restart.
    #[serde(default)]
    pub(crate) inspection: SaidInspection,
    /// Interceptors (SEP-2624) asked for a second opinion where a rule demands one: names under `mcpServers`.
    #[serde(default)]
    pub(crate) interceptors: BTreeMap<String, SaidInterceptors>,
    /// Who is asked for a second opinion where a rule demands one.
    pub(crate) judge: Option<SaidJudge>,
    /// Models callers may use by `/v1/...`, by the names they ask for.
    #[serde(default)]
    pub(crate) models: BTreeMap<String, SaidModel>,
    /// Limits by name; `default` is for everyone.
    #[serde(default)]
    pub(crate) limits: BTreeMap<String, SaidLimit>,
    /// External identity providers.
    #[serde(default)]
    pub(crate) issuers: Vec<SaidIssuer>,
    /// What is known of packages that servers are made of.
    #[serde(default)]
    pub(crate) registry: SaidRegistry,
    /// Where the root key is, which opens everything that is kept sealed.
    #[serde(default, deserialize_with = "root::shaped")]
    pub(crate) root_key: SaidRoot,
    /// What is kept of calls besides the ledger's entries.
    #[serde(default)]
    pub(crate) records: SaidRecords,
    /// A copy of the ledger in S3-compatible storage.
    pub(crate) archive: Option<SaidArchive>,
    /// Who is told what happens, as it happens.
    #[serde(default)]
    pub(crate) events: Vec<SaidEvents>,
    /// Who witnesses the ledger, and whose ledgers are witnessed.
    #[serde(default)]
    pub(crate) witness: SaidWitness,
    /// Who may use the console and `/api/v1` by logging in; nobody unless named.
    #[serde(default)]
    pub(crate) console: SaidConsole,
    /// `here` (the default): `/metrics` answers this machine alone; `anywhere`; or `off`.
    #[serde(default)]
    pub(crate) metrics: SaidMetrics,
    /// What an editor checks the file by.
    #[serde(default, rename = "$schema")]
    pub(crate) _schema: Option<String>,
    /// Whether nothing at all stands in it.
    #[serde(skip)]
    pub(crate) is_blank: bool,
    /// What its reader has to say of it, where it is a client's file.
    #[serde(skip)]
    pub(crate) notes: Vec<String>,
}

/// What is known of packages, and who decides about servers.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidRegistry {
    /// A file of osv.dev's records, one a line: what is in a package's lock is looked up when a person approves.
    pub(crate) osv: Option<PathBuf>,
    /// How many operators approve, release or roll back a server, or lift a stop, together; 1 unless said.
    pub(crate) approve: Option<u8>,
    /// Who they are: `role:NAME`, `group:NAME` or `user:NAME`. Any user unless said.
    pub(crate) operators: Option<String>,
    /// A folder of attestations: Sigstore bundles, and those of PEP 740.
    pub(crate) attestations: Option<PathBuf>,
    /// Who has to have made which packages. What nobody is named for may be anybody's.
    #[serde(default)]
    pub(crate) publishers: Vec<SaidPublisher>,
}

/// Who has to have made certain packages.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidPublisher {
    /// Names of packages and bundles; `*` stands for any run of characters.
    pub(crate) packages: Vec<String>,
    /// A PEM file of the authorities whose word on identities is taken.
    pub(crate) ca: String,
    /// The identity in the certificate: a URI, a mail address, a DNS name or the common name, with `*` as above.
    pub(crate) identity: String,
    /// Who vouched for the identity, in certificates of Fulcio. Anybody unless said.
    pub(crate) issuer: Option<String>,
}

/// An external identity provider.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidIssuer {
    /// The issuer identifier, letter by letter as in its tokens; `{tenantid}` where each of its tenants has one.
    pub(crate) issuer: String,
    /// What else it calls itself, in its metadata and its tokens.
    #[serde(default)]
    pub(crate) also: Vec<String>,
    /// The tenants that are believed, where the issuer has `{tenantid}` in it.
    #[serde(default)]
    pub(crate) tenants: Vec<String>,
    /// Where its metadata is; found by its name unless said.
    pub(crate) metadata: Option<String>,
    /// How people log in there before they let programs in here.
    pub(crate) login: Option<SaidLogin>,
    /// A short name of ours. `NAME/` stands before every name the issuer gives.
    pub(crate) name: String,
    /// What stands there instead; `""` where its names are ours.
    pub(crate) prefix: Option<String>,
    /// Its clients, by client id, and the agents or services they are here.
    #[serde(default)]
    pub(crate) agents: BTreeMap<String, String>,
    /// Its workloads, by the `sub` of their tokens, and the agents or services they are here.
    #[serde(default)]
    pub(crate) workloads: BTreeMap<String, String>,
    /// Whether it may say which agent acts for which of its users (ID-JAG).
    #[serde(default)]
    pub(crate) delegates: bool,
    /// `listed` (the default) or `any`: a client that is not listed counts as the user it acts for.
    pub(crate) clients: Option<String>,
    /// What its tokens have in `aud`, where it cannot be told the endpoint.
    pub(crate) audience: Option<String>,
    /// The scope of its tokens that stands for `mcp`; `mcp` unless said.
    pub(crate) scope: Option<String>,
    /// The type of its access tokens: `at+jwt` (the default) or `JWT`.
    pub(crate) typ: Option<String>,
    /// Where its keys are; its metadata says unless this does.
    pub(crate) jwks: Option<String>,
    /// The claim that names the user; `sub` unless said.
    pub(crate) user: Option<String>,
    /// The user's roles; the claim `roles` unless said.
    pub(crate) roles: Option<SaidNames>,
    /// The user's groups; the claim `groups` unless said.
    pub(crate) groups: Option<SaidNames>,
    /// The claim with the model behind an agent, which the issuer is then believed to know. None unless said.
    pub(crate) model: Option<String>,
    /// The claim with the version of that model.
    pub(crate) model_version: Option<String>,
    /// The claim that names the tenant. None unless said.
    pub(crate) tenant: Option<String>,
    /// Seconds its tokens may live at most; 7200 unless said.
    pub(crate) token_lifetime: Option<u64>,
    /// Seconds its keys are believed while it cannot be reached; 3600 unless said.
    pub(crate) keys_age: Option<u64>,
    /// `public` (the default) or `private`: whether it may be at an address of one's own network.
    pub(crate) network: Option<String>,
    /// A PEM file of the authorities believed for it instead of the public ones.
    pub(crate) ca: Option<String>,
}

/// Names in a claim.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidNames {
    /// The claim, or a JSON pointer to it.
    pub(crate) claim: Option<String>,
    /// What each name stands for here; others count for nothing.
    pub(crate) map: Option<BTreeMap<String, String>>,
}

/// TLS of the listener.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidTls {
    /// A PEM file: the certificate, then its chain. Or `development`: one of the gateway's own making; or `acme`.
    pub(crate) certificate: Option<String>,
    /// The certificate's key in PEM: `file:PATH`.
    pub(crate) key: Option<String>,
    /// Where certificates come from with `certificate: acme`.
    pub(crate) acme: Option<super::acme::SaidAcme>,
    /// SPIFFE trust domains whose workloads prove themselves by their certificate.
    #[serde(default)]
    pub(crate) trust_domains: Vec<super::trust_domains::SaidTrustDomain>,
    /// A PEM file of authorities. With it, clients have to show a certificate of one of them.
    pub(crate) client_ca: Option<String>,
    /// A PEM file of lists of revoked client certificates, one for each authority in a chain.
    pub(crate) client_crl: Option<String>,
    /// `prefer` (the default) or `required`: whether a client without X25519MLKEM768 may come.
    pub(crate) post_quantum: Option<String>,
}

/// Whether a server's process is boxed.
#[derive(Clone, Debug)]
pub(crate) enum SaidSandbox {
    /// `on` or `off`.
    Word(String),
    /// On, and what it is granted.
    Granted(Box<SaidBox>),
}

#[cfg(test)]
impl schemars::JsonSchema for SaidSandbox {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SaidSandbox".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let granted = generator.subschema_for::<SaidBox>();
        schemars::json_schema!({"anyOf": [{"enum": ["on", "off", true, false]}, granted]})
    }
}

/// By hand: YAML's `off` is a word or a boolean, and what is wrong in a box is to be named with its line.
impl<'de> Deserialize<'de> for SaidSandbox {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = SaidSandbox;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("`on`, `off`, or what is granted")
            }

            fn visit_bool<E>(self, on: bool) -> Result<SaidSandbox, E> {
                Ok(SaidSandbox::Word(if on { "on" } else { "off" }.to_owned()))
            }

            fn visit_str<E>(self, word: &str) -> Result<SaidSandbox, E> {
                Ok(SaidSandbox::Word(word.to_owned()))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<SaidSandbox, A::Error> {
                let granted = serde::de::value::MapAccessDeserializer::new(map);
                Ok(SaidSandbox::Granted(Box::new(SaidBox::deserialize(granted)?)))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// What a server is granted besides what its command line names.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidBox {
    /// What it may read: files and directories.
    #[serde(default)]
    pub(crate) read: Vec<String>,
    /// What it may read and execute.
    #[serde(default)]
    pub(crate) execute: Vec<String>,
    /// What it may read and write.
    #[serde(default)]
    pub(crate) write: Vec<String>,
    /// The hosts it may reach, such as `api.github.com`, `*.example.com` or `example.com:8443`; ports 443 and 80 unless
    /// said. `*` is any public host. None unless said; a program that fetches what it runs may reach its registry, and
    /// the reference server `fetch` any public host, where not even `none` is said.
    pub(crate) network: Option<SaidHosts>,
    /// Hosts in your own networks or on this machine, as in `network`.
    #[serde(default)]
    pub(crate) private: Vec<String>,
    /// Memory of all its processes, such as `512M`; `2G` unless said.
    pub(crate) memory: Option<SaidSize>,
    /// Processors, such as `0.5`; 2 unless said. Enforced where there are control groups.
    pub(crate) cpu: Option<f64>,
    /// Processes and threads; 512 unless said.
    pub(crate) pids: Option<u32>,
    /// Open files of each process; 4096 unless said.
    pub(crate) files: Option<u32>,
    /// The largest file it may write; `1G` unless said.
    pub(crate) output: Option<SaidSize>,
    /// Its temporary directory, and as much for its home; `256M` unless said.
    pub(crate) tmp: Option<SaidSize>,
    /// `private` (the default): empty at each start; `kept`: a directory of its own that outlives it.
    pub(crate) home: Option<String>,
    /// Walls it does without where the kernel lacks them: `landlock`, `seccomp`.
    #[serde(default)]
    pub(crate) without: Vec<String>,
}

/// Hosts.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub(crate) enum SaidHosts {
    /// `none`.
    Word(String),
    /// These.
    Listed(Vec<String>),
}

/// A number of bytes.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub(crate) enum SaidSize {
    /// As it is.
    Bytes(u64),
    /// With `K`, `M` or `G`.
    Text(String),
}

/// TLS towards a server.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidServerTls {
    /// A PEM file of the authorities believed for this server instead of the public ones.
    pub(crate) ca: Option<String>,
    /// A PEM file: the certificate shown to it, then its chain.
    pub(crate) certificate: Option<String>,
    /// That certificate's key in PEM: `file:PATH`.
    pub(crate) key: Option<String>,
    /// `prefer` (the default) or `required`: whether it will do without X25519MLKEM768.
    pub(crate) post_quantum: Option<String>,
}

/// Whether refusals stop anything.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// They do.
    #[default]
    Enforce,
    /// They are recorded, and the call goes on.
    Observe,
}

/// What happens to what nobody has approved.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum Approve {
    /// What is configured is approved at first start, with the tools it offers then.
    All,
    /// It waits for `sallyport server approve`.
    #[default]
    Ask,
}

/// One server. Keys that clients write for themselves are accepted and have no effect here.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidServer {
    /// The program to start.
    pub(crate) command: Option<String>,
    /// Its arguments.
    #[serde(default)]
    pub(crate) args: Vec<String>,
    /// Its environment; values may be `env:NAME` or `file:PATH`.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    /// Where it runs.
    pub(crate) cwd: Option<PathBuf>,
    /// The URL of a server over HTTP.
    #[serde(alias = "serverUrl", alias = "httpUrl")]
    pub(crate) url: Option<String>,
    /// Headers to send to it; values may be `env:NAME` or `file:PATH`.
    #[serde(default, alias = "http_headers")]
    pub(crate) headers: BTreeMap<String, String>,
    /// The file of its OpenAPI description (3.0 or 3.1, JSON or YAML), where it is a REST service: its operations are tools.
    pub(crate) openapi: Option<PathBuf>,
    /// What its TLS must be like.
    pub(crate) tls: Option<SaidServerTls>,
    /// How the gateway proves itself to it, where headers will not do.
    pub(crate) auth: Option<SaidAuth>,
    /// The box its process runs in: what it is granted besides what its command line names; or `off`.
    pub(crate) sandbox: Option<SaidSandbox>,
    /// `trusted` or `untrusted` (the default): whether its content may be taken as the operator's own.
    pub(crate) trust: Option<SaidTrust>,
    /// What its data is like.
    pub(crate) labels: Option<SaidLabels>,
    /// Whose it is, where tenants share the gateway; everybody's unless said.
    pub(crate) tenant: Option<String>,
    /// What its tools can do, by name pattern.
    #[serde(default)]
    pub(crate) tools: ToolsSaid,
    /// Extensions (`io.modelcontextprotocol/ui`) that pass although the gateway cannot read them; none unless said.
    #[serde(default)]
    pub(crate) extensions: BTreeSet<String>,
    /// `principal` (the default) or `shared`: who shares a process.
    pub(crate) isolation: Option<SaidIsolation>,
    /// Seconds to wait for an answer.
    #[serde(alias = "tool_timeout_sec")]
    pub(crate) timeout: Option<u64>,
    /// Seconds to wait for it to start.
    #[serde(rename = "startTimeout", alias = "startup_timeout_sec")]
    pub(crate) start_timeout: Option<u64>,
    /// Not to be used.
    #[serde(default)]
    pub(crate) disabled: bool,
    /// To be used; clients that have this instead of `disabled`.
    pub(crate) enabled: Option<bool>,

    /// How the server at `url` is spoken to. Only `sse` (HTTP+SSE of 2024-11-05) says what the URL does not.
    #[serde(rename = "type", alias = "transport")]
    pub(crate) kind: Option<String>,

    // What clients write for themselves.
    #[serde(default, rename = "autoApprove", alias = "alwaysAllow")]
    _auto_approve: Option<serde_json::Value>,
    #[serde(default, rename = "description", alias = "name", alias = "title")]
    _description: Option<serde_json::Value>,
    #[serde(
        default,
        rename = "gallery",
        alias = "version",
        alias = "source",
        alias = "icon"
    )]
    _gallery: Option<serde_json::Value>,
    #[serde(
        default,
        rename = "disabledTools",
        alias = "includeTools",
        alias = "excludeTools"
    )]
    _disabled_tools: Option<serde_json::Value>,
}

/// Tools by name pattern. VS Code and others write a list of names here, which says nothing to us.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub(crate) enum ToolsSaid {
    /// Ours.
    Patterns(BTreeMap<String, SaidTool>),
    /// A client's.
    #[expect(dead_code, reason = "accepted so that clients' files work unchanged")]
    Names(Vec<String>),
}

impl Default for ToolsSaid {
    fn default() -> Self {
        Self::Patterns(BTreeMap::new())
    }
}

/// What the operator says of tools.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidTool {
    /// `read`, `write`, `egress`, `destructive`.
    pub(crate) sink: Option<String>,
    /// What its results are like.
    pub(crate) labels: Option<SaidLabels>,
    /// Where the arguments name the person its results are about: a JSON pointer, such as `/patient`.
    pub(crate) subject: Option<String>,
    /// What a call counts against limits on cost; 1 unless said.
    pub(crate) cost: Option<u32>,
    /// What arguments are, by name or JSON pointer, beyond what the tool's schema says. Rules then read their parts.
    #[serde(default)]
    pub(crate) args: BTreeMap<String, SaidArgument>,
}

/// What the operator says of an argument.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidArgument {
    /// `sql`, `url` or `path`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Whose SQL: `postgresql`, `mysql`, `sqlite`, `mssql`; or `any` (the default): what they read alike.
    pub(crate) dialect: Option<String>,
}

/// Trust in a server's content.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum SaidTrust {
    /// The operator's own word.
    Trusted,
    /// Anyone may have written it.
    Untrusted,
}

/// Who shares a process.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum SaidIsolation {
    /// Each principal has its own.
    Principal,
    /// One for all.
    Shared,
}

/// What data is like.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidLabels {
    /// `public`, `internal`, `confidential`, `restricted`.
    pub(crate) confidentiality: Option<String>,
    /// `phi`, `pii`, `credential`, ...
    #[serde(default)]
    pub(crate) categories: Vec<String>,
}

/// A person.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidUser {
    /// The name.
    pub(crate) name: String,
    /// What they show to decide an approval in a browser, by reference: `env:NAME` or `file:PATH`.
    pub(crate) secret: Option<String>,
    /// The Argon2id hash of their password (`sallyport user hash`), by reference: `env:NAME` or `file:PATH`.
    pub(crate) password: Option<String>,
    /// The secret of their authenticator (`sallyport user totp`), by reference. With it, a one-time code is needed, too.
    pub(crate) totp: Option<String>,
    /// Roles.
    #[serde(default)]
    pub(crate) roles: Vec<String>,
    /// Groups.
    #[serde(default)]
    pub(crate) groups: Vec<String>,
    /// Tenant.
    pub(crate) tenant: Option<String>,
    /// What rules may read.
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, serde_json::Value>,
}

/// A program that people may let in by a browser.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidClient {
    /// Its `client_id`: a name, or the URL of its metadata document.
    pub(crate) id: String,
    /// What people are told it is called; the id unless said.
    pub(crate) name: Option<String>,
    /// Where it may have browsers sent back to. The port of a loopback address does not count.
    #[serde(default)]
    pub(crate) redirect_uris: Vec<String>,
    /// Its secret, by reference. Programs on people's own machines have none.
    pub(crate) secret: Option<String>,
    /// The agent it is: rules see that agent, acting for the user. Unless said, it acts as the user.
    pub(crate) agent: Option<String>,
}

/// Proofs of possession.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidDpop {
    /// `optional` (the default) or `required`: whether proofs need a nonce of the gateway's, so that none can be made ahead.
    pub(crate) nonce: Option<String>,
}

/// How people let programs in. All of it is there once a user has a `password`.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidAuthorization {
    /// `off` (the default) or `on`: whether programs may register themselves (RFC 7591).
    pub(crate) registration: Option<String>,
    /// `on` (the default) or `off`: whether a program may be known by the document at the URL that is its id.
    pub(crate) metadata_documents: Option<String>,
    /// `optional` (the default) or `required`: whether those without `totp` may log in.
    pub(crate) mfa: Option<String>,
    /// `public` (the default) or `private`: whether documents may be at addresses of one's own network.
    pub(crate) network: Option<String>,
    /// A PEM file of the authorities believed for documents instead of the public ones.
    pub(crate) ca: Option<String>,
}

/// How people are asked.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidApprovals {
    /// Seconds a question waits and a yes holds; 3600 unless said.
    pub(crate) expires: Option<u64>,
    /// Where new questions are told.
    pub(crate) webhook: Option<SaidWebhook>,
}

/// When what agents may do is looked at again.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidReview {
    /// Days from one review to the next, such as `90d`. None is scheduled unless said.
    pub(crate) every: Option<String>,
}

/// Where new questions are told.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct SaidWebhook {
    /// An https URL, by itself or by reference: Slack's incoming webhooks are secrets.
    pub(crate) url: String,
    /// The secret notices are signed with, by reference.
    pub(crate) secret: String,
}
