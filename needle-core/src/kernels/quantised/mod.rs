//! Products with quantised weights: int8 activations times int8 or int4 weights, both with a scale per row or per group
//! of 32 inputs; exact in integers between scales and in f32 across them.
//!
//! Every instruction set gives the same bits: the integer sums are exact, and the f32 operations are the same
//! fused multiply-adds in the same order. So results depend neither on the machine's instructions nor on how
//! many rows, panels or threads share the work.

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod activations;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
mod packed;
#[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
mod portable;
mod scalar;
mod work;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use activations::{Activations, Scaling};
pub use packed::{Bits, PackedMatrix};

use std::ops::Range;

use ndarray::{ArrayRef1, ArrayRef2, Axis, s};

use crate::checkpoint::GROUP;
#[cfg(target_arch = "aarch64")]
use aarch64 as native;
use activations::STEP;
use packed::PANEL;
#[cfg(not(any(target_arch = "aarch64", target_arch = "x86_64")))]
use portable as native;
#[cfg(target_arch = "x86_64")]
use x86 as native;

/// Rows of activations that a kernel takes at once; more are worked off in turns.
const MOST_ROWS: usize = 6;

/// Rows whose activations stay in the nearest cache while all weights pass by: 24 KB for 512 inputs.
const BLOCK_ROWS: usize = 8 * MOST_ROWS;

/// Panels that a kernel takes at once: with two, each activation that is read serves two registers of weights.
const MOST_PANELS: usize = 2;

/// The result of one kernel call: the panels' outputs for each row.
type Tile = [[f32; MOST_PANELS * PANEL]; MOST_ROWS];

/// A set of instructions that this machine has, and the kernels written for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Plain Rust, which the compiler vectorises for the target's baseline.
    Scalar,
    /// NEON, the baseline of aarch64.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// NEON with its dot-product instructions.
    #[cfg(target_arch = "aarch64")]
    NeonDotprod,
    /// AVX2 with FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX2 with VNNI in 256-bit registers.
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    /// AVX-512 with VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    /// AMX's tiles for many rows of activations that have a scale each, AVX-512 with VNNI for all else.
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Amx,
}

impl Isa {
    /// All that this machine can run, the fastest last.
    pub fn available() -> Vec<Self> {
        std::iter::once(Self::Scalar).chain(native::available()).collect()
    }

    /// The fastest that this machine can run.
    pub fn best() -> Self {
        native::available().last().unwrap_or(Self::Scalar)
    }
}

/// `out = a · wᵀ` for activations `a` (N, I) and the outputs from `first` on of `w` (O, I); `out` is (N, outputs).
///
/// # Panics
/// If the shapes do not fit each other, which is an error of the caller, not of data.
pub fn matmul_packed(activations: &Activations, w: &PackedMatrix, first: usize, out: &mut ArrayRef2<f32>) {
    let outputs = first..first + out.ncols();
    product(activations, std::iter::once((w, outputs)), out);
}

/// `out = a · wᵀ` for the outputs of several matrices (Oₚ, I), each of which begins at a multiple of [`GROUP`] columns of
/// `out`; what is between them is not written.
///
/// # Panics
/// As [`matmul_packed`].
pub fn matmul_packed_outputs<'a>(
    activations: &Activations,
    parts: impl Iterator<Item = &'a PackedMatrix> + Clone,
    out: &mut ArrayRef2<f32>,
) {
    product(activations, parts.map(|w| (w, 0..w.outputs())), out);
}

/// `out = a · wᵀ` for a matrix whose inputs, one after the other, are those of `parts` (O, Iₚ), all with a scale for each
/// group; `a` is (N, Σ Iₚ), `out` (N, O).
///
/// # Panics
/// As [`matmul_packed`].
pub fn matmul_packed_inputs<'a>(
    activations: &Activations,
    parts: &(impl Iterator<Item = &'a PackedMatrix> + Clone),
    out: &mut ArrayRef2<f32>,
) {
    let inputs: usize = parts.clone().map(PackedMatrix::inputs).sum();
    assert_eq!((activations.rows(), activations.inputs()), (out.nrows(), inputs), "shapes differ");
    let fits = |w: &PackedMatrix| w.outputs() == out.ncols() && w.scaling() == Scaling::Group;
    assert!(activations.scaling() == Scaling::Group && parts.clone().all(fits), "shapes or scales differ");
    let parts = parts.clone().filter(|w| w.inputs() > 0);
    let Some(isa) = parts.clone().next().map(PackedMatrix::isa) else { return out.fill(0.0) };
    let (mut tile, mut weights) = (Tile::default(), Vec::new());
    let (outputs, last) = (out.ncols(), out.ncols().div_ceil(PANEL));
    for panel in (0..last).step_by(MOST_PANELS) {
        let panels = panel..last.min(panel + MOST_PANELS);
        let wanted = panel * PANEL..outputs.min(panels.end * PANEL);
        weights.clear();
        weights.extend(parts.clone().map(|w| w.panels(panels.clone())));
        for start in (0..activations.rows()).step_by(MOST_ROWS) {
            let rows = start..activations.rows().min(start + MOST_ROWS);
            work::run(isa, &weights, activations, rows.clone(), &mut tile);
            for (row, sums) in rows.zip(&tile) {
                put(&sums[..wanted.len()], &mut out.row_mut(row), wanted.start);
            }
        }
    }
}

