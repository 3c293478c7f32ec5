//! Products of many rows with AMX: tiles of 16 rows of 64 bytes, whose product is 16 × 16 sums.
//!
//! 16 blocks of a panel are a tile of weights as they lie in memory, and 64 activations of 16 rows one of activations.
//! Sums stay in tiles until a row's end, so rows and outputs must have one scale each. The intrinsics of AMX are not
//! stable, hence the assembly. Source: Intel, "Architecture Instruction Set Extensions Programming Reference", chapter 3.
#![allow(
    unsafe_code,
    reason = "instruction sets are called after their detection; tiles are loaded from whole blocks"
)]
#![allow(clippy::cast_possible_truncation, reason = "a tile has at most 64 bytes in at most 16 rows")]
#![allow(clippy::wildcard_imports, reason = "dozens of intrinsics, whose names say where they come from")]

use std::arch::asm;
use std::arch::x86_64::*;
use std::ops::Range;
use std::sync::OnceLock;

use ndarray::{ArrayRef2, s};

use super::activations::{Activations, STEP, Scaling};
use super::packed::{Bits, Block, PANEL, PackedMatrix, Panels};
use super::{Isa, MOST_PANELS};
use crate::checkpoint::GROUP;

/// Rows of a tile.
const ROWS: usize = 16;

/// Bytes of a tile's row: inputs for activations, four inputs of 16 outputs for weights, 16 sums of four bytes.
const WIDTH: usize = 64;

/// Inputs that one tile of weights holds.
const INPUTS: usize = ROWS * STEP;

/// Fewer rows fill too little of a tile.
const FEWEST_ROWS: usize = 4;

/// Numbers of activations that pay for setting tiles up.
const FEWEST_ACTIVATIONS: usize = 1024;

/// Whether the machine has AMX for int8 and the system lets this process use it, which is asked once.
pub(super) fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| has_instructions() && is_permitted())
}

fn has_instructions() -> bool {
    /// Bits of EDX in CPUID's leaf 7.
    const TILE: u32 = 1 << 24;
    const INT8: u32 = 1 << 25;
    // SAFETY: every x86-64 processor has the instruction.
    #[allow(unused_unsafe, reason = "newer compilers know that it is safe")]
    let (leaves, features) = unsafe { (__cpuid(0).eax, __cpuid_count(7, 0).edx) };
    leaves >= 7 && features & (TILE | INT8) == TILE | INT8
}

/// Linux saves tiles for those processes only that asked for it; it refuses where a signal stack would be too small.
fn is_permitted() -> bool {
    /// `ARCH_REQ_XCOMP_PERM` of `arch_prctl`, and the number of the tiles' state; see the kernel's `xstate.rst`.
    const REQUEST: libc::c_ulong = 0x1023;
    const TILE_DATA: libc::c_ulong = 18;
    // SAFETY: the call takes two numbers and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST, TILE_DATA) == 0 }
}

/// Whether [`matmul`] computes this product.
pub(super) fn takes(activations: &Activations, w: &PackedMatrix, out: &ArrayRef2<f32>) -> bool {
    let fits = w.bits() == Bits::Eight && w.inputs().is_multiple_of(INPUTS);
    let is_worth_it = activations.rows() >= FEWEST_ROWS
        && activations.rows() * w.inputs() >= FEWEST_ACTIVATIONS
        && out.ncols() > 0;
    w.isa() == Isa::Amx && w.scaling() == Scaling::Row && fits && is_worth_it && is_side_by_side(out)
}

/// Whether the numbers of a row lie side by side.
fn is_side_by_side(out: &ArrayRef2<f32>) -> bool {
    out.ncols() <= 1 || out.strides()[1] == 1
}

