//! The layout of quantised weights in memory, made for the kernels.
//!
//! Outputs are taken 16 at a time, a panel. Within a panel the inputs follow each other in steps of four (int8: 64
//! bytes each, four consecutive inputs for each of the 16 outputs), so that one 512-bit register holds one step. Values
//! are stored unsigned, with an offset (128 or 8), because the dot-product instructions take an unsigned and a signed
//! factor. Of int4 each byte holds the value of an even step in its low nibble and of the odd step after it in the
//! high one. A panel's scales, one f16 per output or per output and group of 32 inputs, lie apart so that values stay
//! aligned.

use std::ops::Range;

use half::f16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use ndarray::{ArrayRef2, Axis};

use super::Isa;
use super::activations::{Activations, LIMIT, STEP, Scaling, larger, round};
use crate::checkpoint::GROUP;
use crate::kernels::{side_by_side, wide};

/// Outputs that share a panel.
pub(super) const PANEL: usize = 16;

/// One step of 16 outputs (int8), or two (int4): a cache line, a 512-bit register.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Block(pub(super) [u8; PANEL * STEP]);

/// Width of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    /// One byte.
    Eight,
    /// One nibble.
    Four,
}

impl Bits {
    /// Steps in a block.
    pub(super) const fn steps(self) -> usize {
        match self {
            Self::Eight => 1,
            Self::Four => 2,
        }
    }

    /// What was added to a value to store it unsigned.
    pub(super) const fn offset(self) -> i32 {
        match self {
            Self::Eight => 128,
            Self::Four => 8,
        }
    }
}

/// A matrix (O, I) of quantised weights, packed for the kernels of this machine.
#[derive(Clone)]
pub struct PackedMatrix {
    bits: Bits,
    isa: Isa,
    scaling: Scaling,
    outputs: usize,
    inputs: usize,
    blocks: Vec<Block>,
    /// (panels, groups), f16 as bits, 16 outputs each.
    scales: Vec<[u16; PANEL]>,
}

impl std::fmt::Debug for PackedMatrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bits, scaling, outputs, inputs, .. } = self;
        write!(f, "PackedMatrix({bits:?}, {scaling:?}, {outputs} x {inputs})")
    }
}

/// The weights of consecutive panels.
#[derive(Clone, Copy)]
pub(super) struct Panels<'a> {
    pub(super) bits: Bits,
    /// Scales of an output.
    groups: usize,
    inputs: usize,
    blocks: &'a [Block],
    scales: &'a [[u16; PANEL]],
}

impl<'a> Panels<'a> {
    /// Number of panels.
    pub(super) fn len(&self) -> usize {
        self.scales.len() / self.groups
    }

    /// Inputs of an output.
    pub(super) fn inputs(&self) -> usize {
        self.inputs
    }

    /// Steps of inputs that share a scale.
    pub(super) fn steps(&self) -> usize {
        self.inputs / self.groups / STEP
    }

    /// Blocks and scales of one panel, a group to an entry of scales.
    pub(super) fn panel(&self, index: usize) -> (&'a [Block], &'a [[u16; PANEL]]) {
        let blocks = self.inputs / STEP / self.bits.steps();
        let scales = index * self.groups..(index + 1) * self.groups;
        (&self.blocks[index * blocks..(index + 1) * blocks], &self.scales[scales])
    }

    /// The weights of one step of an output of the first panel, without their scale.
    pub(super) fn weights(&self, lane: usize, step: usize) -> [i32; STEP] {
        let stored = &self.blocks[step / self.bits.steps()].0.as_chunks::<STEP>().0[lane];
        stored.map(|byte| {
            let value = match self.bits {
                Bits::Eight => byte,
                Bits::Four if step.is_multiple_of(2) => byte & 15,
                Bits::Four => byte >> 4,
            };
            i32::from(value) - self.bits.offset()
        })
    }

    /// The scale of a group of an output of the first panel.
    pub(super) fn scale(&self, lane: usize, group: usize) -> f32 {
        f16::from_bits(self.scales[group][lane]).to_f32()
    }
}

