//! `tokenizer.json`, encoded by the crate `tokenizers`.

use serde_json::Value;

use super::{Surface, TokenId, byte_of, problem, token_id};
use crate::error::Result;

/// The encoder of a `tokenizer.json`.
pub(super) struct JsonEncoder(tokenizers::Tokenizer);

impl std::fmt::Debug for JsonEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("JsonEncoder").field(&self.0.get_vocab_size(true)).finish()
    }
}

impl JsonEncoder {
    /// Reads the file; also returns what each token adds to a text.
    pub(super) fn new(bytes: &[u8]) -> Result<(Self, Vec<Surface>)> {
        let json: Value = serde_json::from_slice(bytes)
            .map_err(|error| problem(format!("is not the JSON of a tokenizer ({error})")))?;
        check_supported(&json)?;
        let mut tokenizer = tokenizers::Tokenizer::from_bytes(bytes)
            .map_err(|error| problem(format!("is not a tokenizer ({error})")))?;
        tokenizer.set_encode_special_tokens(true);
        let markers = tokenizer.get_added_tokens_decoder();
        let surface = |index: usize| -> Result<Surface> {
            let id = token_id(index)?.0;
            if let Some(token) = markers.get(&id) {
                return Ok(match token.content.as_str() {
                    "<unk>" => Surface::Unknown,
                    "<pad>" | "<s>" | "</s>" => Surface::Nothing,
                    marker => Surface::Marker(marker.into()),
                });
            }
            let piece = tokenizer
                .id_to_token(id)
                .ok_or_else(|| problem(format!("has no token for id {id}; ids must have no gaps")))?;
            Ok(byte_of(&piece).map_or_else(|| Surface::Text(piece.into()), Surface::Byte))
        };
        let surfaces = (0..tokenizer.get_vocab_size(true)).map(surface).collect::<Result<_>>()?;
        Ok((Self(tokenizer), surfaces))
    }

    /// The ids of a text; `None` where the file's own rules fail on it.
    pub(super) fn encode(&self, text: &str) -> Option<Vec<TokenId>> {
        let encoding = self.0.encode_fast(text, false).ok()?;
        Some(encoding.get_ids().iter().copied().map(TokenId).collect())
    }

    pub(super) fn piece_id(&self, piece: &str) -> Option<TokenId> {
        self.0.token_to_id(piece).map(TokenId)
    }
}

/// Refuses what would make a token's text depend on its neighbours: grammars need to know each token's bytes.
fn check_supported(json: &Value) -> Result<()> {
    let kind = |value: &Value| value["type"].as_str().unwrap_or("none").to_owned();
    if kind(&json["model"]) != "BPE" || json["model"]["byte_fallback"] != true {
        return Err(problem("must hold a BPE model with byte_fallback; convert or retrain it"));
    }
    if !json["normalizer"].is_null() {
        return Err(problem("has a normalizer, which changes the user's text; retrain it without"));
    }
    let decoder = &json["decoder"];
    let parts = match decoder["decoders"].as_array() {
        Some(parts) => parts.iter().map(kind).collect(),
        None => vec![kind(decoder)],
    };
    if parts != ["ByteFallback", "Fuse"] {
        return Err(problem(format!(
            "decodes with {}; only ByteFallback, Fuse is supported",
            parts.join(", ")
        )));
    }
    Ok(())
}
