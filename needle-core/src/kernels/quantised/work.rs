//! What a kernel for one set of instructions works on, and the choice of its form for a number of rows.
#![allow(unsafe_code, reason = "the kernels' inner loops read without checking each index")]

use std::ops::Range;

use super::activations::{Activations, Row, STEP};
use super::packed::{Bits, Panels};
use super::{Isa, MOST_ROWS, Tile, scalar};

/// The same panels of matrices whose inputs follow each other, mostly of one, and the first of the rows of activations that
/// a kernel multiplies with them.
pub(super) struct Work<'a> {
    pub(super) parts: &'a [Panels<'a>],
    activations: &'a Activations,
    first: usize,
}

impl<'a> Work<'a> {
    /// R rows.
    #[inline]
    pub(super) fn rows<const R: usize>(&self) -> [Row<'a>; R] {
        std::array::from_fn(|r| self.activations.row(self.first + r))
    }

    /// The kernel in plain Rust for R rows.
    pub(super) fn plain<const R: usize>(&self, out: &mut Tile) {
        scalar::run(self.parts, self.rows::<R>(), out);
    }
}

/// The values of a row, four to a step.
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
#[derive(Clone, Copy)]
pub(super) struct Quads<'a>(&'a [[i8; STEP]]);

#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
impl<'a> Quads<'a> {
    /// Those of a row.
    #[inline]
    pub(super) fn new(row: Row<'a>) -> Self {
        Self(row.values.as_chunks().0)
    }

    /// The four values of a step in one number, the first in its lowest byte.
    ///
    /// # Safety
    /// The row must have this step.
    #[inline]
    pub(super) unsafe fn at(self, step: usize) -> i32 {
        // SAFETY: as the caller promises; checking every step makes a prefill a twentieth slower.
        i32::from_le_bytes(unsafe { self.0.get_unchecked(step) }.map(i8::cast_unsigned))
    }
}

/// Computes `rows` of activations (at most [`MOST_ROWS`]) times up to [`super::MOST_PANELS`] panels, the same ones of each
/// of `parts`, whose inputs follow each other; of several each group of inputs must have a scale. `isa` must be one that
/// this machine has. Panics if the rows are shorter than the weights.
///
/// Panels and work come by reference: a copy just before it is read costs as much as a third of a kernel's work, since
/// it is written in smaller pieces than it is read.
pub(super) fn run(
    isa: Isa,
    parts: &[Panels<'_>],
    activations: &Activations,
    rows: Range<usize>,
    out: &mut Tile,
) {
    // What the kernels rely on where they read without checking.
    let (bits, inputs) = (parts[0].bits, parts.iter().map(Panels::inputs).sum::<usize>());
    assert!(inputs <= activations.inputs() && parts.iter().all(|part| part.bits == bits), "shapes differ");
    let work = Work { parts, activations, first: rows.start };
    match (bits, rows.len()) {
        (Bits::Eight, 1) => work.run::<1, true>(isa, out),
        (Bits::Eight, 2) => work.run::<2, true>(isa, out),
        (Bits::Eight, 3) => work.run::<3, true>(isa, out),
        (Bits::Eight, 4) => work.run::<4, true>(isa, out),
        (Bits::Eight, 5) => work.run::<5, true>(isa, out),
        (Bits::Eight, _) => work.run::<MOST_ROWS, true>(isa, out),
        (Bits::Four, 1) => work.run::<1, false>(isa, out),
        (Bits::Four, 2) => work.run::<2, false>(isa, out),
        (Bits::Four, 3) => work.run::<3, false>(isa, out),
        (Bits::Four, 4) => work.run::<4, false>(isa, out),
        (Bits::Four, 5) => work.run::<5, false>(isa, out),
        (Bits::Four, _) => work.run::<MOST_ROWS, false>(isa, out),
    }
}
