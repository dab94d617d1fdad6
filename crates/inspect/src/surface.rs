//! What a content is for, which decides how it is read.

/// The place in a conversation where a content stands.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Surface {
    /// What an agent gives to a tool.
    Argument,
    /// What a server says about itself: tools, prompts, resources, instructions.
    Definition,
    /// What a person or model writes: prompts, sampling, elicitation.
    Message,
    /// What a tool, resource or error gives back.
    Result,
}

impl Surface {
    /// Every surface.
    pub const ALL: [Self; 4] = [Self::Argument, Self::Definition, Self::Message, Self::Result];

    /// The word the command line uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Argument => "argument",
            Self::Definition => "definition",
            Self::Message => "message",
            Self::Result => "result",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|surface| surface.as_str() == word)
    }
}

/// A surface and the names allow-lists may be bound to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Scope<'n> {
    /// What the content is for.
    pub surface: Surface,
    /// The server it belongs to, if any.
    pub server: Option<&'n str>,
    /// The tool it belongs to, if any.
    pub tool: Option<&'n str>,
    /// Who sends or gets it, if what is seen in it may be remembered for them: the same name for the same caller, another
    /// one for every other.
    pub whose: Option<&'n str>,
}

impl From<Surface> for Scope<'_> {
    fn from(surface: Surface) -> Self {
        Self {
            surface,
            server: None,
            tool: None,
            whose: None,
        }
    }
}
