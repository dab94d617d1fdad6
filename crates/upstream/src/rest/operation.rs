//! One operation: the tool it is, and the request a call of it makes.

use std::{borrow::Cow, collections::BTreeMap};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue},
};
use pipeline::registry::Definition;
use wire::{
    bounds::ANSWER,
    hex,
    json::{Document, Keys, Kind, Node, ObjectWriter, Writer, extended, object},
};

use super::{
    description::{Source, Trouble, shown},
    parameters::{self, Parameter, Place},
    route::{self, Base, Part},
    schema::{BYTES_MAX, Schemas},
};

/// The longest name of a tool that every client and every model's API takes.
const NAME_BYTES_MAX: usize = 64;
/// Where a tool says which request it makes. It is pinned with the rest: another route behind the same name is another
/// tool.
const META: &str = "io.sallyport/rest";

/// See the module.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) name: String,
    pub(super) method: Method,
    /// As the description writes it.
    path: String,
    parts: Vec<Part>,
    arguments: Vec<Argument>,
    body: Option<Body>,
    /// The tool, as it is listed.
    pub(super) definition: Vec<u8>,
}

#[derive(Debug)]
struct Argument {
    /// What the caller calls it.
    name: String,
    /// What the service calls it.
    parameter: String,
    place: Place,
    required: bool,
    explode: bool,
}

#[derive(Debug)]
struct Body {
    name: String,
    kind: String,
    required: bool,
}

/// Reads an operation. With it comes what it is offered without.
pub(super) fn read<'d>(
    source: &Source<'d>,
    method: &str,
    path: &str,
    (item, node): (Node<'d>, Node<'d>),
) -> Result<(Operation, Vec<String>), Trouble> {
    if node.kind() != Kind::Object {
        return Err(source
            .broken(node, "an operation is an object", "correct it")
            .into());
    }
    let method = match method {
        "get" => Method::GET,
        "put" => Method::PUT,
        "post" => Method::POST,
        "delete" => Method::DELETE,
        "patch" => Method::PATCH,
        _ => {
            return Err(Trouble::unfit(
                "it is about the request itself, and has no answer to show",
            ));
        }
    };
    let parts = route::parts(path).map_err(|why| match why {
        route::ODD => Trouble::unfit(why),
        why => source.broken(node, why, "correct the path").into(),
    })?;
    let (parameters, without) = parameters::read(source, (item, node))?;
    fits_path(source, node, &parts, &parameters)?;
    let body = body(source, &method, node)?;
    let name = tool_name(&method, path, node)?;
    let (arguments, body_name) = names(&parameters, body.is_some())?;
    let mut operation = Operation {
        name,
        method,
        path: path.to_owned(),
        parts,
        arguments,
        body: body.as_ref().map(|(kind, required, _)| Body {
            name: body_name,
            kind: kind.clone(),
            required: *required,
        }),
        definition: Vec::new(),
    };
    let schema = operation.schema(source, &parameters, body.map(|(_, _, schema)| schema))?;
    let definition = operation.define(node, &schema);
    // What the registry would refuse is said here, where the place is known.
    if definition.len() > BYTES_MAX {
        return Err(Trouble::unfit(format!(
            "its tool has more than {BYTES_MAX} bytes"
        )));
    }
    Definition::parse(definition.clone()).map_err(|error| Trouble::unfit(error.to_string()))?;
    operation.definition = definition;
    Ok((operation, without))
}

/// Each parameter of the path is described, and each that is described is there.
fn fits_path(
    source: &Source<'_>,
    node: Node<'_>,
    parts: &[Part],
    parameters: &[Parameter<'_>],
) -> Result<(), Trouble> {
    let of_path = |name: &str| {
        let mut in_path = parameters
            .iter()
            .filter(|parameter| parameter.place == Place::Path);
        in_path.any(|parameter| parameter.name == name)
    };
    for part in parts {
        if let Part::Argument(name) = part
            && !of_path(name)
        {
            let what = format!("`{}` is in the path and no parameter", shown(name));
            return Err(source.broken(node, what, "describe it under `parameters`").into());
        }
    }
    let is_there = |parameter: &&Parameter<'_>| parts.contains(&Part::Argument(parameter.name.clone()));
    let mut in_path = parameters
        .iter()
        .filter(|parameter| parameter.place == Place::Path);
    match in_path.find(|parameter| !is_there(parameter)) {
        None => Ok(()),
        Some(parameter) => {
            let what = format!("the path has no `{{{}}}`", shown(&parameter.name));
            Err(source
                .broken(node, what, "correct the path or the parameter")
                .into())
        }
    }
}

type JsonBody<'d> = (String, bool, Option<Node<'d>>);

