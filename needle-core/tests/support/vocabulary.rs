//! A small vocabulary for grammar tests: every byte, and pieces that straddle the grammar's borders.

use needle_core::TokenId;
use needle_core::grammar::Vocabulary;

/// Pieces beside the single bytes; some end a string, a call and the answer at once.
const PIECES: [&str; 34] = [
    "[]",
    "[{\"",
    "[{\"name\":\"",
    "\":",
    "\":\"",
    "\",\"",
    "name",
    "argu",
    "arguments",
    "\":{\"",
    "}}]",
    "\"}}]",
    "\"}}",
    "},{\"",
    "true",
    "false",
    "null",
    "get",
    "_weather",
    "_time",
    "wea",
    "ther",
    "\"}}},{\"",
    "\"}},{\"",
    "set",
    "_",
    "a\"",
    "et\"",
    "12",
    "-1",
    "0.",
    "\\\"",
    "é",
    "京都",
];

/// Cut longest piece first; token 0 adds no text, as a model's special tokens.
pub(crate) fn vocabulary() -> Vocabulary {
    let mut tokens = vec![Vec::new()];
    tokens.extend((0..=255u8).map(|byte| vec![byte]));
    tokens.extend(PIECES.iter().map(|piece| piece.as_bytes().to_vec()));
    let table = tokens.clone();
    let encode = move |bytes: &[u8]| {
        let mut rest = bytes;
        let mut found = Vec::new();
        while !rest.is_empty() {
            let words =
                table.iter().enumerate().filter(|(_, word)| !word.is_empty() && rest.starts_with(word));
            let (id, word) = words.max_by_key(|(_, word)| word.len()).unwrap();
            found.push(TokenId(u32::try_from(id).unwrap()));
            rest = &rest[word.len()..];
        }
        found
    };
    Vocabulary::from_parts(tokens, encode).unwrap()
}

/// The token of one byte.
#[allow(dead_code, reason = "not every test goes byte by byte")]
pub(crate) fn of_byte(byte: u8) -> TokenId {
    TokenId(u32::from(byte) + 1)
}

/// The bytes of a token.
#[allow(dead_code, reason = "not every test reads tokens")]
pub(crate) fn bytes_of(token: TokenId) -> Vec<u8> {
    match token.0 as usize {
        0 => Vec::new(),
        id @ 1..=256 => vec![u8::try_from(id - 1).unwrap()],
        id => PIECES[id - 257].as_bytes().to_vec(),
    }
}
