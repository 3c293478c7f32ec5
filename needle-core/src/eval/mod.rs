//! Measuring: labelled rows, how an answer is compared with them, and the figures over many.

mod agreement;
mod expected;
mod report;
mod row;

pub use agreement::{
    Pair, Point, ToolAgreement, by_tool as agreement_by_tool, curve as agreement_curve, threshold_for,
};
pub use expected::{ArgumentKind, Expected, Slot, matches};
pub use report::{Bin, Judged, Report, Share};
pub use row::{PossibleCall, Row};
