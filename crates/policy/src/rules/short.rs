//! The short form: a line says who may or may not use what, and what must be so. Each line becomes one rule of
//! Cedar, which is what is in force and what is shown beside it.
//!
//! ```text
//! allow:    WHO on WHAT [for PURPOSE, ...] [when CONDITION]
//! forbid:   WHO on WHAT [for PURPOSE, ...] [when CONDITION] [because REASON]
//! require:  approval by BY [N] | purpose [NAME, ...] | person
//!           of WHO on WHAT [for PURPOSE, ...] [when CONDITION] [because REASON]
//! ```
//!
//! WHO is `anyone`, or `role:`, `group:`, `tenant:`, `user:`, `agent:`, `service:` and a name. WHAT is a list of
//! `server__tool`, where `*` stands for any letters, or one `server:NAME`, everything of that server. CONDITION is
//! Cedar, with `args` for `context.args`.

use std::fmt::Write;

use thiserror::Error;

use super::{RuleSet, RuleSource};

/// What a line of the short form does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// It permits.
    Allow,
    /// It refuses.
    Forbid,
    /// It refuses unless something is so.
    Require,
}

/// Why a line is no rule, and what to write instead.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{what}")]
pub struct ShortError {
    /// What is wrong.
    pub what: String,
    /// What to write.
    pub remedy: &'static str,
}

const FORM: &str = "write it as `WHO on TOOL, TOOL [for PURPOSE] [when CONDITION]`, such as \
                    `role:doctor on charts__read_* for treatment`";
const REQUIRE_FORM: &str = "write it as `approval by role:approver 2 of WHO on TOOL`, `purpose of WHO on TOOL` or \
                            `person of WHO on TOOL`";
const WHO_FORM: &str = "WHO is `anyone`, or `role:NAME`, `group:NAME`, `tenant:NAME`, `user:NAME`, `agent:NAME` or \
                        `service:NAME`";
const WHAT_FORM: &str =
    "WHAT is a list of `server__tool`, where `*` stands for any letters, or `server:NAME`";

/// What may be done with everything of a server.
const EVERYTHING: &str = r#"[Action::"invoke", Action::"read", Action::"get", Action::"complete", Action::"subscribe", Action::"task"]"#;

/// A line of the short form in Cedar. `name` is where it stands, such as `policy.allow[2]`.
///
/// # Errors
/// When it is not of that form. Whether the Cedar is sound is for [`RuleSet::parse`] to say.
pub fn expand(kind: Kind, name: &str, line: &str) -> Result<RuleSource, ShortError> {
    let line = line.trim();
    let parts = Parts::of(kind, line)?;
    let mut conditions: Vec<String> = Vec::new();
    let (actions, resource) = parts.what(&mut conditions)?;
    if !parts.purposes.is_empty() {
        conditions.push(format!("{}.contains(context.purpose)", set(&parts.purposes)));
    }
    if let Some(condition) = parts.condition {
        conditions.push(format!("({})", with_args(condition)));
    }
    let mut text = format!("// {}\n@id({})\n", line.escape_debug(), quoted(name));
    let mut reason = parts.reason.map(str::to_owned);
    let mut unless = String::new();
    match kind {
        Kind::Allow | Kind::Forbid => {}
        Kind::Require => {
            let demand = Demand::parse(parts.demand.unwrap_or_default())?;
            reason = reason.or_else(|| Some(demand.reason()));
            match demand {
                Demand::Approval(by) => {
                    let _ = writeln!(text, "@approve({})", quoted(&by));
                }
                Demand::Purpose(names) if names.is_empty() => {
                    unless = "context.purpose != \"\"".to_owned();
                }
                Demand::Purpose(names) => unless = format!("{}.contains(context.purpose)", set(&names)),
                Demand::Person => unless = "context has user".to_owned(),
            }
        }
    }
    if let Some(reason) = reason {
        let _ = writeln!(text, "@reason({})", quoted(&reason));
    }
    let effect = if kind == Kind::Allow { "permit" } else { "forbid" };
    let _ = write!(text, "{effect}({}, {actions}, {resource})", who(parts.who)?);
    if !conditions.is_empty() {
        let _ = write!(text, "\nwhen {{ {} }}", conditions.join(" && "));
    }
    if !unless.is_empty() {
        let _ = write!(text, "\nunless {{ {unless} }}");
    }
    text.push(';');
    let source = RuleSource {
        name: name.to_owned(),
        text,
    };
    // A condition can close the brackets it stands in and go on as something else.
    match RuleSet::parse(std::slice::from_ref(&source)) {
        Ok(rules) if rules.rules().count() != 1 => Err(ShortError {
            what: format!("`{line}`: its condition ends the rule and begins another"),
            remedy: "write one condition; whole rules go under `policy.rules`",
        }),
        Ok(_) | Err(_) => Ok(source),
    }
}

