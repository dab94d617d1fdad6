//! What is wrong with a source of rules, and where.

use std::fmt;

/// One thing that is wrong with a source.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diagnostic {
    /// The source's name: a file, or a place in the configuration such as `policy.rules[2]`.
    pub source: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// That line as written.
    pub snippet: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

/// Everything that is wrong with the sources of a rule set; never empty. No part of a set with errors is used.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RuleErrors(Vec<Diagnostic>);

/// A fault at a byte of a source, before line and column are counted.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) offset: usize,
    pub(super) message: String,
    pub(super) remedy: String,
}

impl Fault {
    pub(super) fn new(offset: usize, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            offset,
            message: message.into(),
            remedy: remedy.into(),
        }
    }

    /// The faults Cedar reports, with its own places and help where it gives them; `start` is where the text
    /// it read begins in the source.
    pub(super) fn of_cedar(error: &dyn miette::Diagnostic, start: usize, remedy: &str) -> Self {
        let label = error.labels().and_then(|mut labels| labels.next());
        let mut message = error.to_string();
        if let Some(text) = label.as_ref().and_then(|label| label.label()) {
            message = format!("{message}: {text}");
        }
        let help = error.help().map(|help| help.to_string());
        Self {
            offset: start + label.map_or(0, |label| label.offset()),
            message,
            remedy: help.unwrap_or_else(|| remedy.to_owned()),
        }
    }

    pub(super) fn within(self, source: &str, text: &str) -> Diagnostic {
        let before = text.get(..self.offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = text.get(line_start..).unwrap_or_default();
        Diagnostic {
            source: source.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            snippet: line.lines().next().unwrap_or_default().to_owned(),
            message: self.message,
            remedy: self.remedy,
        }
    }
}

impl RuleErrors {
    /// The errors of a list, if it has any.
    pub(super) fn check(found: Vec<Diagnostic>) -> Result<(), Self> {
        if found.is_empty() {
            Ok(())
        } else {
            Err(Self(found))
        }
    }

    /// Every error, in the order of the sources.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.0
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}:{}:{}: {}",
            self.source, self.line, self.column, self.message
        )?;
        writeln!(f, "    {}", self.snippet)?;
        write!(f, "    {}^ {}", " ".repeat(self.column - 1), self.remedy)
    }
}

impl fmt::Display for RuleErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, diagnostic) in self.0.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for RuleErrors {}
