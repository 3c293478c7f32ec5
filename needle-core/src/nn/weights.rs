//! All weights of a network, loaded by name and checked once.

use std::borrow::Cow;

use half::f16;
use ndarray::{Array1, Array2, ArrayRef2};

use super::attention::{Attention, Heads};
use super::contrastive::ContrastiveHead;
use super::copy_head::CopyHead;
use super::linear::Linear;
use super::norm::ZcRmsNorm;
use super::rope::Rope;
use super::static_embedding::StaticEmbedding;
use crate::checkpoint::config::ModelConfig;
use crate::error::{Error, Result};
use crate::kernels::{Bits, Isa, PackedMatrix};
use crate::tokenizer::TokenId;

/// Where tensors come from: a checkpoint, or a formula in tests.
pub trait Source {
    /// The values of tensor `name` in row-major order, as f32.
    ///
    /// # Errors
    /// If there is no such tensor or it does not have this shape; the message names the tensor.
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>>;

    /// The stored values of matrix `name` if it is quantised; `None` where [`Self::take`] is to be asked.
    ///
    /// # Errors
    /// As [`Self::take`].
    fn take_quantised(&mut self, _name: &str, _shape: [usize; 2]) -> Result<Option<QuantisedMatrix<'_>>> {
        Ok(None)
    }
}

/// A matrix (O, I) as a checkpoint stores it: see [`PackedMatrix::pack`].
#[derive(Debug)]
pub struct QuantisedMatrix<'a> {
    /// Width of a value.
    pub bits: Bits,
    /// The values, row-major.
    pub values: Cow<'a, [u8]>,
    /// One scale per row and group of 32 inputs.
    pub scales: Vec<f16>,
}

/// The weights of one network; immutable and shared by threads.
#[derive(Clone, Debug)]
pub struct Weights {
    pub(crate) config: ModelConfig,
    pub(crate) embedding: Linear, // (V, D)
    pub(crate) rope: Rope,
    pub(crate) encoder: Vec<EncoderLayer>,
    pub(crate) encoder_norm: ZcRmsNorm,
    pub(crate) decoder: Vec<DecoderLayer>,
    pub(crate) decoder_norm: ZcRmsNorm,
    pub(crate) contrastive: ContrastiveHead,
    pub(crate) copy_head: Option<CopyHead>,
    pub(crate) static_embedding: Option<StaticEmbedding>,
    /// Whether all projections of the layers are quantised; keys and values then are as well.
    pub(crate) is_packed: bool,
}

/// `x += gate · attention(norm(x))`, with `gate = sigmoid(attn_gate)` computed at load.
#[derive(Clone, Debug)]
pub(crate) struct EncoderLayer {
    pub(crate) norm: ZcRmsNorm,
    pub(crate) gate: f32,
    pub(crate) attention: Attention,
}

/// Causal self-attention, then cross-attention over the encoder's output, both gated as in the encoder.
#[derive(Clone, Debug)]
pub(crate) struct DecoderLayer {
    pub(crate) self_norm: ZcRmsNorm,
    pub(crate) self_gate: f32,
    pub(crate) self_attention: Attention,
    pub(crate) cross_norm: ZcRmsNorm,
    pub(crate) cross_gate: f32,
    pub(crate) cross_attention: Attention,
}

impl Weights {
    /// Takes every tensor that `config` calls for.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible sizes, the source's error for a missing tensor, and
    /// [`Error::Checkpoint`] that names the tensor for a wrong shape or a value that is not finite.
    pub fn load(config: &ModelConfig, source: &mut dyn Source) -> Result<Self> {
        config.validate()?;
        let d_model = config.d_model;
        let mut loader = Loader { config, source };
        let mut encoder = Vec::with_capacity(config.num_encoder_layers);
        for i in 0..config.num_encoder_layers {
            let layer = format!("encoder.layers.{i}");
            encoder.push(EncoderLayer {
                norm: loader.norm(&format!("{layer}.attn_norm"), d_model)?,
                gate: loader.gate(&format!("{layer}.attn_gate"))?,
                attention: loader.attention(&format!("{layer}.self_attn"))?,
            });
        }
        let mut decoder = Vec::with_capacity(config.num_decoder_layers);
        for i in 0..config.num_decoder_layers {
            let layer = format!("decoder.layers.{i}");
            decoder.push(DecoderLayer {
                self_norm: loader.norm(&format!("{layer}.self_attn_norm"), d_model)?,
                self_gate: loader.gate(&format!("{layer}.self_attn_gate"))?,
                self_attention: loader.attention(&format!("{layer}.self_attn"))?,
                cross_norm: loader.norm(&format!("{layer}.cross_attn_norm"), d_model)?,
                cross_gate: loader.gate(&format!("{layer}.cross_attn_gate"))?,
                cross_attention: loader.attention(&format!("{layer}.cross_attn"))?,
            });
        }
        let hidden = d_model / 4;
        let encoders = encoder.iter().map(|layer| &layer.attention);
        let decoders = decoder.iter().flat_map(|layer| [&layer.self_attention, &layer.cross_attention]);
        let is_packed =
            encoders.chain(decoders).all(|attention| matches!(attention.q_proj, Linear::Packed(_)));
        Ok(Self {
            is_packed,
            config: config.clone(),
            embedding: loader.linear("embedding", config.vocab_size, d_model)?,
            rope: Rope::new(config.head_dim(), config.rope_theta),
            encoder,
            encoder_norm: loader.norm("encoder.final_norm", d_model)?,
            decoder,
            decoder_norm: loader.norm("decoder.final_norm", d_model)?,
            contrastive: ContrastiveHead {
                hidden: loader.linear("contrastive.hidden", hidden, d_model)?,
                bias: loader.vector("contrastive.hidden.bias", hidden)?,
                proj: loader.linear("contrastive.proj", config.contrastive_dim, hidden)?,
            },
            copy_head: config.copy_head.then(|| loader.copy_head(d_model)).transpose()?,
            static_embedding: match config.static_embedding {
                Some(table) => {
                    let table = loader.linear("static_embedding", config.vocab_size, table.dim)?;
                    Some(StaticEmbedding { table })
                }
                None => None,
            },
        })
    }

