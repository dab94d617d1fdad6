//! What can speak against a call, how strict one must be to listen, and what is said.

use std::fmt;

use super::{deed::Reach, memory::Origin};

/// How much is put to a person. Each level holds what the ones before it hold, and more.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Strictness {
    /// Nothing is held.
    Off,
    /// Only what no task justifies: restricted data leaving on the word of untrusted content, values of content
    /// a detector flagged.
    Trifecta,
    /// Also sensitive places, and destroying, sending, paying or granting that was not asked for.
    #[default]
    Lenient,
    /// Also destinations and addresses that only a result names.
    Balanced,
    /// Also things and titles that only a result names, and changes that were not asked for.
    Strict,
    /// Everything but reading, once untrusted content was read.
    Paranoid,
}

/// What to do with a call. Ordered from mild to grave.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Outcome {
    /// Let it pass.
    Permit,
    /// Hold it until a person has agreed.
    Ask,
    /// Refuse it.
    Refuse,
}

/// What speaks against a call.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Rule {
    /// Restricted data was read, untrusted content was read, and the call takes data out where the task did not
    /// say (the lethal trifecta).
    LethalTrifecta,
    /// Confidential data of one server goes to another on the word of untrusted content.
    Relay,
    /// A value comes from a result in which a detector found instructions (the puppet attack, seen).
    FlaggedValue,
    /// A place that opens doors, which the task does not name.
    SensitivePlace,
    /// The task asks for nothing of that sort, and it cannot be taken back (the puppet attack, unseen).
    NotAsked,
    /// Where it goes is named only by an untrusted result.
    ForeignDestination,
    /// Where it goes is named by nobody: the agent made it up.
    UnknownDestination,
    /// What it is done to is named only in running text of an untrusted result.
    ForeignThing,
    /// A message passes on a link that only an untrusted result names.
    ForeignLink,
    /// What is made is titled only by an untrusted result.
    ForeignTitle,
    /// A one-time code, which some result holds, would confirm what cannot be taken back: it was sent so that a
    /// person says yes, not the agent.
    CodePassedOn,
    /// The task asks for no change of that sort.
    ChangeNotAsked,
    /// Untrusted content was read.
    Tainted,
}

/// One thing that speaks against a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cause {
    /// Which rule.
    pub rule: Rule,
    /// The tool called.
    pub tool: String,
    /// The argument, as a JSON pointer; empty when it is the call as a whole.
    pub argument: String,
    /// Where the argument's value was read. The value itself is never repeated.
    pub sources: Vec<Origin>,
}

/// Most sources told in a sentence.
const SOURCES_TOLD_MAX: usize = 3;

impl Strictness {
    /// All levels, the loosest first.
    pub const ALL: [Self; 6] = [
        Self::Off,
        Self::Trifecta,
        Self::Lenient,
        Self::Balanced,
        Self::Strict,
        Self::Paranoid,
    ];

    /// The word configuration and the command line use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Trifecta => "trifecta",
            Self::Lenient => "lenient",
            Self::Balanced => "balanced",
            Self::Strict => "strict",
            Self::Paranoid => "paranoid",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == word)
    }
}