/// A line, taken apart.
struct Parts<'l> {
    demand: Option<&'l str>,
    who: &'l str,
    what: Vec<&'l str>,
    purposes: Vec<&'l str>,
    condition: Option<&'l str>,
    reason: Option<&'l str>,
}

/// What a `require` line asks for.
enum Demand<'l> {
    Approval(String),
    Person,
    Purpose(Vec<&'l str>),
}

impl<'l> Parts<'l> {
    fn of(kind: Kind, line: &'l str) -> Result<Self, ShortError> {
        let wrong = |what: &str| ShortError {
            what: format!("`{line}`: {what}"),
            remedy: if kind == Kind::Require { REQUIRE_FORM } else { FORM },
        };
        let (line, reason) = split(line, "because");
        let (head, condition) = split(line, "when");
        let (demand, head) = match kind {
            Kind::Require => {
                let (demand, head) = split_or(head, "of").ok_or_else(|| wrong("it has no `of`"))?;
                (Some(demand.trim()), head)
            }
            Kind::Allow | Kind::Forbid => (None, head),
        };
        let (who, rest) = split_or(head, "on").ok_or_else(|| wrong("it has no `on`"))?;
        let (what, purposes) = split(rest, "for");
        if kind == Kind::Allow && reason.is_some() {
            return Err(wrong("an `allow` needs no `because`"));
        }
        Ok(Self {
            demand,
            who: who.trim(),
            what: list(what),
            purposes: purposes.map(list).unwrap_or_default(),
            condition: condition.map(str::trim),
            reason: reason.map(str::trim),
        })
    }

    /// The head's action and resource; what a head cannot say becomes a condition.
    fn what(&self, conditions: &mut Vec<String>) -> Result<(String, String), ShortError> {
        let wrong = |word: &str| ShortError {
            what: format!("`{word}` names no tool and no server"),
            remedy: WHAT_FORM,
        };
        let invoke = "action == Action::\"invoke\"".to_owned();
        match self.what.as_slice() {
            [] => Err(wrong("")),
            [one] if one.starts_with("server:") => {
                let name = one.trim_start_matches("server:");
                if name.is_empty() || name.contains('*') {
                    return Err(wrong(one));
                }
                Ok((
                    format!("action in {EVERYTHING}"),
                    format!("resource in Server::{}", quoted(name)),
                ))
            }
            [one] if !one.contains('*') => {
                tool(one).ok_or_else(|| wrong(one))?;
                Ok((invoke, format!("resource == Tool::{}", quoted(one))))
            }
            many => {
                let mut any = Vec::new();
                for word in many {
                    let (server, name) = tool(word).ok_or_else(|| wrong(word))?;
                    any.push(format!(
                        "(resource.server like {} && resource.name like {})",
                        quoted(server),
                        quoted(name)
                    ));
                }
                conditions.push(format!("({})", any.join(" || ")));
                Ok((invoke, "resource is Tool".to_owned()))
            }
        }
    }
}

