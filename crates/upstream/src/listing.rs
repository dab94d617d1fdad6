//! What a server says it offers.

use std::{collections::BTreeSet, sync::Arc};

use pipeline::registry::{Definition, ItemKind, Offer, Pin};
use wire::{
    json::{Document, Keys, Kind, Node},
    jsonrpc::{self, Answer, Id, Response},
    mcp::{Era, Method, Revision, mirrored_params},
};

use crate::{
    LinkError, encode,
    link::{Head, Link, Side, Wire},
};

/// Most pages of one list, and most entries.
const PAGES_MAX: usize = 100;
const ENTRIES_MAX: usize = 10_000;

/// What a server said in the handshake.
#[derive(Clone, Debug)]
pub struct Offered {
    /// The revision agreed on.
    pub revision: Revision,
    /// Its capabilities object.
    pub capabilities: Arc<Document>,
    /// What it calls itself. Hearsay.
    pub identity: Option<Definition>,
    /// What it would have the model know. Hearsay, and text for the model.
    pub instructions: Option<String>,
}

impl Offered {
    /// Whether the server declared a capability, such as `tools`.
    #[must_use]
    pub fn has(&self, capability: &str) -> bool {
        self.capabilities
            .root()
            .get(capability)
            .is_some_and(|declared| declared.kind() == Kind::Object)
    }
}

/// Everything a server offers, seen at one time.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// What it said in the handshake.
    pub offered: Offered,
    /// Tools and prompts.
    pub items: Vec<(ItemKind, Definition)>,
    /// Entries that are no definitions, with the reason.
    pub malformed: Vec<String>,
    /// Resources, as listed.
    pub resources: Vec<Arc<Document>>,
    /// Resource templates, as listed.
    pub templates: Vec<Arc<Document>>,
    /// Kinds that were listed.
    pub listed: BTreeSet<ItemKind>,
}

impl Catalogue {
    /// What the registry compares with what was approved.
    #[must_use]
    pub fn offer(&self) -> Offer {
        let mut items = self.items.clone();
        items.extend(
            self.instructions()
                .map(|definition| (ItemKind::Instructions, definition)),
        );
        let mut listed = self.listed.clone();
        listed.insert(ItemKind::Instructions);
        Offer {
            items,
            malformed: self.malformed.clone(),
            identity: self.offered.identity.clone(),
            listed,
        }
    }

    /// The instructions as a definition, to be pinned like one.
    fn instructions(&self) -> Option<Definition> {
        let said = self.offered.instructions.as_ref()?;
        let text = wire::json::object(|out| {
            out.string("name", "instructions");
            out.string("instructions", said);
        });
        Definition::parse(text).ok()
    }

    /// Asks for everything the server declared.
    pub(crate) async fn fetch(link: &Link) -> Result<Self, LinkError> {
        let mut catalogue = Self {
            offered: link.offered.clone(),
            items: Vec::new(),
            malformed: Vec::new(),
            resources: Vec::new(),
            templates: Vec::new(),
            listed: BTreeSet::new(),
        };
        for list in [List::Tools, List::Prompts] {
            if link.offered.has(list.capability()) {
                let items = link.items(list).await?;
                catalogue.add(list, &items);
            }
        }
        if link.offered.has("resources") {
            catalogue.resources = documents(link, Method::ResourcesList, "resources").await?;
            // Many servers declare resources and have no templates; that is no failure.
            catalogue.templates = documents(link, Method::ResourcesTemplatesList, "resourceTemplates")
                .await
                .unwrap_or_default();
        }
        Ok(catalogue)
    }

    /// What one list holds now, when nothing else was looked at.
    pub(crate) fn with(offered: Offered, list: List, items: &Items) -> Self {
        let mut catalogue = Self {
            offered,
            items: Vec::new(),
            malformed: Vec::new(),
            resources: Vec::new(),
            templates: Vec::new(),
            listed: BTreeSet::new(),
        };
        catalogue.add(list, items);
        catalogue
    }

    fn add(&mut self, list: List, items: &Items) {
        let kind = list.kind();
        self.listed.insert(kind);
        self.items.extend(
            items
                .definitions
                .iter()
                .map(|definition| (kind, definition.clone())),
        );
        self.malformed.extend(items.malformed.iter().cloned());
    }
}

/// A list of definitions that a server can be asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum List {
    Prompts,
    Tools,
}

impl List {
    /// The capability, which is also the member of the answer.
    fn capability(self) -> &'static str {
        match self {
            Self::Prompts => "prompts",
            Self::Tools => "tools",
        }
    }

    fn method(self) -> Method {
        match self {
            Self::Prompts => Method::PromptsList,
            Self::Tools => Method::ToolsList,
        }
    }

    fn kind(self) -> ItemKind {
        match self {
            Self::Prompts => ItemKind::Prompt,
            Self::Tools => ItemKind::Tool,
        }
    }
}

