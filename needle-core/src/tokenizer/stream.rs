//! Ids to text, token by token, never splitting a character.

use super::{LeadingSpace, Surface, TokenId, Tokenizer};

/// What SentencePiece writes for an unknown token.
const UNKNOWN: &str = " \u{2047} ";

/// Decodes a stream of tokens; the pieces that come out concatenate to [`Tokenizer::decode`] of all of them.
#[derive(Clone, Debug)]
pub struct StreamDecoder<'a> {
    tokenizer: &'a Tokenizer,
    /// The bytes of a character that is not complete.
    pending: Vec<u8>,
    /// What the last call returned.
    out: String,
    /// Whether the start of the text may still be ahead, where a leading space goes.
    at_start: bool,
    /// Whether the leading space has gone.
    space_dropped: bool,
    any_text: bool,
}

impl<'a> StreamDecoder<'a> {
    /// A decoder at the start of a text.
    pub fn new(tokenizer: &'a Tokenizer) -> Self {
        Self {
            tokenizer,
            pending: Vec::new(),
            out: String::new(),
            at_start: true,
            space_dropped: false,
            any_text: false,
        }
    }

    /// Takes a token and returns the characters that it completes, possibly none.
    pub fn push(&mut self, id: TokenId) -> &str {
        self.out.clear();
        let tokenizer = self.tokenizer;
        if let Surface::Byte(byte) = tokenizer.surface(id) {
            self.pending.push(*byte);
            self.take_characters(false);
        } else {
            self.take_characters(true);
            self.at_start &= !self.space_dropped && !self.any_text;
            self.space_dropped = false;
            match tokenizer.surface(id) {
                Surface::Text(text) | Surface::Marker(text) => self.push_text(text),
                Surface::Unknown => self.out.push_str(UNKNOWN),
                Surface::Nothing | Surface::Byte(_) => (),
            }
        }
        self.any_text |= !self.out.is_empty();
        &self.out
    }

    /// Ends the text: a character that was never completed becomes U+FFFD, one for each of its bytes.
    pub fn finish(&mut self) -> &str {
        self.out.clear();
        self.take_characters(true);
        &self.out
    }

    fn push_text(&mut self, text: &str) {
        let rest = if self.at_start && self.tokenizer.lead != LeadingSpace::Keep {
            let rest = text.strip_prefix(' ');
            self.space_dropped = rest.is_some() && self.tokenizer.lead == LeadingSpace::DropOne;
            rest.unwrap_or(text)
        } else {
            text
        };
        self.out.push_str(rest);
    }

    /// Moves complete characters from `pending` to `out`; bytes that cannot begin one become U+FFFD. With `end`,
    /// what is left is broken too.
    fn take_characters(&mut self, end: bool) {
        while !self.pending.is_empty() {
            let error = match std::str::from_utf8(&self.pending) {
                Ok(text) => {
                    self.out.push_str(text);
                    self.pending.clear();
                    return;
                }
                Err(error) => error,
            };
            let valid = error.valid_up_to();
            if valid > 0 {
                self.out.push_str(&String::from_utf8_lossy(&self.pending[..valid]));
                self.pending.drain(..valid);
            } else if end || error.error_len().is_some() {
                self.out.push(char::REPLACEMENT_CHARACTER);
                self.pending.remove(0);
            } else {
                return;
            }
        }
    }
}
