//! The parts of a SentencePiece `.model` that BPE needs.
//!
//! The file is a protocol buffer, `sentencepiece_model.proto` of google/sentencepiece; fields that are not needed
//! are skipped. A dependency on a protobuf compiler would be larger than these five fields.

use super::problem;
use crate::error::Result;

/// Kind of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PieceKind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) text: String,
    /// Higher merges first.
    pub(super) score: f32,
    pub(super) kind: PieceKind,
}

#[derive(Debug)]
pub(super) struct ModelProto {
    pub(super) pieces: Vec<Piece>,
    pub(super) add_dummy_prefix: bool,
    pub(super) remove_extra_whitespaces: bool,
}

/// Reads a model.
///
/// # Errors
/// [`crate::Error::Tokenizer`] for a damaged file or options that change what is encoded in other ways.
pub(super) fn read(bytes: &[u8]) -> Result<ModelProto> {
    let mut proto = ModelProto { pieces: Vec::new(), add_dummy_prefix: true, remove_extra_whitespaces: true };
    let (mut algorithm, mut byte_fallback) = (1, false);
    each_field(bytes, |number, value| {
        match (number, value) {
            (1, Value::Bytes(piece)) => proto.pieces.push(read_piece(piece)?),
            (2, Value::Bytes(trainer)) => each_field(trainer, |number, value| {
                match (number, value) {
                    (3, Value::Varint(x)) => algorithm = x,
                    (35, Value::Varint(x)) => byte_fallback = x != 0,
                    (24, Value::Varint(1..)) => {
                        return Err(problem("has treat_whitespace_as_suffix, which is not supported"));
                    }
                    _ => (),
                }
                Ok(())
            })?,
            (3, Value::Bytes(normalizer)) => each_field(normalizer, |number, value| {
                match (number, value) {
                    (2, Value::Bytes([_, ..])) => {
                        return Err(problem(
                            "has normalisation rules; only the rule `identity` is supported",
                        ));
                    }
                    (3, Value::Varint(x)) => proto.add_dummy_prefix = x != 0,
                    (4, Value::Varint(x)) => proto.remove_extra_whitespaces = x != 0,
                    (5, Value::Varint(0)) => {
                        return Err(problem("does not escape spaces, which is not supported"));
                    }
                    _ => (),
                }
                Ok(())
            })?,
            _ => (),
        }
        Ok(())
    })?;
    if algorithm != 2 || !byte_fallback || proto.pieces.is_empty() {
        return Err(problem(
            "is not a SentencePiece BPE model with byte fallback, the only kind that is supported",
        ));
    }
    Ok(proto)
}

fn read_piece(bytes: &[u8]) -> Result<Piece> {
    let mut piece = Piece { text: String::new(), score: 0.0, kind: PieceKind::Normal };
    each_field(bytes, |number, value| {
        match (number, value) {
            (1, Value::Bytes(text)) => {
                let text = std::str::from_utf8(text);
                piece.text = text.map_err(|_| problem("has a piece that is not UTF-8"))?.into();
            }
            (2, Value::Fixed32(bits)) => piece.score = f32::from_bits(bits),
            (3, Value::Varint(kind)) => {
                piece.kind = match kind {
                    1 => PieceKind::Normal,
                    2 => PieceKind::Unknown,
                    3 => PieceKind::Control,
                    4 => PieceKind::UserDefined,
                    5 => PieceKind::Unused,
                    6 => PieceKind::Byte,
                    other => return Err(problem(format!("has a piece of unknown kind {other}"))),
                }
            }
            _ => (),
        }
        Ok(())
    })?;
    Ok(piece)
}

enum Value<'a> {
    Varint(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
    /// A fixed64, which no field of interest has.
    Other,
}

/// Calls `visit` with number and value of each field of a message.
fn each_field<'a>(mut bytes: &'a [u8], mut visit: impl FnMut(u64, Value<'a>) -> Result<()>) -> Result<()> {
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let value = match key & 7 {
            0 => Value::Varint(varint(&mut bytes)?),
            1 => take(&mut bytes, 8).map(|_| Value::Other)?,
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).unwrap_or(usize::MAX);
                Value::Bytes(take(&mut bytes, length)?)
            }
            5 => {
                let word = take(&mut bytes, 4)?;
                Value::Fixed32(u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            }
            _ => return Err(damaged()),
        };
        visit(key >> 3, value)?;
    }
    Ok(())
}

fn varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(damaged())
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(length).ok_or_else(damaged)?;
    *bytes = rest;
    Ok(head)
}

fn damaged() -> crate::Error {
    problem("is cut short or not a SentencePiece model")
}
