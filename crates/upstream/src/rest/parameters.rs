//! Parameters of operations: which of them become arguments, where each of those goes, and in which style.
//!
//! What proves the gateway, what frames a message, and what says who asks is never an argument's: such a parameter is
//! left out, and an operation that demands it is left out with it.

use std::collections::BTreeSet;

use wire::json::{Kind, Node};

use super::{
    description::{Source, Trouble, shown},
    schema::Shape,
};

/// Headers no argument sets: they prove somebody, say who asked or for what, or frame the message. `-` at the end stands
/// for all that begin so.
const NEVER: [&str; 37] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "authorization",
    "baggage",
    "cf-",
    "connection",
    "content-",
    "cookie",
    "cookie2",
    "date",
    "dpop",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "mcp-",
    "origin",
    "proxy-",
    "range",
    "referer",
    "sec-",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "true-client-ip",
    "upgrade",
    "user-agent",
    "via",
    "x-forwarded-",
    "x-http-",
    "x-method-override",
    "x-original-",
    "x-real-ip",
    "x-rewrite-url",
];

/// Words of names of headers that prove somebody, or say for whom a service is to act: gateways, proxies and clusters put them
/// there, and services believe them.
const WHO: [&str; 22] = [
    "apikey",
    "apitoken",
    "authenticated",
    "authentication",
    "authorization",
    "auth",
    "behalf",
    "consumer",
    "credential",
    "credentials",
    "csrf",
    "impersonate",
    "impersonated",
    "impersonation",
    "password",
    "principal",
    "secret",
    "session",
    "sessionid",
    "tenant",
    "user",
    "xsrf",
];
/// The like, of several words.
const WHO_PARTS: [&str; 9] = [
    "access-key",
    "act-as",
    "api-key",
    "client-cert",
    "client-ip",
    "remote-addr",
    "run-as",
    "ssl-client",
    "userid",
];
/// What makes a token the place where a list goes on.
const PAGES: [&str; 5] = ["continuation", "cursor", "next", "page", "sync"];

/// Whether a header proves somebody or says who asks, by its name in lower case.
fn says_who(name: &str) -> bool {
    let mut words = name.split(['-', '_']);
    let is_page = || PAGES.iter().any(|word| name.contains(word));
    words.any(|word| WHO.contains(&word))
        || WHO_PARTS.iter().any(|part| name.contains(part))
        || name.contains("token") && !is_page()
}

/// Where an argument goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    Header,
    Path,
    Query,
}

impl Place {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Path => "path",
            Self::Query => "query",
        }
    }
}

/// A parameter that becomes an argument.
#[derive(Clone, Debug)]
pub(super) struct Parameter<'d> {
    /// What the service calls it.
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) required: bool,
    /// Whether each element of a list is written with the name (`a=1&a=2`), or all after one (`a=1,2`).
    pub(super) explode: bool,
    /// None where any text will do.
    pub(super) schema: Option<Node<'d>>,
    pub(super) description: Option<Node<'d>>,
}

/// What is not an argument's to say: the security schemes' parameters, and the headers the gateway sends.
#[derive(Debug)]
pub(super) struct Reserved {
    all: BTreeSet<(String, String)>,
    /// Headers of the security schemes.
    proofs: BTreeSet<String>,
}

impl Reserved {
    pub(super) fn new<'h>(root: Node<'_>, own_headers: impl IntoIterator<Item = &'h str>) -> Self {
        let schemes = root
            .get("components")
            .and_then(|components| components.get("securitySchemes"));
        let text = |scheme: Node<'_>, name| {
            let text = scheme.get(name).and_then(Node::as_str).unwrap_or_default();
            text.to_ascii_lowercase()
        };
        let schemes = schemes.into_iter().flat_map(Node::members);
        let mut all: BTreeSet<(String, String)> = schemes
            .map(|(_, scheme)| (text(scheme, "in"), text(scheme, "name")))
            .collect();
        let headers = all.iter().filter(|(place, _)| place == Place::Header.as_str());
        let proofs = headers.map(|(_, name)| name.clone()).collect();
        all.extend(
            own_headers
                .into_iter()
                .map(|name| ("header".to_owned(), name.to_ascii_lowercase())),
        );
        Self { all, proofs }
    }

    /// Headers that prove, in lower case.
    pub(super) fn proofs(&self) -> BTreeSet<String> {
        self.proofs.clone()
    }

    /// Why a parameter is no argument's, if it is not.
    fn why(&self, place: Place, name: &str) -> Option<&'static str> {
        let lower = name.to_ascii_lowercase();
        if self.all.contains(&(place.as_str().to_owned(), lower.clone())) {
            return Some("it is the gateway's credential");
        }
        let never = |word: &str| lower == word || (word.ends_with('-') && lower.starts_with(word));
        let is_never = place == Place::Header && (NEVER.iter().any(|word| never(word)) || says_who(&lower));
        is_never.then_some("it is a header that no argument may set")
    }
}

