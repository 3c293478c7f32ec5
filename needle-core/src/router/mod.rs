//! From a query and a catalogue to a [`Decision`]: the only place with thresholds.

mod decision;
mod options;

pub use decision::{Decision, HandoffReason, Timings, UngroundedArgument};
pub use options::{Grounding, Options};
