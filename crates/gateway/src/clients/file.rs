//! A client's file: the servers it names, and the same file with Sallyport in their place. What is outside
//! of a replaced block stays as it is, byte for byte. Knows nothing of what becomes of the servers.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};
use toml_edit::{DocumentMut, Item, Table, TableLike};

use super::{
    Client, Format, Home, OURS, PLAIN, Place, Trouble, claude_code,
    definition::{self, Entry, Origin},
    jsonc::{self, Member, Node},
};
use crate::failure::Failure;

/// The largest file read, in bytes. Claude Code keeps its history in the same file as its servers.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The keys servers are under in a file that is no client's.
const KEYS: [&str; 4] = ["mcpServers", "servers", "context_servers", "mcp_servers"];

/// A client's file, read.
#[derive(Clone, Debug)]
pub(crate) struct ClientFile {
    pub(crate) client: &'static Client,
    /// Where it lies, links followed.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    pub(crate) blocks: Vec<Block>,
    format: Format,
}

/// One set of servers in a file.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// The key it is under.
    key: String,
    /// Labels and entries, in the file's order.
    pub(crate) entries: Vec<(String, Entry)>,
    /// What its entries are like, for an entry of our own.
    written: Map<String, Value>,
    /// Where it is, in JSON.
    site: Option<Site>,
}

/// Where a block of JSON is.
#[derive(Clone, Debug)]
struct Site {
    /// Where its key begins.
    at: usize,
    span: Range<usize>,
    /// Its members, name and value, in the same order as the entries.
    members: Vec<Range<usize>>,
}