/// The body, where there is one: its type, whether it must be there, and its schema.
fn body<'d>(source: &Source<'d>, method: &Method, node: Node<'d>) -> Result<Option<JsonBody<'d>>, Trouble> {
    let Some(body) = node.get("requestBody") else {
        return Ok(None);
    };
    let body = source.follow(body)?;
    if matches!(*method, Method::GET | Method::DELETE) {
        return Err(Trouble::unfit(format!(
            "a body of {method} means nothing (RFC 9110)"
        )));
    }
    let content = body
        .get("content")
        .filter(|content| content.kind() == Kind::Object);
    let content = content.ok_or_else(|| source.broken(body, "a body needs `content`", "add it"))?;
    let essence = |key: Node<'_>| {
        let text = key.as_str().unwrap_or_default();
        text.split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase()
    };
    let is_name = |kind: &str| {
        kind.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/+.-_".contains(&b))
    };
    let is_json = |kind: &str| {
        kind == "application/json"
            || (kind.starts_with("application/") && kind.ends_with("+json") && is_name(kind))
    };
    let kinds: Vec<(String, Node<'d>)> = content
        .members()
        .map(|(key, media)| (essence(key), media))
        .collect();
    let plain = kinds.iter().find(|(kind, _)| kind == "application/json");
    let Some((kind, media)) = plain.or_else(|| kinds.iter().find(|(kind, _)| is_json(kind))) else {
        let kinds: Vec<_> = kinds.iter().map(|(kind, _)| shown(kind)).collect();
        return Err(Trouble::unfit(format!(
            "its body is no JSON but {}",
            kinds.join(", ")
        )));
    };
    let required = body.get("required").and_then(Node::as_bool) == Some(true);
    Ok(Some((kind.clone(), required, media.get("schema"))))
}

/// What the tool is called: as the operation is, or as its method and path.
fn tool_name(method: &Method, path: &str, node: Node<'_>) -> Result<String, Trouble> {
    let said = node.get("operationId").and_then(Node::as_str);
    let whole = match said.filter(|said| !said.trim().is_empty()) {
        Some(said) => said.into_owned(),
        None => format!("{} {path}", method.as_str().to_ascii_lowercase()),
    };
    let name = plain(&whole);
    if name.is_empty() {
        return Err(Trouble::unfit(
            "its `operationId` has no letter or digit of ASCII",
        ));
    }
    if name.len() <= NAME_BYTES_MAX {
        return Ok(name);
    }
    // Cut, it would pass for another that begins so.
    let digest = digest(&SHA256, whole.as_bytes());
    let mark = digest.as_ref().iter().take(4).flat_map(|byte| hex::digits(*byte));
    let begin = name.chars().take(NAME_BYTES_MAX - 9);
    Ok(begin
        .chain(std::iter::once('_'))
        .chain(mark.map(char::from))
        .collect())
}

/// A text with what names may have of it; what lies between becomes one `_`.
fn plain(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') {
            name.push(c);
        } else if !name.ends_with('_') {
            name.push('_');
        }
    }
    name.trim_matches('_').to_owned()
}