/// Products with some outputs of each matrix, which begin at multiples of [`GROUP`] columns of `out`.
fn product<'a>(
    activations: &Activations,
    parts: impl Iterator<Item = (&'a PackedMatrix, Range<usize>)> + Clone,
    out: &mut ArrayRef2<f32>,
) {
    assert_eq!(activations.rows(), out.nrows(), "shapes differ");
    for (w, outputs) in parts.clone() {
        assert!(w.inputs() == activations.inputs() && outputs.end <= w.outputs(), "shapes differ");
        assert_eq!(activations.scaling(), w.scaling(), "scales differ");
    }
    if activations.inputs() == 0 {
        return out.fill(0.0);
    }
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if parts.clone().all(|(w, _)| amx::takes(activations, w, out)) {
        return amx::matmul(activations, &parts, out);
    }
    let (mut column, mut later) = (0, parts.clone().skip(1));
    for (w, outputs) in parts {
        if let Some((next, _)) = later.next() {
            native::prefetch(next.blocks());
        }
        let end = column + outputs.len();
        multiply(activations, w, outputs, &mut out.slice_mut(s![.., column..end]));
        column = end.next_multiple_of(GROUP);
    }
}

/// The product with some outputs of a matrix, whose shapes were found to fit.
fn multiply(activations: &Activations, w: &PackedMatrix, columns: Range<usize>, out: &mut ArrayRef2<f32>) {
    let (mut tile, last) = (Tile::default(), columns.end.div_ceil(PANEL));
    let blocks = (0..activations.rows()).step_by(BLOCK_ROWS);
    let panels = (columns.start / PANEL..last).step_by(MOST_PANELS);
    for (block, panel) in blocks.flat_map(|block| panels.clone().map(move |panel| (block, panel))) {
        let weights = w.panels(panel..last.min(panel + MOST_PANELS));
        // The part of these panels that was asked for, in outputs of the matrix.
        let wanted = columns.start.max(panel * PANEL)..columns.end.min((panel + weights.len()) * PANEL);
        let block = block..activations.rows().min(block + BLOCK_ROWS);
        for start in block.clone().step_by(MOST_ROWS) {
            let rows = start..block.end.min(start + MOST_ROWS);
            work::run(w.isa(), &[weights], activations, rows.clone(), &mut tile);
            for (row, sums) in rows.zip(&tile) {
                let sums = &sums[wanted.start - panel * PANEL..wanted.end - panel * PANEL];
                put(sums, &mut out.row_mut(row), wanted.start - columns.start);
            }
        }
    }
}

/// Writes `sums` into a row of a result, from `column` on.
fn put(sums: &[f32], row: &mut ArrayRef1<f32>, column: usize) {
    let own = column..column + sums.len();
    match row.as_slice_mut() {
        Some(row) => row[own].copy_from_slice(sums),
        None => own.zip(sums).for_each(|(column, sum)| row[column] = *sum),
    }
}

/// Entry `output` of `w · a` for the only row of `activations`; equal to that entry of [`matmul_packed`].
///
/// # Panics
/// As [`matmul_packed`].
pub fn dot_packed(activations: &Activations, w: &PackedMatrix, output: usize) -> f32 {
    assert_eq!((activations.inputs(), activations.scaling()), (w.inputs(), w.scaling()), "shapes differ");
    let mut tile = Tile::default();
    let panel = output / PANEL;
    work::run(w.isa(), &[w.panels(panel..panel + 1)], activations, 0..1, &mut tile);
    tile[0][output % PANEL]
}

/// Writes row `output` of `w`, times `factor`, into `out` (I).
pub fn unpack_row(w: &PackedMatrix, output: usize, factor: f32, out: &mut ArrayRef1<f32>) {
    let panel = w.panels(output / PANEL..output / PANEL + 1);
    let (steps, lane) = (panel.steps(), output % PANEL);
    for (step, mut out) in out.axis_chunks_iter_mut(Axis(0), STEP).enumerate() {
        let factor = panel.scale(lane, step / steps) * factor;
        for (out, weight) in out.iter_mut().zip(panel.weights(lane, step)) {
            *out = weight as f32 * factor;
        }
    }
}

#[cfg(test)]
mod tests;
