//! Text to token ids and back.
//!
//! Two kinds of files are read: SentencePiece BPE (`tokenizer.model`, the published checkpoint's) and
//! `tokenizer.json` (our own). Both decode with the same [`StreamDecoder`].

mod json;
mod model_proto;
mod sentencepiece;
mod stream;

use serde::{Deserialize, Serialize};

use crate::checkpoint::{TokenizerFile, TokenizerKind};
use crate::error::{Error, Result};
use json::JsonEncoder;
use sentencepiece::SentencePiece;

pub use stream::StreamDecoder;

/// Index of a token in the vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenId(pub u32);

/// Tokens with a meaning of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpecialTokens {
    /// `<pad>`: fills batches in training.
    pub pad: TokenId,
    /// `</s>`: begins and ends the decoder's text.
    pub eos: TokenId,
    /// `<s>`
    pub bos: TokenId,
    /// `<unk>`
    pub unk: TokenId,
    /// `<tool_call>`: the decoder's first token.
    pub tool_call: TokenId,
    /// `<tools>`: begins the tools, or one tool.
    pub tools: TokenId,
}

/// What a token adds to a text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Surface {
    /// Nothing.
    Nothing,
    /// The sign for what the vocabulary does not know.
    Unknown,
    /// These characters.
    Text(Box<str>),
    /// One byte of a character.
    Byte(u8),
    /// These characters when decoded, though no model may write them: a marker of the prompt.
    Marker(Box<str>),
}

#[derive(Debug)]
enum Encoder {
    SentencePiece(SentencePiece),
    Json(Box<JsonEncoder>),
}

/// A tokenizer; immutable.
#[derive(Debug)]
pub struct Tokenizer {
    encoder: Encoder,
    surfaces: Vec<Surface>,
    special: SpecialTokens,
    /// The token of each byte.
    bytes: Box<[TokenId; 256]>,
    lead: LeadingSpace,
}

/// What happens to spaces at the start of a decoded text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeadingSpace {
    /// They stay.
    Keep,
    /// One of them was put there by the encoder and goes.
    DropOne,
    /// All of them go, one from each token.
    DropAll,
}

impl Tokenizer {
    /// Reads a tokenizer that came with a model.
    ///
    /// # Errors
    /// Those of [`Self::from_sentencepiece`] and [`Self::from_json`].
    pub fn from_file(file: &TokenizerFile) -> Result<Self> {
        match file.kind {
            TokenizerKind::SentencePiece => Self::from_sentencepiece(&file.bytes),
            TokenizerKind::Json => Self::from_json(&file.bytes),
        }
    }

    /// Reads a SentencePiece `.model` (BPE with byte fallback, identity normalisation).
    ///
    /// # Errors
    /// [`Error::Tokenizer`] for a damaged file, another algorithm, normalisation rules, no byte fallback, or a
    /// missing special token.
    pub fn from_sentencepiece(bytes: &[u8]) -> Result<Self> {
        let proto = model_proto::read(bytes)?;
        let lead = match (proto.add_dummy_prefix, proto.remove_extra_whitespaces) {
            (_, true) => LeadingSpace::DropAll,
            (true, false) => LeadingSpace::DropOne,
            (false, false) => LeadingSpace::Keep,
        };
        let encoder = SentencePiece::new(proto)?;
        Self::new(encoder.surfaces(), Encoder::SentencePiece(encoder), lead)
    }

