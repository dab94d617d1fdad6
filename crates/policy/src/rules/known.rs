//! Rules in view of the tools there are: one that names no tool, or reads an argument the tool does not take, is
//! refused before it is in force, because it would be silently false. What nobody has looked at yet is not judged.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ArgumentType, Diagnostic, RuleErrors, RuleSet,
    datum::Datum,
    entity::{Entity, Uid},
    expr::{Binary, Expr, Variable},
    rule::{Constraint, Rule},
    sql::CLASSES,
    vocabulary::nearest,
};

/// The models and servers there are, and the tools of those that were looked at, with what they take.
#[derive(Clone, Debug, Default)]
pub struct Known {
    models: BTreeSet<String>,
    servers: BTreeMap<String, Option<BTreeMap<String, ArgumentType>>>,
}

/// What is wrong, the word that is, and the remedy.
pub(super) type Fault = (String, String, String);

impl Known {
    /// A model.
    pub fn model(&mut self, name: &str) {
        self.models.insert(name.to_owned());
    }

    /// A server nobody has looked at: its tools may be called anything.
    pub fn server(&mut self, name: &str) {
        self.servers.entry(name.to_owned()).or_default();
    }

    /// A tool of a server, and what it takes.
    pub fn tool(&mut self, server: &str, name: &str, arguments: ArgumentType) {
        let tools = self.servers.entry(server.to_owned()).or_default();
        tools.get_or_insert_default().insert(name.to_owned(), arguments);
    }

    fn names(&self, uid: &Uid) -> Option<Fault> {
        match uid.kind.as_ref() {
            "Model" => self.no_model(&uid.id),
            "Server" => self.no_server(&uid.id),
            "Tool" => self.no_tool(&uid.id),
            _ => None,
        }
    }

    fn no_model(&self, name: &str) -> Option<Fault> {
        if self.models.contains(name) {
            return None;
        }
        let known: Vec<&str> = self.models.iter().map(String::as_str).collect();
        let remedy = meant(name, &known, "add it under `models`");
        Some((format!("there is no model `{name}`"), name.to_owned(), remedy))
    }

    fn no_server(&self, name: &str) -> Option<Fault> {
        if self.servers.contains_key(name) {
            return None;
        }
        let known: Vec<&str> = self.servers.keys().map(String::as_str).collect();
        let remedy = meant(name, &known, "add it under `mcpServers`");
        Some((format!("there is no server `{name}`"), name.to_owned(), remedy))
    }

    fn no_tool(&self, full: &str) -> Option<Fault> {
        let wrong = |what: String, remedy: String| Some((what, full.to_owned(), remedy));
        let Some((server, own)) = full.split_once("__") else {
            return wrong(
                format!("`{full}` is no tool's name"),
                "write it as `server__tool`".to_owned(),
            );
        };
        if let Some((what, _, remedy)) = self.no_server(server) {
            return wrong(what, remedy);
        }
        let tools = self.servers.get(server)?.as_ref()?;
        if tools.contains_key(own) {
            return None;
        }
        let known: Vec<&str> = tools.keys().map(String::as_str).collect();
        let remedy = meant(own, &known, "see `sallyport server show`");
        wrong(format!("the server `{server}` has no tool `{own}`"), remedy)
    }

    fn arguments(&self, full: &str) -> Option<&ArgumentType> {
        let (server, own) = full.split_once("__")?;
        self.servers.get(server)?.as_ref()?.get(own)
    }
}

impl RuleSet {
    /// Whether every rule speaks of tools and arguments there are.
    ///
    /// # Errors
    /// Everything that is wrong, with its place and what to do about it.
    pub fn fits(&self, known: &Known) -> Result<(), RuleErrors> {
        let mut found = Vec::new();
        for rule in &self.rules {
            found.extend(fault(rule, known).map(|fault| placed(rule, fault)));
        }
        RuleErrors::check(found)
    }
}

fn fault(rule: &Rule, known: &Known) -> Option<Fault> {
    if let Some(fault) = rule.resource.uid().and_then(|uid| known.names(uid)) {
        return Some(fault);
    }
    let tool = match &rule.resource {
        Constraint::Equal(uid) if uid.kind.as_ref() == "Tool" => Some(uid.id.as_ref()),
        Constraint::Any
        | Constraint::Equal(_)
        | Constraint::In(_)
        | Constraint::Is(_)
        | Constraint::IsIn(..) => None,
    };
    let types = tool.and_then(|tool| Some((tool, known.arguments(tool)?)));
    let conditions = rule.conditions.iter();
    conditions
        .map(|condition| &condition.expr)
        .find_map(|expr| within(expr, known, types))
}

fn within(expr: &Expr, known: &Known, types: Option<(&str, &ArgumentType)>) -> Option<Fault> {
    let here = if let Expr::Constant(Datum::Entity(Entity::Named(uid))) = expr {
        known.names(uid)
    } else {
        types.and_then(|types| of_arguments(expr, types))
    };
    if here.is_some() {
        return here;
    }
    let mut found = None;
    expr.parts(&mut |part| {
        if found.is_none() {
            found = within(part, known, types);
        }
    });
    found
}

/// What one expression says of arguments, without its parts.
fn of_arguments(expr: &Expr, types: (&str, &ArgumentType)) -> Option<Fault> {
    if let Expr::Get(of, name) = expr {
        return not_taken(of, name, types).or_else(|| no_part(of, name, types));
    }
    if let Expr::Has(of, path) = expr {
        return not_taken(of, path.first()?, types).or_else(|| no_part(of, path.first()?, types));
    }
    if let Expr::Like(of, _) = expr {
        return whole(of, types);
    }
    if let Expr::Binary(Binary::Equal | Binary::NotEqual | Binary::Compare(_), sides) = expr {
        let of = |one, other| mismatch(one, other, types).or_else(|| no_class(one, other, types));
        return of(&sides.0, &sides.1).or_else(|| of(&sides.1, &sides.0));
    }
    None
}