/// The products with some outputs of each matrix, which begin at multiples of [`GROUP`] columns of `out`; gives the bits of
/// the other kernels.
pub(super) fn matmul<'a>(
    activations: &Activations,
    parts: &(impl Iterator<Item = (&'a PackedMatrix, Range<usize>)> + Clone),
    out: &mut ArrayRef2<f32>,
) {
    let rows = activations.rows();
    let whole = rows - rows % (2 * ROWS);
    let mut sums = Sums([[[0; PANEL]; ROWS]; 2 * MOST_PANELS]);
    // Twice a tile's rows at a time; what is left over has tiles of its own height.
    for rows in [0..whole, whole..rows] {
        if rows.is_empty() {
            continue;
        }
        let tiles = Tiles::new(rows.len().min(2 * ROWS));
        let mut column = 0;
        for (w, outputs) in parts.clone() {
            let part = &mut out.slice_mut(s![.., column..column + outputs.len()]);
            column = (column + outputs.len()).next_multiple_of(GROUP);
            multiply(&tiles, activations, rows.clone(), (w, outputs), part, &mut sums);
        }
    }
}

/// The products of some rows with some outputs of a matrix, into `out` (N, outputs).
fn multiply(
    tiles: &Tiles,
    activations: &Activations,
    rows: Range<usize>,
    (w, outputs): (&PackedMatrix, Range<usize>),
    out: &mut ArrayRef2<f32>,
    sums: &mut Sums,
) {
    let last = outputs.end.div_ceil(PANEL);
    for panel in (outputs.start / PANEL..last).step_by(MOST_PANELS) {
        let weights = w.panels(panel..last.min(panel + MOST_PANELS));
        for start in rows.clone().step_by(2 * ROWS) {
            // Later rows find the weights in the cache.
            let ahead = start == rows.start;
            let rows = start..rows.end.min(start + 2 * ROWS);
            tiles.multiply(activations, rows.clone(), &weights, ahead, sums);
            for index in 0..weights.len() {
                let column = ((panel + index) * PANEL).cast_signed() - outputs.start.cast_signed();
                let panel = (index, &weights.panel(index).1[0]);
                // SAFETY: a matrix has AMX as its instruction set only where AVX-512 is present too.
                unsafe { sums.write(panel, activations, rows.clone(), out, column) };
            }
        }
    }
}

/// Tiles of sums as they leave the machine's: those of the first rows for both panels, then those of the next rows.
#[repr(C, align(64))]
struct Sums([[[i32; PANEL]; ROWS]; 2 * MOST_PANELS]);

impl Sums {
    /// Scales the sums of one panel, whose index and scales are given, and writes them to `rows` of `out`, without the
    /// weights' offset. The panel's first output belongs in `column`; what is outside of `out` is left away.
    #[target_feature(enable = "avx512f")]
    fn write(
        &self,
        (index, scales): (usize, &[u16; PANEL]),
        activations: &Activations,
        rows: Range<usize>,
        out: &mut ArrayRef2<f32>,
        column: isize,
    ) {
        let lane = |lane: isize| 1_u32 << lane.clamp(0, PANEL.cast_signed());
        let mask = (lane(out.ncols().cast_signed() - column) - 1) & !(lane(-column) - 1);
        // SAFETY: 16 times two bytes are one register.
        let scales = _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(scales.as_ptr().cast()) });
        assert!(rows.end <= out.nrows() && is_side_by_side(out));
        let (start, stride) = (out.as_mut_ptr().wrapping_offset(column), out.strides()[0]);
        let (row_sums, row_scales) = activations.of_rows(rows.clone());
        let halves = row_sums.chunks(ROWS).zip(row_scales.chunks(ROWS));
        for (half, (row_sums, row_scales)) in halves.enumerate() {
            let first = (rows.start + half * ROWS).cast_signed();
            let mut target = start.wrapping_offset(first * stride);
            let tile = &self.0[half * MOST_PANELS + index];
            for ((sums, row_sum), row_scale) in tile.iter().zip(row_sums).zip(row_scales) {
                // SAFETY: 16 sums of four bytes are one register.
                let sums = unsafe { _mm512_loadu_si512(sums.as_ptr().cast()) };
                let sums = _mm512_sub_epi32(sums, _mm512_set1_epi32(Bits::Eight.offset() * row_sum));
                let scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), _mm512_set1_ps(*row_scale));
                let total = _mm512_fmadd_ps(scaled, scales, _mm512_setzero_ps());
                // SAFETY: as asserted, `out` has this row, whose numbers lie side by side; the mask takes those that it has.
                unsafe { _mm512_mask_storeu_ps(target, mask as u16, total) };
                target = target.wrapping_offset(stride);
            }
        }
    }
}

/// The tiles of this thread, set up for products of so many rows; given back when dropped.
struct Tiles {
    /// Rows of the first tile of activations, and of the second one.
    heights: [usize; 2],
}

/// What `ldtilecfg` reads: the sizes of the tiles.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    /// Bytes of a row.
    widths: [u16; 16],
    heights: [u8; 16],
}