impl<'l> Demand<'l> {
    fn parse(text: &'l str) -> Result<Self, ShortError> {
        if let Some(by) = text.strip_prefix("approval by ") {
            return Ok(Self::Approval(by.trim().to_owned()));
        }
        match text.split_once(' ').unwrap_or((text, "")) {
            ("purpose", names) => Ok(Self::Purpose(list(names))),
            ("person", "") => Ok(Self::Person),
            _ => Err(ShortError {
                what: format!("`{text}` is nothing that can be required"),
                remedy: REQUIRE_FORM,
            }),
        }
    }

    fn reason(&self) -> String {
        match self {
            Self::Approval(by) => format!("this waits for {by}"),
            Self::Person => "an agent does this only for a person".to_owned(),
            Self::Purpose(names) if names.is_empty() => "say what it is for: declare a purpose".to_owned(),
            Self::Purpose(names) => format!("this is for {} only", names.join(", ")),
        }
    }
}

/// The principal of a head.
fn who(text: &str) -> Result<String, ShortError> {
    let wrong = || ShortError {
        what: format!("`{text}` is nobody"),
        remedy: WHO_FORM,
    };
    if text == "anyone" {
        return Ok("principal".to_owned());
    }
    let (kind, name) = text
        .split_once(':')
        .filter(|(_, name)| !name.is_empty())
        .ok_or_else(wrong)?;
    let (relation, kind) = match kind {
        "agent" => ("==", "Agent"),
        "group" => ("in", "Group"),
        "role" => ("in", "Role"),
        "service" => ("==", "Service"),
        "tenant" => ("in", "Tenant"),
        "user" => ("==", "User"),
        _ => return Err(wrong()),
    };
    Ok(format!("principal {relation} {kind}::{}", quoted(name)))
}

/// A tool's server and own name.
fn tool(word: &str) -> Option<(&str, &str)> {
    let (server, name) = word.split_once("__")?;
    let plain = !word.contains(char::is_whitespace);
    (plain && !server.is_empty() && !name.is_empty()).then_some((server, name))
}

fn list(text: &str) -> Vec<&str> {
    text.split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .collect()
}

fn set(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("[{}]", words.join(", "))
}

/// What stands before a word, and what after it if it is there. Words inside of texts do not count.
fn split<'t>(text: &'t str, word: &str) -> (&'t str, Option<&'t str>) {
    split_or(text, word).map_or((text, None), |(head, tail)| (head, Some(tail)))
}

fn split_or<'t>(text: &'t str, word: &str) -> Option<(&'t str, &'t str)> {
    let mut scan = Scan::default();
    for (at, c) in text.char_indices() {
        let head = text.get(..at)?;
        let tail = text.get(at..)?.strip_prefix(word);
        if !scan.in_text
            && head.ends_with(char::is_whitespace)
            && let Some(tail) = tail.filter(|tail| tail.starts_with(char::is_whitespace))
        {
            return Some((head, tail));
        }
        scan.see(c);
    }
    None
}

/// Whether one is inside of a text of Cedar.
#[derive(Default)]
struct Scan {
    in_text: bool,
    escaped: bool,
}

impl Scan {
    fn see(&mut self, c: char) {
        if c == '"' && !self.escaped {
            self.in_text = !self.in_text;
        }
        self.escaped = self.in_text && c == '\\' && !self.escaped;
    }
}

