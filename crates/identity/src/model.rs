//! The model behind an agent, and on whose word: the provider's, the operator's, or the agent's own.
//!
//! Nobody can prove from afar which model answers. What can be had is a word that is signed, and a record of whose.

use wire::json::{Node, ObjectWriter};

use crate::{
    jose::Compact,
    oauth::Client,
    token::{
        TokenError,
        claims::{is_only_for, optional, text, times},
    },
};

/// The `typ` of a declaration.
const DECLARATION: &str = "sallyport-model+jwt";
/// How long a declaration may be good, in milliseconds.
const LIFETIME_MS_MAX: i64 = 24 * 3600 * 1000;
/// The longest name or version, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// A model.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Model {
    /// `vendor/model`.
    pub name: String,
    /// Its version, where one is said.
    pub version: Option<String>,
    /// On whose word.
    pub source: ModelSource,
}

/// On whose word a model is taken for what it is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ModelSource {
    /// An identity provider's that configuration trusts with it.
    Attested,
    /// The operator's.
    Configured,
    /// The agent's own.
    Declared,
}

impl ModelSource {
    /// The word rules and records use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attested => "attested",
            Self::Configured => "configured",
            Self::Declared => "declared",
        }
    }

    /// Reads that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Attested, Self::Configured, Self::Declared]
            .into_iter()
            .find(|source| source.as_str() == word)
    }
}

impl Model {
    /// A model by its name and version; none if one of them is no fit text.
    #[must_use]
    pub fn new(name: String, version: Option<String>, source: ModelSource) -> Option<Self> {
        let fit = |text: &String| {
            !text.is_empty() && text.len() <= NAME_BYTES_MAX && !text.chars().any(char::is_control)
        };
        (fit(&name) && version.iter().all(fit)).then_some(Self {
            name,
            version,
            source,
        })
    }

    /// Whether both may be the same: the same name, and no two versions.
    #[must_use]
    pub fn fits(&self, other: &Self) -> bool {
        let versions = self.version.as_ref().zip(other.version.as_ref());
        self.name == other.name && versions.is_none_or(|(one, two)| one == two)
    }

    /// What an agent says of its model, where it is known to be something already: never something else.
    ///
    /// # Errors
    /// When it is something else.
    pub fn beside(self, known: Option<&Self>) -> Result<Self, TokenError> {
        match known {
            None => Ok(self),
            Some(known) if !known.fits(&self) => Err(TokenError::Model),
            // The better word stands, unless the other says more.
            Some(known) if known.version.is_some() || self.version.is_none() => Ok(known.clone()),
            Some(_) => Ok(self),
        }
    }

    /// Reads what a client declares of its model: a JWS by its own key that says for whom and until when.
    ///
    /// # Errors
    /// When anything about it is not exactly as it must be.
    pub fn declared(
        declaration: &str,
        client: &Client,
        audiences: &[String],
        now_ms: i64,
    ) -> Result<Self, TokenError> {
        let keys = client.keys.as_ref().ok_or(TokenError::Client)?;
        let claims = Compact::parse(declaration, DECLARATION)?.verify(keys)?;
        let claims = claims.root();
        if text(claims, "sub")? != client.id {
            return Err(TokenError::Client);
        }
        if !is_only_for(claims, audiences) {
            return Err(TokenError::Audience);
        }
        times(claims, now_ms, LIFETIME_MS_MAX)?;
        let (name, version) = (text(claims, "model")?, optional(claims, "version")?);
        Self::new(name, version, ModelSource::Declared).ok_or(TokenError::Claim("model"))
    }

    /// Writes it into a token of ours.
    pub(crate) fn write(&self, out: &mut ObjectWriter<'_>) {
        out.string("model", &self.name);
        if let Some(version) = &self.version {
            out.string("model_version", version);
        }
        out.string("model_source", self.source.as_str());
    }

    /// Reads it from one.
    pub(crate) fn read(own: Node<'_>) -> Result<Option<Self>, TokenError> {
        let Some(name) = optional(own, "model")? else {
            return Ok(None);
        };
        let source = text(own, "model_source")?;
        Ok(Some(Self {
            name,
            version: optional(own, "model_version")?,
            source: ModelSource::parse(&source).ok_or(TokenError::Claim("model_source"))?,
        }))
    }
}
