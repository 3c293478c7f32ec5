//! The plain form of the kernels: what every other one must equal, bit for bit.

use half::f16;

use super::Tile;
use super::activations::{Row, STEP};
use super::packed::{Bits, Block, PANEL, Panels};

/// See [`super::work::run`].
pub(super) fn run<const R: usize>(parts: &[Panels<'_>], rows: [Row<'_>; R], out: &mut Tile) {
    let panels = parts.first().map_or(0, Panels::len);
    for (row, out) in rows.into_iter().zip(out) {
        for (index, out) in out.as_chunks_mut().0.iter_mut().enumerate().take(panels) {
            *out = panel(parts, index, row);
        }
    }
}

/// The outputs of one panel for one row.
fn panel(parts: &[Panels<'_>], index: usize, row: Row<'_>) -> [f32; PANEL] {
    let mut total = [0.0; PANEL];
    let (mut rest, mut group) = (row.values.as_chunks::<STEP>().0, 0);
    for panels in parts {
        let (bits, steps) = (panels.bits, panels.steps());
        let (blocks, scales) = panels.panel(index);
        for (own, scales) in scales.iter().enumerate() {
            let quads;
            (quads, rest) = rest.split_at(steps);
            // Weights are stored with an offset; this takes its share out again.
            let mut sums = [-bits.offset() * row.sums[group]; PANEL];
            for (step, quad) in quads.iter().enumerate() {
                let weights = unsigned(bits, blocks, own * steps + step);
                for (sum, weights) in sums.iter_mut().zip(weights.as_chunks::<STEP>().0) {
                    for (weight, x) in weights.iter().zip(quad) {
                        *sum += i32::from(*weight) * i32::from(*x);
                    }
                }
            }
            for ((total, sum), scale) in total.iter_mut().zip(sums).zip(scales) {
                *total = (sum as f32 * row.scales[group]).mul_add(f16::from_bits(*scale).to_f32(), *total);
            }
            group += 1;
        }
    }
    total
}

/// The stored values of one step.
fn unsigned(bits: Bits, blocks: &[Block], step: usize) -> [u8; PANEL * STEP] {
    match bits {
        Bits::Eight => blocks[step].0,
        Bits::Four if step.is_multiple_of(2) => blocks[step / 2].0.map(|pair| pair & 15),
        Bits::Four => blocks[step / 2].0.map(|pair| pair >> 4),
    }
}
