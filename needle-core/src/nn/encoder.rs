//! The encoder: bidirectional attention over one sequence, or over a query and the segments of its tools.
//!
//! Sequences are given at their own length; there is no padding and so no padding mask.

use std::iter::once;

use ndarray::{Array2, ArrayView2};

use super::attention::Visible;
use super::kv_cache::KeyValues;
use super::scratch::Scratch;
use super::weights::{Weights, check_finite};
use crate::error::{Error, Result};
use crate::tokenizer::TokenId;

/// Final-normed output of the encoder, one row per source token.
#[derive(Clone, Debug)]
pub struct EncoderOutput {
    hidden: Array2<f32>, // (T, D)
}

impl EncoderOutput {
    /// The rows, (T, D).
    pub fn hidden(&self) -> ArrayView2<'_, f32> {
        self.hidden.view()
    }

    /// Number of source tokens, T.
    pub fn len(&self) -> usize {
        self.hidden.nrows()
    }

    /// Whether there is no source token.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A sequence encoded by itself, with all that a later query needs to attend to it.
#[derive(Clone, Debug)]
pub struct SegmentEncoding {
    layers: Vec<KeyValues>, // one per encoder layer, keys at positions from 0
    output: EncoderOutput,
}

impl SegmentEncoding {
    /// The final-normed output, (T, D).
    pub fn output(&self) -> &EncoderOutput {
        &self.output
    }
}

/// Encodes one sequence in which everything attends to everything: the joint layout, or a query by itself.
///
/// # Errors
/// [`Error::Limit`] for a token outside the vocabulary, [`Error::Checkpoint`] if the numbers overflow.
pub fn encode(weights: &Weights, tokens: &[TokenId]) -> Result<EncoderOutput> {
    run(weights, tokens, &[], &mut |_| ())
}

/// Encodes the segment of a tool, positions from 0, and keeps its keys and values of every layer.
///
/// # Errors
/// As [`encode`].
pub fn encode_segment(weights: &Weights, tokens: &[TokenId]) -> Result<SegmentEncoding> {
    let mut layers = Vec::with_capacity(weights.encoder.len());
    let output = run(weights, tokens, &[], &mut |layer| layers.push(layer))?;
    Ok(SegmentEncoding { layers, output })
}

/// Encodes a query, positions from 0, that attends in every layer to itself and to all `segments`.
///
/// Segments carry no position among each other, so their order does not matter (beyond rounding).
///
/// # Errors
/// As [`encode`]; [`Error::Internal`] if a segment was encoded with other weights' sizes.
pub fn encode_query(
    weights: &Weights,
    tokens: &[TokenId],
    segments: &[&SegmentEncoding],
) -> Result<EncoderOutput> {
    let kv_dim = weights.config.kv_dim();
    let fits = |segment: &&SegmentEncoding| {
        segment.layers.len() == weights.encoder.len() && segment.layers.iter().all(|kv| kv.kv_dim() == kv_dim)
    };
    if !segments.iter().all(fits) {
        return Err(Error::Internal("a segment was encoded by another network".into()));
    }
    run(weights, tokens, segments, &mut |_| ())
}

/// Encodes `tokens` over themselves and `segments`; hands the own keys and values of each layer to `keep`.
fn run(
    weights: &Weights,
    tokens: &[TokenId],
    segments: &[&SegmentEncoding],
    keep: &mut dyn FnMut(KeyValues),
) -> Result<EncoderOutput> {
    let rotation = weights.rope.rotation(0, tokens.len());
    let mut scratch = Scratch::new(&weights.config, tokens.len());
    let mut buffers = scratch.buffers(tokens.len());
    weights.embed(tokens, &mut buffers.x)?;
    for (index, layer) in weights.encoder.iter().enumerate() {
        let attention = &layer.attention;
        let mut own = KeyValues::zeros(tokens.len(), weights.config.kv_dim());
        layer.norm.forward(&buffers.x, &mut buffers.normed);
        attention.keys_values(&buffers.normed, Some(&rotation), own.view_mut());
        attention.queries(&buffers.normed, Some(&rotation), &mut buffers.queries);
        let pieces = segments.iter().map(|segment| segment.layers[index].view()).chain(once(own.view()));
        attention.add_gated(layer.gate, &pieces, Visible::All, &mut buffers);
        keep(own);
    }
    let mut hidden = Array2::zeros(buffers.x.dim());
    weights.encoder_norm.forward(&buffers.x, &mut hidden);
    check_finite(&hidden)?;
    Ok(EncoderOutput { hidden })
}
