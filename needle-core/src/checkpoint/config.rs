//! Sizes and options of a network, as `config.json` holds them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How a query and its tools become encoder input; a checkpoint is trained with one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// `query <tools> tools-json` in one sequence (the published Needle).
    #[default]
    Joint,
    /// Every tool a segment of its own, encoded without the query; the query attends to all of them.
    Isolated,
}

/// A table of token vectors whose mean is a text's meaning, and how much it counts beside the network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StaticEmbeddingConfig {
    /// Width of a vector, S.
    pub dim: usize,
    /// At the choice of a name a tool's odds are multiplied by e to the power of this times its cosine with the query.
    pub name_weight: f32,
    /// At the opening the odds of a call are divided by e to the power of this times what the best tool's cosine
    /// lacks to `opening_cosine`.
    pub opening_weight: f32,
    /// Cosine of the best tool from which the network alone decides on whether there is a call.
    pub opening_cosine: f32,
}

/// Sizes of the network; see the table in the README for the published values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelConfig {
    /// Rows of the embedding, V.
    pub vocab_size: usize,
    /// Width of the residual stream, D.
    pub d_model: usize,
    /// Query heads, H; `head_dim` is `d_model / num_heads`.
    pub num_heads: usize,
    /// Key/value heads, K; each serves `num_heads / num_kv_heads` consecutive query heads.
    pub num_kv_heads: usize,
    /// Encoder layers.
    pub num_encoder_layers: usize,
    /// Decoder layers.
    pub num_decoder_layers: usize,
    /// Base of the rotary frequencies.
    #[serde(default = "default_rope_theta")]
    pub rope_theta: f32,
    /// Width of the contrastive head's embedding, C.
    pub contrastive_dim: usize,
    /// Longest encoder sequence the checkpoint was trained for (one segment in the isolated layout).
    #[serde(default = "default_max_seq_len")]
    pub max_seq_len: usize,
    /// Token that pads batches in training.
    #[serde(default)]
    pub pad_token_id: u32,
    /// How prompts are laid out.
    #[serde(default)]
    pub layout: Layout,
    /// Whether the output mixes in a pointer over the encoder's tokens (See et al., 2017).
    #[serde(default)]
    pub copy_head: bool,
    /// The static embedding, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub static_embedding: Option<StaticEmbeddingConfig>,
    /// Answers that are tried beside the greedy one, where they may be more probable.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub max_alternatives: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

fn default_rope_theta() -> f32 {
    10_000.0
}

fn default_max_seq_len() -> usize {
    1024
}

/// Largest weight of a static embedding: with twice as much in the exponent odds are still finite in f64.
const MOST_WEIGHT: f32 = 300.0;

/// Most answers that may be tried beside the greedy one.
const MOST_ALTERNATIVES: usize = 64;

impl ModelConfig {
    /// Width of one attention head, E.
    pub fn head_dim(&self) -> usize {
        self.d_model / self.num_heads
    }

    /// Width of all key (or value) heads together, K·E.
    pub fn kv_dim(&self) -> usize {
        self.num_kv_heads * self.head_dim()
    }

    /// Checks that the sizes fit each other and are not absurd.
    ///
    /// # Errors
    /// [`Error::Config`] names the first field that is wrong.
    pub fn validate(&self) -> Result<()> {
        let bounded = [
            ("vocab_size", self.vocab_size, 1 << 20),
            ("d_model", self.d_model, 1 << 14),
            ("num_heads", self.num_heads, 1 << 10),
            ("num_kv_heads", self.num_kv_heads, 1 << 10),
            ("num_encoder_layers", self.num_encoder_layers, 1 << 8),
            ("num_decoder_layers", self.num_decoder_layers, 1 << 8),
            ("contrastive_dim", self.contrastive_dim, 1 << 14),
            ("max_seq_len", self.max_seq_len, 1 << 20),
        ];
        let table = self.static_embedding.map(|table| ("static_embedding.dim", table.dim, 1 << 14));
        for (field, value, limit) in bounded.into_iter().chain(table) {
            if value == 0 || value > limit {
                return Err(Error::Config { field, problem: format!("is {value}; must be 1 to {limit}") });
            }
        }
        if !self.d_model.is_multiple_of(self.num_heads) || !self.head_dim().is_multiple_of(2) {
            return Err(Error::Config {
                field: "num_heads",
                problem: format!(
                    "{} heads do not divide d_model {} into even widths (RoPE rotates pairs)",
                    self.num_heads, self.d_model
                ),
            });
        }
        if !self.num_heads.is_multiple_of(self.num_kv_heads) {
            return Err(Error::Config {
                field: "num_kv_heads",
                problem: format!("{} does not divide num_heads {}", self.num_kv_heads, self.num_heads),
            });
        }
        if !(self.rope_theta.is_finite() && self.rope_theta > 0.0) {
            return Err(Error::Config { field: "rope_theta", problem: "must be a positive number".into() });
        }
        if let Some(table) = self.static_embedding {
            let weights = [table.name_weight, table.opening_weight];
            if !weights.iter().all(|weight| (0.0..=MOST_WEIGHT).contains(weight)) {
                return Err(Error::Config {
                    field: "static_embedding",
                    problem: format!("has a weight that is not within 0 to {MOST_WEIGHT}"),
                });
            }
            if !(-1.0..=1.0).contains(&table.opening_cosine) {
                return Err(Error::Config {
                    field: "static_embedding.opening_cosine",
                    problem: "is no cosine; must be -1 to 1".into(),
                });
            }
        }
        if self.max_alternatives > MOST_ALTERNATIVES {
            return Err(Error::Config {
                field: "max_alternatives",
                problem: format!("is {}; must be at most {MOST_ALTERNATIVES}", self.max_alternatives),
            });
        }
        if self.pad_token_id as usize >= self.vocab_size {
            return Err(Error::Config {
                field: "pad_token_id",
                problem: "lies outside the vocabulary".into(),
            });
        }
        Ok(())
    }
}
