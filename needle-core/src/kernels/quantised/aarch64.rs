//! The kernels for aarch64: NEON, which every such processor has, with or without its dot-product instructions.
//!
//! A panel is taken as four quarters of four outputs. Both kernels multiply signed bytes, so int8 weights lose their
//! offset on the way into a register.
#![allow(
    unsafe_code,
    reason = "instruction sets are called after their detection; loads are from whole blocks"
)]
#![allow(clippy::wildcard_imports, reason = "dozens of intrinsics, whose names say where they come from")]

use std::arch::aarch64::*;
use std::arch::asm;
use std::arch::is_aarch64_feature_detected;

use super::activations::{LIMIT, STEP};
use super::packed::{Bits, Block, PANEL, Panels};
use super::work::{Quads, Work};
use super::{Isa, Tile};
use crate::checkpoint::GROUP;

/// Registers of sums, four outputs each, that hold a panel.
const QUARTERS: usize = PANEL / 4;

/// The sets beyond plain Rust that this machine has, the fastest last.
pub(super) fn available() -> impl Iterator<Item = Isa> {
    let dotprod = is_aarch64_feature_detected!("dotprod");
    [(true, Isa::Neon), (dotprod, Isa::NeonDotprod)]
        .into_iter()
        .filter_map(|(present, isa)| present.then_some(isa))
}

/// Asks the memory for blocks that are read soon.
pub(super) fn prefetch(blocks: &[Block]) {
    for block in blocks {
        // SAFETY: the instruction is of the baseline and changes no value.
        unsafe {
            asm!(
                "prfm pldl1keep, [{block}]",
                block = in(reg) std::ptr::from_ref(block),
                options(nostack, preserves_flags, readonly),
            );
        }
    }
}

/// Quantises groups; gives the bits of the plain form for numbers that are finite.
pub(super) fn quantise_groups(
    x: &[[f32; GROUP]],
    values: &mut [[i8; GROUP]],
    sums: &mut [i32],
    scales: &mut [f32],
) -> bool {
    for (((x, values), sum), scale) in x.iter().zip(values).zip(sums).zip(scales) {
        // SAFETY: every aarch64 processor that Rust's targets name has NEON.
        (*scale, *sum) = unsafe { quantise(x, values) };
    }
    true
}

/// Quantises a row as [`quantise_groups`] does a group, if it is a whole number of steps.
pub(super) fn quantise_row(row: &[f32], values: &mut [i8]) -> Option<(f32, i32)> {
    // SAFETY: every aarch64 processor that Rust's targets name has NEON.
    row.len().is_multiple_of(STEP).then(|| unsafe { quantise(row, values) })
}

/// Quantises whole steps; their scale and the values' sum.
#[target_feature(enable = "neon")]
fn quantise(x: &[f32], values: &mut [i8]) -> (f32, i32) {
    let (quarters, _) = x.as_chunks::<STEP>();
    // SAFETY: four f32 are one register.
    let load = |quarter: &[f32; STEP]| unsafe { vld1q_f32(quarter.as_ptr()) };
    let mut largest = vdupq_n_f32(0.0);
    for quarter in quarters {
        largest = vmaxq_f32(largest, vabsq_f32(load(quarter)));
    }
    let largest = vmaxvq_f32(largest);
    let inverse = if largest > 0.0 { LIMIT / largest } else { 0.0 };
    let mut sum = vdupq_n_s32(0);
    for (quarter, values) in quarters.iter().zip(values.as_chunks_mut::<STEP>().0) {
        // To the nearest, ties to even.
        let rounded = vcvtnq_s32_f32(vmulq_n_f32(load(quarter), inverse));
        sum = vaddq_s32(sum, rounded);
        let halves = vmovn_s32(rounded);
        let bytes = vmovn_s16(vcombine_s16(halves, halves));
        *values = vget_lane_s32::<0>(vreinterpret_s32_s8(bytes)).to_le_bytes().map(u8::cast_signed);
    }
    (largest * (1.0 / LIMIT), vaddvq_s32(sum))
}

impl Work<'_> {
    /// R rows, int8 weights if `EIGHT`, else int4.
    pub(super) fn run<const R: usize, const EIGHT: bool>(&self, isa: Isa, out: &mut Tile) {
        // SAFETY: `PackedMatrix::pack` takes only sets that `available` found on this machine.
        unsafe {
            match isa {
                Isa::NeonDotprod => self.neon_dotprod::<R, EIGHT>(out),
                Isa::Neon => self.neon::<R, EIGHT>(out),
                Isa::Scalar => self.plain::<R>(out),
            }
        }
    }
}