/// One list of tools or prompts.
#[derive(Debug)]
pub(crate) struct Items {
    /// The pages as they came, to see at a glance that nothing changed.
    pages: Vec<String>,
    definitions: Vec<Definition>,
    malformed: Vec<String>,
}

impl Items {
    /// The pin of what is offered under this name; none if nothing is, or two things are.
    pub(crate) fn pin(&self, name: &str) -> Option<Pin> {
        let mut named = self
            .definitions
            .iter()
            .filter(|definition| definition.name() == name);
        let pin = named.next()?.pin();
        named.next().is_none().then_some(pin)
    }

    pub(crate) async fn fetch(
        link: &Link,
        list: List,
        before: Option<Arc<Self>>,
    ) -> Result<Arc<Self>, LinkError> {
        let member = list.capability();
        let pages = pages(link, list.method(), member).await?;
        let texts: Vec<String> = pages
            .iter()
            .map(|page| result(page).map_or("", Node::written).to_owned())
            .collect();
        if let Some(before) = before
            && before.pages == texts
        {
            return Ok(before);
        }
        let mut items = Self {
            pages: texts,
            definitions: Vec::new(),
            malformed: Vec::new(),
        };
        for entry in pages
            .iter()
            .filter_map(result)
            .filter_map(|r| r.get(member))
            .flat_map(Node::elements)
        {
            match Definition::offered(entry) {
                Ok(definition) => match unmirrorable(link, &definition) {
                    None => items.definitions.push(definition),
                    Some(why) => items.malformed.push(format!("`{}`: {why}", definition.name())),
                },
                Err(error) => items.malformed.push(error.to_string()),
            }
        }
        Ok(Arc::new(items))
    }
}

/// Why a tool may not be offered: its schema has arguments mirrored in headers as nobody can mirror them.
fn unmirrorable(link: &Link, definition: &Definition) -> Option<&'static str> {
    let over_http = matches!(link.wire, Wire::Http(_)) && link.revision.era() == Era::Modern;
    let schema = definition.document().root().get("inputSchema")?;
    over_http.then(|| mirrored_params(schema).err()).flatten()
}

async fn documents(link: &Link, method: Method, member: &str) -> Result<Vec<Arc<Document>>, LinkError> {
    let pages = pages(link, method, member).await?;
    let entries = pages
        .iter()
        .filter_map(result)
        .filter_map(|r| r.get(member))
        .flat_map(Node::elements);
    let parse = |entry: Node<'_>| {
        let text = entry.written().as_bytes().to_vec();
        Document::parse(text, Keys::Exact, &wire::bounds::ANSWER)
            .ok()
            .map(Arc::new)
    };
    Ok(entries.filter_map(parse).collect())
}

/// All pages of a list.
async fn pages(link: &Link, method: Method, member: &str) -> Result<Vec<Response>, LinkError> {
    let mut pages: Vec<Response> = Vec::new();
    let mut cursor: Option<String> = None;
    let mut entries = 0;
    loop {
        let head = Head::of(method.name());
        let revision = link.revision;
        let body = |id| {
            jsonrpc::request(&Id::Integer(id), method, |params| {
                if let Some(cursor) = &cursor {
                    params.string("cursor", cursor);
                }
                encode::own_meta(revision, params);
            })
        };
        let page = link.ask(head, body, Side::default()).await?;
        let Some(result) = result(&page) else {
            return Err(LinkError::Garbled(format!(
                "`{method}` was answered with an error"
            )));
        };
        let Some(list) = result.get(member).filter(|list| list.kind() == Kind::Array) else {
            return Err(LinkError::Garbled(format!(
                "`{method}` was answered without `{member}`"
            )));
        };
        entries += list.elements().count();
        let next = result
            .get("nextCursor")
            .and_then(Node::as_str)
            .map(std::borrow::Cow::into_owned);
        pages.push(page);
        if entries > ENTRIES_MAX || (next.is_some() && pages.len() >= PAGES_MAX) {
            return Err(LinkError::Garbled(format!(
                "`{method}` lists more than {ENTRIES_MAX} entries"
            )));
        }
        match next {
            Some(next) => cursor = Some(next),
            None => return Ok(pages),
        }
    }
}

fn result(page: &Response) -> Option<Node<'_>> {
    match page.answer() {
        Answer::Result(result) => Some(result),
        Answer::Error(_) => None,
    }
}
