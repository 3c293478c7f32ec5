//! The layout of quantised weights in memory, made for the kernels.
//!
//! Outputs are taken 16 at a time, a panel. Within a panel the inputs follow each other in groups of 32; a group
//! holds eight steps of four inputs (int8: 64 bytes each, four consecutive inputs for each of the 16 outputs), so
//! that one 512-bit register holds one step, and then come the next group's. Values are stored unsigned, with an
//! offset (128 or 8), because the dot-product instructions take an unsigned and a signed factor. An int4 group is
//! half as long: each byte holds the value of an even step in its low nibble and of the odd step after it in the
//! high one. A panel's scales, one f16 per group and output, lie apart so that values stay aligned.

use std::ops::Range;

use half::f16;
use ndarray::ArrayRef2;

use super::Isa;
use super::activations::{Activations, STEP, STEPS};
use crate::checkpoint::GROUP;

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
    /// Blocks in a group.
    pub(super) const fn blocks(self) -> usize {
        match self {
            Self::Eight => STEPS,
            Self::Four => STEPS / 2,
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
    outputs: usize,
    inputs: usize,
    blocks: Vec<Block>,
    /// (panels, groups), f16 as bits, 16 outputs each.
    scales: Vec<[u16; PANEL]>,
}

impl std::fmt::Debug for PackedMatrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bits, outputs, inputs, .. } = self;
        write!(f, "PackedMatrix({bits:?}, {outputs} x {inputs})")
    }
}

/// The weights of consecutive panels.
#[derive(Clone, Copy)]
pub(super) struct Panels<'a> {
    pub(super) bits: Bits,
    groups: usize,
    blocks: &'a [Block],
    scales: &'a [[u16; PANEL]],
}

impl<'a> Panels<'a> {
    /// Number of panels.
    pub(super) fn len(&self) -> usize {
        self.scales.len() / self.groups
    }

    /// Blocks and scales of one panel, a group to an entry of scales.
    pub(super) fn panel(&self, index: usize) -> (&'a [Block], &'a [[u16; PANEL]]) {
        let all = index * self.groups..(index + 1) * self.groups;
        let per_group = self.bits.blocks();
        (&self.blocks[all.start * per_group..all.end * per_group], &self.scales[all])
    }

    /// One weight of the first panel, dequantised.
    pub(super) fn weight(&self, output: usize, input: usize) -> f32 {
        let (group, step, byte) = (input / GROUP, input % GROUP / STEP, input % STEP);
        let at = output * STEP + byte;
        let stored = match self.bits {
            Bits::Eight => self.blocks[group * STEPS + step].0[at],
            Bits::Four => {
                let pair = self.blocks[group * STEPS / 2 + step / 2].0[at];
                if step.is_multiple_of(2) { pair & 15 } else { pair >> 4 }
            }
        };
        #[allow(clippy::cast_precision_loss, reason = "at most 255")]
        let value = (i32::from(stored) - self.bits.offset()) as f32;
        value * f16::from_bits(self.scales[group][output]).to_f32()
    }
}

impl PackedMatrix {
    /// Packs row-major values (O, I): one signed byte each, or nibbles `q + 8` two to a byte with the even input low;
    /// `scales` is (O, I / 32).
    ///
    /// `None` where the lengths do not fit the shape, I is no multiple of 32, or this machine lacks `isa`.
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
            && values.len() == outputs.checked_mul(inputs)? / per_byte
            && scales.len() == outputs * groups;
        if !fits {
            return None;
        }
        let panels = outputs.div_ceil(PANEL);
        // Outputs that only fill the last panel have scale 0 and are never read.
        let mut blocks = vec![Block([0; PANEL * STEP]); panels * groups * bits.blocks()];
        let mut packed = vec![[0; PANEL]; panels * groups];
        for output in 0..outputs {
            let (panel, lane) = (output / PANEL, output % PANEL);
            for group in 0..groups {
                let at = panel * groups + group;
                packed[at][lane] = scales[output * groups + group].to_bits();
                let target = &mut blocks[at * bits.blocks()..(at + 1) * bits.blocks()];
                let width = GROUP / per_byte;
                let start = (output * groups + group) * width;
                pack_group(bits, &values[start..start + width], lane, target);
            }
        }
        Some(Self { bits, isa, outputs, inputs, blocks, scales: packed })
    }

    /// Quantises `w` (O, I) to int8 and packs it; I is filled up with zeros to a multiple of 32.
    pub fn quantise(w: &ArrayRef2<f32>, isa: Isa) -> Self {
        let (outputs, groups) = (w.nrows(), w.ncols().div_ceil(GROUP));
        let panels = outputs.div_ceil(PANEL);
        let bits = Bits::Eight;
        let mut blocks = vec![Block([0; PANEL * STEP]); panels * groups * bits.blocks()];
        let mut scales = vec![[0; PANEL]; panels * groups];
        let mut quantised = Activations::default();
        quantised.quantise(w);
        for output in 0..outputs {
            let (panel, lane) = (output / PANEL, output % PANEL);
            for (group, values) in quantised.row(output).iter().enumerate() {
                let at = panel * groups + group;
                scales[at][lane] = f16::from_f32(values.scale).to_bits();
                let bytes = values.quads.map(i32::to_le_bytes);
                let target = &mut blocks[at * bits.blocks()..(at + 1) * bits.blocks()];
                pack_group(bits, bytes.as_flattened(), lane, target);
            }
        }
        Self { bits, isa, outputs, inputs: groups * GROUP, blocks, scales }
    }

    /// Number of outputs, O.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Number of inputs, I.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    pub(super) fn isa(&self) -> Isa {
        self.isa
    }

    pub(super) fn panels(&self, panels: Range<usize>) -> Panels<'_> {
        let groups = self.inputs / GROUP;
        let all = panels.start * groups..panels.end * groups;
        let per_group = self.bits.blocks();
        Panels {
            bits: self.bits,
            groups,
            blocks: &self.blocks[all.start * per_group..all.end * per_group],
            scales: &self.scales[all],
        }
    }
}

/// Moves one output's group of stored bytes into its lane.
fn pack_group(bits: Bits, stored: &[u8], lane: usize, target: &mut [Block]) {
    let lane = lane * STEP..(lane + 1) * STEP;
    match bits {
        Bits::Eight => {
            for (quad, block) in stored.as_chunks::<STEP>().0.iter().zip(target) {
                // Flipping the sign bit adds 128.
                block.0[lane.clone()].copy_from_slice(&quad.map(|q| q ^ 0x80));
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