/// A string of Cedar. Patterns keep their stars, as `like` wants them.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{{{:x}}}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// `args` as the short name of `context.args`, outside of texts.
fn with_args(condition: &str) -> String {
    let mut out = String::with_capacity(condition.len() + 16);
    let mut scan = Scan::default();
    let mut before = ' ';
    for (at, c) in condition.char_indices() {
        let begins = !scan.in_text && !is_of_word(before) && before != '.';
        let rest = condition.get(at..).and_then(|rest| rest.strip_prefix("args"));
        if begins && rest.is_some_and(|rest| !rest.starts_with(is_of_word)) {
            out.push_str("context.");
        }
        scan.see(c);
        before = c;
        out.push(c);
    }
    out
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::{EVERYTHING, Kind, expand};
    use crate::rules::RuleSet;

    fn cedar(kind: Kind, line: &str) -> String {
        let text = expand(kind, "line", line).unwrap().text;
        let (comment, cedar) = text.split_once('\n').unwrap();
        assert!(comment.starts_with("// "), "{comment}");
        cedar.to_owned()
    }

    #[test]
    fn each_line_is_one_rule_of_cedar() {
        let invoke = "action == Action::\"invoke\"";
        for (kind, line, expected) in [
            (
                Kind::Allow,
                "role:doctor on charts__read for treatment, payment when args.patient in principal.patients",
                format!(
                    "@id(\"line\")\npermit(principal in Role::\"doctor\", {invoke}, resource == Tool::\"charts__read\")\n\
                     when {{ [\"treatment\", \"payment\"].contains(context.purpose) && \
                     (context.args.patient in principal.patients) }};"
                ),
            ),
            (
                Kind::Forbid,
                "anyone on mail__* when args.to == \"x args.y\" because mail is off",
                format!(
                    "@id(\"line\")\n@reason(\"mail is off\")\nforbid(principal, {invoke}, resource is Tool)\n\
                     when {{ ((resource.server like \"mail\" && resource.name like \"*\")) && \
                     (context.args.to == \"x args.y\") }};"
                ),
            ),
            (
                Kind::Require,
                "approval by role:approver 2 of agent:clerk on pay__send",
                format!(
                    "@id(\"line\")\n@approve(\"role:approver 2\")\n@reason(\"this waits for role:approver 2\")\n\
                     forbid(principal == Agent::\"clerk\", {invoke}, resource == Tool::\"pay__send\");"
                ),
            ),
            (
                Kind::Require,
                "purpose of anyone on server:charts",
                format!(
                    "@id(\"line\")\n@reason(\"say what it is for: declare a purpose\")\n\
                     forbid(principal, action in {EVERYTHING}, resource in Server::\"charts\")\n\
                     unless {{ context.purpose != \"\" }};"
                ),
            ),
        ] {
            assert_eq!(cedar(kind, line), expected, "{line}");
        }
    }

    #[test]
    fn what_comes_out_is_read_as_rules() {
        for (kind, line) in [
            (Kind::Allow, "anyone on a__b, c__d*"),
            (
                Kind::Allow,
                "user:ann \"o\" neill on a__b when args has x && args.x > 3",
            ),
            (
                Kind::Forbid,
                "tenant:acme on server:web because \"quoted\" \\ words",
            ),
            (Kind::Require, "person of agent:clerk on a__*"),
            (Kind::Require, "purpose treatment, payment of role:x on a__b"),
            (Kind::Require, "person of anyone\n on a__b\n when args.x == 1\n"),
            (
                Kind::Allow,
                "anyone on a__b when [1].contains(args) || args.x == \"when, because on\"",
            ),
            (
                Kind::Forbid,
                "anyone on a__b when args.x == \" because \" because one may not",
            ),
        ] {
            let source = expand(kind, "line", line).unwrap();
            let rules = RuleSet::parse(std::slice::from_ref(&source));
            assert_eq!(rules.map(|rules| rules.rules().count()), Ok(1), "{}", source.text);
        }
    }

    #[test]
    fn what_is_no_line_is_refused_with_a_remedy() {
        for (kind, line) in [
            (Kind::Allow, ""),
            (Kind::Allow, "role:doctor may charts__read"),
            (Kind::Allow, "doctor on charts__read"),
            (Kind::Allow, "role: on charts__read"),
            (Kind::Allow, "role:doctor on "),
            (Kind::Allow, "role:doctor on charts"),
            (Kind::Allow, "role:doctor on server:*"),
            (Kind::Allow, "role:doctor on a__b because I say so"),
            (Kind::Require, "luck of anyone on a__b"),
            (Kind::Require, "approval by role:x on a__b"),
            (
                Kind::Allow,
                "role:x on a__b when true) }; permit(principal, action, resource) when { (true",
            ),
        ] {
            let error = expand(kind, "line", line).unwrap_err();
            assert!(
                !error.what.is_empty() && error.remedy.contains('`'),
                "{line}: {error:?}"
            );
        }
    }
}