impl Tiles {
    /// Tiles 0 to 3 for sums, 4 and 5 for activations, 6 and 7 for weights.
    fn new(rows: usize) -> Self {
        let heights = [rows.min(ROWS), rows.saturating_sub(ROWS)];
        let [first, second] = heights;
        let mut configuration =
            Configuration { palette: 1, start_row: 0, reserved: [0; 14], widths: [0; 16], heights: [0; 16] };
        let tiles = [first, first, second, second, first, second, ROWS, ROWS];
        // A tile without rows may not have a width either.
        for (tile, height) in tiles.into_iter().enumerate().filter(|&(_, height)| height > 0) {
            configuration.widths[tile] = WIDTH as u16;
            configuration.heights[tile] = height as u8;
        }
        // SAFETY: `PackedMatrix` has AMX as its instruction set only where `is_available`; no tile is larger than 16 rows
        // of 64 bytes.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const configuration, options(nostack, preserves_flags));
        }
        Self { heights }
    }

    /// The products of `rows`, as many as the tiles were set up for, and up to two panels; an only panel is taken twice.
    /// With `ahead`, the memory is asked for the panels after these meanwhile.
    fn multiply(
        &self,
        activations: &Activations,
        rows: Range<usize>,
        panels: &Panels<'_>,
        ahead: bool,
        sums: &mut Sums,
    ) {
        let inputs = activations.inputs();
        let (a, a_2) = activations.values(rows.clone()).split_at(self.heights[0] * inputs);
        let (w, _) = panels.panel(0);
        let (w_2, _) = panels.panel(panels.len() - 1);
        assert_eq!(rows.len(), self.heights[0] + self.heights[1]);
        assert!(
            inputs > 0 && inputs.is_multiple_of(INPUTS) && w.len() * STEP == inputs && w_2.len() == w.len()
        );
        let two = self.heights[1] > 0;
        let [first, second, third, fourth] = sums.0.each_mut().map(|tile| tile.as_mut_ptr());
        // SAFETY: `new` has set the tiles up. Each round reads 64 bytes of the rows of `a` and of `a_2`, which are
        // `inputs` bytes apart, and 16 blocks of each panel; as asserted there are as many as the rounds read. The sums
        // are written to arrays of 16 rows of 64 bytes. The compiler uses no tiles of its own, so that they keep what they
        // hold from one block of instructions to the next.
        unsafe {
            asm!("tilezero tmm0", "tilezero tmm1", options(nostack, preserves_flags, nomem));
            if two {
                asm!("tilezero tmm2", "tilezero tmm3", options(nostack, preserves_flags, nomem));
            }
            for round in 0..inputs / INPUTS {
                let (w, w_2) = (w.as_ptr().add(round * ROWS), w_2.as_ptr().add(round * ROWS));
                if ahead {
                    prefetch(w.wrapping_add(MOST_PANELS * inputs / STEP));
                    prefetch(w_2.wrapping_add(MOST_PANELS * inputs / STEP));
                }
                asm!(
                    "tileloadd tmm4, [{a} + {stride}]",
                    "tileloadd tmm6, [{w} + {width}]",
                    "tdpbsud tmm0, tmm4, tmm6",
                    "tileloadd tmm7, [{w_2} + {width}]",
                    "tdpbsud tmm1, tmm4, tmm7",
                    a = in(reg) a.as_ptr().add(round * INPUTS),
                    w = in(reg) w,
                    w_2 = in(reg) w_2,
                    stride = in(reg) inputs,
                    width = in(reg) WIDTH,
                    options(nostack, preserves_flags, readonly),
                );
                if two {
                    asm!(
                        "tileloadd tmm5, [{a_2} + {stride}]",
                        "tdpbsud tmm2, tmm5, tmm6",
                        "tdpbsud tmm3, tmm5, tmm7",
                        a_2 = in(reg) a_2.as_ptr().add(round * INPUTS),
                        stride = in(reg) inputs,
                        options(nostack, preserves_flags, readonly),
                    );
                }
            }
            if two {
                asm!(
                    "tilestored [{third} + {width}], tmm2",
                    "tilestored [{fourth} + {width}], tmm3",
                    third = in(reg) third,
                    fourth = in(reg) fourth,
                    width = in(reg) WIDTH,
                    options(nostack, preserves_flags),
                );
            }
            asm!(
                "tilestored [{first} + {width}], tmm0",
                "tilestored [{second} + {width}], tmm1",
                first = in(reg) first,
                second = in(reg) second,
                width = in(reg) WIDTH,
                options(nostack, preserves_flags),
            );
        }
    }
}

/// Asks for 16 blocks that are read later; an address outside of any array does no harm.
fn prefetch(blocks: *const Block) {
    for line in 0..ROWS {
        // SAFETY: a prefetch reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(blocks.wrapping_add(line).cast()) };
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: where tiles were set up they can be given back.
        unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) };
    }
}

const _: () = assert!(size_of::<Block>() == WIDTH && size_of::<Configuration>() == 64);
