//! How a command ends when it does not end well: a sentence and an exit code.

use std::fmt;

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    text: String,
    /// Something is named that is not there.
    is_missing: bool,
}

impl Failure {
    /// The thing checked does not hold: exit code 1.
    pub(crate) fn does_not_hold(text: impl Into<String>) -> Self {
        Self {
            code: 1,
            text: text.into(),
            is_missing: false,
        }
    }

    /// Wrong use or configuration: exit code 2.
    pub(crate) fn configuration(text: impl Into<String>) -> Self {
        Self {
            code: 2,
            text: text.into(),
            is_missing: false,
        }
    }

    /// What is named is not there: exit code 2.
    pub(crate) fn missing(text: impl Into<String>) -> Self {
        Self {
            is_missing: true,
            ..Self::configuration(text)
        }
    }

    /// Whether what is named is not there.
    pub(crate) fn is_missing(&self) -> bool {
        self.is_missing
    }

    /// Whether it is wrong use or configuration.
    pub(crate) fn is_configuration(&self) -> bool {
        self.code == 2
    }

    /// Refused by policy: exit code 3.
    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self {
            code: 3,
            text: text.into(),
            is_missing: false,
        }
    }

    /// Something cannot be reached: exit code 4.
    pub(crate) fn unreachable(text: impl Into<String>) -> Self {
        Self {
            code: 4,
            text: text.into(),
            is_missing: false,
        }
    }

    /// Anything else: exit code 1.
    pub(crate) fn other(text: impl Into<String>) -> Self {
        Self::does_not_hold(text)
    }

    /// As another process told it.
    pub(crate) fn with_code(code: u8, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
            is_missing: false,
        }
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<crate::config::ConfigError> for Failure {
    fn from(error: crate::config::ConfigError) -> Self {
        Self::configuration(error.to_string())
    }
}