/// What the caller calls the parameters and the body: by their names, with the place before it where two have one.
fn names(parameters: &[Parameter<'_>], has_body: bool) -> Result<(Vec<Argument>, String), Trouble> {
    const BODY: &str = "body";
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    let folded = |parameter: &Parameter<'_>| plain(&parameter.name).to_ascii_lowercase();
    for parameter in parameters {
        *times.entry(folded(parameter)).or_default() += 1;
    }
    if has_body {
        *times.entry(BODY.to_owned()).or_default() += 1;
    }
    let mut taken: Vec<String> = has_body.then(|| BODY.to_owned()).into_iter().collect();
    let mut arguments = Vec::new();
    for parameter in parameters {
        let own = plain(&parameter.name);
        let alone = times.get(&folded(parameter)) == Some(&1) && !own.is_empty();
        let name = if alone {
            own
        } else {
            format!("{}_{own}", parameter.place.as_str())
        };
        let fits = name.len() <= NAME_BYTES_MAX && !taken.contains(&name.to_ascii_lowercase());
        if !fits {
            let name = shown(&parameter.name);
            return Err(Trouble::unfit(format!(
                "`{name}` cannot be the name of an argument beside the others"
            )));
        }
        taken.push(name.to_ascii_lowercase());
        arguments.push(Argument {
            name,
            parameter: parameter.name.clone(),
            place: parameter.place,
            required: parameter.required,
            explode: parameter.explode,
        });
    }
    Ok((arguments, BODY.to_owned()))
}

/// What a call comes to before anything is sent.
pub(super) type Unsent = String;

impl Operation {
    /// Method and path, for people.
    pub(super) fn label(&self) -> String {
        format!("{} {}", self.method, shown(&self.path))
    }

    fn schema<'d>(
        &self,
        source: &Source<'d>,
        parameters: &[Parameter<'d>],
        body: Option<Option<Node<'d>>>,
    ) -> Result<Vec<u8>, Trouble> {
        let mut schemas = Schemas::new(source);
        let mut properties = Vec::new();
        for (argument, parameter) in self.arguments.iter().zip(parameters) {
            let text = match parameter.schema {
                Some(schema) => schemas.schema(schema)?,
                None => b"{}".to_vec(),
            };
            properties.push((argument.name.as_str(), described(text, parameter)));
        }
        if let (Some(own), Some(schema)) = (&self.body, body) {
            let text = match schema {
                Some(schema) => schemas.schema(schema)?,
                None => b"{}".to_vec(),
            };
            properties.push((own.name.as_str(), text));
        }
        let definitions = schemas.definitions()?;
        let required = self.arguments.iter().filter(|argument| argument.required);
        let required = required.map(|argument| argument.name.as_str());
        let body = self
            .body
            .iter()
            .filter(|body| body.required)
            .map(|body| body.name.as_str());
        let required: Vec<&str> = required.chain(body).collect();
        let all = |texts: &[(&str, Vec<u8>)], out: &mut ObjectWriter<'_>| {
            texts.iter().for_each(|(name, text)| out.json(name, text));
        };
        Ok(object(|out| {
            out.string("type", "object");
            out.object("properties", |out| all(&properties, out));
            if !required.is_empty() {
                out.array("required", |list| {
                    required.iter().for_each(|name| list.string(name))
                });
            }
            out.boolean("additionalProperties", false);
            if !definitions.is_empty() {
                out.object("$defs", |out| {
                    definitions.iter().for_each(|(name, text)| out.json(name, text));
                });
            }
        }))
    }

    /// The tool.
    fn define(&self, node: Node<'_>, schema: &[u8]) -> Vec<u8> {
        let text = |name| node.get(name).and_then(Node::as_str).unwrap_or_default();
        let texts = [text("summary"), text("description")];
        let texts: Vec<&str> = texts
            .iter()
            .map(|text| text.trim())
            .filter(|text| !text.is_empty())
            .collect();
        let description = match texts.as_slice() {
            [] => self.label(),
            [one, other] if one == other => (*one).to_owned(),
            several => several.join("\n\n"),
        };
        object(|out| {
            out.string("name", &self.name);
            out.string("description", &description);
            out.json("inputSchema", schema);
            out.object("annotations", |out| {
                out.boolean("readOnlyHint", self.method == Method::GET);
                if self.method == Method::DELETE {
                    out.boolean("destructiveHint", true);
                }
                if matches!(self.method, Method::PUT | Method::DELETE) {
                    out.boolean("idempotentHint", true);
                }
                out.boolean("openWorldHint", true);
            });
            out.object("_meta", |out| out.object(META, |out| self.route(out)));
        })
    }

    fn route(&self, out: &mut ObjectWriter<'_>) {
        out.string("method", self.method.as_str());
        out.string("path", &self.path);
        out.object("arguments", |out| {
            for argument in &self.arguments {
                out.object(&argument.name, |out| {
                    out.string("in", argument.place.as_str());
                    out.string("name", &argument.parameter);
                    if argument.place == Place::Query && !argument.explode {
                        out.boolean("explode", false);
                    }
                });
            }
        });
        if let Some(body) = &self.body {
            out.string("body", &body.kind);
        }
    }

    /// The request of a call.
    ///
    /// # Errors
    /// What is wrong with the arguments: nothing was sent.
    pub(super) fn request(
        &self,
        base: &Base,
        own: &HeaderMap,
        arguments: Option<Node<'_>>,
    ) -> Result<Request<Full<Bytes>>, Unsent> {
        let given = self.given(arguments)?;
        let mut in_path: BTreeMap<&str, Cow<'_, str>> = BTreeMap::new();
        let mut query = String::new();
        let mut headers = HeaderMap::new();
        for argument in &self.arguments {
            let value = given
                .get(argument.name.as_str())
                .copied()
                .filter(|value| !value.is_null());
            let Some(value) = value else {
                if argument.required {
                    return Err(format!("`{}` is missing", argument.name));
                }
                continue;
            };
            match argument.place {
                Place::Path => {
                    in_path.insert(&argument.parameter, argument.text(value)?);
                }
                Place::Query => argument.write_query(value, &mut query)?,
                Place::Header => {
                    let (name, value) = argument.header(value)?;
                    headers.append(name, value);
                }
            }
        }
        let path = route::path(&self.parts, |name| in_path.get(name).map(AsRef::as_ref))?;
        let url = base.below(&path, &query)?;
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("application/json, text/plain;q=0.9, */*;q=0.1"),
        );
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let body = self.body(&given, &mut headers)?;
        // The operator's come last, and take the place of whatever has their name.
        for (name, value) in own {
            headers.insert(name, value.clone());
        }
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = url;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// The arguments by name; none but those that are described.
    fn given<'a>(&self, arguments: Option<Node<'a>>) -> Result<BTreeMap<String, Node<'a>>, Unsent> {
        let mut given = BTreeMap::new();
        let Some(arguments) = arguments else {
            return Ok(given);
        };
        if arguments.kind() != Kind::Object {
            return Err("`arguments` is no object".to_owned());
        }
        for (key, value) in arguments.members() {
            let name = key.as_str().unwrap_or_default().into_owned();
            let known = self.arguments.iter().any(|argument| argument.name == name)
                || self.body.as_ref().is_some_and(|body| body.name == name);
            if !known {
                return Err(format!("there is no argument `{}`", shown(&name)));
            }
            given.insert(name, value);
        }
        Ok(given)
    }

    fn body(&self, given: &BTreeMap<String, Node<'_>>, headers: &mut HeaderMap) -> Result<Vec<u8>, Unsent> {
        let Some(body) = &self.body else {
            return Ok(Vec::new());
        };
        let Some(value) = given.get(&body.name) else {
            return match body.required {
                true => Err(format!("`{}` is missing", body.name)),
                false => Ok(Vec::new()),
            };
        };
        let kind = HeaderValue::from_str(&body.kind).map_err(|_| "its type is no header".to_owned())?;
        headers.insert(CONTENT_TYPE, kind);
        let mut writer = Writer::default();
        writer.node(*value);
        Ok(writer.into_bytes())
    }
}

