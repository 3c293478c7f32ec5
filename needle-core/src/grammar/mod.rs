//! What the model may write next: the answer's envelope, tool names, and arguments bound to each tool's schema.
//!
//! The answer is compact JSON, `[{"name":"n","arguments":{…}},…]` or `[]`. [`ToolGrammar`] compiles the
//! arguments of one tool once; a [`Constraint`] follows one decoding and says which tokens are forced, which
//! may be chosen, and when the answer is complete. The grammar never sees a logit, the decoder never sees JSON.

mod arguments;
mod blame;
mod braces;
mod closed;
mod constraint;
mod inspect;
mod keywords;
mod mask;
mod names;
mod prepare;
mod refs;
mod support;
mod vocabulary;

pub use arguments::ToolGrammar;
pub(crate) use arguments::reads;
pub(crate) use closed::closed;
pub use constraint::{Constraint, Finish, Step};
pub(crate) use inspect::inspect;
pub use mask::TokenMask;
pub(crate) use refs::{References, children, in_place};
pub use support::{SchemaProblem, Support};
pub use vocabulary::Vocabulary;
