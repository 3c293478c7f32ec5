//! Networks with weights by formula, for tests and benches.
//! Include beside `formula`: `#[path = "support/network.rs"] mod network;`.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "every test binary includes this file and uses its own part of it"
)]

use half::f16;
use needle_core::TokenId;
use needle_core::checkpoint::GROUP;
use needle_core::checkpoint::config::{Layout, ModelConfig};
use needle_core::error::{Error, Result};
use needle_core::kernels::Bits;
use needle_core::nn::weights::{QuantisedMatrix, Source, Weights};

use crate::formula::{self, Sizes};

/// Tensors by formula; copy head and static embedding, which published checkpoints lack, are filled in the same way.
pub struct FormulaSource(pub Sizes);

impl Source for FormulaSource {
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        if name.starts_with("copy.") || name.starts_with("static_embedding.") {
            return Ok(formula::values(name, shape));
        }
        let (found, values) = formula::tensor(name, self.0)
            .ok_or_else(|| Error::Internal(format!("the formula has no tensor {name}")))?;
        assert_eq!(found, shape, "{name}");
        Ok(values)
    }
}

/// The same with the matrices of attention and the embedding as int8.
pub struct QuantisedFormulaSource(pub Sizes);

impl Source for QuantisedFormulaSource {
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        FormulaSource(self.0).take(name, shape)
    }

    fn take_quantised(
        &mut self,
        name: &str,
        [outputs, inputs]: [usize; 2],
    ) -> Result<Option<QuantisedMatrix<'_>>> {
        let values = self.take(name, &[outputs, inputs])?;
        let largest = values.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        #[allow(clippy::cast_possible_truncation, reason = "the largest becomes 127")]
        let round = |x: &f32| ((x / largest * 127.0).round() as i8).cast_unsigned();
        Ok(Some(QuantisedMatrix {
            bits: Bits::Eight,
            values: values.iter().map(round).collect(),
            scales: vec![f16::from_f32(largest / 127.0); values.len() / GROUP],
        }))
    }
}

/// The configuration of these sizes.
pub fn config(sizes: Sizes, copy_head: bool) -> ModelConfig {
    ModelConfig {
        vocab_size: sizes.vocab_size,
        d_model: sizes.d_model,
        num_heads: sizes.num_heads,
        num_kv_heads: sizes.num_kv_heads,
        num_encoder_layers: sizes.num_encoder_layers,
        num_decoder_layers: sizes.num_decoder_layers,
        rope_theta: 10_000.0,
        contrastive_dim: sizes.contrastive_dim,
        max_seq_len: 1024,
        pad_token_id: 0,
        layout: Layout::Isolated,
        copy_head,
        static_embedding: None,
        max_alternatives: 0,
    }
}

/// A network of these sizes.
pub fn weights(sizes: Sizes, copy_head: bool) -> Weights {
    Weights::load(&config(sizes, copy_head), &mut FormulaSource(sizes)).unwrap()
}

/// The same with int8 weights.
pub fn quantised_weights(sizes: Sizes, copy_head: bool) -> Weights {
    Weights::load(&config(sizes, copy_head), &mut QuantisedFormulaSource(sizes)).unwrap()
}

/// `count` tokens that look random and depend only on `seed`.
pub fn tokens(sizes: Sizes, seed: u32, count: usize) -> Vec<TokenId> {
    let vocab = u32::try_from(sizes.vocab_size).unwrap();
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        TokenId((state >> 8) % vocab)
    };
    (0..count).map(|_| next()).collect()
}
