//! Random weights of a given shape, for speed only.

use std::sync::Arc;

use clap::ValueEnum;
use needle_core::Model;
use needle_core::checkpoint::{GROUP, Layout, ModelConfig};
use needle_core::kernels::Bits;
use needle_core::nn::weights::{QuantisedMatrix, Source, Weights};

use crate::Outcome;

/// How weights are stored.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Stored {
    F32,
    Int8,
    Int4,
}

/// The published shape.
pub(super) fn published() -> ModelConfig {
    ModelConfig {
        vocab_size: 8192,
        d_model: 512,
        num_heads: 8,
        num_kv_heads: 4,
        num_encoder_layers: 12,
        num_decoder_layers: 8,
        rope_theta: 10_000.0,
        contrastive_dim: 128,
        max_seq_len: 1024,
        pad_token_id: 0,
        layout: Layout::Joint,
        copy_head: false,
        static_embedding: None,
        max_alternatives: 0,
    }
}

/// The published shape as this project trains it.
pub(super) fn isolated() -> ModelConfig {
    ModelConfig { layout: Layout::Isolated, copy_head: true, ..published() }
}

/// Random weights of a shape with the tokenizer of `other`.
pub(super) fn model(config: &ModelConfig, stored: Stored, other: &Model) -> Outcome<Arc<Model>> {
    let weights = Weights::load(config, &mut Random { state: SEED, stored })?;
    Ok(other.with_weights(weights)?)
}

/// With these random weights of the isolated shape every kind of storage writes a call of more than 25 tokens, not the empty
/// answer.
const SEED: u64 = 10;

/// A generator of weights (a linear congruential one: their distribution does not matter).
struct Random {
    state: u64,
    stored: Stored,
}

impl Random {
    fn next(&mut self) -> u32 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(self.state >> 32).unwrap_or_default()
    }
}

impl Source for Random {
    fn take(&mut self, _: &str, shape: &[usize]) -> needle_core::Result<Vec<f32>> {
        let scale = shape.last().map_or(1.0, |inputs| 1.0 / (*inputs as f32).sqrt());
        let mut value = || (self.next() % 255) as f32 / 127.0 - 1.0;
        Ok((0..shape.iter().product()).map(|_| scale * value()).collect())
    }

    fn take_quantised(
        &mut self,
        _: &str,
        [outputs, inputs]: [usize; 2],
    ) -> needle_core::Result<Option<QuantisedMatrix<'_>>> {
        let (bits, largest) = match self.stored {
            Stored::F32 => return Ok(None),
            Stored::Int8 => (Bits::Eight, 127.0),
            Stored::Int4 => (Bits::Four, 7.0),
        };
        let bytes = if bits == Bits::Eight { outputs * inputs } else { outputs * inputs / 2 };
        let values: Vec<u8> = (0..bytes).map(|_| self.next().to_le_bytes()[0]).collect();
        let scale = half::f16::from_f32(1.0 / (inputs as f32).sqrt() / largest);
        Ok(Some(QuantisedMatrix {
            bits,
            values: values.into(),
            scales: vec![scale; outputs * inputs / GROUP],
        }))
    }
}