impl PackedMatrix {
    /// Packs row-major values (O, I): one signed byte each, or nibbles `q + 8` two to a byte with the even input low;
    /// `scales` is (O, I / 32).
    ///
    /// Int8 is rounded anew to one scale for each output, with which the kernels are fastest.
    ///
    /// `None` where the lengths do not fit the shape, I is zero or no multiple of 32, or this machine lacks `isa`.
    pub fn pack(
        bits: Bits,
        [outputs, inputs]: [usize; 2],
        values: &[u8],
        scales: &[f16],
        isa: Isa,
    ) -> Option<Self> {
        let per_byte = if bits == Bits::Eight { 1 } else { 2 };
        let groups = inputs / GROUP;
        let fits = Isa::available().contains(&isa)
            && inputs.is_multiple_of(GROUP)
            && inputs > 0
            && values.len() == outputs.checked_mul(inputs)? / per_byte
            && scales.len() == outputs * groups;
        if !fits {
            return None;
        }
        let scaling = if bits == Bits::Eight { Scaling::Row } else { Scaling::Group };
        let mut packed = Self::empty(bits, scaling, [outputs, inputs], isa);
        let rows = values.chunks_exact(inputs / per_byte).zip(scales.chunks_exact(groups));
        let mut rounded = vec![0; inputs];
        for (output, (values, scales)) in rows.enumerate() {
            if scaling == Scaling::Group {
                packed.set(output, values, scales.iter().copied());
            } else {
                let scale = one_scale(values, scales, &mut rounded);
                packed.set(output, &rounded, std::iter::once(scale));
            }
        }
        Some(packed)
    }

    /// Quantises the rows of `w` (O, I) to int8 with a scale each; I is filled up with zeros to a multiple of 32.
    pub fn quantise_rows(w: &ArrayRef2<f32>, isa: Isa) -> Self {
        let mut quantised = Activations::default();
        quantised.quantise(w, Scaling::Row);
        let mut packed = Self::empty(Bits::Eight, Scaling::Row, [w.nrows(), quantised.inputs()], isa);
        let mut bytes = vec![0; quantised.inputs()];
        for output in 0..w.nrows() {
            let row = quantised.row(output);
            bytes.iter_mut().zip(row.values).for_each(|(byte, value)| *byte = value.cast_unsigned());
            packed.set(output, &bytes, row.scales.iter().map(|&scale| f16::from_f32(scale)));
        }
        packed
    }

    /// Quantises the columns of `w` (I, O) to int8 in groups of 32, of which the last is filled up with zeros.
    pub fn quantise_columns(w: &ArrayRef2<f32>, isa: Isa) -> Self {
        let (columns, inputs) = (w.ncols(), w.nrows().next_multiple_of(GROUP));
        let mut packed = Self::empty(Bits::Eight, Scaling::Group, [columns, inputs], isa);
        let groups = inputs / GROUP;
        let mut tiles = vec![[[0.0; PANEL]; GROUP]; columns.div_ceil(PANEL)];
        for (group, part) in w.axis_chunks_iter(Axis(0), GROUP).enumerate() {
            for (index, row) in part.outer_iter().enumerate() {
                let row = side_by_side(&row);
                let (full, rest) = row.as_chunks();
                for (tile, values) in tiles.iter_mut().zip(full) {
                    tile[index] = *values;
                }
                if let Some(tile) = tiles.get_mut(full.len()) {
                    tile[index][..rest.len()].copy_from_slice(rest);
                }
            }
            let blocks = packed.blocks.as_chunks_mut().0.iter_mut().zip(&mut packed.scales);
            for (tile, (blocks, scales)) in tiles.iter_mut().zip(blocks.skip(group).step_by(groups)) {
                tile[part.nrows()..].fill([0.0; PANEL]);
                let exact = quantise_tile(tile, blocks);
                scales.reinterpret_cast_mut::<f16>().convert_from_f32_slice(&exact);
            }
        }
        packed
    }

    /// Zeros. Outputs that only fill the last panel stay so and are never read.
    fn empty(bits: Bits, scaling: Scaling, [outputs, inputs]: [usize; 2], isa: Isa) -> Self {
        let panels = outputs.div_ceil(PANEL);
        let blocks = vec![Block([0; PANEL * STEP]); panels * inputs / STEP / bits.steps()];
        let scales = vec![[0; PANEL]; panels * scaling.groups(inputs)];
        Self { bits, isa, scaling, outputs, inputs, blocks, scales }
    }

    /// Puts the stored values and scales of one output into its lane.
    fn set(&mut self, output: usize, values: &[u8], scales: impl Iterator<Item = f16>) {
        let (panel, lane) = (output / PANEL, output % PANEL);
        let (blocks, groups) = (self.inputs / STEP / self.bits.steps(), self.scaling.groups(self.inputs));
        pack_row(self.bits, values, lane, &mut self.blocks[panel * blocks..(panel + 1) * blocks]);
        let own = &mut self.scales[panel * groups..(panel + 1) * groups];
        own.iter_mut().zip(scales).for_each(|(own, scale)| own[lane] = scale.to_bits());
    }

    /// Number of outputs, O.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Number of inputs, I.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// How the activations must be scaled that are multiplied with it.
    pub fn scaling(&self) -> Scaling {
        self.scaling
    }

