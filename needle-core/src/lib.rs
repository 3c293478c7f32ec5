//! needle-core decides small tool calls locally: a tiny attention-only encoder-decoder reads a query and a
//! list of tools and writes function calls as JSON, bound by a grammar to each tool's JSON Schema.
//!
//! Data flows one way: tool definitions → [`tool`] → catalogue; query → prompt → encoder → decoder bound by
//! [`grammar`] → calls → validation → confidence → decision.

pub mod checkpoint;
pub mod error;
pub mod grammar;
pub mod kernels;
pub mod nn;
pub mod prompt;
pub mod tokenizer;
pub mod tool;
pub mod validation;

pub use error::{Error, ErrorCode, Result};
pub use tokenizer::TokenId;
