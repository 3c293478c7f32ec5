//! For processors that no kernel was written for.

use super::packed::Block;
use super::work::Work;
use super::{Isa, Tile};
use crate::checkpoint::GROUP;

/// No set beyond plain Rust.
pub(super) fn available() -> impl Iterator<Item = Isa> {
    std::iter::empty()
}

/// Asks for nothing.
pub(super) fn prefetch(_blocks: &[Block]) {}

/// Quantises nothing.
pub(super) fn quantise_groups(
    _x: &[[f32; GROUP]],
    _values: &mut [[i8; GROUP]],
    _sums: &mut [i32],
    _scales: &mut [f32],
) -> bool {
    false
}

/// Quantises nothing.
pub(super) fn quantise_row(_row: &[f32], _values: &mut [i8]) -> Option<(f32, i32)> {
    None
}

impl Work<'_> {
    /// R rows.
    pub(super) fn run<const R: usize, const EIGHT: bool>(&self, _isa: Isa, out: &mut Tile) {
        self.plain::<R>(out);
    }
}