    /// The values, in the order in which kernels read them.
    pub(super) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    pub(super) fn bits(&self) -> Bits {
        self.bits
    }

    pub(super) fn isa(&self) -> Isa {
        self.isa
    }

    pub(super) fn panels(&self, panels: Range<usize>) -> Panels<'_> {
        let (blocks, groups) = (self.inputs / STEP / self.bits.steps(), self.scaling.groups(self.inputs));
        Panels {
            bits: self.bits,
            groups,
            inputs: self.inputs,
            blocks: &self.blocks[panels.start * blocks..panels.end * blocks],
            scales: &self.scales[panels.start * groups..panels.end * groups],
        }
    }
}

/// Rounds signed bytes with a scale for each group to bytes with one scale for all, which is returned.
fn one_scale(values: &[u8], scales: &[f16], rounded: &mut [u8]) -> f16 {
    let (values, _) = values.as_chunks::<GROUP>();
    let mut factors: Vec<f32> = scales.iter().map(|scale| scale.to_f32()).collect();
    let scale = f16::from_f32(largest(values, &factors) / LIMIT).min(f16::MAX);
    let inverse = if scale == f16::ZERO { 0.0 } else { scale.to_f32().recip() };
    for factor in &mut factors {
        *factor *= inverse;
    }
    rescale(values, &factors, rounded.as_chunks_mut().0);
    scale
}

wide! {
    /// The largest magnitude of scaled values.
    fn largest(values: &[[u8; GROUP]], scales: &[f32]) -> f32 {
        values.iter().zip(scales).fold(0.0_f32, |largest, (group, scale)| {
            let most = group.iter().fold(0, |most, q| q.cast_signed().unsigned_abs().max(most));
            largest.max(f32::from(most) * scale.abs())
        })
    }
}

wide! {
    fn rescale(values: &[[u8; GROUP]], factors: &[f32], rounded: &mut [[u8; GROUP]]) {
        for ((group, factor), rounded) in values.iter().zip(factors).zip(rounded) {
            for (rounded, q) in rounded.iter_mut().zip(group) {
                // The stored scale may be a little smaller than the exact one.
                let exact = (f32::from(q.cast_signed()) * factor).clamp(-LIMIT, LIMIT);
                *rounded = round(exact).cast_unsigned();
            }
        }
    }
}

wide! {
    /// Quantises one group of inputs of a panel's outputs, as [`Activations::quantise`] would, and packs it; their scales.
    fn quantise_tile(tile: &[[f32; PANEL]; GROUP], blocks: &mut [Block; GROUP / STEP]) -> [f32; PANEL] {
        let mut largest = [0.0_f32; PANEL];
        for row in tile {
            for (largest, x) in largest.iter_mut().zip(row) {
                *largest = larger(*largest, x.abs());
            }
        }
        let inverse = largest.map(|largest| if largest > 0.0 { LIMIT / largest } else { 0.0 });
        for (block, quad) in blocks.iter_mut().zip(tile.as_chunks::<STEP>().0) {
            let mut words = [0_u32; PANEL];
            for (index, row) in quad.iter().enumerate() {
                for ((word, x), inverse) in words.iter_mut().zip(row).zip(inverse) {
                    *word |= u32::from(round(x * inverse).cast_unsigned() ^ OFFSET_BIT) << (8 * index);
                }
            }
            for (bytes, word) in block.0.as_chunks_mut().0.iter_mut().zip(words) {
                *bytes = word.to_le_bytes();
            }
        }
        largest.map(|largest| largest * (1.0 / LIMIT))
    }
}

/// Flipping the sign bit of an int8 adds its offset, 128.
const OFFSET_BIT: u8 = 0x80;

/// Moves one output's stored bytes into its lane.
fn pack_row(bits: Bits, stored: &[u8], lane: usize, target: &mut [Block]) {
    let lane = lane * STEP..(lane + 1) * STEP;
    match bits {
        Bits::Eight => {
            for (quad, block) in stored.as_chunks::<STEP>().0.iter().zip(target) {
                block.0[lane.clone()].copy_from_slice(&quad.map(|q| q ^ OFFSET_BIT));
            }
        }
        Bits::Four => {
            // Four bytes hold eight inputs: the even step's four, then the odd step's.
            for (&[a, b, c, d], block) in stored.as_chunks::<4>().0.iter().zip(target) {
                let even = [a & 15, a >> 4, b & 15, b >> 4];
                let odd = [c & 15, c >> 4, d & 15, d >> 4];
                for (index, byte) in block.0[lane.clone()].iter_mut().enumerate() {
                    *byte = even[index] | odd[index] << 4;
                }
            }
        }
    }
}
