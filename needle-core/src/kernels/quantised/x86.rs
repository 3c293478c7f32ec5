//! The kernels for x86-64, each for one set of instructions.
//!
//! A kernel takes R rows, keeps for each and for each panel a register of integer sums (of the current group of inputs)
//! and one of f32 sums, and reads every weight once for all rows.
#![allow(
    unsafe_code,
    reason = "instruction sets are called after their detection; loads are from whole blocks"
)]
#![allow(clippy::wildcard_imports, reason = "dozens of intrinsics, whose names say where they come from")]

use std::arch::x86_64::*;

use super::activations::LIMIT;
use super::packed::{Bits, Block, PANEL, Panels};
use super::work::{Quads, Work};
use super::{Isa, Tile};
use crate::checkpoint::GROUP;

/// The sets beyond the baseline that this machine has, the fastest last.
pub(super) fn available() -> impl Iterator<Item = Isa> {
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c");
    let avx_vnni = avx2 && is_x86_feature_detected!("avxvnni");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni");
    [
        (avx2, Isa::Avx2),
        (avx_vnni, Isa::AvxVnni),
        (avx512, Isa::Avx512Vnni),
        #[cfg(target_os = "linux")]
        (avx512 && super::amx::is_available(), Isa::Amx),
    ]
    .into_iter()
    .filter_map(|(present, isa)| present.then_some(isa))
}

/// Asks the memory for blocks that are read soon.
pub(super) fn prefetch(blocks: &[Block]) {
    for block in blocks {
        // SAFETY: every x86-64 processor has the instruction, which changes no value.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(block).cast()) };
    }
}

/// Quantises groups, if the machine has AVX-512; gives the bits of the plain form for numbers that are finite.
pub(super) fn quantise_groups(
    x: &[[f32; GROUP]],
    values: &mut [[i8; GROUP]],
    sums: &mut [i32],
    scales: &mut [f32],
) -> bool {
    let present = crate::kernels::has_avx512();
    if present {
        // SAFETY: just detected.
        unsafe { quantise_groups_avx512(x, values, sums, scales) };
    }
    present
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn quantise_groups_avx512(
    x: &[[f32; GROUP]],
    values: &mut [[i8; GROUP]],
    sums: &mut [i32],
    scales: &mut [f32],
) {
    for (((x, values), sum), scale) in x.iter().zip(values).zip(sums).zip(scales) {
        let (low, high) = x.split_at(16);
        // SAFETY: each half is 16 f32, one register.
        let (low, high) = unsafe { (_mm512_loadu_ps(low.as_ptr()), _mm512_loadu_ps(high.as_ptr())) };
        let largest = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(low), _mm512_abs_ps(high)));
        let inverse = _mm512_set1_ps(if largest > 0.0 { LIMIT / largest } else { 0.0 });
        // Rounds to the nearest, ties to even, as the mode is unless a program changes it.
        let low = _mm512_cvtps_epi32(_mm512_mul_ps(low, inverse));
        let high = _mm512_cvtps_epi32(_mm512_mul_ps(high, inverse));
        *scale = largest * (1.0 / LIMIT);
        *sum = _mm512_reduce_add_epi32(_mm512_add_epi32(low, high));
        let (first, second) = values.split_at_mut(16);
        // SAFETY: each half is 16 bytes, one register.
        unsafe {
            _mm_storeu_si128(first.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(low));
            _mm_storeu_si128(second.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(high));
        }
    }
}