impl Argument {
    /// A value as text: a string, a number, a boolean.
    fn text<'a>(&self, value: Node<'a>) -> Result<Cow<'a, str>, Unsent> {
        match value.kind() {
            Kind::String => Ok(value.as_str().unwrap_or_default()),
            Kind::Bool | Kind::Number => Ok(Cow::Borrowed(value.written())),
            Kind::Array | Kind::Null | Kind::Object => {
                Err(format!("`{}` must be a string, a number or a boolean", self.name))
            }
        }
    }

    /// Writes it as the style `form` does (RFC 6570, section 3.2.8).
    fn write_query(&self, value: Node<'_>, query: &mut String) -> Result<(), Unsent> {
        let begin = |query: &mut String| {
            if !query.is_empty() {
                query.push('&');
            }
            route::encode(query, &self.parameter);
            query.push('=');
        };
        if value.kind() != Kind::Array {
            begin(query);
            route::encode(query, &self.text(value)?);
            return Ok(());
        }
        for (n, element) in value.elements().enumerate() {
            let text = self.text(element)?;
            match (self.explode, n) {
                (true, _) | (false, 0) => begin(query),
                (false, _) => query.push(','),
            }
            // THREAT: services split after they decode, so that a comma inside would make two elements of one.
            if !self.explode && text.contains(',') {
                return Err(format!("elements of `{}` cannot have a comma in them", self.name));
            }
            route::encode(query, &text);
        }
        Ok(())
    }

    fn header(&self, value: Node<'_>) -> Result<(HeaderName, HeaderValue), Unsent> {
        let text = self.text(value)?;
        let unfit = || {
            let name = &self.name;
            format!(
                "`{name}` is sent in a header, and can have visible characters of ASCII and inner blanks alone"
            )
        };
        let fits = text.bytes().all(|b| (0x20..0x7F).contains(&b)) && text.trim() == text && !text.is_empty();
        if !fits {
            return Err(unfit());
        }
        let name = HeaderName::try_from(&self.parameter).map_err(|_| unfit())?;
        let value = HeaderValue::from_str(&text).map_err(|_| unfit())?;
        Ok((name, value))
    }
}

/// A parameter's schema, with what is said of the parameter.
fn described(schema: Vec<u8>, parameter: &Parameter<'_>) -> Vec<u8> {
    let Some(text) = parameter.description else {
        return schema;
    };
    let written = Document::parse(schema.clone(), Keys::Exact, &ANSWER);
    let can = written.is_ok_and(|written| {
        let root = written.root();
        root.kind() == Kind::Object && root.get("description").is_none()
    });
    if can {
        extended(&schema, |out| out.node("description", text))
    } else {
        schema
    }
}