/// Reads a file; none if there is none.
pub(crate) fn read(
    client: &'static Client,
    place: &Place,
    home: &Home<'_>,
) -> Result<Option<ClientFile>, Failure> {
    let unreadable = |why: String| {
        let path = place.path.display();
        Failure::configuration(format!(
            "{path} cannot be read: {why}; correct that, or name the other files. Nothing was changed"
        ))
    };
    let size = match std::fs::metadata(&place.path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error.to_string())),
    };
    if size > FILE_BYTES_MAX {
        return Err(unreadable(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(&place.path).map_err(|error| unreadable(error.to_string()))?;
    let path = std::fs::canonicalize(&place.path).map_err(|error| unreadable(error.to_string()))?;
    let by_name = if path.extension().is_some_and(|extension| extension == "toml") {
        Format::Toml
    } else {
        Format::Json
    };
    let format = if client.id == PLAIN.id {
        by_name
    } else {
        client.format
    };
    let reading = Reading {
        client,
        place,
        home,
        format,
        in_place: false,
    };
    let blocks = match format {
        Format::Json => reading.json(&text),
        Format::Toml => reading.toml(&text),
    };
    let blocks = blocks.map_err(|trouble| trouble.of(&place.path, &text))?;
    Ok(Some(ClientFile {
        client,
        path,
        text,
        blocks,
        format,
    }))
}

struct Reading<'r> {
    client: &'static Client,
    place: &'r Place,
    home: &'r Home<'r>,
    format: Format,
    /// Its servers are not taken somewhere else.
    in_place: bool,
}

/// The servers of a file of JSON that is used as it is, by label. A label that comes twice is two servers.
pub(super) fn in_place(text: &str, path: &Path, home: &Home<'_>) -> Result<Vec<(String, Entry)>, Trouble> {
    let (client, place) = home.recognise(path);
    let reading = Reading {
        client,
        place: &place,
        home,
        format: Format::Json,
        in_place: true,
    };
    let blocks = reading.json(text)?;
    Ok(blocks.into_iter().flat_map(|block| block.entries).collect())
}

/// The keys under which a file may have its servers, if it is the file of a client that is recognised by its path.
pub(super) fn keys(path: &Path, home: &Home<'_>) -> Vec<&'static str> {
    let (client, _) = home.recognise(path);
    if client.id == PLAIN.id {
        KEYS.to_vec()
    } else {
        vec![client.key]
    }
}

impl Reading<'_> {
    fn is_plain(&self) -> bool {
        self.client.id == PLAIN.id
    }

    fn keys(&self) -> Vec<&'static str> {
        if self.is_plain() {
            KEYS.to_vec()
        } else {
            vec![self.client.key]
        }
    }

    fn entry(&self, label: &str, server: &Value, project: Option<&Path>) -> Result<Entry, String> {
        let Value::Object(server) = server else {
            return Err(format!("`{label}` is not an object"));
        };
        // TOML is what Codex has, and so are its keys.
        let normalise = if self.is_plain() && self.format == Format::Toml {
            super::codex::CODEX.normalise
        } else {
            self.client.normalise
        };
        let server = match normalise(server.clone()) {
            Ok(server) => server,
            Err(why) => return Ok(Entry::Left(why)),
        };
        let origin = Origin {
            base: project.unwrap_or(&self.home.directory),
            project: project.is_some(),
            // Where it is used as it is, it is our configuration, too.
            plain: self.is_plain() || self.in_place,
            in_place: self.in_place && project == self.place.project.as_deref(),
            home: &self.home.directory,
        };
        definition::read(&server, &origin).map_err(|what| format!("server `{label}`: {what}"))
    }

    fn json(&self, text: &str) -> Result<Vec<Block>, Trouble> {
        let root = jsonc::parse(text)?;
        if root.members().is_none() {
            return Err(Trouble::at(
                root.span.start,
                "it is not an object",
                "begin it with `{`",
            ));
        }
        let mut blocks = Vec::new();
        for key in self.keys() {
            if let Some(member) = root.get(key)? {
                blocks.extend(self.json_block(member, self.place.project.as_deref())?);
            }
        }
        let has_projects = self.client.id == claude_code::CLAUDE_CODE.id
            && self.place.path.ends_with(claude_code::WITH_PROJECTS);
        if has_projects && let Some(projects) = root.get("projects")? {
            for project in projects.value.members().unwrap_or_default() {
                if let Some(member) = project.value.get(self.client.key)? {
                    blocks.extend(self.json_block(member, Some(Path::new(&project.name)))?);
                }
            }
        }
        if self.is_plain() && blocks.is_empty() {
            return Err(self.no_servers());
        }
        Ok(blocks)
    }

    fn no_servers(&self) -> Trouble {
        let keys = KEYS.map(|key| format!("`{key}`")).join(", ");
        Trouble::somewhere(
            format!("it names no servers: it has none of {keys}"),
            "name a client's MCP configuration",
        )
    }

    fn json_block(&self, member: &Member, project: Option<&Path>) -> Result<Option<Block>, Trouble> {
        let block = &member.value;
        let Some(members) = block.members() else {
            if matches!(block.value()?, Value::Null) {
                return Ok(None);
            }
            let what = format!("`{}` is not an object", member.name);
            return Err(Trouble::at(
                block.span.start,
                what,
                "write it as { \"name\": { \"command\": ... } }",
            ));
        };
        let mut entries = Vec::new();
        for server in members {
            block.get(&server.name)?;
            let entry = self.entry(&server.name, &server.value.value()?, project);
            let wrong = |what| Trouble::at(server.value.span.start, what, "correct it, or remove the server");
            entries.push((server.name.clone(), entry.map_err(wrong)?));
        }
        Ok(Some(Block {
            key: member.name.clone(),
            entries,
            written: written(block)?,
            site: Some(Site {
                at: member.at,
                span: block.span.clone(),
                members: members
                    .iter()
                    .map(|member| member.at..member.value.span.end)
                    .collect(),
            }),
        }))
    }

    fn toml(&self, text: &str) -> Result<Vec<Block>, Trouble> {
        let document = parse_toml(text)?;
        let mut blocks = Vec::new();
        for key in self.keys() {
            let Some(item) = document.get(key) else { continue };
            let Some(servers) = item.as_table_like() else {
                let what = format!("`{key}` is not a table");
                return Err(Trouble::somewhere(what, format!("write it as [{key}.NAME]")));
            };
            let mut entries = Vec::new();
            let mut written = Map::new();
            for (label, server) in servers.iter() {
                let server = toml_value(server);
                let wrong = |what| Trouble::somewhere(what, "correct it, or remove the server");
                let entry = self
                    .entry(label, &server, self.place.project.as_deref())
                    .map_err(wrong)?;
                entries.push((label.to_owned(), entry));
                written.insert(label.to_owned(), server);
            }
            blocks.push(Block {
                key: key.to_owned(),
                entries,
                written,
                site: None,
            });
        }
        if self.is_plain() && blocks.is_empty() {
            return Err(self.no_servers());
        }
        Ok(blocks)
    }
}

