//! The retrieval head: one unit vector per sequence, compared by cosine.

use ndarray::{Array1, Array2, Axis};

use super::encoder::EncoderOutput;
use super::linear::{Linear, project};
use super::network::Network;
use super::weights::Weights;
use crate::kernels::Activations;

/// Keeps the norm above zero for a vector of zeros; it is added inside the root, as in training.
const EPSILON: f32 = 1e-12;

/// Dense(D/4, bias) → `ReLU` → Dense(C).
#[derive(Clone, Debug)]
pub struct ContrastiveHead {
    pub(crate) hidden: Linear,    // D → D/4
    pub(crate) bias: Array1<f32>, // (D/4)
    pub(crate) proj: Linear,      // D/4 → C
}

/// The retrieval embedding (C) of a sequence, of length 1: the mean of the encoder's rows through the head.
///
/// An empty sequence counts as a mean of zeros.
pub fn embed(weights: &Weights, output: &EncoderOutput) -> Vec<f32> {
    let head = &weights.contrastive;
    let mean = output.hidden().sum_axis(Axis(0)) / output.len().max(1) as f32; // (D)
    let mut hidden = Array2::zeros((1, head.bias.len())); // (1, D/4)
    let network = Network::from(weights);
    let mut activations = Activations::default();
    let mean = mean.insert_axis(Axis(0));
    project(network, &mean, &mut activations, [(&head.hidden, hidden.view_mut())]);
    hidden += &head.bias;
    hidden.mapv_inplace(|x| x.max(0.0));
    let mut embedding = Array2::zeros((1, head.proj.outputs())); // (1, C)
    project(network, &hidden, &mut activations, [(&head.proj, embedding.view_mut())]);
    let length = (embedding.iter().map(|x| x * x).sum::<f32>() + EPSILON).sqrt();
    embedding.iter().map(|x| x / length).collect()
}
