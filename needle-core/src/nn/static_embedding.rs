//! A text's meaning as the mean of one vector for each of its tokens, without context (as in `Model2Vec`, Tulkens and
//! van Dongen, 2024); the vectors are distilled from a sentence-embedding model.
//!
//! A network trained on tool calls knows the words of its tools; this table knows many more.

use ndarray::Array1;

use super::linear::Linear;
use super::weights::{Weights, overflow};
use crate::TokenId;
use crate::error::Result;

/// One vector (S) per token.
#[derive(Clone, Debug)]
pub struct StaticEmbedding {
    pub(crate) table: Linear, // (V, S)
}

/// The embedding (S) of a text, of length 1 (of zeros, of length 0); `None` if the network has no such table.
///
/// # Errors
/// [`crate::Error::Limit`] for a token outside the vocabulary, [`crate::Error::Checkpoint`] if the numbers overflow.
pub fn embed(weights: &Weights, tokens: &[TokenId]) -> Result<Option<Vec<f32>>> {
    let (Some(embedding), Some(config)) = (&weights.static_embedding, weights.config().static_embedding)
    else {
        return Ok(None);
    };
    let (mut sum, mut row) = (Array1::<f32>::zeros(config.dim), Array1::zeros(config.dim));
    for &token in tokens {
        embedding.table.row(weights.check_token(token)?, 1.0, &mut row);
        sum += &row;
    }
    let length = sum.dot(&sum).sqrt();
    if !length.is_finite() {
        return Err(overflow());
    }
    if length > 0.0 {
        sum /= length;
    }
    Ok(Some(sum.to_vec()))
}