    /// Reads a `tokenizer.json` (BPE with byte fallback, no normaliser, decoders `ByteFallback` and `Fuse`).
    ///
    /// # Errors
    /// [`Error::Tokenizer`] for a damaged file, another model or decoder, or a missing special token.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let (encoder, surfaces) = JsonEncoder::new(bytes)?;
        Self::new(surfaces, Encoder::Json(Box::new(encoder)), LeadingSpace::Keep)
    }

    fn new(surfaces: Vec<Surface>, encoder: Encoder, lead: LeadingSpace) -> Result<Self> {
        let marker = |piece: &str| match &encoder {
            Encoder::SentencePiece(model) => model.piece_id(piece),
            Encoder::Json(model) => model.piece_id(piece),
        };
        let find = |piece: &str| {
            marker(piece).ok_or_else(|| {
                problem(format!("has no token {piece}; train it with this one as a special token"))
            })
        };
        let special = SpecialTokens {
            pad: find("<pad>")?,
            eos: find("</s>")?,
            bos: find("<s>")?,
            unk: find("<unk>")?,
            tool_call: find("<tool_call>")?,
            tools: find("<tools>")?,
        };
        let mut bytes = Box::new([special.unk; 256]);
        for (byte, id) in (0_u8..=255).zip(bytes.iter_mut()) {
            *id = find(&format!("<0x{byte:02X}>"))?;
        }
        Ok(Self { encoder, surfaces, special, bytes, lead })
    }

    /// The ids of a text.
    ///
    /// SentencePiece texts begin with a space of the tokenizer's own and may yield `<tool_call>` and `<tools>`,
    /// as in the reference; `tokenizer.json` never yields special tokens.
    pub fn encode(&self, text: &str) -> Vec<TokenId> {
        match &self.encoder {
            Encoder::SentencePiece(model) => model.encode(text, &self.bytes),
            Encoder::Json(model) => model.encode(text).unwrap_or_else(|| self.as_bytes(text.as_bytes())),
        }
    }

    /// The ids of a text that continues another one: no space is put before it and none is taken away.
    pub fn encode_continuation(&self, text: &str) -> Vec<TokenId> {
        match &self.encoder {
            Encoder::SentencePiece(model) => model.encode_continuation(text, &self.bytes),
            Encoder::Json(_) => self.encode(text),
        }
    }

    /// The ids of bytes that continue a text and may begin or end inside a character.
    pub fn encode_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        let mut ids = Vec::new();
        for chunk in bytes.utf8_chunks() {
            ids.extend(self.encode_continuation(chunk.valid()));
            ids.extend(self.as_bytes(chunk.invalid()));
        }
        ids
    }

    fn as_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        bytes.iter().map(|&byte| self.bytes[usize::from(byte)]).collect()
    }

    /// The text of these ids; ids outside the vocabulary add nothing, broken characters become U+FFFD.
    pub fn decode(&self, ids: &[TokenId]) -> String {
        let mut decoder = StreamDecoder::new(self);
        let mut text = String::new();
        for &id in ids {
            text.push_str(decoder.push(id));
        }
        text.push_str(decoder.finish());
        text
    }

    /// The bytes that a token adds inside a text; none for special tokens and ids outside the vocabulary.
    pub fn token_bytes(&self, id: TokenId) -> &[u8] {
        match self.surface(id) {
            Surface::Text(text) => text.as_bytes(),
            Surface::Byte(byte) => std::slice::from_ref(byte),
            Surface::Nothing | Surface::Unknown | Surface::Marker(_) => &[],
        }
    }

    /// Number of tokens.
    pub fn vocab_size(&self) -> usize {
        self.surfaces.len()
    }

    /// The special tokens.
    pub fn special(&self) -> &SpecialTokens {
        &self.special
    }

    fn surface(&self, id: TokenId) -> &Surface {
        self.surfaces.get(id.0 as usize).unwrap_or(&Surface::Nothing)
    }
}

/// The byte of a token such as `<0x0A>`.
fn byte_of(piece: &str) -> Option<u8> {
    let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

/// The id of an index into the vocabulary.
fn token_id(index: usize) -> Result<TokenId> {
    u32::try_from(index).map(TokenId).map_err(|_| problem(format!("has more than {} tokens", u32::MAX)))
}

fn problem(problem: impl Into<String>) -> Error {
    Error::Tokenizer { origin: "file".into(), problem: problem.into() }
}