/// Quantises a row, if the machine has AVX-512, as [`quantise_groups`] does.
pub(super) fn quantise_row(row: &[f32], values: &mut [i8]) -> Option<(f32, i32)> {
    // SAFETY: just detected.
    crate::kernels::has_avx512().then(|| unsafe { quantise_row_avx512(row, values) })
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn quantise_row_avx512(row: &[f32], values: &mut [i8]) -> (f32, i32) {
    let (blocks, rest) = row.as_chunks::<16>();
    let (out, out_rest) = values.split_at_mut(16 * blocks.len());
    let rest_mask = (1_u16 << rest.len()) - 1;
    // SAFETY: the mask takes as many numbers as there are.
    let last = unsafe { _mm512_maskz_loadu_ps(rest_mask, rest.as_ptr()) };
    // SAFETY: a block is 16 f32, one register.
    let load = |block: &[f32; 16]| unsafe { _mm512_loadu_ps(block.as_ptr()) };
    // Two maxima, so that one need not wait for the other.
    let (mut largest, mut largest_2) = (_mm512_abs_ps(last), _mm512_setzero_ps());
    let (pairs, odd) = blocks.as_chunks::<2>();
    for [first, second] in pairs {
        largest = _mm512_max_ps(largest, _mm512_abs_ps(load(first)));
        largest_2 = _mm512_max_ps(largest_2, _mm512_abs_ps(load(second)));
    }
    for block in odd {
        largest = _mm512_max_ps(largest, _mm512_abs_ps(load(block)));
    }
    let largest = _mm512_reduce_max_ps(_mm512_max_ps(largest, largest_2));
    let inverse = _mm512_set1_ps(if largest > 0.0 { LIMIT / largest } else { 0.0 });
    // Rounds to the nearest, ties to even, as the mode is unless a program changes it.
    let rounded = |x: __m512| _mm512_cvtps_epi32(_mm512_mul_ps(x, inverse));
    let last = rounded(last);
    let mut sum = last;
    for (block, out) in blocks.iter().zip(out.as_chunks_mut::<16>().0) {
        let block = rounded(load(block));
        sum = _mm512_add_epi32(sum, block);
        // SAFETY: `out` is 16 bytes, one register.
        unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(block)) };
    }
    // SAFETY: the mask takes as many bytes as there are.
    unsafe { _mm_mask_storeu_epi8(out_rest.as_mut_ptr(), rest_mask, _mm512_cvtepi32_epi8(last)) };
    (largest * (1.0 / LIMIT), _mm512_reduce_add_epi32(sum))
}

