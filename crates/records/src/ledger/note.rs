//! Signed notes and verifier keys (C2SP signed-note, commit 5ba5ee8).
//!
//! Pure: text in, text out. It must not know what a note says; `checkpoint` does.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use thiserror::Error;

use crate::digest::{from_hex, hex, sha256};

/// Longest note read, in bytes: 16 signatures of 5 kB in base64, and the text.
pub const NOTE_BYTES_MAX: usize = 128 * 1024;

/// Most signatures read from one note. C2SP demands at least 16.
pub const SIGNATURES_MAX: usize = 32;

/// Longest key name, in bytes: the bound of a cosigned message.
pub const NAME_BYTES_MAX: usize = 255;

/// What a line of signature begins with: em dash and space.
const DASH: &str = "\u{2014} ";

/// The signature types we write or check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SignatureType {
    /// Over the note's text, type 0x01.
    Ed25519,
    /// A witness's timestamped statement about a checkpoint, type 0x04 (C2SP tlog-cosignature).
    Ed25519Cosignature,
    /// The same with ML-DSA-44 (FIPS 204), type 0x06.
    MlDsa44,
}

impl SignatureType {
    const ALL: [Self; 3] = [Self::Ed25519, Self::Ed25519Cosignature, Self::MlDsa44];

    /// The byte that stands for the type.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::Ed25519Cosignature => 0x04,
            Self::MlDsa44 => 0x06,
        }
    }

    /// Bytes of a public key.
    #[must_use]
    pub const fn public_bytes(self) -> usize {
        match self {
            Self::Ed25519 | Self::Ed25519Cosignature => 32,
            Self::MlDsa44 => 1312,
        }
    }
}

impl fmt::Display for SignatureType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519 => "Ed25519",
            Self::Ed25519Cosignature => "Ed25519 cosignature",
            Self::MlDsa44 => "ML-DSA-44",
        })
    }
}

/// Why a verifier key was refused.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum VerifierKeyError {
    /// Not `name+id+key`.
    #[error("`{0}` is not a verifier key; one reads `name+id+key`, as `sallyport keys show` prints it")]
    Form(String),
    /// The id is not the digest of name and key.
    #[error("the id in the verifier key of `{0}` does not fit its name and key; copy the whole key again")]
    Id(String),
    /// The key has not the length its type demands.
    #[error("the verifier key of `{0}` has the wrong length; copy the whole key again")]
    Length(String),
    /// Empty, too long, or with a space, a plus or a control character.
    #[error("`{0}` cannot name a key; use up to 255 bytes without spaces, plus signs or control characters")]
    Name(String),
    /// A type we do not check.
    #[error("the verifier key of `{0}` has the type {1:#04x}, which is not supported")]
    Type(String, u8),
}

/// A public key with its name: who signed, and how to check it. Text form `name+id+key`.
#[derive(Clone, Eq, PartialEq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    kind: SignatureType,
    public: Vec<u8>,
}

impl VerifierKey {
    /// A key under a name.
    ///
    /// # Errors
    /// When the name cannot name a key or the key has the wrong length.
    pub fn new(name: &str, kind: SignatureType, public: &[u8]) -> Result<Self, VerifierKeyError> {
        if !is_name(name) {
            return Err(VerifierKeyError::Name(name.to_owned()));
        }
        if public.len() != kind.public_bytes() {
            return Err(VerifierKeyError::Length(name.to_owned()));
        }
        Ok(Self {
            name: name.to_owned(),
            id: key_id(name, kind, public),
            kind,
            public: public.to_vec(),
        })
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// When the text is not a verifier key whose id fits, or its type is not one we check.
    pub fn from_text(text: &str) -> Result<Self, VerifierKeyError> {
        let form = || VerifierKeyError::Form(text.chars().take(80).collect());
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(form());
        };
        let key = BASE64.decode(key).map_err(|_| form())?;
        let (byte, public) = key.split_first().ok_or_else(form)?;
        let kind = SignatureType::ALL
            .into_iter()
            .find(|kind| kind.byte() == *byte)
            .ok_or_else(|| VerifierKeyError::Type(name.to_owned(), *byte))?;
        let key = Self::new(name, kind, public)?;
        if from_hex(id).as_deref() != Some(key.id.as_slice()) {
            return Err(VerifierKeyError::Id(name.to_owned()));
        }
        Ok(key)
    }

