//! SentencePiece BPE: spaces become `▁`, characters merge by score, what is unknown falls back to bytes.
//!
//! Behaves as google/sentencepiece (`bpe_model.cc`, `normalizer.cc`) with identity normalisation.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};
use std::ops::Range;

use super::model_proto::{ModelProto, Piece, PieceKind};
use super::{Surface, TokenId, byte_of, problem, token_id};
use crate::error::Result;

/// Stands for a space in pieces (U+2581).
const SPACE: char = '\u{2581}';

#[derive(Debug)]
pub(super) struct SentencePiece {
    proto: ModelProto,
    /// Pieces that merging may make.
    merged: HashMap<String, TokenId>,
    /// Pieces with a meaning of their own, which merging never makes.
    reserved: HashMap<String, TokenId>,
    /// User-defined symbols, longest first: they are taken whole.
    symbols: Vec<String>,
    longest: usize,
    unknown: TokenId,
}

impl SentencePiece {
    pub(super) fn new(proto: ModelProto) -> Result<Self> {
        let (mut merged, mut reserved, mut symbols) = (HashMap::new(), HashMap::new(), Vec::new());
        let mut unknown = None;
        for (index, piece) in proto.pieces.iter().enumerate() {
            let id = token_id(index)?;
            if piece.text.is_empty() || !piece.score.is_finite() {
                return Err(problem(format!(
                    "has a piece {index} without text or with a score that is no number"
                )));
            }
            let known = match piece.kind {
                PieceKind::Normal | PieceKind::Unused => &mut merged,
                PieceKind::UserDefined => {
                    symbols.push(piece.text.clone());
                    &mut merged
                }
                PieceKind::Unknown | PieceKind::Control | PieceKind::Byte => &mut reserved,
            };
            if known.insert(piece.text.clone(), id).is_some() {
                return Err(problem(format!("has the piece {:?} twice", piece.text)));
            }
            if piece.kind == PieceKind::Unknown && unknown.replace(id).is_some() {
                return Err(problem("has two unknown pieces"));
            }
            if piece.kind == PieceKind::Byte && byte_of(&piece.text).is_none() {
                return Err(problem(format!(
                    "has a byte piece {:?}; such as <0x0A> was expected",
                    piece.text
                )));
            }
        }
        let unknown = unknown.ok_or_else(|| problem("has no unknown piece"))?;
        symbols.sort_by_key(|symbol| std::cmp::Reverse(symbol.len()));
        let longest = proto.pieces.iter().map(|piece| piece.text.len()).max().unwrap_or(0);
        Ok(Self { proto, merged, reserved, symbols, longest, unknown })
    }

    pub(super) fn surfaces(&self) -> Vec<Surface> {
        let surface = |piece: &Piece| match piece.kind {
            PieceKind::Control => Surface::Nothing,
            PieceKind::Unknown => Surface::Unknown,
            PieceKind::Byte => byte_of(&piece.text).map_or(Surface::Nothing, Surface::Byte),
            PieceKind::UserDefined if piece.text == "<tool_call>" || piece.text == "<tools>" => {
                Surface::Marker(piece.text.as_str().into())
            }
            PieceKind::Normal | PieceKind::UserDefined | PieceKind::Unused => {
                Surface::Text(piece.text.replace(SPACE, " ").into())
            }
        };
        self.proto.pieces.iter().map(surface).collect()
    }

    pub(super) fn piece_id(&self, piece: &str) -> Option<TokenId> {
        self.reserved.get(piece).or_else(|| self.merged.get(piece)).copied()
    }

    pub(super) fn encode(&self, text: &str, bytes: &[TokenId; 256]) -> Vec<TokenId> {
        self.encode_normalised(&self.normalise(text), bytes)
    }

    pub(super) fn encode_continuation(&self, text: &str, bytes: &[TokenId; 256]) -> Vec<TokenId> {
        self.encode_normalised(&text.replace(' ', "\u{2581}"), bytes)
    }

    /// Escapes spaces; by the model's options, puts one in front and folds runs of them.
    fn normalise(&self, text: &str) -> String {
        let fold = self.proto.remove_extra_whitespaces;
        let text = if fold { text.trim_matches(' ') } else { text };
        if text.is_empty() {
            return String::new();
        }
        let mut out = String::with_capacity(text.len() + text.len() / 4 + SPACE.len_utf8());
        if self.proto.add_dummy_prefix {
            out.push(SPACE);
        }
        let mut after_space = fold;
        for char in text.chars() {
            if char != ' ' {
                out.push(char);
            } else if !(fold && after_space) {
                out.push(SPACE);
            }
            after_space = char == ' ';
        }
        out
    }

