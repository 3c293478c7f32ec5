//! needle-core decides small tool calls locally: a tiny attention-only encoder-decoder reads a query and a
//! list of tools and writes function calls as JSON, bound by a grammar to each tool's JSON Schema.
//!
//! Data flows one way: tool definitions → [`tool`] → catalogue; query → prompt → encoder → decoder bound by
//! [`grammar`] → calls → validation → confidence → decision.

pub mod acceptance;
pub mod calibration;
pub mod call;
pub mod catalogue;
pub mod checkpoint;
pub mod confidence;
pub mod decode;
#[cfg(feature = "embedded-model")]
mod embedded;
pub mod error;
pub mod eval;
pub mod grammar;
pub mod grounding;
pub mod kernels;
pub mod model;
pub mod nn;
pub mod prompt;
mod retrieval;
pub mod router;
pub mod session;
pub mod sessions;
mod similarity;
pub mod tokenizer;
pub mod tool;
pub mod trace;
mod unexplained;
pub mod validation;

pub use call::ToolCall;
pub use catalogue::Catalogue;
pub use confidence::Confidence;
pub use decode::{Event, Hooks};
pub use error::{Error, ErrorCode, Result};
pub use model::Model;
pub use router::{
    Api, Decision, Grounding, HandoffReason, Options, Outcome, Policy, Request, Routed, Router,
};
pub use session::Session;
pub use sessions::Sessions;
pub use tokenizer::TokenId;