/// The parameters of an operation that become arguments, and why some do not.
pub(super) fn read<'d>(
    source: &Source<'d>,
    (item, operation): (Node<'d>, Node<'d>),
) -> Result<(Vec<Parameter<'d>>, Vec<String>), Trouble> {
    let mut said: Vec<(String, String, Node<'d>)> = Vec::new();
    for holder in [item, operation] {
        let Some(list) = holder.get("parameters") else {
            continue;
        };
        if list.kind() != Kind::Array {
            return Err(source
                .broken(list, "a list is expected here", "correct it")
                .into());
        }
        let mut here = BTreeSet::new();
        for parameter in list.elements() {
            let parameter = source.follow(parameter)?;
            let text = |name: &'static str| {
                let found = parameter
                    .get(name)
                    .and_then(Node::as_str)
                    .map(|text| text.into_owned());
                let lacks = || source.broken(parameter, format!("a parameter needs `{name}`"), "add it");
                found.filter(|text| !text.is_empty()).ok_or_else(lacks)
            };
            let (name, place) = (text("name")?, text("in")?);
            if !here.insert((name.clone(), place.clone())) {
                let what = format!("the parameter `{}` is there twice", shown(&name));
                return Err(source.broken(parameter, what, "keep one of them").into());
            }
            // What an operation says of a parameter is in the place of what its path says.
            said.retain(|(other, at, _)| (other, at) != (&name, &place));
            said.push((name, place, parameter));
        }
    }
    let mut parameters = Vec::new();
    let mut without = Vec::new();
    for (name, place, node) in said {
        match parameter(source, &name, &place, node)? {
            Ok(parameter) => parameters.push(parameter),
            Err(why) => {
                let why = format!("the {} parameter `{}`: {why}", shown(&place), shown(&name));
                let required = node.get("required").and_then(Node::as_bool) == Some(true);
                if required || place == "path" {
                    return Err(Trouble::Unfit(why));
                }
                without.push(format!("it is offered without {why}"));
            }
        }
    }
    Ok((parameters, without))
}

/// One parameter; or why it cannot be an argument.
fn parameter<'d>(
    source: &Source<'d>,
    name: &str,
    place: &str,
    node: Node<'d>,
) -> Result<Result<Parameter<'d>, &'static str>, Trouble> {
    let (place, usual) = match place {
        "path" => (Place::Path, "simple"),
        "query" => (Place::Query, "form"),
        "header" => (Place::Header, "simple"),
        "cookie" => return Ok(Err("cookies are not sent")),
        _ => {
            let what = "a parameter is in `path`, `query`, `header` or `cookie`";
            return Err(source.broken(node, what, "correct `in`").into());
        }
    };
    if let Some(why) = source.reserved.why(place, name) {
        return Ok(Err(why));
    }
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if place == Place::Header && !name.bytes().all(is_token) {
        return Ok(Err("it is not a name a header can have"));
    }
    if node.get("content").is_some() {
        return Ok(Err("its value is a document of its own"));
    }
    let style = node.get("style").and_then(Node::as_str);
    if style.as_deref().is_some_and(|style| style != usual) {
        return Ok(Err("its style is not `form` or `simple`"));
    }
    let schema = node.get("schema");
    let shape = match schema {
        None => Shape::Plain,
        Some(schema) => Shape::of(source, schema)?,
    };
    let explode = node.get("explode").and_then(Node::as_bool);
    match (shape, place) {
        (Shape::Plain, _) | (Shape::List, Place::Query) => {}
        (Shape::List, Place::Header | Place::Path) => return Ok(Err("it is a list")),
        (Shape::Other, _) => return Ok(Err("its value has parts of its own")),
    }
    let required = node.get("required").and_then(Node::as_bool) == Some(true);
    Ok(Ok(Parameter {
        name: name.to_owned(),
        place,
        required: required || place == Place::Path,
        explode: explode.unwrap_or(place == Place::Query),
        schema,
        description: node.get("description").filter(|text| text.kind() == Kind::String),
    }))
}
