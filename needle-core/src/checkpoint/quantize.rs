//! Storage types of weights, and symmetric quantisation in groups.
//!
//! A group is [`GROUP`] consecutive values along a matrix's input dimension and shares one f16 scale:
//! `scale = max|w| / m`, `q = round(w / scale)` in -m..=m, `w ≈ q · scale`, with m = 127 (int8) or 7 (int4). An int4
//! value is stored as `q + 8` in a nibble, the even index in the low one. The error is at most half a scale, and a
//! little more where rounding the scale to f16 made it smaller. Source: the published model's quantisation
//! (round-to-nearest, groups of 32), see Dettmers et al. 2022 for group-wise absmax in general.

use half::f16;
use serde::{Deserialize, Serialize};

/// Values that share a scale.
pub const GROUP: usize = 32;

/// How [`super::Checkpoint::save`] stores matrices; vectors (norms, gates, biases) are always f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantization {
    /// Four bytes per weight; exact.
    F32,
    /// Two bytes per weight; exact for published checkpoints.
    #[default]
    F16,
    /// Two bytes per weight, eight bits of precision.
    Bf16,
    /// About 1.06 bytes per weight. Matrices whose input dimension is no multiple of 32 stay f32.
    Int8,
    /// About 0.56 bytes per weight. Matrices whose input dimension is no multiple of 32 stay f32.
    Int4,
}

/// Quantised values of one matrix as bytes, and its scales.
pub(super) struct Quantized {
    pub(super) values: Vec<u8>,
    pub(super) scales: Vec<f16>,
}

/// One byte per value.
pub(super) fn int8(weights: &[f32]) -> Quantized {
    let mut values = Vec::with_capacity(weights.len());
    let scales = groups(weights, 127, |q| values.push(q.cast_unsigned()));
    Quantized { values, scales }
}

/// Two values per byte.
pub(super) fn int4(weights: &[f32]) -> Quantized {
    let mut nibbles = Vec::with_capacity(weights.len());
    let scales = groups(weights, 7, |q| nibbles.push((q + 8).cast_unsigned()));
    let values = nibbles.chunks_exact(2).map(|pair| pair[0] | pair[1] << 4).collect();
    Quantized { values, scales }
}

/// Quantises group by group to -limit..=limit and returns the scales.
fn groups(weights: &[f32], limit: i8, mut push: impl FnMut(i8)) -> Vec<f16> {
    let limit = f32::from(limit);
    let mut scales = Vec::with_capacity(weights.len() / GROUP);
    for group in weights.chunks(GROUP) {
        let largest = group.iter().fold(0.0_f32, |largest, weight| largest.max(weight.abs()));
        let scale = f16::from_f32(largest / limit);
        // The stored scale is the rounded one, so values are rounded against it; a scale of zero makes them zero.
        let inverse = if scale == f16::ZERO { 0.0 } else { scale.to_f32().recip() };
        for weight in group {
            let q = (weight * inverse).round_ties_even().clamp(-limit, limit);
            #[allow(clippy::cast_possible_truncation, reason = "clamped to at most ±127 on the line above")]
            push(q as i8);
        }
        scales.push(scale);
    }
    scales
}

/// Multiplies every group of values by its scale.
pub(super) fn scaled(mut values: Vec<f32>, scales: &[f32]) -> Vec<f32> {
    for (group, scale) in values.chunks_mut(GROUP).zip(scales) {
        for value in group {
            *value *= scale;
        }
    }
    values
}

/// Splits bytes (read as numbers 0 to 255) into pairs of values -8..=7.
pub(super) fn unpack_int4(pairs: &[f32]) -> Vec<f32> {
    pairs
        .iter()
        .flat_map(|pair| {
            let high = (pair / 16.0).floor();
            [pair - 16.0 * high - 8.0, high - 8.0]
        })
        .collect()
}