impl Outcome {
    /// The word records and reports use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Ask => "ask",
            Self::Refuse => "refuse",
        }
    }
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 13] = [
        Self::LethalTrifecta,
        Self::Relay,
        Self::FlaggedValue,
        Self::SensitivePlace,
        Self::NotAsked,
        Self::ForeignDestination,
        Self::UnknownDestination,
        Self::ForeignThing,
        Self::ForeignLink,
        Self::ForeignTitle,
        Self::CodePassedOn,
        Self::ChangeNotAsked,
        Self::Tainted,
    ];

    /// The loosest strictness that listens to it.
    #[must_use]
    pub fn holds_from(self) -> Strictness {
        match self {
            Self::LethalTrifecta | Self::Relay | Self::FlaggedValue => Strictness::Trifecta,
            Self::SensitivePlace | Self::NotAsked => Strictness::Lenient,
            Self::ForeignDestination => Strictness::Balanced,
            Self::UnknownDestination
            | Self::ForeignThing
            | Self::ForeignLink
            | Self::ForeignTitle
            | Self::CodePassedOn
            | Self::ChangeNotAsked => Strictness::Strict,
            Self::Tainted => Strictness::Paranoid,
        }
    }

    /// The word reports and the ledger use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LethalTrifecta => "lethal_trifecta",
            Self::Relay => "cross_server_relay",
            Self::FlaggedValue => "flagged_value",
            Self::SensitivePlace => "sensitive_place",
            Self::NotAsked => "not_asked",
            Self::ForeignDestination => "foreign_destination",
            Self::UnknownDestination => "unknown_destination",
            Self::ForeignThing => "foreign_thing",
            Self::ForeignLink => "foreign_link",
            Self::ForeignTitle => "foreign_title",
            Self::CodePassedOn => "code_passed_on",
            Self::ChangeNotAsked => "change_not_asked",
            Self::Tainted => "tainted",
        }
    }

    pub(super) fn outcome(self, reach: Reach) -> Outcome {
        let outward = matches!(reach, Reach::Egress | Reach::Destructive);
        match self {
            Self::LethalTrifecta | Self::SensitivePlace => Outcome::Refuse,
            Self::FlaggedValue if outward => Outcome::Refuse,
            Self::FlaggedValue
            | Self::Relay
            | Self::NotAsked
            | Self::ForeignDestination
            | Self::UnknownDestination
            | Self::ForeignThing
            | Self::ForeignLink
            | Self::ForeignTitle
            | Self::CodePassedOn
            | Self::ChangeNotAsked
            | Self::Tainted => Outcome::Ask,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, tool, step } = self;
        if server.is_empty() {
            write!(f, "the result of `{tool}` (call {step})")
        } else {
            write!(f, "the result of `{tool}` of `{server}` (call {step})")
        }
    }
}

impl Cause {
    /// Its sources, in words.
    fn told(&self) -> String {
        let told: Vec<String> = self
            .sources
            .iter()
            .take(SOURCES_TOLD_MAX)
            .map(ToString::to_string)
            .collect();
        match (
            told.join(", "),
            self.sources.len().saturating_sub(SOURCES_TOLD_MAX),
        ) {
            (told, _) if told.is_empty() => "untrusted content".to_owned(),
            (told, 0) => told,
            (told, more) => format!("{told} and {more} more"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tool = &self.tool;
        let argument = match self.argument.trim_start_matches('/') {
            "" => format!("what `{tool}` is called with"),
            name => format!("`{name}` of `{tool}`"),
        };
        let from = self.told();
        match self.rule {
            Rule::LethalTrifecta => write!(
                f,
                "restricted data was read, and {argument} would take data out where only {from} says so"
            ),
            Rule::Relay => write!(
                f,
                "{argument} carries confidential data from {from} to another server"
            ),
            Rule::FlaggedValue => write!(
                f,
                "{argument} comes from {from}, in which instructions to the agent were found"
            ),
            Rule::SensitivePlace => write!(
                f,
                "{argument} is a place that opens doors, and the task does not name it"
            ),
            Rule::NotAsked => write!(
                f,
                "the task asks for nothing like `{tool}`, which cannot be taken back"
            ),
            Rule::ForeignDestination => {
                write!(
                    f,
                    "{argument} says where it goes, comes from {from}, and the task does not name it"
                )
            }
            Rule::UnknownDestination => {
                write!(
                    f,
                    "{argument} says where it goes, and neither the task nor any result names it"
                )
            }
            Rule::ForeignThing => {
                write!(
                    f,
                    "{argument} comes from running text in {from}, and the task is not about it"
                )
            }
            Rule::ForeignLink => write!(
                f,
                "{argument} passes on a link from {from}, and the task does not name it"
            ),
            Rule::ForeignTitle => write!(f, "{argument} comes from {from}, and the task is not about it"),
            Rule::CodePassedOn => write!(
                f,
                "{argument} is a code from {from} that confirms what cannot be taken back, and was meant for a person"
            ),
            Rule::ChangeNotAsked => write!(f, "the task asks for no change like `{tool}`"),
            Rule::Tainted => write!(f, "`{tool}` is called after untrusted content was read"),
        }
    }
}
