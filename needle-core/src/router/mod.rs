//! From a query and a catalogue to a [`Decision`]: the only place with thresholds.

mod decide;
mod decision;
mod options;

pub use decide::Outcome;
pub use decision::{Decision, HandoffReason, Timings};
pub use options::{Grounding, Options};
