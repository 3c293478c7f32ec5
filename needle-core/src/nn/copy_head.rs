//! The copy head: a pointer over the source tokens beside the vocabulary (pointer-generator, See et al. 2017).
//!
//! `w = softmax_j((W_q h)·(W_k m_j) / sqrt(D))`, `g = sigmoid(w_g·h + b)`, and
//! `p(v) = (1-g)·softmax(logits)(v) + g·Σ_j w_j·[token_j = v]`, where h is the decoder's final-normed hidden row
//! and m the encoder's rows of all source tokens.

use ndarray::{Array1, Array2, ArrayRef1, ArrayRef2, Axis};

use super::decoder::CrossKv;
use super::linear::{Linear, project};
use super::network::Network;
use super::weights::sigmoid;
use crate::error::{Error, Result};
use crate::kernels::{self, Activations, Isa, PackedMatrix};

/// Weights of the copy head.
#[derive(Clone, Debug)]
pub struct CopyHead {
    pub(crate) q_proj: Linear,    // D → D
    pub(crate) k_proj: Linear,    // D → D
    pub(crate) gate: Array1<f32>, // (D)
    pub(crate) gate_bias: f32,
}

/// Where a token would be copied from.
#[derive(Clone, Debug, PartialEq)]
pub struct CopyAttention {
    /// Probability g of copying instead of generating; 0 where there is no source token.
    pub gate: f32,
    /// Probability of each source token given that one is copied, in the order of the pieces; they sum to 1.
    pub weights: Vec<f32>,
}

impl CopyHead {
    /// `W_k m` for an encoder output `m` (T, D), in the form in which the network's weights are kept: f32, or int8 with a scale
    /// for each key.
    pub(crate) fn keys(&self, network: Network<'_>, output: &ArrayRef2<f32>) -> Linear {
        let mut keys = Array2::zeros((output.nrows(), self.k_proj.outputs()));
        project(network, output, &mut Activations::default(), [(&self.k_proj, keys.view_mut())]);
        if network.weights.is_packed {
            return Linear::Packed(PackedMatrix::quantise_rows(&keys, Isa::best()));
        }
        Linear::Dense(keys)
    }
}

/// The pointer of one decoder row (D) over the source tokens of `cross`; `None` if the network has no copy head.
///
/// # Errors
/// [`Error::Internal`] if `cross` was made for another network.
pub fn copy_attention<'a>(
    network: impl Into<Network<'a>>,
    cross: &CrossKv,
    hidden: &ArrayRef1<f32>,
) -> Result<Option<CopyAttention>> {
    let network = network.into();
    let weights = network.weights;
    let Some(head) = &weights.copy_head else { return Ok(None) };
    let d_model = weights.config.d_model;
    let (mut query, mut activations) = (Array2::zeros((1, d_model)), Activations::default());
    let row = hidden.view().insert_axis(Axis(0));
    project(network, &row, &mut activations, [(&head.q_proj, query.view_mut())]);
    let mut scores = Array2::zeros((1, cross.len())); // (1, S)
    let mut parts = Vec::with_capacity(cross.pieces().len());
    let mut rest = scores.view_mut();
    for piece in cross.pieces() {
        let Some(keys) = piece.copy_keys.as_ref().filter(|keys| keys.inputs() == d_model) else {
            return Err(Error::Internal("a cross-attention piece was made by another network".into()));
        };
        let (part, after) = rest.split_at(Axis(1), piece.len());
        parts.push((keys, part));
        rest = after;
    }
    project(network, &query, &mut activations, parts);
    kernels::softmax(&mut scores.row_mut(0), 1.0 / (d_model as f32).sqrt());
    let gate =
        if cross.is_empty() { 0.0 } else { sigmoid(kernels::dot(&head.gate, hidden) + head.gate_bias) };
    Ok(Some(CopyAttention { gate, weights: scores.into_iter().collect() }))
}