impl Work<'_> {
    /// R rows, int8 weights if `EIGHT`, else int4.
    pub(super) fn run<const R: usize, const EIGHT: bool>(&self, isa: Isa, out: &mut Tile) {
        // SAFETY: `PackedMatrix::pack` takes only sets that `available` found on this machine.
        unsafe {
            match isa {
                Isa::Avx512Vnni => self.avx512_vnni::<R, EIGHT>(out),
                #[cfg(target_os = "linux")]
                Isa::Amx => self.avx512_vnni::<R, EIGHT>(out),
                Isa::AvxVnni => self.avx_vnni::<R, EIGHT>(out),
                Isa::Avx2 => self.avx2::<R, EIGHT>(out),
                Isa::Scalar => self.plain::<R>(out),
            }
        }
    }

    /// R rows and two panels at once: for six rows 24 registers of sums. A panel that is alone is taken twice.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn avx512_vnni<const R: usize, const EIGHT: bool>(&self, out: &mut Tile) {
        let bits = if EIGHT { Bits::Eight } else { Bits::Four };
        let rows = self.rows::<R>();
        let quads = rows.map(Quads::new);
        let (mut total, mut total_2) = ([_mm512_setzero_ps(); R], [_mm512_setzero_ps(); R]);
        let (mut group, mut step) = (0, 0);
        for panels in self.parts {
            let (blocks, scales) = panels.panel(0);
            let (blocks_2, scales_2) = panels.panel(panels.len() - 1);
            let per_group = panels.steps() / bits.steps();
            let groups = blocks.chunks_exact(per_group).zip(blocks_2.chunks_exact(per_group));
            for ((blocks, blocks_2), (scales, scales_2)) in groups.zip(scales.iter().zip(scales_2)) {
                let (mut sum, mut sum_2) = ([_mm512_setzero_si512(); R], [_mm512_setzero_si512(); R]);
                for r in 0..R {
                    sum[r] = _mm512_set1_epi32(-bits.offset() * rows[r].sums[group]);
                    sum_2[r] = sum[r];
                }
                // SAFETY: `work::run` has found that rows have as many steps as the parts together.
                let quad = |r: usize, index| _mm512_set1_epi32(unsafe { quads[r].at(step + index) });
                for (index, (block, block_2)) in blocks.iter().zip(blocks_2).enumerate() {
                    let (weights, weights_2) = (load512(block), load512(block_2));
                    if EIGHT {
                        for r in 0..R {
                            let x = quad(r, index);
                            sum[r] = _mm512_dpbusd_epi32(sum[r], weights, x);
                            sum_2[r] = _mm512_dpbusd_epi32(sum_2[r], weights_2, x);
                        }
                    } else {
                        let nibble = _mm512_set1_epi8(15);
                        let (even, even_2) =
                            (_mm512_and_si512(weights, nibble), _mm512_and_si512(weights_2, nibble));
                        let odd = _mm512_and_si512(_mm512_srli_epi16::<4>(weights), nibble);
                        let odd_2 = _mm512_and_si512(_mm512_srli_epi16::<4>(weights_2), nibble);
                        for r in 0..R {
                            let x = quad(r, 2 * index);
                            sum[r] = _mm512_dpbusd_epi32(sum[r], even, x);
                            sum_2[r] = _mm512_dpbusd_epi32(sum_2[r], even_2, x);
                            let x = quad(r, 2 * index + 1);
                            sum[r] = _mm512_dpbusd_epi32(sum[r], odd, x);
                            sum_2[r] = _mm512_dpbusd_epi32(sum_2[r], odd_2, x);
                        }
                    }
                }
                let scale = _mm512_cvtph_ps(load256(scales));
                let scale_2 = _mm512_cvtph_ps(load256(scales_2));
                for r in 0..R {
                    let x_scale = _mm512_set1_ps(rows[r].scales[group]);
                    let scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[r]), x_scale);
                    total[r] = _mm512_fmadd_ps(scaled, scale, total[r]);
                    let scaled = _mm512_mul_ps(_mm512_cvtepi32_ps(sum_2[r]), x_scale);
                    total_2[r] = _mm512_fmadd_ps(scaled, scale_2, total_2[r]);
                }
                (group, step) = (group + 1, step + panels.steps());
            }
        }
        for ((out, total), total_2) in out.iter_mut().zip(total).zip(total_2) {
            let (first, second) = out.split_at_mut(PANEL);
            // SAFETY: each half of `out` is 16 f32, one register.
            unsafe {
                _mm512_storeu_ps(first.as_mut_ptr(), total);
                _mm512_storeu_ps(second.as_mut_ptr(), total_2);
            }
        }
    }
}