    fn encode_normalised(&self, text: &str, bytes: &[TokenId; 256]) -> Vec<TokenId> {
        let mut merge = Merge::new(self, text);
        merge.run();
        let mut ids = Vec::new();
        let mut waiting = Vec::new();
        for piece in merge.pieces() {
            waiting.push(piece);
            while let Some(piece) = waiting.pop() {
                match self.piece_id(piece) {
                    // Unused pieces are only steps to longer ones: what is left of them falls apart again.
                    Some(id) if self.kind(id) == PieceKind::Unused && merge.parts.contains_key(piece) => {
                        let (left, right) = merge.parts[piece];
                        waiting.extend([right, left]);
                    }
                    Some(id) if id != self.unknown => ids.push(id),
                    _ => ids.extend(piece.bytes().map(|byte| bytes[usize::from(byte)])),
                }
            }
        }
        ids
    }

    fn kind(&self, id: TokenId) -> PieceKind {
        self.proto.pieces.get(id.0 as usize).map_or(PieceKind::Unknown, |piece| piece.kind)
    }
}

/// A stretch of the text that is one piece so far; a linked list, so that merging moves nothing.
struct Symbol {
    range: Range<usize>,
    previous: Option<usize>,
    next: Option<usize>,
    /// A user-defined symbol, which does not merge.
    frozen: bool,
}

/// Two neighbours that could merge.
struct Candidate {
    score: f32,
    left: usize,
    right: usize,
    /// Length of both together; differs from the symbols' once one of them has merged with another.
    length: usize,
}

impl Ord for Candidate {
    /// The highest score is greatest, among equals the leftmost.
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.left.cmp(&self.left))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

/// One text on its way from characters to pieces; O(n log n).
struct Merge<'a> {
    model: &'a SentencePiece,
    text: &'a str,
    symbols: Vec<Symbol>,
    candidates: BinaryHeap<Candidate>,
    /// What each unused piece was merged from.
    parts: HashMap<&'a str, (&'a str, &'a str)>,
}

impl<'a> Merge<'a> {
    fn new(model: &'a SentencePiece, text: &'a str) -> Self {
        let mut symbols = Vec::new();
        let mut start = 0;
        while let Some(char) = text[start..].chars().next() {
            let symbol = model.symbols.iter().find(|symbol| text[start..].starts_with(symbol.as_str()));
            let end = start + symbol.map_or(char.len_utf8(), String::len);
            let index = symbols.len();
            symbols.push(Symbol {
                range: start..end,
                previous: index.checked_sub(1),
                next: (end < text.len()).then_some(index + 1),
                frozen: symbol.is_some(),
            });
            start = end;
        }
        Self { model, text, symbols, candidates: BinaryHeap::new(), parts: HashMap::new() }
    }

    fn run(&mut self) {
        for left in 0..self.symbols.len() {
            self.consider(Some(left), self.symbols[left].next);
        }
        while let Some(Candidate { left, right, length, .. }) = self.candidates.pop() {
            let (a, b) = (self.symbols[left].range.clone(), self.symbols[right].range.clone());
            if a.is_empty() || b.is_empty() || a.len() + b.len() != length {
                continue;
            }
            let next = self.symbols[right].next;
            self.symbols[left].range = a.start..b.end;
            self.symbols[left].next = next;
            if let Some(next) = next {
                self.symbols[next].previous = Some(left);
            }
            self.symbols[right].range = 0..0;
            self.consider(self.symbols[left].previous, Some(left));
            self.consider(Some(left), next);
        }
    }

    fn consider(&mut self, left: Option<usize>, right: Option<usize>) {
        let (Some(left), Some(right)) = (left, right) else { return };
        let (a, b) = (&self.symbols[left], &self.symbols[right]);
        let whole = a.range.start..b.range.end;
        if a.frozen || b.frozen || whole.len() > self.model.longest {
            return;
        }
        let (text, length) = (&self.text[whole.clone()], whole.len());
        let Some(&id) = self.model.merged.get(text) else { return };
        if self.model.kind(id) == PieceKind::Unused {
            self.parts.insert(text, (&self.text[a.range.clone()], &self.text[b.range.clone()]));
        }
        let score = self.model.proto.pieces.get(id.0 as usize).map_or(0.0, |piece| piece.score);
        self.candidates.push(Candidate { score, left, right, length });
    }

    fn pieces(&self) -> Vec<&'a str> {
        self.symbols.iter().filter(|s| !s.range.is_empty()).map(|s| &self.text[s.range.clone()]).collect()
    }
}