fn written(block: &Node) -> Result<Map<String, Value>, Trouble> {
    Ok(block.value()?.as_object().cloned().unwrap_or_default())
}

fn parse_toml(text: &str) -> Result<DocumentMut, Trouble> {
    text.parse::<DocumentMut>().map_err(|error| {
        let what = error.message().lines().collect::<Vec<_>>().join(", ");
        Trouble {
            at: error.span().map(|span| span.start),
            what,
            remedy: "correct the TOML".to_owned(),
        }
    })
}

/// A value of TOML as one of JSON; dates become texts.
fn toml_value(item: &Item) -> Value {
    if let Some(table) = item.as_table_like() {
        return Value::Object(
            table
                .iter()
                .map(|(key, item)| (key.to_owned(), toml_value(item)))
                .collect(),
        );
    }
    match item.as_value() {
        Some(toml_edit::Value::String(text)) => json!(text.value()),
        Some(toml_edit::Value::Integer(number)) => json!(number.value()),
        Some(toml_edit::Value::Float(number)) => json!(number.value()),
        Some(toml_edit::Value::Boolean(flag)) => json!(flag.value()),
        Some(toml_edit::Value::Datetime(time)) => json!(time.value().to_string()),
        Some(toml_edit::Value::Array(list)) => Value::Array(
            list.iter()
                .map(|value| toml_value(&Item::Value(value.clone())))
                .collect(),
        ),
        Some(toml_edit::Value::InlineTable(_)) | None => Value::Null,
    }
}

impl Block {
    /// Whether there is anything to take out of it.
    fn has_servers(&self) -> bool {
        self.entries
            .iter()
            .any(|(_, entry)| matches!(entry, Entry::Server(_)))
    }
}

impl ClientFile {
    /// Whether it names servers that are not Sallyport.
    pub(crate) fn has_servers(&self) -> bool {
        self.blocks.iter().any(Block::has_servers)
    }

    /// Whether this is a client we know.
    pub(crate) fn is_known(&self) -> bool {
        self.client.id != PLAIN.id
    }

    /// The servers that must stay where they are, and why.
    pub(crate) fn left(&self) -> impl Iterator<Item = (&str, &str)> {
        self.blocks
            .iter()
            .flat_map(|block| &block.entries)
            .filter_map(|(label, entry)| match entry {
                Entry::Left(why) => Some((label.as_str(), why.as_str())),
                Entry::Ours | Entry::Server(_) => None,
            })
    }

    /// The file with Sallyport in the place of its servers. Those that must stay do, as they stand.
    pub(crate) fn rewritten(&self, command: &Path, args: &[String]) -> Result<String, Failure> {
        let command = command.display().to_string();
        match self.format {
            Format::Json => Ok(self.json_rewritten(&command, args)),
            Format::Toml => self.toml_rewritten(&command, args),
        }
    }

    fn json_rewritten(&self, command: &str, args: &[String]) -> String {
        let mut text = self.text.clone();
        let mut blocks: Vec<_> = self.blocks.iter().filter(|block| block.has_servers()).collect();
        // From the end, so that the places before stay right.
        blocks.sort_by_key(|block| std::cmp::Reverse(block.site.as_ref().map_or(0, |site| site.span.start)));
        for block in blocks {
            let Some(site) = &block.site else { continue };
            let mut members = vec![(OURS.to_owned(), self.entry(block, command, args))];
            for (range, (_, entry)) in site.members.iter().zip(&block.entries) {
                if matches!(entry, Entry::Left(_)) {
                    members.push((
                        String::new(),
                        self.text.get(range.clone()).unwrap_or_default().to_owned(),
                    ));
                }
            }
            let replacement = layout(&self.text, site).render(&members);
            text.replace_range(site.span.clone(), &replacement);
        }
        text
    }