    /// The key's name; for a log's own keys, its origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of the digest of name and key.
    #[must_use]
    pub fn id(&self) -> [u8; 4] {
        self.id
    }

    /// The key as a person names it: `name+id (kind)`.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}+{} ({})", self.name, hex(&self.id), self.kind)
    }

    /// How the key signs.
    #[must_use]
    pub fn kind(&self) -> SignatureType {
        self.kind
    }

    /// The public key as its algorithm encodes it.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        &self.public
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [&[self.kind.byte()], self.public.as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex(&self.id), BASE64.encode(key))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({})", self.label())
    }
}

/// One line of signature.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NoteSignature {
    /// Name of the key.
    pub name: String,
    /// Id of the key.
    pub id: [u8; 4],
    /// The signature; for cosignatures with its time before it.
    pub bytes: Vec<u8>,
}

impl NoteSignature {
    /// A signature by this key.
    #[must_use]
    pub fn new(key: &VerifierKey, bytes: Vec<u8>) -> Self {
        Self {
            name: key.name.clone(),
            id: key.id,
            bytes,
        }
    }

    /// Whether the signature claims to be by this key.
    #[must_use]
    pub fn is_by(&self, key: &VerifierKey) -> bool {
        self.name == key.name && self.id == key.id
    }

    /// The key as a person reads it: its name and id.
    #[must_use]
    pub fn signer(&self) -> String {
        format!("{}+{}", self.name, hex(&self.id))
    }

    fn from_line(line: &str) -> Option<Self> {
        let (name, encoded) = line.strip_prefix(DASH)?.split_once(' ')?;
        let decoded = BASE64.decode(encoded).ok()?;
        let (id, bytes) = decoded.split_first_chunk::<4>()?;
        (is_name(name) && !bytes.is_empty()).then(|| Self {
            name: name.to_owned(),
            id: *id,
            bytes: bytes.to_vec(),
        })
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.id.as_slice(), &self.bytes].concat();
        writeln!(f, "{DASH}{} {}", self.name, BASE64.encode(bytes))
    }
}

/// Why a text is no signed note.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum NoteError {
    /// A control character other than the newline, or bytes that are not UTF-8.
    #[error("the note holds bytes a note may not have")]
    Bytes,
    /// No empty line before the signatures, or a line that is no signature.
    #[error("the note has no well-formed signature lines")]
    Form,
    /// Longer than [`NOTE_BYTES_MAX`], or more signatures than [`SIGNATURES_MAX`].
    #[error("the note is too long")]
    TooLong,
}

/// A text and who claims to have signed it. Nothing is checked yet but the form.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    /// The text, with its last newline.
    pub text: String,
    /// The signatures, in the order written.
    pub signatures: Vec<NoteSignature>,
}

impl Note {
    /// Reads a signed note.
    ///
    /// # Errors
    /// When the form is not that of a signed note, or it is too long.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong);
        }
        let whole = str::from_utf8(bytes).map_err(|_| NoteError::Bytes)?;
        if whole.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(NoteError::Bytes);
        }
        let (text, lines) = whole.rsplit_once("\n\n").ok_or(NoteError::Form)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Form)?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == SIGNATURES_MAX {
                return Err(NoteError::TooLong);
            }
            signatures.push(NoteSignature::from_line(line).ok_or(NoteError::Form)?);
        }
        Ok(Self {
            text: format!("{text}\n"),
            signatures,
        })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures
            .iter()
            .try_for_each(|signature| write!(f, "{signature}"))
    }
}

/// Whether a text can name a key.
#[must_use]
pub fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && !text
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

fn key_id(name: &str, kind: SignatureType, public: &[u8]) -> [u8; 4] {
    let digest = sha256(&[name.as_bytes(), b"\n", &[kind.byte()], public]);
    digest.first_chunk().copied().unwrap_or_default()
}
