//! Measuring: labelled rows, how an answer is compared with them, and the figures over many.

mod expected;
mod report;
mod row;

pub use expected::{Expected, Slot, matches};
pub use report::{Bin, Judged, Report};
pub use row::{PossibleCall, Row};