    /// Our entry: command, arguments, and what this client wants besides. Each value on a line of its own.
    fn entry(&self, block: &Block, command: &str, args: &[String]) -> String {
        let args = args
            .iter()
            .map(|arg| json!(arg).to_string())
            .collect::<Vec<_>>()
            .join(", ");
        let more = (self.client.entry)(&block.written);
        let more = more
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| format!("{}: {value}", json!(key)));
        let own = [
            format!("\"command\": {}", json!(command)),
            format!("\"args\": [{args}]"),
        ];
        more.chain(own).collect::<Vec<_>>().join("\n")
    }

    fn toml_rewritten(&self, command: &str, args: &[String]) -> Result<String, Failure> {
        let mut document = parse_toml(&self.text).map_err(|trouble| trouble.of(&self.path, &self.text))?;
        for block in self.blocks.iter().filter(|block| block.has_servers()) {
            let Some(item) = document.get_mut(&block.key) else {
                continue;
            };
            let position = item
                .as_table()
                .and_then(|table| table.iter().find_map(|(_, server)| server.as_table()?.position()));
            let Some(servers) = item.as_table_like_mut() else {
                continue;
            };
            for (label, entry) in &block.entries {
                if !matches!(entry, Entry::Left(_)) {
                    servers.remove(label);
                }
            }
            servers.insert(OURS, toml_entry(servers, position, command, args));
        }
        Ok(document.to_string())
    }
}

/// Our entry in TOML: a table of its own, or an inline one among inline ones.
fn toml_entry(servers: &dyn TableLike, position: Option<isize>, command: &str, args: &[String]) -> Item {
    let list: toml_edit::Array = args.iter().map(String::as_str).collect();
    let inline =
        position.is_none() && !servers.is_empty() && servers.iter().all(|(_, server)| server.is_value());
    if inline {
        let mut table = toml_edit::InlineTable::new();
        table.insert("command", command.into());
        table.insert("args", list.into());
        return Item::Value(table.into());
    }
    let mut table = Table::new();
    table.insert("command", toml_edit::value(command));
    table.insert("args", toml_edit::value(list));
    table.set_position(position);
    Item::Table(table)
}

/// How a block is laid out: the blanks before its key, and one step more.
struct Layout {
    indent: String,
    step: String,
    newline: &'static str,
    /// Everything is on one line.
    compact: bool,
}

fn layout(text: &str, site: &Site) -> Layout {
    let line_of = |at: usize| {
        let before = text.get(..at).unwrap_or_default();
        before
            .get(before.rfind('\n').map_or(0, |newline| newline + 1)..)
            .unwrap_or_default()
            .to_owned()
    };
    let blank = |line: &str| line.chars().all(|c| c == ' ' || c == '\t');
    let indent = line_of(site.at);
    let inner = site.members.first().map(|member| line_of(member.start));
    let own_lines = text
        .get(site.span.clone())
        .is_some_and(|block| block.contains('\n'));
    let step = inner
        .as_deref()
        .filter(|line| blank(line))
        .and_then(|line| line.strip_prefix(indent.as_str()));
    let step = step
        .filter(|step| !step.is_empty())
        .unwrap_or(if indent.starts_with('\t') { "\t" } else { "  " });
    Layout {
        step: step.to_owned(),
        compact: !own_lines || !blank(&indent),
        newline: if text.contains("\r\n") { "\r\n" } else { "\n" },
        indent,
    }
}

impl Layout {
    /// An object of members: ours with its lines, others as they stand.
    fn render(&self, members: &[(String, String)]) -> String {
        let Self {
            indent,
            step,
            newline,
            compact,
        } = self;
        let rendered = members.iter().map(|(name, body)| {
            if name.is_empty() {
                return body.clone();
            }
            if *compact {
                return format!("{}: {{ {} }}", json!(name), body.replace('\n', ", "));
            }
            let lines: Vec<_> = body
                .lines()
                .map(|line| format!("{newline}{indent}{step}{step}{line}"))
                .collect();
            format!("{}: {{{}{newline}{indent}{step}}}", json!(name), lines.join(","))
        });
        let rendered: Vec<_> = rendered.collect();
        if *compact {
            return format!("{{ {} }}", rendered.join(", "));
        }
        let lines: Vec<_> = rendered
            .iter()
            .map(|member| format!("{newline}{indent}{step}{member}"))
            .collect();
        format!("{{{}{newline}{indent}}}", lines.join(","))
    }
}
