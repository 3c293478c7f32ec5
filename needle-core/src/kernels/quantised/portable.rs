//! For processors that no kernel was written for.

use super::activations::Group;
use super::work::Work;
use super::{Isa, Tile};
use crate::checkpoint::GROUP;

/// No set beyond plain Rust.
pub(super) fn available() -> impl Iterator<Item = Isa> {
    std::iter::empty()
}

/// Quantises nothing.
pub(super) fn quantise_groups(_values: &[[f32; GROUP]], _groups: &mut [Group]) -> bool {
    false
}

impl Work<'_> {
    /// R rows.
    pub(super) fn run<const R: usize, const EIGHT: bool>(self, _isa: Isa, out: &mut Tile) {
        self.plain::<R>(out);
    }
}