/// The name of an argument that stands for more than its text, and what parts it has.
fn parts_of<'e>(
    of: &'e Expr,
    (_, types): (&str, &ArgumentType),
) -> Option<(&'e str, &'static [&'static str])> {
    let name = argument(of)?;
    Some((name, types.member(name)?.members()?))
}

/// A part that is not there.
fn no_part(of: &Expr, part: &str, types: (&str, &ArgumentType)) -> Option<Fault> {
    let (name, parts) = parts_of(of, types)?;
    let what = format!("the argument `{name}` of `{}` has no `{part}`", types.0);
    let remedy = meant(part, parts, &format!("it has {}", parts.join(", ")));
    (!parts.contains(&part)).then(|| (what, part.to_owned(), remedy))
}

/// The whole, where one of its parts must be meant.
fn whole(of: &Expr, types: (&str, &ArgumentType)) -> Option<Fault> {
    let (name, parts) = parts_of(of, types)?;
    let what = format!("the argument `{name}` of `{}` is a record here", types.0);
    Some((
        what,
        name.to_owned(),
        format!("read one of its parts: {}", parts.join(", ")),
    ))
}

/// A class of statements there is none of.
fn no_class(path: &Expr, constant: &Expr, types: (&str, &ArgumentType)) -> Option<Fault> {
    let (Expr::Get(of, part), Expr::Constant(Datum::Text(word))) = (self::path(path), constant) else {
        return None;
    };
    let (_, parts) = parts_of(of, types)?;
    let wrong = part.as_ref() == "class" && parts.contains(&"class") && !CLASSES.contains(&word.as_ref());
    let remedy = || meant(word, &CLASSES, &format!("the words are {}", CLASSES.join(", ")));
    wrong.then(|| {
        (
            format!("`{word}` is never the case here"),
            word.to_string(),
            remedy(),
        )
    })
}

/// An argument the tool does not take. A tool that says nothing of its arguments may take any.
fn not_taken(of: &Expr, name: &str, (tool, types): (&str, &ArgumentType)) -> Option<Fault> {
    let ArgumentType::Record(fields) = types else {
        return None;
    };
    if !is_args(of) || fields.is_empty() || fields.contains_key(name) {
        return None;
    }
    let taken: Vec<&str> = fields.keys().map(String::as_str).collect();
    let remedy = meant(name, &taken, &format!("it takes {}", taken.join(", ")));
    Some((
        format!("`{tool}` takes no argument `{name}`"),
        name.to_owned(),
        remedy,
    ))
}

/// An argument compared with what it can never be.
fn mismatch(path: &Expr, constant: &Expr, (tool, types): (&str, &ArgumentType)) -> Option<Fault> {
    let (Some(name), Expr::Constant(constant)) = (argument(path), constant) else {
        return None;
    };
    let (is, can) = match (types.member(name)?, constant) {
        (ArgumentType::String, Datum::Long(_) | Datum::Bool(_)) => ("a string", "a text in quotation marks"),
        (ArgumentType::Long, Datum::Text(_) | Datum::Bool(_)) => ("an integer", "a number"),
        (ArgumentType::Bool, Datum::Text(_) | Datum::Long(_)) => ("true or false", "`true` or `false`"),
        (ArgumentType::Decimal, Datum::Long(_) | Datum::Text(_) | Datum::Bool(_)) => {
            ("a number", "`decimal(\"1.5\")`, with `.lessThan()` and its kin")
        }
        (is, _) if is.members().is_some() => return whole(path, (tool, types)),
        _ => return None,
    };
    let what = format!("the argument `{name}` of `{tool}` is {is} by its schema");
    Some((what, name.to_owned(), format!("compare it with {can}")))
}

fn argument(expr: &Expr) -> Option<&str> {
    if let Expr::Get(of, name) = path(expr)
        && is_args(of)
    {
        return Some(name);
    }
    None
}

fn is_args(expr: &Expr) -> bool {
    if let Expr::Get(of, name) = path(expr) {
        return matches!(of.as_ref(), Expr::Variable(Variable::Context)) && name.as_ref() == "args";
    }
    false
}

/// A path as it was written, remembered or not.
pub(super) fn path(expr: &Expr) -> &Expr {
    if let Expr::Remembered(remembered) = expr {
        &remembered.path
    } else {
        expr
    }
}

pub(super) fn meant(name: &str, known: &[&str], otherwise: &str) -> String {
    match nearest(name, known) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => otherwise.to_owned(),
    }
}

/// Where the word stands in the rule; at its beginning if it cannot be found there.
pub(super) fn placed(rule: &Rule, (message, word, remedy): Fault) -> Diagnostic {
    let text = &rule.text;
    let lines = text.cedar.lines().enumerate();
    let mut hits = lines.filter_map(|(n, line)| Some((n, line, line.find(&word)?)));
    let first = text.cedar.lines().next().unwrap_or_default();
    let (n, line, at) = hits.next().unwrap_or((0, first, 0));
    Diagnostic {
        source: text.source.to_string(),
        line: text.line + n,
        column: line.get(..at).unwrap_or_default().chars().count() + 1,
        snippet: line.to_owned(),
        message,
        remedy,
    }
}
