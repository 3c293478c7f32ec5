//! One file per command.

pub(crate) mod bench;
pub(crate) mod calibrate;
pub(crate) mod convert;
pub(crate) mod eval;
mod judge;
pub(crate) mod playground;
pub(crate) mod pull;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod shadow;
pub(crate) mod tools;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar with rate and time left on standard error; invisible where that is no terminal.
fn progress(rows: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} rows, {per_sec}, {eta} left");
    let bar = ProgressBar::new(rows as u64);
    style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style))
}
