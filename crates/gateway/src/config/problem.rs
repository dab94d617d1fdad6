//! What is wrong with a configuration: every problem at once, each with its place and its remedy.

use std::{fmt, path::PathBuf};

/// One problem.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Problem {
    /// Where, such as `agents[0].secret`.
    pub(crate) at: String,
    /// What is wrong.
    pub(crate) what: String,
    /// What to do.
    pub(crate) remedy: String,
}

impl Problem {
    pub(crate) fn new(at: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            at: at.into(),
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n    {}", self.at, self.what, self.remedy)
    }
}

/// Why a configuration cannot be used.
#[derive(Debug)]
pub(crate) enum ConfigError {
    /// It cannot be read at all.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why, with line and column where there is one.
        why: String,
    },
    /// It can be read and does not make sense.
    Problems {
        /// The file; none for built-in defaults.
        path: Option<PathBuf>,
        /// All problems found.
        problems: Vec<Problem>,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, why } => write!(f, "{}: {why}", path.display()),
            Self::Problems { path, problems } => {
                let file = path
                    .as_ref()
                    .map_or_else(|| "configuration".to_owned(), |p| p.display().to_string());
                write!(f, "{file} has {} problem(s):", problems.len())?;
                problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for ConfigError {}