/// A kernel on 256-bit registers, which takes a panel as two halves of eight outputs.
///
/// `$dot` adds the dot products of four bytes per lane to its first argument; `$offset` tells whether it takes the
/// stored weights as they are, with their offset.
macro_rules! kernel_256 {
    ($name:ident, $features:literal, $dot:ident, $offset:expr) => {
        impl Work<'_> {
            #[target_feature(enable = $features)]
            fn $name<const R: usize, const EIGHT: bool>(&self, out: &mut Tile) {
                let bits = if EIGHT { Bits::Eight } else { Bits::Four };
                let rows = self.rows::<R>();
                let quads = rows.map(Quads::new);
                let panels = self.parts.first().map_or(0, Panels::len);
                for half in 0..2 * panels {
                    let mut total = [_mm256_setzero_ps(); R];
                    let (mut group, mut step) = (0, 0);
                    for panels in self.parts {
                        let (blocks, scales) = panels.panel(half / 2);
                        for (blocks, scales) in blocks.chunks_exact(panels.steps() / bits.steps()).zip(scales)
                        {
                            let offset = if $offset(EIGHT) { bits.offset() } else { 0 };
                            let mut sum: [__m256i; R] =
                                std::array::from_fn(|r| _mm256_set1_epi32(-offset * rows[r].sums[group]));
                            let quad = |r: usize, index| {
                                // SAFETY: `work::run` has found that rows have as many steps as the parts together.
                                _mm256_set1_epi32(unsafe { quads[r].at(step + index) })
                            };
                            for (index, block) in blocks.iter().enumerate() {
                                let weights = load_half(block, half % 2);
                                if EIGHT {
                                    for r in 0..R {
                                        let x = quad(r, index);
                                        sum[r] = $dot::<EIGHT>(sum[r], weights, x);
                                    }
                                } else {
                                    let nibble = _mm256_set1_epi8(15);
                                    let even = _mm256_and_si256(weights, nibble);
                                    let odd = _mm256_and_si256(_mm256_srli_epi16::<4>(weights), nibble);
                                    for r in 0..R {
                                        let x = quad(r, 2 * index);
                                        sum[r] = $dot::<EIGHT>(sum[r], even, x);
                                        let x = quad(r, 2 * index + 1);
                                        sum[r] = $dot::<EIGHT>(sum[r], odd, x);
                                    }
                                }
                            }
                            let scale = _mm256_cvtph_ps(load_scales(scales, half % 2));
                            for r in 0..R {
                                let x_scale = _mm256_set1_ps(rows[r].scales[group]);
                                let scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sum[r]), x_scale);
                                total[r] = _mm256_fmadd_ps(scaled, scale, total[r]);
                            }
                            (group, step) = (group + 1, step + panels.steps());
                        }
                    }
                    for (out, total) in out.iter_mut().zip(total) {
                        let out = &mut out[half * PANEL / 2..][..PANEL / 2];
                        // SAFETY: `out` is 8 f32, one register.
                        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), total) };
                    }
                }
            }
        }
    };
}

kernel_256!(avx2, "avx2,fma,f16c", dot_avx2, |eight: bool| !eight);
kernel_256!(avx_vnni, "avx2,fma,f16c,avxvnni", dot_avx_vnni, |_| true);

/// The dot products by pairs in 16 bits, which saturate: nibbles are far below that; bytes go through without their
/// offset, as `|w| · (x with the sign of w)`, of which two are at most 2 · 128 · 127.
#[target_feature(enable = "avx2")]
#[inline]
fn dot_avx2<const EIGHT: bool>(sum: __m256i, weights: __m256i, x: __m256i) -> __m256i {
    let pairs = if EIGHT {
        let signed = _mm256_xor_si256(weights, _mm256_set1_epi8(-128));
        _mm256_maddubs_epi16(_mm256_abs_epi8(signed), _mm256_sign_epi8(x, signed))
    } else {
        _mm256_maddubs_epi16(weights, x)
    };
    _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
}

#[target_feature(enable = "avxvnni")]
#[inline]
fn dot_avx_vnni<const EIGHT: bool>(sum: __m256i, weights: __m256i, x: __m256i) -> __m256i {
    _mm256_dpbusd_avx_epi32(sum, weights, x)
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load512(block: &Block) -> __m512i {
    // SAFETY: a block is 64 bytes, aligned to 64.
    unsafe { _mm512_load_si512(std::ptr::from_ref(block).cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn load_half(block: &Block, half: usize) -> __m256i {
    let (low, high) = block.0.split_at(32);
    let bytes = if half == 0 { low } else { high };
    // SAFETY: `bytes` is 32 bytes, one register.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn load256(scales: &[u16; PANEL]) -> __m256i {
    // SAFETY: 16 times two bytes are one register.
    unsafe { _mm256_loadu_si256(scales.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn load_scales(scales: &[u16; PANEL], half: usize) -> __m128i {
    let (low, high) = scales.split_at(PANEL / 2);
    let scales = if half == 0 { low } else { high };
    // SAFETY: 8 times two bytes are one register.
    unsafe { _mm_loadu_si128(scales.as_ptr().cast()) }
}