/// A kernel for R rows and one panel at a time; `$dot` adds the dot products of four bytes per lane to its first argument.
macro_rules! kernel {
    ($name:ident, $features:literal, $dot:ident) => {
        impl Work<'_> {
            #[target_feature(enable = $features)]
            fn $name<const R: usize, const EIGHT: bool>(&self, out: &mut Tile) {
                let bits = if EIGHT { Bits::Eight } else { Bits::Four };
                let rows = self.rows::<R>();
                let quads = rows.map(Quads::new);
                for panel in 0..self.parts.first().map_or(0, Panels::len) {
                    let mut total = [[vdupq_n_f32(0.0); QUARTERS]; R];
                    let (mut group, mut step) = (0, 0);
                    for panels in self.parts {
                        let (blocks, scales) = panels.panel(panel);
                        for (blocks, scales) in blocks.chunks_exact(panels.steps() / bits.steps()).zip(scales)
                        {
                            let offset = if EIGHT { 0 } else { bits.offset() };
                            let mut sum: [[int32x4_t; QUARTERS]; R] = std::array::from_fn(|r| {
                                [vdupq_n_s32(-offset * rows[r].sums[group]); QUARTERS]
                            });
                            let per_block = bits.steps();
                            for (index, block) in blocks.iter().enumerate() {
                                for half in 0..per_block {
                                    let weights = load::<EIGHT>(block, half);
                                    for r in 0..R {
                                        let step = step + per_block * index + half;
                                        // SAFETY: `work::run` has found that rows have as many steps as the parts together.
                                        let x = vdupq_n_s32(unsafe { quads[r].at(step) });
                                        for (sum, weights) in sum[r].iter_mut().zip(weights) {
                                            *sum = $dot(*sum, weights, vreinterpretq_s8_s32(x));
                                        }
                                    }
                                }
                            }
                            let scales = load_scales(scales);
                            for r in 0..R {
                                let x_scale = vdupq_n_f32(rows[r].scales[group]);
                                for ((total, sum), scale) in total[r].iter_mut().zip(sum[r]).zip(scales) {
                                    let scaled = vmulq_f32(vcvtq_f32_s32(sum), x_scale);
                                    *total = vfmaq_f32(*total, scaled, scale);
                                }
                            }
                            (group, step) = (group + 1, step + panels.steps());
                        }
                    }
                    for (out, total) in out.iter_mut().zip(total) {
                        let (quarters, _) = out[panel * PANEL..].as_chunks_mut::<{ PANEL / QUARTERS }>();
                        for (out, total) in quarters.iter_mut().zip(total) {
                            // SAFETY: `out` is four f32, one register.
                            unsafe { vst1q_f32(out.as_mut_ptr(), total) };
                        }
                    }
                }
            }
        }
    };
}

kernel!(neon, "neon", dot_neon);
kernel!(neon_dotprod, "neon,dotprod", dot_dotprod);

/// The dot products by pairs in 16 bits, of which two are at most 2 · 128 · 127 and so do not overflow.
#[target_feature(enable = "neon")]
#[inline]
fn dot_neon(sum: int32x4_t, weights: int8x16_t, x: int8x16_t) -> int32x4_t {
    // Products of the outputs 0, 1 and 2, 3; pairs of neighbours are added, then pairs of those.
    let low = vmull_s8(vget_low_s8(weights), vget_low_s8(x));
    let high = vmull_high_s8(weights, x);
    vpadalq_s16(sum, vpaddq_s16(low, high))
}

/// `sdot`, whose intrinsic is not stable yet.
#[target_feature(enable = "neon,dotprod")]
#[inline]
fn dot_dotprod(mut sum: int32x4_t, weights: int8x16_t, x: int8x16_t) -> int32x4_t {
    // SAFETY: the instruction reads and writes nothing but these registers, and the caller has `dotprod`.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {weights:v}.16b, {x:v}.16b",
            sum = inout(vreg) sum,
            weights = in(vreg) weights,
            x = in(vreg) x,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

/// The weights of a step: int8 without their offset, of int4 the low or high nibbles with theirs.
#[target_feature(enable = "neon")]
#[inline]
fn load<const EIGHT: bool>(block: &Block, half: usize) -> [int8x16_t; QUARTERS] {
    let (quarters, _) = block.0.as_chunks::<16>();
    std::array::from_fn(|q| {
        // SAFETY: a quarter is 16 bytes, one register; a block has four.
        let stored = unsafe { vld1q_u8(quarters[q].as_ptr()) };
        vreinterpretq_s8_u8(match (EIGHT, half) {
            (true, _) => veorq_u8(stored, vdupq_n_u8(0x80)),
            (false, 0) => vandq_u8(stored, vdupq_n_u8(15)),
            (false, _) => vshrq_n_u8::<4>(stored),
        })
    })
}

/// A group's scales as f32.
#[target_feature(enable = "neon")]
#[inline]
fn load_scales(scales: &[u16; PANEL]) -> [float32x4_t; QUARTERS] {
    let (quarters, _) = scales.as_chunks::<{ PANEL / QUARTERS }>();
    // SAFETY: a quarter is four u16, half a register.
    std::array::from_fn(|q| to_f32(unsafe { vld1_u16(quarters[q].as_ptr()) }))
}

/// f16 bits to f32, exactly: an instruction of the baseline, whose intrinsic is younger than the oldest compiler allowed.
#[target_feature(enable = "neon")]
#[inline]
fn to_f32(bits: uint16x4_t) -> float32x4_t {
    let result: float32x4_t;
    // SAFETY: the instruction reads and writes nothing but these registers.
    unsafe {
        asm!(
            "fcvtl {result:v}.4s, {bits:v}.4h",
            result = lateout(vreg) result,
            bits = in(vreg) bits,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    result
}
