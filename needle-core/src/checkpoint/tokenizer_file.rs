//! The tokenizer that travels with a model, as bytes: the checkpoint carries it, the tokenizer reads it.

use std::borrow::Cow;
use std::path::Path;

use super::bundle::read_file;
use crate::error::{Error, Result};

/// Kind of a tokenizer file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenizerKind {
    /// A SentencePiece `.model` (protobuf).
    SentencePiece,
    /// A `tokenizer.json`.
    Json,
}

impl TokenizerKind {
    /// The file's name in a bundle.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::SentencePiece => "tokenizer.model",
            Self::Json => "tokenizer.json",
        }
    }
}

/// A tokenizer file, unread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenizerFile {
    /// What the bytes look like.
    pub kind: TokenizerKind,
    /// The file's content.
    pub bytes: Cow<'static, [u8]>,
}

impl TokenizerFile {
    /// Largest tokenizer file that is read, in bytes.
    const LIMIT: u64 = 64 << 20;

    /// Tells the kind by the content: JSON starts with a brace.
    pub fn from_bytes(bytes: impl Into<Cow<'static, [u8]>>) -> Self {
        let bytes = bytes.into();
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        // A protobuf cannot start with a brace: that byte would open a group of field 15, which the format lacks.
        let kind = if first == Some(&b'{') { TokenizerKind::Json } else { TokenizerKind::SentencePiece };
        Self { kind, bytes }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Tokenizer`] for an empty or oversized file.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = read_file(path, Self::LIMIT)?;
        if bytes.is_empty() {
            return Err(Error::Tokenizer { origin: path.display().to_string(), problem: "is empty".into() });
        }
        Ok(Self::from_bytes(bytes))
    }
}