    /// Sizes and options of this network.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Writes the scaled embeddings of `tokens` into `out` (T, D): rows of the table times sqrt(D).
    pub(crate) fn embed(&self, tokens: &[TokenId], out: &mut ArrayRef2<f32>) -> Result<()> {
        let scale = (self.config.d_model as f32).sqrt();
        for (&token, mut row) in tokens.iter().zip(out.outer_iter_mut()) {
            let index = self.check_token(token)?;
            self.embedding.row(index, scale, &mut row);
        }
        Ok(())
    }

    /// The row of a token in the embedding.
    pub(crate) fn check_token(&self, token: TokenId) -> Result<usize> {
        let index = token.0 as usize;
        if index < self.config.vocab_size {
            return Ok(index);
        }
        Err(Error::Limit { what: "a token id", actual: index, limit: self.config.vocab_size - 1 })
    }
}

/// Refuses activations that overflowed f32, which finite but absurd weights can cause.
pub(crate) fn check_finite(hidden: &Array2<f32>) -> Result<()> {
    if hidden.iter().all(|value| value.is_finite()) { Ok(()) } else { Err(overflow()) }
}

/// The error of a network whose numbers are too large.
pub(crate) fn overflow() -> Error {
    Error::Checkpoint {
        origin: "weights".into(),
        problem: "the network's numbers overflow; the file holds absurd values, convert or download it again"
            .into(),
    }
}

/// Turns named tensors into the network's parts.
struct Loader<'a> {
    config: &'a ModelConfig,
    source: &'a mut dyn Source,
}

impl Loader<'_> {
    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let refuse = |problem: String| Error::Checkpoint {
            origin: "weights".into(),
            problem: format!("tensor {name} {problem}"),
        };
        let values = self.source.take(name, shape)?;
        let needed: usize = shape.iter().product();
        if values.len() != needed {
            return Err(refuse(format!(
                "has {} values; the config asks for shape {shape:?}, which is {needed}",
                values.len()
            )));
        }
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(index) => Err(refuse(format!(
                "holds {} at index {index}; the file is damaged, convert or download it again",
                values[index]
            ))),
        }
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Array1<f32>> {
        Ok(Array1::from_vec(self.values(name, &[len])?))
    }

    fn matrix(&mut self, name: &str, outputs: usize, inputs: usize) -> Result<Array2<f32>> {
        let values = self.values(name, &[outputs, inputs])?;
        Array2::from_shape_vec((outputs, inputs), values)
            .map_err(|error| Error::Internal(format!("tensor {name}: {error}")))
    }

    fn linear(&mut self, name: &str, outputs: usize, inputs: usize) -> Result<Linear> {
        let name = format!("{name}.weight");
        let isa = Isa::best();
        // Without a fast kernel for quantised weights, f32 is faster.
        if isa != Isa::Scalar
            && let Some(QuantisedMatrix { bits, values, scales }) =
                self.source.take_quantised(&name, [outputs, inputs])?
        {
            let packed = PackedMatrix::pack(bits, [outputs, inputs], &values, &scales, isa);
            return packed.map(Linear::Packed).ok_or_else(|| Error::Checkpoint {
                origin: "weights".into(),
                problem: format!("tensor {name} does not have the {outputs} x {inputs} values of its shape"),
            });
        }
        Ok(Linear::Dense(self.matrix(&name, outputs, inputs)?))
    }

    fn norm(&mut self, name: &str, width: usize) -> Result<ZcRmsNorm> {
        Ok(ZcRmsNorm::new(self.vector(&format!("{name}.scale"), width)?))
    }

    fn scalar(&mut self, name: &str) -> Result<f32> {
        Ok(self.vector(name, 1)?[0])
    }

    fn gate(&mut self, name: &str) -> Result<f32> {
        Ok(sigmoid(self.scalar(name)?))
    }

    fn attention(&mut self, name: &str) -> Result<Attention> {
        let (d_model, kv_dim, head_dim) = (self.config.d_model, self.config.kv_dim(), self.config.head_dim());
        Ok(Attention {
            heads: Heads {
                num_heads: self.config.num_heads,
                num_kv_heads: self.config.num_kv_heads,
                head_dim,
            },
            q_proj: self.linear(&format!("{name}.q_proj"), d_model, d_model)?,
            k_proj: self.linear(&format!("{name}.k_proj"), kv_dim, d_model)?,
            v_proj: self.linear(&format!("{name}.v_proj"), kv_dim, d_model)?,
            out_proj: self.linear(&format!("{name}.out_proj"), d_model, d_model)?,
            q_norm: self.norm(&format!("{name}.q_norm"), head_dim)?,
            k_norm: self.norm(&format!("{name}.k_norm"), head_dim)?,
        })
    }

    fn copy_head(&mut self, d_model: usize) -> Result<CopyHead> {
        Ok(CopyHead {
            q_proj: self.linear("copy.q_proj", d_model, d_model)?,
            k_proj: self.linear("copy.k_proj", d_model, d_model)?,
            gate: self.matrix("copy.gate.weight", 1, d_model)?.row(0).to_owned(),
            gate_bias: self.scalar("copy.gate.bias")?,
        })
    }
}

/// The logistic function `1 / (1 + e^-x)`.
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
