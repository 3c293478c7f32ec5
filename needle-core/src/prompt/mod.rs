//! From a query and tools to token ids; the only place that knows how a prompt is laid out.
//!
//! [`joint`] is the published checkpoint's layout, [`isolated`] ours. In both, tools go by their
//! [`snake_case`] names, and [`NameMap`] leads back to the caller's spelling.

pub mod isolated;
pub mod joint;
mod names;
mod python_json;

pub use names::{NameMap, snake_case};

use crate::tokenizer::{TokenId, Tokenizer};

/// What a prompt needs of a tokenizer.
pub trait TextEncoder {
    /// The ids of a text; special tokens never come from it.
    fn encode(&self, text: &str) -> Vec<TokenId>;

    /// Whether a token is exactly one space.
    fn is_space(&self, id: TokenId) -> bool;
}

impl TextEncoder for Tokenizer {
    fn encode(&self, text: &str) -> Vec<TokenId> {
        self.encode(text)
    }

    fn is_space(&self, id: TokenId) -> bool {
        self.token_bytes(id) == b" "
    }
}
